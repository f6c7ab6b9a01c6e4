"""Writing a file completely or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fewflips.errors import OutputError


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file so that its old content, or its absence, stays until the new content is complete.

    The data goes to a temporary file in the same folder, which then takes the name `path`.

    Parameters
    ----------
    path : Path
        The file to write or replace.
    data : bytes
        Its whole content.

    Raises
    ------
    OutputError
        If the folder is missing or cannot be written, or the disk is full; no file is left behind then.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise OutputError(f"cannot write {path}: expected a file name, got a folder; add a file name to it")
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.", suffix=".part")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, _mode_for(path))
        os.replace(temporary, path)
        temporary = None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OutputError(
            f"cannot write {path}: {reason}; give a path in an existing folder that can be written and has room"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _mode_for(path: Path) -> int:
    """Permission bits of the file that is replaced, or those that the process gives to new files."""
    if os.path.exists(path):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
