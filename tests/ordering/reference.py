"""Independent solvers and random instances to compare with."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import elkai
import numpy as np
from hypothesis import strategies as st


def length(distances: np.ndarray, order: Any) -> int:
    """Sum over consecutive nodes, in plain NumPy."""
    order = np.asarray(order)
    return int(distances[order[:-1], order[1:]].sum(dtype=np.int64))


def hamming(words: np.ndarray) -> np.ndarray:
    """Hamming distances in plain NumPy."""
    return np.bitwise_count(words[:, np.newaxis] ^ words[np.newaxis]).sum(axis=2, dtype=np.int64)


def brute_force(distances: np.ndarray) -> int:
    """Shortest path by trying all orders."""
    return min(length(distances, order) for order in permutations(range(len(distances))))


def held_karp(distances: np.ndarray) -> int:
    """Shortest path by dynamic programming over subsets, in plain Python."""
    n = len(distances)
    best = {(1 << i, i): 0 for i in range(n)}
    for subset in range(1, 1 << n):
        for last in range(n):
            if (subset, last) not in best:
                continue
            for following in range(n):
                if not subset >> following & 1:
                    key = (subset | 1 << following, following)
                    value = best[subset, last] + int(distances[last, following])
                    best[key] = min(best.get(key, value), value)
    return min(best[(1 << n) - 1, last] for last in range(n))


def lkh(distances: np.ndarray, runs: int = 1) -> int:
    """Length of LKH's path: a tour with a dummy node at distance 0 from all."""
    n = len(distances)
    closed = np.zeros((n + 1, n + 1), dtype=int)
    closed[:n, :n] = distances
    tour = np.array(elkai.DistanceMatrix(closed.tolist()).solve_tsp(runs=runs)[:-1])
    dummy = int(np.flatnonzero(tour == n)[0])
    return length(distances, np.roll(tour, -dummy)[1:])


@st.composite
def words(draw: st.DrawFn, least: int = 1, most: int = 11, lanes: int = 2) -> np.ndarray:
    """Few lanes of few bits: many ties and equal rows."""
    n = draw(st.integers(least, most))
    codes = draw(st.lists(st.integers(0, draw(st.sampled_from([1, 7, 255]))), min_size=n * lanes, max_size=n * lanes))
    return np.array(codes, dtype=np.uint8).reshape(n, lanes)


@st.composite
def distances(draw: st.DrawFn, least: int = 1, most: int = 11) -> np.ndarray:
    """Any symmetric integers: no triangle inequality."""
    n = draw(st.integers(least, most))
    largest = draw(st.sampled_from([1, 3, 20, 100_000]))
    values = draw(st.lists(st.integers(0, largest), min_size=n * n, max_size=n * n))
    upper = np.triu(np.array(values, dtype=np.int64).reshape(n, n), 1)
    return upper + upper.T
