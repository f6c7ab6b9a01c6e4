"""Progress on stderr."""

from __future__ import annotations

import sys
import time

_EVERY_S = 10.0


def say(text: str) -> None:
    """Report a step."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class StepReport:
    """Progress of long steps, said every ten seconds at most."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, phase: str, done: int, total: int) -> None:
        if time.monotonic() - self._said > _EVERY_S:
            self._said = time.monotonic()
            say(f"  {phase}: {done} of {total}")
