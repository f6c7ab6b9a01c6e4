"""Elements of the tensors of a TFLite file: how wide they are, and how they are packed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

TYPE_NAMES = {code: name for name, code in vars(tflite.TensorType).items() if not name.startswith("_")} | {
    19: "INT2",
    20: "UINT4",
}
"""Names of element types by their number; the last two are newer than the schema of the package ``tflite``."""

BITS = MappingProxyType(
    {
        "INT2": 2,
        "INT4": 4,
        "UINT4": 4,
        "INT8": 8,
        "UINT8": 8,
        "BOOL": 8,
        "INT16": 16,
        "UINT16": 16,
        "FLOAT16": 16,
        "BFLOAT16": 16,
        "INT32": 32,
        "UINT32": 32,
        "FLOAT32": 32,
        "INT64": 64,
        "UINT64": 64,
        "FLOAT64": 64,
        "COMPLEX64": 64,
        "COMPLEX128": 128,
    }
)
"""Bits of one element; types that are not listed have no fixed size. Below 8, elements are packed low bits first."""


def codes(data: NDArray[np.uint8], dtype: str, shape: Sequence[int]) -> NDArray[Any]:
    """Stored integers of a tensor of at most 8 bits, or of INT16, INT32 or INT64.

    Parameters
    ----------
    data : ndarray of uint8, shape (bytes,)
        The tensor's bytes.
    dtype : str
        The schema's name of its type.
    shape : sequence of int
        Its shape.

    Returns
    -------
    ndarray of int8, uint8, int16, int32 or int64, of that shape
        A view, or an unpacked copy where several share a byte.
    """
    bits = BITS[dtype]
    if bits >= 8:
        return data.view(np.dtype(dtype.lower())).reshape(shape)
    unpacked = unpack(data, bits, prod(shape)).reshape(shape)
    if dtype.startswith("U"):
        return unpacked
    return (unpacked.astype(np.int8) << (8 - bits)) >> (8 - bits)


def unpack(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """Codes that are packed several to a byte, low bits first.

    Examples
    --------
    >>> unpack(np.array([0x21, 0x03], np.uint8), 4, 3).tolist()
    [1, 2, 3]
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((data[:, None] >> shifts) & np.uint8((1 << bits) - 1)).reshape(-1)[:count]


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Inverse of :func:`unpack`; unused high bits of the last byte are zero.

    Examples
    --------
    >>> pack(np.array([1, 2, 3], np.uint8), 4).tolist()
    [33, 3]
    """
    to_a_byte = 8 // bits
    padded = np.zeros(-(-codes.size // to_a_byte) * to_a_byte, np.uint8)
    padded[: codes.size] = codes
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    result: NDArray[np.uint8] = np.bitwise_or.reduce(padded.reshape(-1, to_a_byte) << shifts, axis=1).astype(np.uint8)
    return result
