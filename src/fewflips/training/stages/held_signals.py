"""Ctrl-C while PyTorch computes: it is noted, and looked at where a run can be cut off.

An exception that a signal's handler raises comes up in whatever Python function is running. Where C++ code has called
that function (an import, a stream that PyTorch writes to, a backward pass), the process may be aborted, or the
exception be swallowed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class Stopped(KeyboardInterrupt):
    """A run ended in order because it was asked to.

    Parameters
    ----------
    number : int
        Of the signal.
    where : str
        How far the run has come, and what holds its state; empty where there was nothing to be saved.
    """

    def __init__(self, number: int, where: str = "") -> None:
        super().__init__(where)
        self.number, self.where = number, where


class HeldSignals:
    """SIGINT and SIGTERM as requests to stop, for as long as a ``with`` statement on this lasts.

    The first one sets :attr:`asked`, and nothing else; a second one does what it would have done without this. It may
    be entered more than once. Signals that are ignored stay ignored, and outside the main thread, which alone receives
    them, nothing is changed.

    Parameters
    ----------
    noticed : callable, optional
        Called, from the handler, when the first one comes.
    at_once : callable, optional
        Called, from the handler, with the number of the second one, in place of the handler before.

    Attributes
    ----------
    asked : int or None
        Number of the signal that came first.

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
        """Stop here, if that was asked for.

        Parameters
        ----------
        where : str
            As in :class:`Stopped`.

        Raises
        ------
        Stopped
            If a signal has come.
        """
        if self.asked is not None:
            raise Stopped(self.asked, where)

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Treat the first signal as a second one, where a run has nothing to lose.

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
        """Let signals do what they do without this, in work that can be interrupted anywhere.

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
