"""Tasks on a Dask cluster, whose scheduler gives them to another worker where one is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from fewflips.errors import ToolError
from fewflips.version import __version__

if TYPE_CHECKING:
    from distributed import Client

Task = TypeVar("Task")
Result = TypeVar("Result")

REACH_S = 10.0
"""How long to wait for a scheduler."""
WITHOUT_WORKERS_S = 60.0
"""How long to wait for a worker where there is none (any more)."""
_POLL_S = 1.0
_FETCH_S = 10.0
"""How long to wait for a result that is there before looking whether its worker still is."""
_AHEAD = 3
"""Tasks for each worker that the scheduler is given at a time."""


@contextmanager
def on_cluster(address: str) -> Iterator[_Cluster]:
    """The workers of a cluster.

    Parameters
    ----------
    address : str
        Of the scheduler, as ``tcp://host:8786``.

    Yields
    ------
    Workers
        On leaving, tasks that still run are let go.

    Raises
    ------
    ToolError
        If the extra is missing, or the scheduler does not answer.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ToolError("a cluster needs Dask, which is not installed: pip install 'fewflips[cluster]'") from error
    chatter = logging.getLogger("distributed")
    level = chatter.level
    chatter.setLevel(logging.CRITICAL)  # what is lost is computed again, or told in one line
    try:
        client = Client(address, timeout=REACH_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ToolError(
            f"cluster {address}: expected a Dask scheduler, cannot be reached: start one (dask scheduler), and give "
            "its address, as tcp://host:8786; what was finished is kept"
        ) from error
    try:
        yield _Cluster(client, address, WITHOUT_WORKERS_S)
    finally:
        client.close(timeout=_POLL_S)
        chatter.setLevel(level)


class _Cluster:
    def __init__(self, client: Client, address: str, without_workers_s: float) -> None:
        self._client, self._address, self._patience_s = client, address, without_workers_s
        self._last_seen = time.monotonic()

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], finished: Callable[[int, Result], None]
    ) -> None:
        """See :meth:`fewflips.parallel.apart.Workers.run`."""
        waiting = iter(enumerate(tasks))
        pending: dict[Any, int] = {}
        ended: SimpleQueue[Any] = SimpleQueue()
        try:
            while True:
                self._submit(function, waiting, pending, ended)
                if not pending:
                    return
                future = self._next(ended)
                finished(pending.pop(future), self._result(future))
        finally:
            self._client.cancel(list(pending))

    def _submit(
        self,
        function: Callable[[Task], Result],
        waiting: Iterator[tuple[int, Task]],
        pending: dict[Any, int],
        ended: SimpleQueue[Any],
    ) -> None:
        """Keep the workers busy, with few tasks on the way."""
        threads = max(1, sum(self._client.nthreads().values()))
        while len(pending) < _AHEAD * threads and (following := next(waiting, None)) is not None:
            number, task = following
            future = self._client.submit(_run_there, __version__, function, task, pure=False)
            pending[future] = number
            future.add_done_callback(ended.put)

    def _next(self, ended: SimpleQueue[Any]) -> Any:
        """The next future that ends."""
        while True:
            self._look_for_workers()
            with suppress(Empty):
                return ended.get(timeout=_POLL_S)

    def _look_for_workers(self) -> None:
        try:
            found = bool(self._client.nthreads())
        except (OSError, ValueError) as error:
            raise self._lost("the scheduler does not answer any more") from error
        if self._client.status != "running":
            raise self._lost("the scheduler does not answer any more")
        now = time.monotonic()
        if found:
            self._last_seen = now
        elif now - self._last_seen > self._patience_s:
            raise self._lost(f"there was no worker for {self._patience_s:g} s")

    def _result(self, future: Any) -> Any:
        from distributed import CancelledError, KilledWorker

        while True:
            try:
                return future.result(timeout=_FETCH_S)
            except TimeoutError:  # it was on a worker that was lost since, and is computed again
                self._look_for_workers()
            except KilledWorker as error:
                raise self._lost("several workers were lost on one task, for lack of memory perhaps") from error
            except CancelledError as error:
                raise self._lost("a task was cancelled") from error

    def _lost(self, what: str) -> ToolError:
        return ToolError(
            f"cluster {self._address}: {what}: start it again, and run this again; what was finished is kept"
        )


def _run_there(version: str, function: Callable[[Any], Any], task: Any) -> Any:
    """Run a task on a worker, if it has the same fewflips."""
    if version != __version__:
        raise ToolError(f"cluster: expected workers with fewflips {version}, got {__version__}: install it there")
    return function(task)
