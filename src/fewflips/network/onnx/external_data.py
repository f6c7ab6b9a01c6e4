"""Data of tensors outside an ONNX file: where they lie, and that they lie inside its folder."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import TensorProto

from fewflips.errors import ModelError
from fewflips.files.input_files import open_plain
from fewflips.network.onnx.elements import byte_length
from fewflips.network.onnx.errors import damaged
from fewflips.network.onnx.messages import text_of

_EXTERNAL_KEYS = frozenset(("location", "offset", "length", "checksum", "basepath"))


@dataclass(frozen=True)
class External:
    """Where a tensor's bytes lie outside the model: already checked to be inside the model's folder."""

    path: Path
    offset: int
    length: int


class ExternalData:
    """External data of one model.

    Parameters
    ----------
    path : Path
        The model.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.resolve().parent

    def place_of(self, tensor: TensorProto) -> External | None:
        """Where a tensor's external data lie.

        Parameters
        ----------
        tensor : TensorProto
            A tensor of the model.

        Returns
        -------
        External or None
            None where the model itself holds them.

        Raises
        ------
        ModelError
            If the place is outside the model's folder, or the data do not fit there.
        """
        if tensor.data_location != TensorProto.EXTERNAL:
            return None
        name = text_of(tensor.name)
        entries: dict[str, str] = {}
        for entry in tensor.external_data:
            key = text_of(entry.key)
            if key in entries:
                raise damaged(self._path, f"tensor '{name}' gives {key} of its external data twice")
            if key in _EXTERNAL_KEYS:
                entries[key] = text_of(entry.value)
        path = self._inside_folder(name, entries.get("location", ""))
        needed = byte_length(tensor)
        if needed is None:
            raise damaged(self._path, f"tensor '{name}': elements of its type cannot lie in external data")
        offset = self._count(name, "offset", entries.get("offset", "0"))
        length = self._count(name, "length", entries.get("length", str(needed)))
        size = path.stat().st_size
        if length != needed or offset + length > size:
            raise damaged(
                self._path,
                f"tensor '{name}': expected {needed} bytes of external data for shape {list(tensor.dims)}, got "
                f"length {length} at offset {offset} in a file of {size} bytes",
            )
        return External(path, offset, length)

    def read(self, external: External, name: str) -> bytes:
        """Bytes of external data.

        Parameters
        ----------
        external : External
            Where they lie.
        name : str
            The tensor, for messages.

        Returns
        -------
        bytes
            As many as they are.

        Raises
        ------
        ModelError
            If the file cannot be read.
        """
        try:
            with open_plain(external.path) as file:
                file.seek(external.offset)
                content = file.read(external.length)
        except OSError as error:
            raise ModelError(f"{external.path}: cannot be read: {error.strerror}") from error
        if len(content) != external.length:
            raise damaged(self._path, f"external data of tensor '{name}' end before their {external.length} bytes")
        return content

    def _inside_folder(self, name: str, location: str) -> Path:
        absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor
        if not location or "\0" in location or absolute:
            raise damaged(
                self._path, f"external data of tensor '{name}': expected a relative path, got {location[:200]!r}"
            )
        try:
            path = (self._folder / location).resolve(strict=True)
            regular = stat.S_ISREG(path.stat().st_mode)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"{self._path}: external data '{location[:200]}' of tensor '{name}' cannot be read; put the file back "
                "beside the model"
            ) from error
        if not path.is_relative_to(self._folder) or not regular:
            raise damaged(
                self._path,
                f"external data of tensor '{name}': expected a file inside the model's folder, got {location[:200]!r}",
            )
        return path

    def _count(self, name: str, key: str, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 18):
            raise damaged(
                self._path, f"external data of tensor '{name}': expected {key} to be a count, got {text[:40]!r}"
            )
        return int(text)
