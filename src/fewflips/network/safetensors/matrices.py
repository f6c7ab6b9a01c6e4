"""Codes, zero points and scales of a layer as matrices, made of a file's tensors when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import ModelError
from fewflips.formats.number_formats import StorageType
from fewflips.network.operand import Matrix
from fewflips.network.safetensors.elements import StoredTensor, Words, unpack, unpack_stream

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of 8 columns each 4-bit field of a word holds, the lowest first."""
AWQ_BITS = 4


def fixed(matrix: NDArray[Any]) -> NDArray[Any]:
    """The matrix in one piece, not to be written to."""
    matrix = np.ascontiguousarray(matrix)
    matrix.setflags(write=False)
    return matrix


@dataclass(frozen=True)
class PackedCodes:
    """Codes packed along the reduction.

    Parameters
    ----------
    tensor : StoredTensor
        Words, of shape (N, words of a row), or transposed.
    bits, k : int
        Width of a code, and codes of a row.
    words_first : bool
        Whether the words of a row lie along the first axis, as in GPTQ.
    in_stream : bool
        Whether codes follow each other without a gap, from one word to the next.
    """

    tensor: StoredTensor
    bits: int
    k: int
    words_first: bool = False
    in_stream: bool = False

    def __call__(self) -> Matrix:
        """Read the codes: an ndarray of uint8, shape (N, K), not to be written to."""
        words = self.tensor.words()
        words = np.ascontiguousarray(words.T) if self.words_first else words
        return fixed((unpack_stream if self.in_stream else unpack)(words, self.bits, self.k))


@dataclass(frozen=True)
class AwqCodes:
    """Codes packed along the outputs, in AWQ's order.

    Parameters
    ----------
    tensor : StoredTensor
        Words, of shape (K, N / 8).
    """

    tensor: StoredTensor

    def __call__(self) -> Matrix:
        """Read the codes: an ndarray of uint8, shape (N, K), not to be written to."""
        return fixed(awq_columns(self.tensor.words()).T)


@dataclass(frozen=True)
class PlainCodes:
    """Codes that are stored one to a byte.

    Parameters
    ----------
    tensor : StoredTensor
        int8, of shape (N, K).
    storage : StorageType
        Their type, of at most 8 bits.
    module : str
        The module, for messages.
    """

    tensor: StoredTensor
    storage: StorageType
    module: str

    def __call__(self) -> Matrix:
        """Read the codes: an ndarray of int8, shape (N, K), not to be written to.

        Raises
        ------
        ModelError
            If a code is wider than the model says.
        """
        codes = self.tensor()
        if codes.size and not self.storage.low <= codes.min() <= codes.max() <= self.storage.high:
            raise ModelError(
                f"module '{self.module}': expected weights of {self.storage.name}, {self.storage.low} to "
                f"{self.storage.high}, got {codes.min()} to {codes.max()}"
            )
        return fixed(codes)


@dataclass(frozen=True, eq=False)
class GroupValues:
    """Scales or zero points of groups along the reduction.

    Parameters
    ----------
    tensor : StoredTensor
        The file's tensor.
    packed : {"", "rows", "columns", "awq"}
        Whether several are packed in a word: of consecutive rows, or columns, of `tensor`.
    bits : int
        Width of a packed value.
    in_stream : bool
        Whether packed values follow each other without a gap.
    n : int
        Output channels.
    added : int
        Added to each value: zero points are stored less this.
    groups_first : bool
        Whether the groups lie along the first axis.
    group_of : ndarray of int32, shape (K,), or None
        Group of each index of the reduction, where groups are not blocks.
    integers : bool
        Whether they are integers (zero points).
    """

    tensor: StoredTensor
    packed: str = ""
    bits: int = 0
    in_stream: bool = False
    n: int = 0
    added: int = 0
    groups_first: bool = False
    group_of: NDArray[np.int32] | None = field(default=None, repr=False)
    integers: bool = False

    def __call__(self) -> NDArray[Any]:
        """Read the values: an ndarray of int32 or floats, shape (N, groups), or (N, K) where groups are not blocks."""
        values = self._unpacked()
        if self.groups_first:
            values = values.T
        if self.integers:
            values = values.astype(np.int32) + np.int32(self.added)
        return fixed(values if self.group_of is None else values[:, self.group_of])

    def _unpacked(self) -> NDArray[Any]:
        if not self.packed:
            return np.atleast_2d(self.tensor())
        words = self.tensor.words()
        if self.packed == "awq":
            return awq_columns(words)
        unpacked = unpack_stream if self.in_stream else unpack
        if self.packed == "rows":
            return unpacked(np.ascontiguousarray(words.T), self.bits, self.n).T
        return unpacked(words, self.bits, self.n)


def awq_columns(words: Words) -> NDArray[np.uint8]:
    """Columns of AWQ's words, shape (rows, 8 x words of a row), in their natural order."""
    fields = unpack(words, AWQ_BITS, words.shape[1] * len(AWQ_ORDER)).reshape(len(words), -1, len(AWQ_ORDER))
    columns = np.empty_like(fields)
    columns[:, :, AWQ_ORDER] = fields
    return columns.reshape(len(words), -1)
