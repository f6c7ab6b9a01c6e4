"""Long tasks in processes of their own: on this machine, or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from typing import Any, Protocol, TypeVar

from fewflips.errors import ToolError
from fewflips.parallel.processors import processors

Task = TypeVar("Task")
Result = TypeVar("Result")

_TRIES = 3
"""How often a pool of processes is started anew after one of them was ended."""
_IDLE_S = 120
"""Idle processes end after this time, so that none outlives a caller that was killed."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Workers(Protocol):
    """Processes that take tasks."""

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], finished: Callable[[int, Result], None]
    ) -> None:
        """Call a function for each task.

        Parameters
        ----------
        function : callable
            A function of a module; it, its tasks and its results can be pickled. It must be repeatable.
        tasks : sequence
            What to call it with.
        finished : callable
            Called in the caller's thread with the number and the result of each task as they are finished. An
            exception that it raises, like a KeyboardInterrupt, ends the work.

        Raises
        ------
        FewflipsError
            As the function does; or if the processes are lost.
        """
        ...


@contextmanager
def workers(jobs: int, cluster: str | None = None) -> Iterator[Workers]:
    """Processes of this machine, or those of a cluster.

    Parameters
    ----------
    jobs : int
        Processors to use on this machine; -1 for all. With 1, tasks run in the caller's thread.
    cluster : str, optional
        Address of a Dask scheduler, in place of this machine's processors.

    Yields
    ------
    Workers
        On leaving, what still runs is ended (on a cluster: let go).

    Raises
    ------
    ToolError
        If the cluster cannot be reached, or its extra is not installed.
    """
    if cluster is not None:
        from fewflips.parallel.cluster import on_cluster

        with on_cluster(cluster) as found:
            yield found
    else:
        yield _Processes(min(processors(), processors(jobs)))


class _Processes:
    def __init__(self, count: int) -> None:
        self._count = count

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], finished: Callable[[int, Result], None]
    ) -> None:
        """See :meth:`Workers.run`."""
        left = dict(enumerate(tasks))
        count = min(self._count, len(left))
        for tried in range(_TRIES):
            pool = _pool(count) if count > 1 else None
            try:
                with closing(
                    _here(function, left) if pool is None else _in_pool(function, left, pool, count)
                ) as results:
                    for number, result in results:
                        del left[number]
                        finished(number, result)
                return
            except BrokenProcessPool as error:
                if tried == _TRIES - 1:
                    raise ToolError(
                        f"a process that computed for this one was ended {_TRIES} times, for lack of memory perhaps: "
                        "run it again, with fewer --jobs; what was finished is kept"
                    ) from error


def _pool(count: int) -> Any:
    """A pool of processes; None where there can be none."""
    try:
        from loky import ProcessPoolExecutor  # takes no `if __name__ == "__main__"` in the caller's script

        return ProcessPoolExecutor(count, timeout=_IDLE_S, env=_ONE_THREAD)
    except (ImportError, OSError):  # no semaphores or no processes in this container
        return None


def _here(function: Callable[[Any], Any], tasks: dict[int, Any]) -> Generator[tuple[int, Any]]:
    for number, task in list(tasks.items()):
        yield number, function(task)


def _in_pool(
    function: Callable[[Any], Any], tasks: dict[int, Any], pool: Any, count: int
) -> Generator[tuple[int, Any]]:
    """Numbers and results as they are finished; few tasks wait in the pool at a time."""
    pending: dict[Future[Any], int] = {}
    try:
        for number, task in list(tasks.items()):
            pending[pool.submit(function, task)] = number
            if len(pending) > 2 * count:
                yield from _done(pending)
        while pending:
            yield from _done(pending)
    finally:
        pool.shutdown(wait=False, kill_workers=True)


def _done(pending: dict[Future[Any], int]) -> Iterator[tuple[int, Any]]:
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), future.result()
