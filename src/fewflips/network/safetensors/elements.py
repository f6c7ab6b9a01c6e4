"""Integers packed in 32-bit words, and floats, of safetensors files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.network.stored_bytes import StoredBytes

Words = NDArray[np.uint32]

_TYPES = {"I8": "<i1", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
_WORD_BITS = 32
_CODES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class StoredTensor:
    """Values of a tensor.

    Parameters
    ----------
    stored : StoredBytes
        Its bytes.
    dtype : str
        The format's name of its type: one of 8, 32 or 64 bits, or a float.
    shape : tuple of int
        Its shape.
    """

    stored: StoredBytes
    dtype: str
    shape: tuple[int, ...]

    def __call__(self) -> NDArray[Any]:
        """Read the values: an ndarray of the shape, floats as float32 or float64."""
        content = self.stored.read()
        if self.dtype == "BF16":
            halves = np.frombuffer(content, "<u2").astype(np.uint32) << 16
            return halves.view(np.float32).reshape(self.shape)
        values = np.frombuffer(content, _TYPES[self.dtype]).reshape(self.shape)
        return values.astype(np.float32) if self.dtype == "F16" else values

    def words(self) -> Words:
        """The values of 32 bits as unsigned words."""
        return self().view("<u4")


def unpack(words: Words, bits: int, count: int) -> NDArray[np.uint8]:
    """Codes of `bits` bits, the first in the lowest bits of a word; bits that are left of a word are unused.

    Parameters
    ----------
    words : ndarray of uint32, shape (R, W)
        The words.
    bits : int
        1 to 8.
    count : int
        Codes of a row.

    Returns
    -------
    ndarray of uint8, shape (R, count)
        The codes.
    """
    shifts = np.arange(0, _WORD_BITS - bits + 1, bits, dtype=np.uint32)
    codes = np.empty((len(words), count), np.uint8)
    rows = max(1, _CODES_AT_ONCE // max(1, count))
    for first in range(0, len(words), rows):
        part = words[first : first + rows, :, None] >> shifts
        part &= np.uint32((1 << bits) - 1)
        codes[first : first + rows] = part.reshape(len(part), -1)[:, :count]
    return codes


def unpack_stream(words: Words, bits: int, count: int) -> NDArray[np.uint8]:
    """The same of codes that follow each other without a gap, from one word to the next."""
    codes = np.empty((len(words), count), np.uint8)
    values = (1 << np.arange(bits)).astype(np.uint8)
    rows = max(1, _CODES_AT_ONCE // max(1, count))
    for first in range(0, len(words), rows):
        part = np.ascontiguousarray(words[first : first + rows]).view(np.uint8)
        digits = np.unpackbits(part, axis=1, bitorder="little")[:, : count * bits]
        codes[first : first + rows] = digits.reshape(len(part), count, bits) @ values
    return codes
