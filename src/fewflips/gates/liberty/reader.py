"""Reads Liberty files, and caches the result."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from pathlib import Path

from fewflips.errors import CellLibraryError
from fewflips.files.cache import cached, digest_of
from fewflips.files.input_files import most_unpacked, read_plain, size_of
from fewflips.gates.liberty.cell_table import library_from_json, library_to_json
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.cells_from_liberty import library_from_groups
from fewflips.gates.liberty.syntax import parse_groups

LARGEST_BYTES = 512 << 20
"""Largest Liberty text, unpacked. The largest open libraries with lookup tables are a tenth of this size."""

_CACHE_VERSION = "liberty 8"  # version of reading and caching: raise it when either changes
_CHUNK = 4 << 20
_NOTICE = re.compile(r"copyright|licen[cs]e|all rights reserved", re.IGNORECASE)
_LONGEST_NOTICE = 2000


def read_liberty(path: str | Path) -> CellLibrary:
    """Cells of a Liberty file.

    The file is parsed once; the result is cached under the digest of its content (`fewflips.files.cache`).

    Parameters
    ----------
    path : str or Path
        A Liberty file, plain or gzipped (detected by its content).

    Returns
    -------
    CellLibrary
        In fF, ps, fJ, nW and um^2.

    Raises
    ------
    CellLibraryError
        If the file is missing, not a Liberty file, truncated, too large, lacks units, or has no readable cell;
        the message is one line and says where. Single cells that cannot be read are in `CellLibrary.left_out`.
    """
    path = Path(path)
    content = _read(path)
    sha256 = hashlib.sha256(content).hexdigest()

    def parse() -> bytes:
        text = _unpacked(content, path.name)
        library = library_from_groups(parse_groups(text, path.name), path.name, sha256, header_notice(text))
        return library_to_json(library)

    kept = cached("cells", digest_of(_CACHE_VERSION, sha256), parse)
    return library_from_json(kept, path.name)


def header_notice(text: str) -> str:
    """Copyright and licence lines of a Liberty text, from its leading comments and its ``comment`` attribute.

    Parameters
    ----------
    text : str
        The file's content.

    Returns
    -------
    str
        On one line of at most 2000 characters; empty if there are none.
    """
    head = text[: 64 << 10]
    found = []
    for comment in re.findall(r"/\*(.*?)(?:\*/|\Z)", head.partition("library")[0], re.DOTALL):
        plain = " ".join(re.sub(r"[*\s]+", " ", comment).split())
        if _NOTICE.search(plain):
            found.append(plain)
    attribute = re.search(r'\bcomment\s*:\s*"([^"]*)"', head)
    if attribute is not None and _NOTICE.search(attribute.group(1)):
        found.append(attribute.group(1).strip())
    return " ".join(found)[:_LONGEST_NOTICE]


def _read(path: Path) -> bytes:
    try:
        size = size_of(path)
        if not path.is_file():
            raise CellLibraryError(f"cannot read {path}: expected a Liberty file, got a folder or device; give a .lib")
        if size > LARGEST_BYTES:
            raise _too_large(path.name)
        return read_plain(path)
    except (OSError, ValueError) as error:
        if isinstance(error, CellLibraryError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CellLibraryError(f"cannot read {path}: {reason}; give the path of a Liberty file") from error


def _unpacked(content: bytes, source: str) -> str:
    """The text of a file, unpacked no further than the limit."""
    if content[:2] != b"\x1f\x8b":
        return _decoded(content, source)
    unpacked = bytearray()
    most = most_unpacked(len(content), LARGEST_BYTES)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            while chunk := stream.read(_CHUNK):
                unpacked += chunk
                if len(unpacked) > LARGEST_BYTES:
                    raise _too_large(source)
                if len(unpacked) > most:
                    raise CellLibraryError(
                        f"{source}: expected at most {most >> 20} MiB of Liberty text in {len(content)} packed bytes,"
                        " got more; unpack it first"
                    )
                if b"\0" in chunk:
                    break  # not text: refused below, without unpacking the rest
    except (OSError, EOFError, zlib.error) as error:
        raise CellLibraryError(
            f"{source}: cannot unpack: {error}; the file is damaged or truncated, fetch it again"
        ) from error
    return _decoded(bytes(unpacked), source)


def _decoded(content: bytes, source: str) -> str:
    if b"\0" in content:
        raise CellLibraryError(f"{source}: expected the text of a Liberty file, got binary data; give a .lib file")
    return content.decode("utf-8", errors="replace")


def _too_large(source: str) -> CellLibraryError:
    return CellLibraryError(
        f"{source}: expected at most {LARGEST_BYTES >> 20} MiB of Liberty text, got more; leave out cells or"
        " current-source tables"
    )
