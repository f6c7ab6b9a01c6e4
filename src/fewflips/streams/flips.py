"""Counts bit flips: of a stream, by bit position, and between all pairs of words.

All kernels work on rows packed into 64-bit words; on processors with a vector population count they are compiled to
use it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.kernels.compiled import compiled


@intrinsic
def popcount(typingctx: Any, value: Any) -> Any:  # numba calls it with its own typing context
    """Number of ones in an unsigned 64-bit integer, as one machine instruction."""
    signature = types.uint64(types.uint64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return signature, generate


def pack_rows(words: NDArray[np.unsignedinteger]) -> NDArray[np.uint64]:
    """Rows as 64-bit words, zero-padded at the end.

    Parameters
    ----------
    words : ndarray of uint8, uint16, int8 or int16, shape (T, L)
        Right-aligned codes.

    Returns
    -------
    ndarray of uint64, shape (T, W)
        W = ceil(L x itemsize / 8). A view of `words` if no padding is needed.

    Raises
    ------
    InputError
        If `words` is not a matrix of 8- or 16-bit integers.
    """
    if words.ndim != 2 or words.dtype.kind not in "ui" or words.dtype.itemsize > 2:
        raise InputError(f"words: expected a matrix of 8- or 16-bit integers, got shape {words.shape} of {words.dtype}")
    row_bytes = words.shape[1] * words.dtype.itemsize
    rows = np.ascontiguousarray(words)
    if row_bytes % 8 == 0 and row_bytes:
        return rows.view(np.uint64)
    padded = np.zeros((words.shape[0], max(8, -(-row_bytes // 8) * 8)), dtype=np.uint8)
    if row_bytes:
        padded[:, :row_bytes] = rows.view(np.uint8)
    return padded.view(np.uint64)


def stream_flips(words: NDArray[np.unsignedinteger]) -> int:
    """Bit flips between consecutive rows of a stream.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (T, L)
        The word on each of L lanes in each of T cycles.

    Returns
    -------
    int
        Sum over t of popcount(words[t] xor words[t + 1]), over all lanes, in flips.

    Examples
    --------
    >>> stream_flips(np.array([[0b00, 0b11], [0b01, 0b11], [0b10, 0b00]], dtype=np.uint8))
    5
    """
    packed = pack_rows(words)
    return int(_stream_flips(packed.reshape(-1), packed.shape[1]))


def row_flips(words: NDArray[np.unsignedinteger], rows: NDArray[np.int64]) -> int:
    """Bit flips of single transitions.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (T, L)
        A stream.
    rows : ndarray of int64, shape (S,)
        Rows t >= 1; the transition counted is the one from t - 1 to t.

    Returns
    -------
    int
        Sum over the given rows, in flips.
    """
    if rows.size == 0:
        return 0
    return int(np.bitwise_count(words[rows - 1] ^ words[rows]).sum(dtype=np.int64))


def bit_position_flips(words: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.int64]:
    """Bit flips of a stream by bit position.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (T, L)
        A stream.
    bits : int
        Number of positions to report, starting at the least significant one.

    Returns
    -------
    ndarray of int64, shape (bits,)
        Flips of each position; their sum is :func:`stream_flips` if no higher bit is set.

    Examples
    --------
    >>> bit_position_flips(np.array([[0b00], [0b01], [0b10]], dtype=np.uint8), 2).tolist()
    [2, 1]
    """
    packed = pack_rows(words)
    width = 8 * words.dtype.itemsize
    if not 1 <= bits <= width:
        raise InputError(f"bit positions: expected 1 to {width} for {words.dtype}, got {bits}")
    return _bit_position_flips(packed.reshape(-1), packed.shape[1], width)[:bits]


def pairwise_distances(words: NDArray[np.unsignedinteger]) -> NDArray[np.int32]:
    """Hamming distances between all pairs of rows.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (N, L)
        One word vector per row.

    Returns
    -------
    ndarray of int32, shape (N, N)
        Symmetric, zero on the diagonal, in flips.

    Examples
    --------
    >>> pairwise_distances(np.array([[0b00], [0b01], [0b11]], dtype=np.uint8)).tolist()
    [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    """
    packed = pack_rows(words)
    distances = np.zeros((packed.shape[0], packed.shape[0]), dtype=np.int32)
    _pairwise_distances(packed, distances)
    return distances


@compiled
def _stream_flips(flat: NDArray[np.uint64], width: int) -> Any:
    total = np.uint64(0)
    for i in range(flat.size - width):
        total += popcount(flat[i] ^ flat[i + width])
    return total


@compiled
def _bit_position_flips(flat: NDArray[np.uint64], width: int, code_bits: int) -> NDArray[np.int64]:
    flips = np.zeros(code_bits, dtype=np.int64)
    ones = np.uint64(0x0101010101010101) if code_bits == 8 else np.uint64(0x0001000100010001)
    block = 4096
    for start in range(0, flat.size - width, block):
        stop = min(start + block, flat.size - width)
        for bit in range(code_bits):
            mask = ones << np.uint64(bit)
            count = np.uint64(0)
            for i in range(start, stop):
                count += popcount((flat[i] ^ flat[i + width]) & mask)
            flips[bit] += count
    return flips


@compiled
def _pairwise_distances(packed: NDArray[np.uint64], distances: NDArray[np.int32]) -> None:
    rows, width = packed.shape
    tile = 32
    for i0 in range(0, rows, tile):
        for j0 in range(i0, rows, tile):
            for i in range(i0, min(i0 + tile, rows)):
                for j in range(max(j0, i + 1), min(j0 + tile, rows)):
                    total = np.uint64(0)
                    for w in range(width):
                        total += popcount(packed[i, w] ^ packed[j, w])
                    distances[i, j] = total
                    distances[j, i] = total
