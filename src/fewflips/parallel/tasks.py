"""Independent tasks: in threads, or where a joblib backend takes them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.parallel import ThreadingBackend, get_active_backend

from fewflips.parallel.processors import processors

Task = TypeVar("Task")
Result = TypeVar("Result")

_UNUSED = "[0-9]+ tasks (have been successfully executed|which were still being processed)"
"""How joblib warns of tasks that nobody waits for any more."""


class Stop:
    """Tells tasks that nobody waits for them any more.

    Tasks in other processes have a copy of their own, which never says so: their backend ends them.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def __reduce__(self) -> tuple[type[Stop], tuple[()]]:
        return Stop, ()

    def set(self) -> None:
        """Ask all tasks of this process to stop."""
        self._event.set()


def run_all(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    jobs: int = 1,
    in_this_process: bool = False,
    stop: Stop | None = None,
    finished: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Results of a function of each task, the same whatever the jobs and wherever they run.

    Tasks run in threads: the kernels release Python's lock. Within ``joblib.parallel_config(backend=...)`` they run
    where that backend takes them: in processes, or on a cluster.

    Parameters
    ----------
    function : callable
        Takes a task. For a backend with other processes it and the tasks must be picklable.
    tasks : iterable
        Taken as workers become free, so that few of those that are made on the way exist at a time.
    jobs : int
        Tasks at a time; below 1 for as many as there are processors, or as the backend has workers. No more threads
        than processors are used. With 1, tasks run in the caller's thread.
    in_this_process : bool
        Whether tasks share memory with the caller, or tell it how far they have come, so that only threads will do.
    stop : Stop, optional
        Set when this ends, in whichever way; a long task looks at it now and then.
    finished : callable, optional
        Called in the caller's thread with the number and the result of each task, as they are finished. An exception
        that it raises, like a KeyboardInterrupt, ends the work.

    Returns
    -------
    list
        One result for each task, in the order of the tasks.

    Examples
    --------
    >>> run_all(abs, [-3, 4, -5], jobs=2)
    [3, 4, 5]
    """
    results: dict[int, Result] = {}
    with _finished_ones(function, tasks, jobs, in_this_process, stop or Stop()) as arriving:
        for number, result in arriving:
            results[number] = result
            if finished is not None:
                finished(number, result)
    return [results[number] for number in range(len(results))]


def configured_backend() -> tuple[Any, int] | None:
    """The joblib backend that the caller has configured, and its workers (-1: all); None for threads."""
    backend, workers = get_active_backend(prefer="threads")
    if type(backend) is ThreadingBackend:
        return None
    return backend, -1 if workers is None else int(workers)


@contextmanager
def _finished_ones(
    function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int, in_this_process: bool, stop: Stop
) -> Iterator[Iterator[tuple[int, Result]]]:
    """Numbers and results of tasks as they are finished; on leaving, those that run are stopped."""
    configured = None if in_this_process else configured_backend()
    threads = min(processors(), processors(jobs))
    if configured is not None:
        arriving = _by_joblib(function, tasks, *configured, jobs)
    elif threads == 1:
        arriving = ((number, function(task)) for number, task in enumerate(tasks))
    else:
        arriving = _in_threads(function, tasks, threads, stop)
    try:
        yield arriving
    finally:
        stop.set()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _UNUSED, UserWarning)
            arriving.close()


def _in_threads(
    function: Callable[[Task], Result], tasks: Iterable[Task], threads: int, stop: Stop
) -> Generator[tuple[int, Result]]:
    pending: dict[Future[Result], int] = {}
    pool = ThreadPoolExecutor(threads)
    try:
        for number, task in enumerate(tasks):
            pending[pool.submit(function, task)] = number
            if len(pending) > threads:
                yield from _done(pending)
        while pending:
            yield from _done(pending)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _done(pending: dict[Future[Result], int]) -> Iterator[tuple[int, Result]]:
    """Wait for one or more, and take them out."""
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), future.result()


def _by_joblib(
    function: Callable[[Task], Result], tasks: Iterable[Task], backend: Any, workers: int, jobs: int
) -> Generator[tuple[int, Result]]:
    how = "generator_unordered" if backend.supports_return_generator else "list"
    pool = Parallel(n_jobs=workers if jobs < 1 else jobs, return_as=how)
    yield from pool(delayed(_numbered)(function, number, task) for number, task in enumerate(tasks))


def _numbered(function: Callable[[Task], Result], number: int, task: Task) -> tuple[int, Result]:
    return number, function(task)
