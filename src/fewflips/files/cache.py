"""A cache on disk for results that take long to compute, shared between runs and processes.

An entry is one file, named by the digest of what it was computed from, with a checksum of its content. It is written
atomically, so a reader sees a whole entry or none; a damaged entry is computed again.
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
    """The folder of entries: ``$FEWFLIPS_CACHE``, or the user's cache folder."""
    given = os.environ.get("FEWFLIPS_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("fewflips", appauthor=False))


def cached(kind: str, digest: str, compute: Callable[[], bytes]) -> bytes:
    """The entry of a digest, computed if it is missing or damaged.

    Parameters
    ----------
    kind : str
        Kind of content; the name of a folder.
    digest : str
        Hexadecimal digest of everything the result depends on, including the version of the format.
    compute : callable
        Computes the content. If the folder cannot be written to, the result is used but not kept.

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
        The content given to :func:`write_entry`; None if there is no such file, or it is damaged.
    """
    try:
        stored = read_plain(path)
    except OSError:
        return None
    checksum, content = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
    return content if hashlib.sha256(content).digest() == checksum else None


def write_entry(path: Path, content: bytes) -> None:
    """Store an entry, if possible.

    Parameters
    ----------
    path : Path
        Its file. Folders are created. If it cannot be written (a read-only home, a full disk), nothing happens.
    content : bytes
        The content that :func:`read_entry` will return.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, hashlib.sha256(content).digest() + content)
    except (OSError, OutputError):
        return  # the caller has the content, and will compute it again next time


def digest_of(*parts: bytes | str) -> str:
    """An unambiguous digest of several parts in order.

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
