"""Results that take long to compute, kept on disk between runs and shared by processes.

An entry is one file, named by the digest of what it was computed from, and carries a checksum of its content. It
is written atomically, so that a reader sees a whole entry or none; a damaged entry is computed again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import platformdirs

from fewflips.errors import OutputError
from fewflips.files.atomic import atomic_write
from fewflips.files.input_files import read_plain

_CHECKSUM_BYTES = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """Where entries are kept: ``$FEWFLIPS_CACHE``, or the user's cache folder."""
    given = os.environ.get("FEWFLIPS_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("fewflips", appauthor=False))


def cached(kind: str, digest: str, compute: Callable[[], bytes]) -> bytes:
    """The entry of a digest, computed where it is missing or damaged.

    Parameters
    ----------
    kind : str
        What is kept: a folder's name.
    digest : str
        Hexadecimal digest of everything that the result depends on, the version of the format included.
    compute : callable
        Gives the content. Where the folder cannot be written, its result is used and not kept.

    Returns
    -------
    bytes
        The content.
    """
    path = cache_folder() / kind / digest
    kept = read_entry(path)
    if kept is not None:
        return kept
    content = compute()
    write_entry(path, content)
    return content


def read_entry(path: Path) -> bytes | None:
    """The content of an entry.

    Parameters
    ----------
    path : Path
        Its file.

    Returns
    -------
    bytes or None
        What :func:`write_entry` was given; None where there is no such file, or it is damaged.
    """
    try:
        stored = read_plain(path)
    except OSError:
        return None
    checksum, content = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
    return content if hashlib.sha256(content).digest() == checksum else None


def write_entry(path: Path, content: bytes) -> None:
    """Keep an entry, where that is possible.

    Parameters
    ----------
    path : Path
        Its file. Folders are made. Where it cannot be written (a read-only home, a full disk), nothing happens.
    content : bytes
        What :func:`read_entry` is to return.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, hashlib.sha256(content).digest() + content)
    except (OSError, OutputError):
        return  # the caller has the content, and computes it again next time


def digest_of(*parts: bytes | str) -> str:
    """A digest of several parts, in order and unambiguously.

    Examples
    --------
    >>> digest_of("ab", "c") == digest_of("a", "bc")
    False
    """
    whole = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        whole.update(len(content).to_bytes(8, "little"))
        whole.update(content)
    return whole.hexdigest()
