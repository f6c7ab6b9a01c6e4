"""The nearest rows of each row, exactly, and never a table of all pairs.

All rows are compared with all, but a block of distances at a time, on the bits that differ among the rows, packed into
64-bit words. Only where a block has a row that is near enough are its rows looked at one by one. Time grows with the
square of the rows, and memory with the rows. The nearest of 10^4 words of quantized weights are 10 to 20 of 64 bits
away, where the buckets of an index in Hamming space that misses none hold a large part of all words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.metric import FRACTION_BITS
from fewflips.streams.flips import popcount

BLOCK = 64  # rows whose distances are computed before any of them is looked at
PAIRS_AT_A_TIME = 1 << 29  # comparisons between two looks at the clock: about half a second


class NearLists(NamedTuple):
    """For each row its nearest others, nearest first: every row that is not listed is at least as far as the last."""

    node: NDArray[np.int32]  # (N, k)
    cost: NDArray[np.int64]  # (N, k), distance plus both potentials, in 2 ** -FRACTION_BITS flips


def varying_bits(words: NDArray[np.unsignedinteger]) -> NDArray[np.uint64]:
    """Rows without the bits that are the same in all of them, in 64-bit words.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (N, L)
        One word vector per row.

    Returns
    -------
    ndarray of uint64, shape (N, W)
        Hamming distances are those of `words`; W is 1 for 16 lanes of 4 bits in bytes.

    Examples
    --------
    >>> varying_bits(np.array([[9, 7], [9, 6]], dtype=np.uint8)).tolist()
    [[1], [0]]
    """
    rows = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1)
    different = np.bitwise_or.reduce(rows ^ rows[:1], axis=0)
    columns = np.flatnonzero(np.unpackbits(different, bitorder="little"))
    width = max(1, -(-len(columns) // 64))
    bits = np.zeros((len(words), 64 * width), np.uint8)
    bits[:, : len(columns)] = np.unpackbits(rows, axis=1, bitorder="little")[:, columns]
    return np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def nearest_rows(
    rows: NDArray[np.uint64], potentials: NDArray[np.int64], k: int, look_up: Callable[[], None]
) -> NearLists:
    """The k nearest rows of each row under potentials.

    Parameters
    ----------
    rows : ndarray of uint64, shape (N, W)
        Packed bits.
    potentials : ndarray of int64, shape (N,)
        What each row adds to the cost of its edges, in 2 ** -FRACTION_BITS flips.
    k : int
        At least 1; N - 1 where that is less.
    look_up : callable
        Called now and then; may raise.

    Returns
    -------
    NearLists
        Ties go to rows that follow the row itself, block by block, so that rows in many ties share out.
    """
    nodes = len(rows)
    k = min(k, nodes - 1)
    lists = NearLists(np.empty((nodes, k), np.int32), np.empty((nodes, k), np.int64))
    columns = np.ascontiguousarray(rows.T)
    step = max(1, PAIRS_AT_A_TIME // (nodes * rows.shape[1]))
    for first in range(0, nodes, step):
        _nearest(columns, potentials, first, min(nodes, first + step), lists.node, lists.cost)
        look_up()
    return lists


@compiled
def _costs(
    columns: NDArray[np.uint64], potentials: NDArray[np.int64], i: int, start: int, cost: NDArray[np.int64], size: int
) -> Any:
    """Costs from row i, without its own potential, to `size` rows from `start`; returns the least."""
    own = columns[0, i]
    for t in range(size):
        cost[t] = popcount(columns[0, start + t] ^ own)
    for w in range(1, columns.shape[0]):
        own = columns[w, i]
        for t in range(size):
            cost[t] += np.int64(popcount(columns[w, start + t] ^ own))
    least = np.int64(1 << 62)
    for t in range(size):
        cost[t] = (cost[t] << FRACTION_BITS) + potentials[start + t]
        least = min(least, cost[t])
    return least


@compiled
def _nearest(
    columns: NDArray[np.uint64],
    potentials: NDArray[np.int64],
    first: int,
    last: int,
    node: NDArray[np.int32],
    cost: NDArray[np.int64],
) -> None:
    """Fill the lists of rows `first` to `last` - 1."""
    n = columns.shape[1]
    k = node.shape[1]
    blocks = (n + BLOCK - 1) // BLOCK
    away = np.empty(BLOCK, np.int64)
    for i in range(first, last):
        filled = 0
        for b in range(blocks):
            start = ((i // BLOCK + b) % blocks) * BLOCK
            size = min(BLOCK, n - start)
            least = _costs(columns, potentials, i, start, away, size)
            if filled == k and least >= cost[i, k - 1]:
                continue
            for t in range(size):
                if start + t == i or (filled == k and away[t] >= cost[i, k - 1]):
                    continue
                slot = min(filled, k - 1)
                while slot > 0 and cost[i, slot - 1] > away[t]:
                    cost[i, slot] = cost[i, slot - 1]
                    node[i, slot] = node[i, slot - 1]
                    slot -= 1
                cost[i, slot] = away[t]
                node[i, slot] = start + t
                filled = min(filled + 1, k)
        for slot in range(k):
            cost[i, slot] += potentials[i]
