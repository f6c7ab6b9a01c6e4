"""Compiled parts of the search: words of a segment, what rows of codes cost along a path, neighbours of a word."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.bound import Neighbours
from fewflips.ordering.metric import FRACTION_BITS, distance
from fewflips.streams.flips import popcount


@compiled
def step_cost(steps: NDArray[np.int64], bits: int, a: int, b: int) -> Any:
    """Cost of the step between two codes: flips, or by the bits that differ, or by both."""
    if steps.size == 0:
        return np.int64(popcount(np.uint64(a ^ b)))
    if steps.size == 1 << bits:
        return steps[a ^ b]
    return steps[a << bits | b]


@compiled
def packed_words(
    codes: NDArray[np.unsignedinteger], rows: NDArray[np.int64], words: NDArray[np.int64], bits: int
) -> NDArray[np.uint64]:
    """Words of a segment, with the rows of codes given on its lanes, as rows of bits, shape (T, W)."""
    fit = 64 // bits
    packed = np.zeros((words.size, (rows.size + fit - 1) // fit), np.uint64)
    for lane in range(rows.size):
        shift = np.uint64(bits * (lane % fit))
        for t in range(words.size):
            packed[t, lane // fit] |= np.uint64(codes[rows[lane], words[t]]) << shift
    return packed


@compiled
def same_words(packed: NDArray[np.uint64]) -> Any:
    """A number for each row, the same for equal ones, and the first row of each number."""
    n, width = packed.shape
    mixed = np.zeros(n, np.uint64)
    for i in range(n):
        for w in range(width):
            mixed[i] = (mixed[i] ^ packed[i, w]) * np.uint64(0x9E3779B97F4A7C15)
            mixed[i] ^= mixed[i] >> np.uint64(29)
    order = np.argsort(mixed)
    number = np.empty(n, np.int64)
    first = np.empty(n, np.int64)
    count = 0
    for t in range(n):
        same = t > 0
        for w in range(width):
            same = same and packed[order[t], w] == packed[order[t - 1], w]
        if not same:
            first[count] = order[t]
            count += 1
        number[order[t]] = count - 1
    return number, first[:count].copy()


@compiled
def distances(
    codes: NDArray[np.unsignedinteger],
    rows: NDArray[np.int64],
    words: NDArray[np.int64],
    steps: NDArray[np.int64],
    bits: int,
) -> NDArray[np.int32]:
    """Costs of the steps between all words of a segment, shape (T, T)."""
    apart = np.zeros((words.size, words.size), np.int32)
    for row in rows:
        for i in range(words.size):
            code = np.int64(codes[row, words[i]])
            for j in range(i):
                apart[i, j] += step_cost(steps, bits, code, np.int64(codes[row, words[j]]))
    for i in range(words.size):
        for j in range(i):
            apart[j, i] = apart[i, j]
    return apart


@compiled
def costs_along(
    codes: NDArray[np.unsignedinteger],
    rows: NDArray[np.int64],
    along: NDArray[np.int64],
    chains: int,
    steps: NDArray[np.int64],
    bits: int,
) -> NDArray[np.int64]:
    """Cost of each of some rows of codes along a path of words that is cut into chains, the first ones longer.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (J, T)
        What streams on each lane index.
    rows : ndarray of int64, shape (R,)
        The rows to price.
    along : ndarray of int64
        Streaming indices in the order of the path.
    chains : int
        Pieces of the path.
    steps : ndarray of int64
        Cost of a step; see :func:`step_cost`.
    bits : int
        Width of a code.

    Returns
    -------
    ndarray of int64, shape (R,)
        Each row's cost, once.
    """
    costs = np.zeros(rows.size, np.int64)
    begin = 0
    for chain in range(chains):
        end = begin + along.size // chains + (1 if chain < along.size % chains else 0)
        for number in range(rows.size):
            row = rows[number]
            for t in range(begin + 1, end):
                a, b = np.int64(codes[row, along[t - 1]]), np.int64(codes[row, along[t]])
                costs[number] += step_cost(steps, bits, a, b)
        begin = end
    return costs


@compiled
def nearest(source: Any, k: int) -> Any:
    """The k nearest partners of each node, best first; of the dummy, the nodes that are far from all others.

    Parameters
    ----------
    source : ndarray
        (N, N) distances, or (N, W) packed rows (:mod:`fewflips.ordering.metric`); N > k.
    k : int
        Partners.

    Returns
    -------
    Neighbours
        As the local search takes them, under potentials of zero.
    """
    n = source.shape[0]
    node = np.zeros((n + 1, k), np.int32)
    cost = np.zeros((n + 1, k), np.int64)
    near = np.empty(n, np.int64)
    for i in range(n):
        filled = 0
        for j in range(n):
            if j == i:
                continue
            away = np.int64(distance(source, i, j)) << FRACTION_BITS
            if filled == k:
                if away >= cost[i, k - 1]:
                    continue
                filled -= 1
            slot = filled
            while slot and cost[i, slot - 1] > away:
                cost[i, slot], node[i, slot] = cost[i, slot - 1], node[i, slot - 1]
                slot -= 1
            cost[i, slot], node[i, slot] = away, j
            filled += 1
        near[i] = cost[i, 1]
    lonely = np.argsort(-near)
    for slot in range(k):
        node[n, slot] = lonely[slot]
    return Neighbours(node, cost)
