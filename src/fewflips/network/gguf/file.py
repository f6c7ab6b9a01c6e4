"""GGUF files: header, tensors and where they lie, all checked before a byte of a weight is read.

The ``gguf`` package says which types there are, and how large their blocks. Its reader is not used: it maps the file,
so that one that is cut short ends the process; it believes lengths; and it makes arrays of each word of the vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod
from pathlib import Path

from fewflips.errors import ModelError
from fewflips.files.input_files import open_plain
from fewflips.network.gguf.header import GGUFHeader, Value, damaged

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_WEIGHTS = 1 << 31
"""Elements of a tensor: its codes are in memory at once."""

_MOST_ENTRIES = 1 << 16
_MOST_TENSORS = 1 << 16
_MOST_AXES = 4
_ALIGNMENT = 32
_LARGEST_ALIGNMENT = 1 << 20


@dataclass(frozen=True)
class GGUFTensor:
    """A tensor of a file.

    Parameters
    ----------
    name : str
        Unique within the file.
    type_name : str
        ggml's name of its type: ``Q4_0``, ``F32``, ...
    block, block_bytes : int
        Elements of a block, and its bytes.
    axes : tuple of int
        Lengths in ggml's order: the fastest axis, along which blocks lie, comes first.
    offset : int
        Where it begins in the file, in bytes.
    file : Path
        The file.
    """

    name: str
    type_name: str
    block: int
    block_bytes: int
    axes: tuple[int, ...]
    offset: int
    file: Path

    @property
    def elements(self) -> int:
        """Number of its elements."""
        return prod(self.axes)

    @property
    def length(self) -> int:
        """Bytes in the file."""
        return self.elements // self.block * self.block_bytes


@dataclass(frozen=True)
class GGUFFile:
    """A GGUF file, or a model in several, without its weights.

    Parameters
    ----------
    path : Path
        The file, or that which was asked for.
    metadata : mapping of str to value
        Entries of the header by key, of the first file; None for arrays and very long texts.
    tensors : tuple of GGUFTensor
        In the header's order, those of one file after those of the one before.
    """

    path: Path
    metadata: Mapping[str, Value] = field(repr=False)
    tensors: tuple[GGUFTensor, ...] = field(repr=False)


def decode(path: Path) -> GGUFFile:
    """Read the header of a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    GGUFFile
        Every tensor lies in the file, and no two overlap.

    Raises
    ------
    ModelError
        If the file cannot be read, is damaged, or has a tensor that cannot be read; or if the package ``gguf`` is not
        installed.
    """
    sizes = _block_sizes()
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            return _decode(path, GGUFHeader(path, file, size), size, sizes)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def _block_sizes() -> dict[int, tuple[str, int, int]]:
    """Name, elements of a block and its bytes of each type that the package knows."""
    try:
        from gguf.constants import GGML_QUANT_SIZES
    except ImportError as error:
        raise ModelError(
            "GGUF files need the package gguf, which is not installed: pip install 'fewflips[gguf]'"
        ) from error
    return {int(kind): (kind.name, *sizes) for kind, sizes in GGML_QUANT_SIZES.items()}


def _decode(path: Path, header: GGUFHeader, size: int, sizes: Mapping[int, tuple[str, int, int]]) -> GGUFFile:
    _check_version(path, header)
    tensors = header.count("tensors", 24, _MOST_TENSORS)
    metadata: dict[str, Value] = {}
    for _ in range(header.count("entries of metadata", 13, _MOST_ENTRIES)):
        key = header.text("a key")
        if key in metadata:
            raise damaged(path, f"the key '{key}' is there twice")
        metadata[key] = header.value(key)
    found = [_tensor(path, header, sizes) for _ in range(tensors)]
    alignment = _alignment(path, metadata)
    begin = -(-header.position // alignment) * alignment
    placed = tuple(_placed(path, tensor, begin, alignment, size) for tensor in found)
    _check_apart(path, placed)
    return GGUFFile(path, metadata, placed)


def _check_version(path: Path, header: GGUFHeader) -> None:
    magic = header.number("<I", "the magic number").to_bytes(4, "little")
    if magic != MAGIC:
        raise ModelError(f"{path}: expected a GGUF file, which begins with GGUF, got {magic!r}")
    version = header.number("<I", "the version")
    if version in VERSIONS:
        return
    if version and not version & 0xFFFF:
        raise ModelError(f"{path}: expected a little-endian GGUF file, got a big-endian one: convert it with gguf")
    raise ModelError(f"{path}: expected version 2 or 3 of GGUF, got {version}: convert it with llama.cpp of today")


def _alignment(path: Path, metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", _ALIGNMENT)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, int) or not whole or not 0 < value <= _LARGEST_ALIGNMENT or value & (value - 1):
        raise damaged(path, f"general.alignment: expected a power of two up to {_LARGEST_ALIGNMENT}, got {value}")
    return value


def _tensor(path: Path, header: GGUFHeader, sizes: Mapping[int, tuple[str, int, int]]) -> GGUFTensor:
    """A tensor as the header has it; its offset is still that within the data."""
    name = header.text("the name of a tensor")
    rank = header.number("<I", f"the number of axes of '{name}'")
    if not 1 <= rank <= _MOST_AXES:
        raise damaged(path, f"tensor '{name}': expected 1 to {_MOST_AXES} axes, got {rank}")
    axes = tuple(header.number("<Q", f"the lengths of '{name}'") for _ in range(rank))
    kind = header.number("<I", f"the type of '{name}'")
    offset = header.number("<Q", f"the offset of '{name}'")
    if kind not in sizes:
        raise ModelError(
            f"{path}: tensor '{name}' has the type {kind}, which the installed package gguf does not know; upgrade it, "
            "or give another file"
        )
    tensor = GGUFTensor(name, *sizes[kind], axes, offset, path)
    if not all(axes) or axes[0] % tensor.block:
        raise damaged(
            path,
            f"tensor '{name}': expected rows of a multiple of {tensor.block} elements for {tensor.type_name}, got the "
            f"shape {list(axes)}",
        )
    return tensor


def _placed(path: Path, tensor: GGUFTensor, begin: int, alignment: int, size: int) -> GGUFTensor:
    """The tensor with its place in the file."""
    offset = begin + tensor.offset
    if tensor.offset % alignment:
        raise damaged(path, f"tensor '{tensor.name}': expected an offset in steps of {alignment}, got {tensor.offset}")
    if offset + tensor.length > size:
        raise damaged(
            path,
            f"tensor '{tensor.name}' of shape {list(tensor.axes)} ({tensor.type_name}): expected {tensor.length} bytes "
            f"from {offset} on, in a file of {size}",
        )
    if tensor.elements > MOST_WEIGHTS:
        raise ModelError(
            f"{path}: tensor '{tensor.name}' of shape {list(tensor.axes)}: expected at most {MOST_WEIGHTS} elements, "
            f"got {tensor.elements}"
        )
    return replace(tensor, offset=offset)


def check_names(path: Path, tensors: Sequence[GGUFTensor]) -> None:
    """Raise :class:`ModelError` where two tensors have one name."""
    names = sorted(tensor.name for tensor in tensors)
    twice = [name for name, after in pairwise(names) if name == after]
    if twice:
        raise damaged(path, f"two tensors have the name '{twice[0]}'")


def _check_apart(path: Path, tensors: Sequence[GGUFTensor]) -> None:
    check_names(path, tensors)
    for one, other in pairwise(sorted(tensors, key=lambda tensor: tensor.offset)):
        if one.offset + one.length > other.offset:
            raise damaged(path, f"the tensors '{one.name}' and '{other.name}' overlap")
