"""Peak memory of one input in a process that goes through many."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Reset the peak (Linux)."""
    with suppress(OSError):
        _RESET.write_text("5")


def peak_bytes() -> int:
    """Peak resident memory since the reset, or since the start where the system cannot reset it."""
    try:
        return _field("VmHWM:")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    """Current resident memory."""
    try:
        return _field("VmRSS:")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_address_space(more: int) -> None:
    """Limit how many bytes the process may allocate beyond what it holds, so that an input cannot fill the machine."""
    try:
        now = _field("VmSize:")
    except OSError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))


def _field(name: str) -> int:
    with _STATUS.open() as lines:
        for line in lines:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    raise OSError(f"no {name} in {_STATUS}")
