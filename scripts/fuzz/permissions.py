"""A process of root's that obeys the permissions of files, as everyone else's does (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

_READ, _WRITE, _VERSION = 125, 126, 0x20080522
"""System calls capget and capset of x86-64, and the version of their structures."""
_READ_ARM, _WRITE_ARM = 90, 91
_OVERRIDE = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: not to ask for permission."""


@contextlib.contextmanager
def permissions_count() -> Iterator[None]:
    """Within it, a file without permission to read cannot be read by root either; elsewhere than on Linux it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        yield
        return
    reading, writing = (_READ_ARM, _WRITE_ARM) if os.uname().machine == "aarch64" else (_READ, _WRITE)
    call = ctypes.CDLL(None, use_errno=True).syscall
    header, before = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    if call(reading, header, before):
        yield
        return
    without = (ctypes.c_uint32 * 6)(*before)
    without[0] &= ~_OVERRIDE  # of this thread, and only what is in effect: what is permitted is taken up again
    call(writing, header, without)
    try:
        yield
    finally:
        call(writing, header, before)
