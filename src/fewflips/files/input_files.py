"""Opens files named by a user or by another file.

A FIFO waits forever for a writer, and a device may be endless. So inputs must be plain files; anything else at a path
is an error, like a missing file.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

_DO_NOT_WAIT = getattr(os, "O_NONBLOCK", 0)  # only POSIX has FIFOs in folders


class _PlainFile(io.BufferedReader):
    """A plain file with bounded reads: Python allocates what is requested, and a damaged file may request any size."""

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
        At its beginning; to be closed by the caller. No read takes more memory than the remaining bytes.

    Raises
    ------
    OSError
        If it cannot be opened; if it is a FIFO, a socket or a device; or if the name is not valid for a file.
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
    """Bytes that a packed file may unpack to: text and pixels compress less than files designed to exhaust memory.

    Parameters
    ----------
    packed : int
        Bytes of the file.
    most : int
        Upper limit in any case.

    Returns
    -------
    int
        64 times the file's size plus one mebibyte, at most `most`.

    Examples
    --------
    >>> most_unpacked(10, 1 << 30) >> 10
    1024
    """
    return min(most, 64 * packed + (1 << 20))


def size_of(path: str | Path) -> int:
    """Size of a file in bytes, according to the file system.

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
        If it does not exist, or the name is not valid for a file.
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
        As for :func:`open_plain`.
    """
    with open_plain(path) as file:
        return file.read()
