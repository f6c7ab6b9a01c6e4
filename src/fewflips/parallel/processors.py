"""How many processors there are to use."""

from __future__ import annotations

from joblib import cpu_count


def processors(jobs: int = -1) -> int:
    """Number of processors that a setting of jobs asks for.

    Parameters
    ----------
    jobs : int
        Processors to use; below 1 for all that this process may use: where the operating system tells, those that
        it is bound to and the share that its container is given.

    Returns
    -------
    int
        1 or more.

    Examples
    --------
    >>> processors(3)
    3
    >>> processors() >= 1
    True
    """
    return int(cpu_count()) if jobs < 1 else jobs
