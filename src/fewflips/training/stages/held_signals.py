"""Ctrl-C while PyTorch computes: it is recorded, and checked where a run can be interrupted.

An exception from a signal handler is raised in whatever Python function is running. If C++ code has called that
function (an import, a stream that PyTorch writes to, a backward pass), the process may be aborted, or the exception
swallowed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class Stopped(KeyboardInterrupt):
    """A run was stopped on request, in an orderly way.

    Parameters
    ----------
    number : int
        Number of the signal.
    where : str
        How far the run has come, and what holds its state; empty if there was nothing to save.
    """

    def __init__(self, number: int, where: str = "") -> None:
        super().__init__(where)
        self.number, self.where = number, where


class HeldSignals:
    """SIGINT and SIGTERM as requests to stop, within a ``with`` statement.

    The first signal only sets :attr:`asked`; a second one has its usual effect. The context may be entered more than
    once. Ignored signals stay ignored, and outside the main thread, which alone receives signals, nothing is changed.

    Parameters
    ----------
    noticed : callable, optional
        Called from the handler when the first signal arrives.
    at_once : callable, optional
        Called from the handler with the number of the second signal, instead of the previous handler.

    Attributes
    ----------
    asked : int or None
        Number of the first signal received.

    Examples
    --------
    >>> with HeldSignals() as signals:
    ...     signal.raise_signal(signal.SIGINT)
    ...     signals.asked == signal.SIGINT
    True
    """

    def __init__(
        self, *, noticed: Callable[[], None] | None = None, at_once: Callable[[int], None] | None = None
    ) -> None:
        self.asked: int | None = None
        self._noticed, self._at_once = noticed, at_once
        self._depth, self._immediate = 0, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            self._hold()
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._release()

    def check(self, where: str = "") -> None:
        """Stop here, if requested.

        Parameters
        ----------
        where : str
            As in :class:`Stopped`.

        Raises
        ------
        Stopped
            If a signal has been received.
        """
        if self.asked is not None:
            raise Stopped(self.asked, where)

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Treat the first signal like a second one, where a run has nothing to lose.

        Raises
        ------
        Stopped
            If one has come before.
        """
        self.check()
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False

    @contextmanager
    def released(self) -> Iterator[None]:
        """Give signals their usual effect, in work that can be interrupted anywhere.

        Raises
        ------
        Stopped
            If one has come before.
        """
        self.check()
        self._release()
        try:
            yield
        finally:
            if self._depth:
                self._hold()

    def _hold(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            if before is not None and before != signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._on_signal)

    def _release(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked is None and not self._immediate:
            self.asked = number
            if self._noticed is not None:
                self._noticed()
            return
        if self._at_once is not None:
            self._at_once(number)
        before = self._before.get(number, signal.SIG_DFL)
        if callable(before):
            before(number, frame)
        else:
            signal.signal(number, before)
            signal.raise_signal(number)
