"""Bytes of a constant that are read when they are asked for, from the file in which they lie."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from fewflips.errors import InputError, ModelError
from fewflips.files.input_files import open_plain


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
