"""Writes a file completely or not at all, and creates its folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from fewflips.errors import OutputError
from fewflips.files.leftovers import owned_prefix, remove_leftovers


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file such that its old content, or its absence, persists until the new content is complete.

    The data goes to a temporary file in the same folder, which is then renamed to `path`.

    Parameters
    ----------
    path : Path
        The file to write or replace.
    data : bytes
        Its whole content.

    Raises
    ------
    OutputError
        If the folder is missing or not writable, or the disk is full; no file is left behind.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise OutputError(f"cannot write {path}: expected a file name, got a folder; add a file name to it")
    temporary: str | None = None
    try:
        name = f".{path.name[:64]}.part-"
        remove_leftovers(path.parent, name)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=owned_prefix(name))
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, _mode_for(path))
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"cannot write {path}: {_reason(error)}; give a path in an existing folder that can be written and has room"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def make_folder(folder: Path, option: str = "--output") -> None:
    """Create a folder for results, and its parents, if it does not exist.

    Parameters
    ----------
    folder : Path
        The folder.
    option : str
        Option that names it, for the message.

    Raises
    ------
    OutputError
        If it cannot be created, or the name is not valid for a folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot be made: {_reason(error)}; choose another {option}") from error


def check_name(folder: Path, option: str = "--output") -> None:
    """Raise :class:`OutputError` if nothing at a path could ever be accessed.

    Parameters
    ----------
    folder : Path
        May be missing.
    option : str
        Option that names it, for the message.
    """
    try:
        os.lstat(folder)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot be made: {_reason(error)}; choose another {option}") from error


def sync_folder(folder: Path) -> None:
    """Sync the names of a folder's files to disk, if the operating system supports it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: OSError | ValueError) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _mode_for(path: Path) -> int:
    """Permission bits of the file to be replaced, or those the process gives to new files."""
    if os.path.exists(path):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
