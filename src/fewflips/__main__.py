"""Entry of the command ``fewflips`` and of ``python -m fewflips``."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line; Ctrl-C ends it in order, and at once while it is loaded or taken down.

    An exception in the midst of imports, or of Python's own end, may come up where nothing catches it.
    """
    usual = signal.getsignal(signal.SIGINT)
    interrupts = usual is signal.default_int_handler  # they may be ignored, as under nohup
    try:
        if interrupts:
            signal.signal(signal.SIGINT, _end_loading)
        from fewflips.cli import main as run

        if interrupts:
            signal.signal(signal.SIGINT, usual)
        run()
    except KeyboardInterrupt:
        _say_interrupted()
        sys.exit(130)
    finally:
        if interrupts:
            signal.signal(signal.SIGINT, _end)


def _end_loading(number: int, frame: FrameType | None) -> None:
    _say_interrupted()
    os._exit(130)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(130)


def _say_interrupted() -> None:
    if sys.stderr is not None:
        sys.stderr.write("fewflips: interrupted\n")
        sys.stderr.flush()


if __name__ == "__main__":
    main()
