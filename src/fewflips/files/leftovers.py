"""Temporary files and folders that tell who made them, so that what killed processes leave behind can be removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

_OLD_S = 24 * 3600
"""Nothing temporary is used that long."""
_OLD_WITHOUT_PROCESSES_S = 3600
"""The same, where it cannot be told whether a process is still there."""


def owned_prefix(name: str) -> str:
    """Beginning of a temporary name that this process makes.

    Parameters
    ----------
    name : str
        What all such names begin with, such as ``fewflips-``.

    Returns
    -------
    str
        With the process's number in it; something random is to follow.
    """
    return f"{name}{os.getpid()}-"


def temporary_folder(name: str = "fewflips-", parent: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder; those of the same name that killed processes left are removed first.

    Parameters
    ----------
    name : str
        Beginning of its name.
    parent : Path, optional
        Where it is made; in the system's folder for temporary files without it.

    Returns
    -------
    TemporaryDirectory
        Removed when it is closed or collected.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    remove_leftovers(place, name)
    return tempfile.TemporaryDirectory(prefix=owned_prefix(name), dir=place, ignore_cleanup_errors=True)


def remove_leftovers(folder: Path, name: str) -> None:
    """Remove temporary files and folders that processes made which are gone.

    Parameters
    ----------
    folder : Path
        Where they lie. What cannot be read or removed is left alone.
    name : str
        Beginning of their names, as given to :func:`owned_prefix`.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(name) and _is_left(entry, entry.name[len(name) :].partition("-")[0]):
                _remove(entry)


def _is_left(entry: os.DirEntry[str], process: str) -> bool:
    if not (process.isascii() and process.isdigit()) or int(process) == os.getpid():
        return False
    try:
        age_s = time.time() - entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return False
    return age_s > _OLD_S or _is_gone(int(process), age_s)


def _is_gone(process: int, age_s: float) -> bool:
    if os.name != "posix":  # where asking for a process may end it
        return age_s > _OLD_WITHOUT_PROCESSES_S
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        os.unlink(entry.path)
