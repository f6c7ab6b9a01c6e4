"""Packs operand sequences into words: bit l of word i of a port's bit is its value in cycle i of lane l."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.switching.words import WIDTH, load, spread, store
from fewflips.kernels.compiled import compiled

LANES = 64
"""Number of windows that are simulated side by side, one per bit."""

_WIDTH = np.int64(WIDTH)


def row_chunks(words: NDArray[np.integer], bits: int) -> NDArray[np.uint64]:
    """Rows of codes as 64-bit words, the first code in the least significant bits.

    Parameters
    ----------
    words : ndarray of an integer type, shape (R, L)
        Codes; signed ones in two's complement.
    bits : int
        Width of a code, 1 to 64.

    Returns
    -------
    ndarray of uint64, shape (R, ceil(L * bits / 64))
        A view of `words` if possible.

    Examples
    --------
    >>> row_chunks(np.array([[1, -1]], dtype=np.int32), 4).tolist()
    [[241]]
    """
    rows, lanes = words.shape
    chunks = -(-lanes * bits // 64)
    whole = words.dtype.itemsize * 8 == bits and lanes * bits % 64 == 0 and words.dtype.byteorder in "=|<"
    if whole and words.flags.c_contiguous:
        return words.view(np.uint64)
    packed = np.zeros((rows, chunks), dtype=np.uint64)
    _pack_codes(np.ascontiguousarray(words, dtype=words.dtype.newbyteorder("=")), np.int64(bits), packed)
    return packed


@compiled
def _pack_codes(words: Any, bits: int, packed: NDArray[np.uint64]) -> None:
    full = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - bits)
    for row in range(words.shape[0]):
        position = 0
        for lane in range(words.shape[1]):
            code = np.uint64(np.int64(words[row, lane])) & full
            chunk, low = position >> 6, position & 63
            packed[row, chunk] |= code << np.uint64(low)
            if low + bits > 64:
                packed[row, chunk + 1] |= code >> np.uint64(64 - low)
            position += bits


@compiled
def pack_port(
    chunks: NDArray[np.uint64],
    begins: NDArray[np.int64],
    start: NDArray[np.int64],
    stride: int,
    lane_begin: NDArray[np.int64],
    lane_end: NDArray[np.int64],
    lane_cycle: NDArray[np.int64],
    words: int,
    width: int,
    matrix: NDArray[np.uint64],
    values: NDArray[np.uint64],
    at: int,
    gap: int,
) -> None:
    """Pack a port's values in the next cycles of up to 64 lanes.

    Parameters
    ----------
    chunks : ndarray of uint64, shape (R, C)
        Rows of the port.
    begins : ndarray of int64, shape (P + 1,)
        Cycle in which each pass begins, all sequences laid end to end.
    start : ndarray of int64, shape (P,)
        First row of each pass.
    stride : int
        Rows per cycle.
    lane_begin, lane_end : ndarray of int64, shape (lanes,)
        The cycles of the sequence in each lane.
    lane_cycle : ndarray of int64, shape (lanes,)
        The cycle that the port shows in the first word, clamped to those of the sequence.
    words : int
        Cycles to pack, a multiple of WIDTH.
    width : int
        Bits of the port.
    matrix : ndarray of uint64, shape (64 * WIDTH,)
        Scratch space.
    values : ndarray of uint64
        Word i of bit j goes to ``values[at + j * gap + i]``.
    at, gap : int
        Multiples of WIDTH.
    """
    lanes = lane_cycle.size
    passes = np.empty(lanes, dtype=np.int64)
    for lane in range(lanes):
        cycle = min(max(lane_cycle[lane], lane_begin[lane]), lane_end[lane] - 1)
        passes[lane] = np.searchsorted(begins, cycle, side="right") - 1
    for i in range(0, words, WIDTH):
        for chunk in range(chunks.shape[1]):
            for lane in range(lanes):
                number = passes[lane]
                cycle, begin, end = lane_cycle[lane] + i, lane_begin[lane], lane_end[lane]
                place = lane * _WIDTH
                row = start[number] + stride * (cycle - begins[number])
                if begin <= cycle and cycle + _WIDTH <= begins[number + 1]:  # within the pass
                    if stride == 0:
                        store(matrix, place, spread(chunks[row, chunk]))
                    else:
                        for k in range(WIDTH):
                            matrix[place + k] = chunks[row + k, chunk]
                else:
                    number = _read_rows(chunks, chunk, begins, start, stride, begin, end, cycle, number, matrix, place)
                if chunk + 1 == chunks.shape[1]:
                    passes[lane] = number
            bits = min(np.int64(64), width - 64 * chunk)
            _transpose(matrix, bits, values, at + 64 * chunk * gap + i, gap)


@compiled
def _read_rows(
    chunks: NDArray[np.uint64],
    chunk: int,
    begins: NDArray[np.int64],
    start: NDArray[np.int64],
    stride: int,
    begin: int,
    end: int,
    cycle: int,
    number: int,
    matrix: NDArray[np.uint64],
    place: int,
) -> int:
    """Read rows of one lane, starting at a cycle in pass `number`, across passes and ends; returns the last pass."""
    for k in range(WIDTH):
        now = min(max(cycle + k, begin), end - 1)
        while begins[number + 1] <= now:
            number += 1
        matrix[place + k] = chunks[start[number] + stride * (now - begins[number]), chunk]
    return number


@compiled
def _swap(upper: Any, lower: Any, distance: int, mask: Any) -> Any:
    """Exchange the high half of each bit group of one row with the low half of another's."""
    change = ((upper >> distance) ^ lower) & mask
    return upper ^ (change << distance), lower ^ change


