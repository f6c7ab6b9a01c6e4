"""Temporary files and folders named after their process, so that leftovers of killed processes can be removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

_OLD_S = 24 * 3600
"""Age in seconds beyond which nothing temporary is still in use."""
_OLD_WITHOUT_PROCESSES_S = 3600
"""The same if there is no way to tell whether a process still exists."""


def owned_prefix(name: str) -> str:
    """Prefix of a temporary name created by this process.

    Parameters
    ----------
    name : str
        Common prefix of all such names, such as ``fewflips-``.

    Returns
    -------
    str
        Prefix with the process ID; the caller appends something random.
    """
    return f"{name}{os.getpid()}-"


def temporary_folder(name: str = "fewflips-", parent: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder; those with the same prefix left by killed processes are removed first.

    Parameters
    ----------
    name : str
        Prefix of its name.
    parent : Path, optional
        Where to create it; by default in the system's folder for temporary files.

    Returns
    -------
    TemporaryDirectory
        Removed when it is closed or collected.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    remove_leftovers(place, name)
    return tempfile.TemporaryDirectory(prefix=owned_prefix(name), dir=place, ignore_cleanup_errors=True)


def remove_leftovers(folder: Path, name: str) -> None:
    """Remove temporary files and folders of processes that no longer exist.

    Parameters
    ----------
    folder : Path
        Where they are. Anything that cannot be read or removed is left alone.
    name : str
        Prefix of their names, as given to :func:`owned_prefix`.
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
    if os.name != "posix":  # where checking for a process may kill it
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
