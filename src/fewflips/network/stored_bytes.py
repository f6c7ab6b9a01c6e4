"""Bytes of a constant that are read when they are asked for, from the file in which they lie."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fewflips.errors import InputError, ModelError
from fewflips.files.input_files import open_plain

_CHUNK = 1 << 20


@dataclass(frozen=True)
class HeldBytes:
    """Bytes that are in memory, since no file has them as they are.

    Parameters
    ----------
    content : bytes
        The bytes.
    """

    content: bytes = field(repr=False)

    def read(self) -> bytes:
        """The bytes."""
        return self.content


@dataclass(frozen=True)
class FileBytes:
    """A part of a file. The file is opened for each read: a mapping would end the process where it is cut short.

    Parameters
    ----------
    path : Path
        The file, as messages name it.
    place : Path
        Its absolute path.
    offset, length : int
        The part, in bytes.
    checksum : int
        CRC-32 of the part when the model was read.
    """

    path: Path
    place: Path = field(repr=False)
    offset: int
    length: int
    checksum: int = field(repr=False)

    @classmethod
    def of(cls, path: Path, offset: int, content: bytes | memoryview) -> FileBytes:
        """A part of a file whose content is known.

        Parameters
        ----------
        path : Path
            The file.
        offset : int
            Where the part begins.
        content : bytes or memoryview
            What it holds.

        Returns
        -------
        FileBytes
            The part; the content is not kept.
        """
        return cls(path, Path(os.path.abspath(path)), offset, len(content), zlib.crc32(content))

    def read(self) -> bytes:
        """Read the bytes.

        Returns
        -------
        bytes
            What the file held when the model was read.

        Raises
        ------
        ModelError
            If the file cannot be opened or read.
        InputError
            If it holds something else now.
        """
        try:
            with open_plain(self.place) as file:
                file.seek(self.offset)
                content = file.read(self.length)
        except OSError as error:
            raise ModelError(
                f"{self.path}: its weights cannot be read again: {error.strerror}; put the file back, or read it from "
                "where it is now"
            ) from error
        if len(content) != self.length or zlib.crc32(content) != self.checksum:
            raise InputError(f"{self.path}: the file has changed since it was read; read it again")
        return content


StoredBytes = HeldBytes | FileBytes


def read_parts(path: Path, parts: Sequence[tuple[int, int]]) -> tuple[str, list[FileBytes]]:
    """Read a file once, and note the checksums of its parts.

    Parameters
    ----------
    path : Path
        The file.
    parts : sequence of (int, int)
        Offset and length of each, in bytes; none overlaps another.

    Returns
    -------
    str
        Hexadecimal SHA-256 of the file.
    list of FileBytes
        The parts, in the given order.

    Raises
    ------
    ModelError
        If the file cannot be read, or has been cut short.
    """
    digest, place = hashlib.sha256(), Path(os.path.abspath(path))
    found: dict[tuple[int, int], FileBytes] = {}
    try:
        with open_plain(path) as file:
            for offset, length in sorted(parts):
                _pass(path, file, offset - file.tell(), digest)
                found[offset, length] = FileBytes(path, place, offset, length, _pass(path, file, length, digest))
            while content := file.read(_CHUNK):
                digest.update(content)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest(), [found[part] for part in parts]


def _pass(path: Path, file: BinaryIO, length: int, digest: hashlib._Hash) -> int:
    """Read some bytes; their CRC-32."""
    checksum, left = 0, length
    while left:
        content = file.read(min(left, _CHUNK))
        if not content:
            raise ModelError(f"{path}: ends {left} bytes too early: it was cut short while it was read")
        digest.update(content)
        checksum = zlib.crc32(content, checksum)
        left -= len(content)
    return checksum