@compiled
def _three_stages(matrix: NDArray[np.uint64], at: int, gap: int, first: int, masks: Any) -> None:
    """Transpose over three bits of the row number: 8 rows, `gap` words apart."""
    m0, m1, m2 = spread(masks[0]), spread(masks[1]), spread(masks[2])
    half, quarter = first // 2, first // 4
    a, b = load(matrix, at), load(matrix, at + gap)
    c, d = load(matrix, at + 2 * gap), load(matrix, at + 3 * gap)
    e, f = load(matrix, at + 4 * gap), load(matrix, at + 5 * gap)
    g, h = load(matrix, at + 6 * gap), load(matrix, at + 7 * gap)
    a, e = _swap(a, e, first, m0)
    b, f = _swap(b, f, first, m0)
    c, g = _swap(c, g, first, m0)
    d, h = _swap(d, h, first, m0)
    a, c = _swap(a, c, half, m1)
    b, d = _swap(b, d, half, m1)
    e, g = _swap(e, g, half, m1)
    f, h = _swap(f, h, half, m1)
    a, b = _swap(a, b, quarter, m2)
    c, d = _swap(c, d, quarter, m2)
    e, f = _swap(e, f, quarter, m2)
    g, h = _swap(g, h, quarter, m2)
    store(matrix, at, a)
    store(matrix, at + gap, b)
    store(matrix, at + 2 * gap, c)
    store(matrix, at + 3 * gap, d)
    store(matrix, at + 4 * gap, e)
    store(matrix, at + 5 * gap, f)
    store(matrix, at + 6 * gap, g)
    store(matrix, at + 7 * gap, h)


@compiled
def _transpose(matrix: NDArray[np.uint64], bits: int, values: NDArray[np.uint64], at: int, gap: int) -> None:
    """Turn lanes of 64-bit words into bits of 64 lanes (recursive block swaps; H. Warren, Hacker's Delight, 7-3).

    Row l of the matrix is lane l in WIDTH cycles; all cycles are transposed in the same way. The first `bits` rows of
    the result go to ``values[at]``, ``values[at + gap]`` and so on.
    """
    coarse = (np.uint64(0x00000000FFFFFFFF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00FF00FF00FF00FF))
    fine = (np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x3333333333333333), np.uint64(0x5555555555555555))
    for row in range(8):
        _three_stages(matrix, row * _WIDTH, 8 * _WIDTH, 32, coarse)
    for row in range(0, 64, 8):
        _three_stages(matrix, row * _WIDTH, _WIDTH, 4, fine)
    for bit in range(bits):
        store(values, at + bit * gap, load(matrix, bit * _WIDTH))


@compiled
def mark_active(
    lane_first: NDArray[np.int64], lane_stop: NDArray[np.int64], lanes: int, word: int, active: NDArray[np.uint64]
) -> None:
    """Set bit l of ``active[i]`` if word ``word + i`` is in the lane's range ``first <= word < stop``."""
    active[:] = np.uint64(0)
    for lane in range(lanes):
        bit = np.uint64(1) << np.uint64(lane)
        for i in range(max(lane_first[lane] - word, 0), min(lane_stop[lane] - word, active.size)):
            active[i] |= bit
