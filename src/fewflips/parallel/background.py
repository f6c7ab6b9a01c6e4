"""One long step in a process of its own, while this process goes on with others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from joblib import Parallel, delayed

from fewflips.errors import FewflipsError
from fewflips.parallel.processors import processors
from fewflips.parallel.tasks import configured_backend

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


@contextmanager
def in_background(
    jobs: int, function: Callable[_Given, _Made], *arguments: _Given.args, **options: _Given.kwargs
) -> Iterator[Callable[[], _Made]]:
    """Call a function in another process, and ask for what it returns later.

    Threads would not do for kernels that Numba has still to compile: it compiles one at a time in a process. Within
    ``joblib.parallel_config(backend=...)`` that backend calls it.

    Parameters
    ----------
    jobs : int
        Processors to use; -1 for all. With a single one, the function is called here, when it is asked for.
    function : callable
        A function of a module, whose arguments and result can be pickled. It must be repeatable: where the other
        process could not be started, was ended, or met an error, it is called here when it is asked for.
    *arguments, **options
        What to call it with.

    Yields
    ------
    callable
        Waits for what the function returns. On leaving the context a process that still works is ended.

    Examples
    --------
    >>> with in_background(2, divmod, 17, 5) as quotient_and_remainder:
    ...     quotient_and_remainder()
    (3, 2)
    """
    call = partial(function, *arguments, **options)
    if configured_backend() is not None:
        with closing(Parallel(n_jobs=2, return_as="generator")([delayed(call)()])) as results:
            yield partial(_else_here, partial(next, results), call)
    elif min(processors(), processors(jobs)) < 2:
        yield call
    else:
        with _by_loky(call) as result:
            yield partial(_else_here, result, call)


@contextmanager
def _by_loky(call: Callable[[], _Made]) -> Iterator[Callable[[], _Made]]:
    executor = None
    result = call
    try:
        from loky import ProcessPoolExecutor  # takes no `if __name__ == "__main__"` in the caller's script

        executor = ProcessPoolExecutor(1)
        result = executor.submit(call).result
    except (ImportError, OSError):  # no semaphores or no processes in this container
        pass
    try:
        yield result
    finally:
        if executor is not None:
            executor.shutdown(wait=False, kill_workers=True)


def _else_here(result: Callable[[], _Made], call: Callable[[], _Made]) -> _Made:
    """What another process returns; where it does not, what the call returns here."""
    try:
        return result()
    except (BrokenProcessPool, FewflipsError, OSError):  # errors are raised by the call here, whole
        return call()
