"""Blocks of ggml's quantized types: the integers, scales and offsets in their bytes.

A weight is ``scale * (code - zero point) + offset``. Layouts are those of ggml (``ggml-common.h``): a block is a row of
`block` weights, packed with the scales of its sub-blocks; weights of one bit position lie side by side, in planes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.formats.number_formats import INT8, UINT4, StorageType

Blocks = NDArray[np.uint8]
Floats = NDArray[np.float32]

_IQ4_VALUES = np.array((-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113), np.int8)
_POWERS_OF_3 = np.array((1, 3, 9, 27, 81), np.uint8)


@dataclass(frozen=True)
class BlockType:
    """A quantized type whose codes are integers.

    Parameters
    ----------
    storage : StorageType
        Type of the codes.
    zero_point : int
        The code that means zero, before the offset is added.
    sub_block : int
        Weights that share a scale, and an offset.
    codes : callable
        Blocks of shape (B, bytes of a block) -> codes, int8 or uint8, shape (B, weights of a block).
    scales : callable
        Blocks -> float32, shape (B, sub-blocks of a block).
    offsets : callable or None
        The same for offsets; None where the type has none.
    from_table : bool
        Whether the file has indices of a table of integers in place of codes.
    """

    storage: StorageType
    zero_point: int
    sub_block: int
    codes: Callable[[Blocks], NDArray[Any]]
    scales: Callable[[Blocks], Floats]
    offsets: Callable[[Blocks], Floats] | None = None
    from_table: bool = False


def _planes(packed: Blocks, width: int, bits: int) -> Blocks:
    """Elements of `bits` bits: `width` bytes hold the lowest of all of them, then the next ones."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8).reshape(1, 1, -1, 1)
    planes = packed.reshape(len(packed), -1, 1, width) >> shifts
    planes &= np.uint8((1 << bits) - 1)
    return planes.reshape(len(packed), -1)


def _half(blocks: Blocks, at: int) -> Floats:
    """A 16-bit float of each block, shape (B, 1)."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _bytes_as_int8(blocks: Blocks, begin: int, end: int) -> NDArray[np.int8]:
    return np.ascontiguousarray(blocks[:, begin:end]).view(np.int8)


def _times(factor: Floats, integers: NDArray[Any]) -> Floats:
    """Scales of sub-blocks; those of a damaged file may be infinite or no numbers."""
    with np.errstate(invalid="ignore"):
        return factor * integers.astype(np.float32)


def _q3_k_scales(blocks: Blocks) -> Floats:
    packed = _planes(blocks[:, 96:104], 8, 4) | (_planes(blocks[:, 104:108], 4, 2) << 4)
    return _times(_half(blocks, 108), packed.astype(np.int8) - 32)


def _six_bits(blocks: Blocks) -> tuple[Blocks, Blocks]:
    """Scales and minima of the 8 sub-blocks of Q4_K and Q5_K."""
    scale, minimum, low = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = np.concatenate([scale & 63, (low & 15) | ((scale >> 6) << 4)], axis=1)
    return scales, np.concatenate([minimum & 63, (low >> 4) | ((minimum >> 6) << 4)], axis=1)


def _iq4_xs_scales(blocks: Blocks) -> Floats:
    packed = _planes(blocks[:, 4:8], 1, 4) | (_planes(blocks[:, 2:4], 1, 2) << 4)
    return _times(_half(blocks, 0), packed.astype(np.int8) - 32)


def _ternary(blocks: Blocks) -> Blocks:
    """TQ1_0: five ternary digits in a byte, as a fraction of 256."""
    parts = [(0, 32, 32, 5), (32, 48, 16, 5), (48, 52, 4, 4)]
    digits = []
    for begin, end, width, count in parts:
        fractions = blocks[:, begin:end].reshape(len(blocks), -1, 1, width) * _POWERS_OF_3[:count].reshape(1, 1, -1, 1)
        digits.append(((fractions.astype(np.uint16) * 3) >> 8).astype(np.uint8).reshape(len(blocks), -1))
    return np.concatenate(digits, axis=1)


BLOCK_TYPES: Mapping[str, BlockType] = {
    "Q4_0": BlockType(UINT4, 8, 32, lambda b: _planes(b[:, 2:], 16, 4), lambda b: _half(b, 0)),
    "Q4_1": BlockType(UINT4, 0, 32, lambda b: _planes(b[:, 4:], 16, 4), lambda b: _half(b, 0), lambda b: _half(b, 2)),
    "Q5_0": BlockType(
        StorageType(5, signed=False),
        16,
        32,
        lambda b: _planes(b[:, 6:], 16, 4) | (np.unpackbits(b[:, 2:6], axis=1, bitorder="little") << 4),
        lambda b: _half(b, 0),
    ),
    "Q5_1": BlockType(
        StorageType(5, signed=False),
        0,
        32,
        lambda b: _planes(b[:, 8:], 16, 4) | (np.unpackbits(b[:, 4:8], axis=1, bitorder="little") << 4),
        lambda b: _half(b, 0),
        lambda b: _half(b, 2),
    ),
    "Q8_0": BlockType(INT8, 0, 32, lambda b: _bytes_as_int8(b, 2, 34), lambda b: _half(b, 0)),
    "Q2_K": BlockType(
        StorageType(2, signed=False),
        0,
        16,
        lambda b: _planes(b[:, 16:80], 32, 2),
        lambda b: _times(_half(b, 80), b[:, :16] & 15),
        lambda b: _times(-_half(b, 82), b[:, :16] >> 4),
    ),
    "Q3_K": BlockType(
        StorageType(3, signed=False),
        4,
        16,
        lambda b: _planes(b[:, 32:96], 32, 2) | (_planes(b[:, :32], 32, 1) << 2),
        _q3_k_scales,
    ),
    "Q4_K": BlockType(
        UINT4,
        0,
        32,
        lambda b: _planes(b[:, 16:], 32, 4),
        lambda b: _times(_half(b, 0), _six_bits(b)[0]),
        lambda b: _times(-_half(b, 2), _six_bits(b)[1]),
    ),
    "Q5_K": BlockType(
        StorageType(5, signed=False),
        0,
        32,
        lambda b: _planes(b[:, 48:], 32, 4) | (_planes(b[:, 16:48], 32, 1) << 4),
        lambda b: _times(_half(b, 0), _six_bits(b)[0]),
        lambda b: _times(-_half(b, 2), _six_bits(b)[1]),
    ),
    "Q6_K": BlockType(
        StorageType(6, signed=False),
        32,
        16,
        lambda b: _planes(b[:, :128], 64, 4) | (_planes(b[:, 128:192], 32, 2) << 4),
        lambda b: _times(_half(b, 208), _bytes_as_int8(b, 192, 208)),
    ),
    "IQ4_NL": BlockType(
        INT8, 0, 32, lambda b: _IQ4_VALUES[_planes(b[:, 2:], 16, 4)], lambda b: _half(b, 0), from_table=True
    ),
    "IQ4_XS": BlockType(INT8, 0, 32, lambda b: _IQ4_VALUES[_planes(b[:, 8:], 16, 4)], _iq4_xs_scales, from_table=True),
    "TQ1_0": BlockType(StorageType(2, signed=False), 1, 256, _ternary, lambda b: _half(b, 52)),
    "TQ2_0": BlockType(
        StorageType(2, signed=False), 1, 256, lambda b: _planes(b[:, :64], 32, 2), lambda b: _half(b, 64)
    ),
}
"""By ggml's name of the type."""
