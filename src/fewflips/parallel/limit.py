"""When searches are to end before they are through: after some time, or when the user asks."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from fewflips.errors import InputError


class Limit:
    """Tells searches to end with the best that they have; called now and then, like a stop callback.

    In another process, a copy knows the time, and not whether the user has asked.

    Parameters
    ----------
    seconds : float, optional
        Time from now on; unlimited by default.
    noticed : callable, optional
        Called when the user presses Ctrl-C, in the signal handler.

    Attributes
    ----------
    seconds : float or None
        The time that was given.
    asked : bool
        Whether the user has asked searches to end.
    cut_short : bool
        Whether a search was told to end.

    Raises
    ------
    InputError
        If the time is not a positive number.

    Examples
    --------
    >>> limit = Limit()
    >>> limit()
    False
    >>> limit.ask()
    >>> limit()
    True
    """

    def __init__(self, seconds: float | None = None, *, noticed: Callable[[], None] | None = None) -> None:
        if seconds is not None and not 0 < seconds < math.inf:
            raise InputError(f"limit of searches: expected a positive number of seconds, got {seconds}")
        self.seconds = seconds
        self.asked = self.cut_short = False
        self._end = math.inf if seconds is None else time.monotonic() + seconds
        self._noticed = noticed

    def __call__(self) -> bool:
        """Whether a search is to end now."""
        over = self.asked or time.monotonic() >= self._end
        self.cut_short |= over
        return over

    def __reduce__(self) -> tuple[Callable[[float], Limit], tuple[float]]:
        return _limit_of, (self.remaining_s,)

    @property
    def remaining_s(self) -> float:
        """Seconds that are left; 0 when it is over, infinite without a limit."""
        return 0.0 if self.asked else max(0.0, self._end - time.monotonic())

    def ask(self) -> None:
        """Ask searches to end."""
        self.asked = True

    @contextmanager
    def on_interrupt(self) -> Iterator[None]:
        """Take the first Ctrl-C as a wish that searches end, within a ``with`` statement.

        A second one has its usual effect. An ignored Ctrl-C stays ignored; outside the main thread, which alone
        receives signals, nothing is changed.
        """
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or before in (None, signal.SIG_IGN):
            yield
            return

        def asked(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, before)
            self.ask()
            if self._noticed is not None:
                self._noticed()

        signal.signal(signal.SIGINT, asked)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _limit_of(seconds: float) -> Limit:
    """A limit in another process."""
    limit = Limit()
    limit._end = time.monotonic() + seconds
    return limit
