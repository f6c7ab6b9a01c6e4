"""Opening the files that a user or another file names.

A FIFO waits for ever for someone to write to it, and a device may have no end: inputs are plain files, and whatever
else lies at a path is an error like a missing file.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

_DO_NOT_WAIT = getattr(os, "O_NONBLOCK", 0)  # POSIX alone has FIFOs in folders


class _PlainFile(io.BufferedReader):
    """A plain file; Python sets aside as many bytes as are asked for, and a damaged file asks for any number."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def open_plain(path: str | Path) -> BinaryIO:
    """Open a plain file to read its bytes.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    binary file object
        At its beginning; to be closed by the caller. No read takes more memory than there are bytes left.

    Raises
    ------
    OSError
        If it cannot be opened; if it is a FIFO, a socket or a device; or if no file can have such a name.
    """
    try:
        file = _PlainFile(io.FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | _DO_NOT_WAIT)))
    except ValueError as error:  # a name with a null character
        raise _no_name(path, error) from error
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "expected a plain file, got a FIFO, a socket or a device", str(path))


def _no_name(path: str | Path, error: ValueError) -> OSError:
    return OSError(errno.EINVAL, f"no file can have this name ({error})", str(path))


def most_unpacked(packed: int, most: int) -> int:
    """Bytes that a packed file may unpack to: text and pixels never shrink as far as what is made to fill a memory.

    Parameters
    ----------
    packed : int
        Bytes of the file.
    most : int
        Bytes that are too many in any case.

    Returns
    -------
    int
        64 times the file's size, and a mebibyte.

    Examples
    --------
    >>> most_unpacked(10, 1 << 30) >> 10
    1024
    """
    return min(most, 64 * packed + (1 << 20))


def size_of(path: str | Path) -> int:
    """Bytes of a file, as the file system has it.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    int
        0 or more.

    Raises
    ------
    OSError
        If it does not exist, or no file can have such a name.
    """
    try:
        return os.stat(path).st_size
    except ValueError as error:
        raise _no_name(path, error) from error


def read_plain(path: str | Path) -> bytes:
    """All bytes of a plain file.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    OSError
        As :func:`open_plain`.
    """
    with open_plain(path) as file:
        return file.read()
