"""Elements of the tensors of an ONNX file: how wide they are, and how they are packed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, SupportsInt

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fewflips.formats.number_formats import INT4, INT8, UINT4, UINT8, StorageType

MAX_ELEMENTS = 2**31
"""Tensors with more elements are refused."""

_FLOAT4E2M1, _FLOAT8E8M0, _UINT2, _INT2 = 23, 24, 25, 26
"""Element types of onnx.proto that releases of onnx before 1.20 have no name for."""

STORAGE_TYPES: Mapping[int, StorageType] = {
    TensorProto.INT8: INT8,
    TensorProto.UINT8: UINT8,
    TensorProto.INT4: INT4,
    TensorProto.UINT4: UINT4,
    _INT2: StorageType(2, signed=True),
    _UINT2: StorageType(2, signed=False),
}
"""Element types of quantized operands."""

FLOAT_TYPES = frozenset((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE))

ITEMS: Mapping[int, tuple[str, str]] = {
    TensorProto.FLOAT: ("<f4", "float_data"),
    TensorProto.DOUBLE: ("<f8", "double_data"),
    TensorProto.INT64: ("<i8", "int64_data"),
    TensorProto.UINT64: ("<u8", "uint64_data"),
    TensorProto.UINT32: ("<u4", "uint64_data"),
    TensorProto.INT32: ("<i4", "int32_data"),
    TensorProto.INT16: ("<i2", "int32_data"),
    TensorProto.UINT16: ("<u2", "int32_data"),
    TensorProto.INT8: ("i1", "int32_data"),
    TensorProto.UINT8: ("u1", "int32_data"),
    TensorProto.BOOL: ("u1", "int32_data"),
    TensorProto.FLOAT16: ("<f2", "int32_data"),
    TensorProto.BFLOAT16: ("<u2", "int32_data"),
    TensorProto.FLOAT8E4M3FN: ("u1", "int32_data"),
    TensorProto.FLOAT8E4M3FNUZ: ("u1", "int32_data"),
    TensorProto.FLOAT8E5M2: ("u1", "int32_data"),
    TensorProto.FLOAT8E5M2FNUZ: ("u1", "int32_data"),
    _FLOAT8E8M0: ("u1", "int32_data"),
    TensorProto.COMPLEX64: ("<c8", "float_data"),
    TensorProto.COMPLEX128: ("<c16", "double_data"),
    TensorProto.INT4: ("u1", "int32_data"),
    TensorProto.UINT4: ("u1", "int32_data"),
    _FLOAT4E2M1: ("u1", "int32_data"),
    _INT2: ("u1", "int32_data"),
    _UINT2: ("u1", "int32_data"),
}
"""Element type -> (type of an item as numpy knows it, field that holds items one by one)."""

PACKED_BITS: Mapping[int, int] = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    _FLOAT4E2M1: 4,
    _INT2: 2,
    _UINT2: 2,
}
"""Element types of which several share a byte, the first one in its lowest bits."""


def element_count(dims: Iterable[SupportsInt]) -> int | None:
    """Count the elements of a shape; None where it is negative somewhere or beyond :data:`MAX_ELEMENTS`."""
    lengths = [int(length) for length in dims]
    if any(length < 0 or length > MAX_ELEMENTS for length in lengths) or len(lengths) > 64:
        return None
    size = prod(lengths)
    return size if size <= MAX_ELEMENTS else None


def byte_length(tensor: TensorProto) -> int | None:
    """Bytes that a tensor's data take; None for strings."""
    if tensor.data_type == TensorProto.STRING:
        return None
    size = prod(tensor.dims)
    bits = PACKED_BITS.get(tensor.data_type)
    if bits is not None:
        return (size * bits + 7) // 8
    return size * np.dtype(ITEMS[tensor.data_type][0]).itemsize


def unpack(packed: NDArray[np.uint8], bits: int, size: int) -> NDArray[np.uint8]:
    """Codes of `bits` bits, one to a byte, from bytes that hold several, the first in the lowest bits.

    Examples
    --------
    >>> unpack(np.array([0x21, 0x03], np.uint8), 4, 3).tolist()
    [1, 2, 3]
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((packed[:, np.newaxis] >> shifts) & ((1 << bits) - 1)).astype(np.uint8).reshape(-1)[:size]


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Inverse of :func:`unpack`; the last byte is filled up with zeros.

    Examples
    --------
    >>> [hex(byte) for byte in pack(np.array([1, 2, 3], np.uint8), 4).tolist()]
    ['0x21', '0x3']
    """
    per_byte = 8 // bits
    flat = codes.reshape(-1) & ((1 << bits) - 1)
    padded = np.zeros(-(-flat.size // per_byte) * per_byte, dtype=np.uint8)
    padded[: flat.size] = flat
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return np.bitwise_or.reduce(padded.reshape(-1, per_byte) << shifts, axis=1).astype(np.uint8)


def item_type(element_type: int) -> tuple[np.dtype[np.generic], int | None]:
    """Type in which an element type's bytes are read, and bits of an element where several share a byte."""
    return np.dtype(ITEMS[element_type][0]), PACKED_BITS.get(element_type)


def values_of(content: bytes, element_type: int, shape: Sequence[int]) -> NDArray[Any]:
    """Values of a tensor.

    Parameters
    ----------
    content : bytes
        Its bytes, as ``raw_data`` holds them.
    element_type : int
        ``onnx.TensorProto.DataType``.
    shape : sequence of int
        Its shape.

    Returns
    -------
    ndarray
        In that shape; integers narrower than 8 bits one to a byte, bfloat16 and float8 as codes.
    """
    values = np.frombuffer(content, dtype=ITEMS[element_type][0])
    storage = STORAGE_TYPES.get(element_type)
    bits = PACKED_BITS.get(element_type)
    if bits is not None:
        values = unpack(values, bits, prod(shape))
        if storage is not None and storage.signed:
            values = ((values ^ (1 << (bits - 1))).astype(np.int8) - (1 << (bits - 1))).astype(np.int8)
    return values.reshape(tuple(shape))
