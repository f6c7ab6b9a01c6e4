"""The header of a GGUF file, read field by field: no length that it states is believed before the file has as much."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from fewflips.errors import ModelError

Value = int | float | bool | str | None
"""A value of the metadata; None for arrays, which nothing here needs."""

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
"""Layout by type of a value."""
_STRING, _ARRAY = 8, 9
_MOST_ELEMENTS = 1 << 24
"""Strings of an array, which have to be passed one by one: vocabularies have some 10^5."""
_DEEPEST = 4
"""Arrays within arrays."""
_LONGEST_TEXT = 1 << 16
"""Bytes of a text that is kept."""


def damaged(path: Path, detail: str) -> ModelError:
    """The error of a file that contradicts itself."""
    return ModelError(f"{path}: damaged GGUF file: {detail}")


class GGUFHeader:
    """Reads the fields of a header one after the other.

    Parameters
    ----------
    path : Path
        The file, for messages.
    file : binary file object
        Opened, at its beginning.
    size : int
        Bytes of the file.

    Attributes
    ----------
    position : int
        Bytes read so far.
    """

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path, self._file, self._size = path, file, size
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes between here and the end of the file."""
        return self._size - self.position

    def number(self, layout: str, what: str) -> int:
        """Read an integer of one of struct's layouts; `what` is for messages."""
        (value,) = struct.unpack(layout, self._take(struct.calcsize(layout), what))
        return int(value)

    def count(self, what: str, least: int, most: int) -> int:
        """Read the number of things that follow.

        Parameters
        ----------
        what : str
            For messages.
        least : int
            Bytes that one of them takes at least.
        most : int
            Limit, whatever the file's size.

        Returns
        -------
        int
            A number of things that the file may hold.

        Raises
        ------
        ModelError
            If the file is too short for that many.
        """
        value = self.number("<Q", f"the number of {what}")
        if value * least > self.left:
            raise damaged(
                self._path,
                f"its header has {value} {what}, of at least {least} bytes each, and the file ends after "
                f"{self.left} bytes more",
            )
        if value > most:
            raise ModelError(f"{self._path}: expected at most {most} {what}, got {value}")
        return value

    def text(self, what: str) -> str:
        """Read a string."""
        length = self.number("<Q", f"the length of {what}")
        if length > min(_LONGEST_TEXT, self.left):
            raise damaged(
                self._path,
                f"{what} has {length} bytes, expected at most {min(_LONGEST_TEXT, self.left)}",
            )
        try:
            return self._take(length, what).decode("utf-8")
        except UnicodeDecodeError as error:
            raise damaged(self._path, f"{what} is not UTF-8") from error

    def value(self, name: str) -> Value:
        """Read the type and the value of an entry of the metadata; `name` is its key."""
        kind = self.number("<I", f"the type of '{name}'")
        if kind == _STRING:
            return self._long_text(f"'{name}'")
        if kind == _ARRAY:
            self._skip_array(name, 1)
            return None
        layout = self._layout(name, kind)
        (value,) = struct.unpack(layout, self._take(struct.calcsize(layout), f"'{name}'"))
        return value if isinstance(value, bool | int | float) else None

    def _long_text(self, what: str) -> str | None:
        """A text of the metadata; None where it is longer than anything that is needed: chat templates are."""
        length = self.number("<Q", f"the length of {what}")
        if length <= _LONGEST_TEXT:
            return self._take(length, what).decode("utf-8", "replace")
        self._skip(length, what)
        return None

    def _layout(self, name: str, kind: int) -> str:
        layout = _SCALARS.get(kind)
        if layout is None:
            raise damaged(self._path, f"'{name}' has the type {kind}, expected 0 to 12")
        return layout

    def _skip_array(self, name: str, depth: int) -> None:
        kind = self.number("<I", f"the type of elements of '{name}'")
        if kind == _STRING:
            for _ in range(self.count(f"strings in '{name}'", 8, _MOST_ELEMENTS)):
                self._skip(self.number("<Q", f"the length of a string of '{name}'"), f"a string of '{name}'")
        elif kind == _ARRAY:
            if depth == _DEEPEST:
                raise damaged(self._path, f"'{name}' has arrays within arrays, more than {_DEEPEST} deep")
            for _ in range(self.count(f"arrays in '{name}'", 12, _MOST_ELEMENTS)):
                self._skip_array(name, depth + 1)
        else:
            size = struct.calcsize(self._layout(name, kind))
            self._skip(size * self.count(f"elements of '{name}'", size, 1 << 63), f"'{name}'")

    def _take(self, length: int, what: str) -> bytes:
        content = self._file.read(length) if length <= self.left else b""
        if len(content) < length:
            raise self._short(length, what)
        self.position += length
        return content

    def _skip(self, length: int, what: str) -> None:
        if length > self.left:
            raise self._short(length, what)
        self.position += length
        self._file.seek(self.position)

    def _short(self, length: int, what: str) -> ModelError:
        return damaged(self._path, f"expected {length} bytes of {what} at {self.position}, got {max(0, self.left)}")
