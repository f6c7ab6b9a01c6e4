"""How long-running work reports its progress to its caller."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with a phase, the steps done and the total number of steps."""


def counter(progress: Progress | None, phase: str, total: int) -> Callable[[object], None] | None:
    """A callback that counts its calls and reports them as steps of a phase.

    Examples
    --------
    >>> step = counter(lambda phase, done, total: print(phase, done, total), "reading", 2)
    >>> step("a file")
    reading 1 2
    """
    if progress is None:
        return None
    done = 0

    def step(_: object) -> None:
        nonlocal done
        done += 1
        progress(phase, done, total)

    return step
