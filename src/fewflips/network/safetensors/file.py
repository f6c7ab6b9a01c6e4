"""A safetensors file: its header, checked before a byte of a tensor is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from fewflips.errors import ModelError
from fewflips.files.input_files import open_plain
from fewflips.files.json_text import parse_json
from fewflips.visible import printable

SIZES: Mapping[str, float] = {
    **{name: 1 for name in ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0")},
    **{name: 2 for name in ("I16", "U16", "F16", "BF16")},
    **{name: 4 for name in ("I32", "U32", "F32")},
    **{name: 8 for name in ("I64", "U64", "F64", "C64")},
    **{"F4": 0.5, "F6_E2M3": 0.75, "F6_E3M2": 0.75},
}
"""Bytes of an element by type."""

MOST_WEIGHTS = 1 << 31
"""Elements of a tensor: its codes are in memory at once."""

_LARGEST_HEADER = 16 << 20
"""Bytes; the format allows 100 MB, and the largest models take 2 MiB a file."""
_MOST_AXES = 8
_METADATA = "__metadata__"


@dataclass(frozen=True)
class SafetensorsTensor:
    """A tensor of a file.

    Parameters
    ----------
    name : str
        Unique within the model.
    dtype : str
        The format's name of its type, one of `SIZES`.
    shape : tuple of int
        Its shape.
    file : Path
        The file.
    offset, length : int
        Its bytes in the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    length: int


def damaged(path: Path, detail: str) -> ModelError:
    """The error of a file that contradicts itself."""
    return ModelError(f"{path}: damaged safetensors file: {detail}")


def tensors_of(path: Path) -> tuple[SafetensorsTensor, ...]:
    """Read the header of a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tuple of SafetensorsTensor
        In the header's order. Each lies in the file, no two overlap, and the ``safetensors`` package accepts the file.

    Raises
    ------
    ModelError
        If the file cannot be read, is damaged, or has a tensor that cannot be read; or if the package is not installed.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise damaged(path, f"expected a header of {length} bytes, in a file of {size}")
            if length > _LARGEST_HEADER:
                raise ModelError(f"{path}: expected a header of at most {_LARGEST_HEADER} bytes, got {length}")
            header = parse_json(file.read(length))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, ModelError):
            raise
        raise damaged(path, f"its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise damaged(path, f"expected a header that names tensors, got {type(header).__name__}")
    begin = 8 + length
    found = tuple(_tensor(path, name, entry, begin, size) for name, entry in header.items() if name != _METADATA)
    for one, other in pairwise(sorted(found, key=lambda tensor: (tensor.offset, tensor.length))):
        if one.offset + one.length > other.offset:
            raise damaged(path, f"the tensors '{one.name}' and '{other.name}' overlap")
    _check_by_package(path)
    return found


def _tensor(path: Path, name: str, entry: Any, begin: int, size: int) -> SafetensorsTensor:
    shown = printable(name)
    if not isinstance(entry, dict):
        raise damaged(path, f"tensor '{shown}': expected its type, shape and place, got {type(entry).__name__}")
    dtype, shape, place = entry.get("dtype"), _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise damaged(path, f"tensor '{shown}': expected a type such as I32 or F16, got {_short(dtype)}")
    if shape is None or place is None or len(place) != 2:
        got = f"{_short(entry.get('shape'))} and {_short(entry.get('data_offsets'))}"
        raise damaged(path, f"tensor '{shown}': expected a shape and two offsets, got {got}")
    needed = prod(shape) * SIZES[dtype] if prod(shape) <= size * 8 else float("inf")
    if place[1] - place[0] != needed or begin + place[1] > size:
        raise damaged(
            path,
            f"tensor '{shown}' of shape {_short(shape)} ({dtype}): expected as many bytes as its elements take, got "
            f"{place[0]} to {place[1]} after the header, in a file of {size}",
        )
    if prod(shape) > MOST_WEIGHTS:
        raise ModelError(f"{path}: tensor '{shown}': expected at most {MOST_WEIGHTS} elements, got {prod(shape)}")
    return SafetensorsTensor(name, dtype, shape, path, begin + place[0], place[1] - place[0])


def _counts(value: Any) -> tuple[int, ...] | None:
    """The numbers of a value of JSON that is a short list of whole numbers from 0 on."""
    if not isinstance(value, list) or len(value) > _MOST_AXES:
        return None
    if not all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 1 << 63 for item in value):
        return None
    return tuple(value)


def _short(value: Any) -> str:
    return repr(value)[:60]


def _check_by_package(path: Path) -> None:
    """What the format's own implementation refuses, no other program would read."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ModelError(
            f"{path}: safetensors files need the package safetensors, which is not installed: "
            "pip install 'fewflips[safetensors]'"
        ) from error
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, f"safetensors refuses it: {error}") from error
