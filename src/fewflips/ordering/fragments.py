"""A first path of many nodes: the shortest edges of neighbour lists that fit together.

The greedy heuristic of Bentley, *Fast algorithms for geometric traveling salesman problems* (ORSA J. Comput. 4, 1992):
edges are taken from short to long where both ends have room and no circle closes; the fragments that are left are
joined, each to the nearest end of another. Takes the time of the lists, plus fragments squared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.metric import INFINITE, distance


@compiled
def greedy_edges_path(rows: NDArray[np.uint64], node: NDArray[np.int32], cost: NDArray[np.int64]) -> NDArray[np.int64]:
    """A Hamiltonian path from neighbour lists.

    Parameters
    ----------
    rows : ndarray of uint64, shape (N, W)
        Packed bits.
    node : ndarray of int32, shape (N, k)
        Neighbours of each row.
    cost : ndarray of int64, shape (N, k)
        What their edges cost.

    Returns
    -------
    ndarray of int64, shape (N,)
        The nodes in the order of the path.
    """
    n, k = node.shape
    degree = np.zeros(n, np.int32)
    beside = np.full((n, 2), -1, np.int32)
    above = np.arange(n).astype(np.int32)
    for edge in np.argsort(cost.reshape(-1), kind="mergesort"):
        i = edge // k
        j = node[i, edge % k]
        if degree[i] == 2 or degree[j] == 2:
            continue
        one = fragment_of(above, i)
        other = fragment_of(above, j)
        if one == other:
            continue
        above[one] = other
        beside[i, degree[i]] = j
        beside[j, degree[j]] = i
        degree[i] += 1
        degree[j] += 1
    return joined(rows, beside, degree)


@compiled
def fragment_of(above: NDArray[np.int32], node: int) -> int:
    """The fragment's name; shortens the way to it (Tarjan 1975)."""
    while above[node] != node:
        above[node] = above[above[node]]
        node = above[node]
    return node


@compiled
def joined(rows: NDArray[np.uint64], beside: NDArray[np.int32], degree: NDArray[np.int32]) -> NDArray[np.int64]:
    """Fragments one after the other, each entered at the end that is nearest to the last node."""
    n = degree.size
    ends = np.flatnonzero(degree < 2)
    left = ends.size
    used = np.zeros(n, np.bool_)
    path = np.empty(n, np.int64)
    filled = 0
    here = ends[0]
    while True:
        before = -1
        while here >= 0:
            used[here] = True
            path[filled] = here
            filled += 1
            after = beside[here, 0] if beside[here, 0] != before else beside[here, 1]
            before = here
            here = after
        if filled == n:
            return path
        nearest = INFINITE
        at = 0
        while at < left:
            if used[ends[at]]:
                left -= 1
                ends[at] = ends[left]
                continue
            away = distance(rows, before, ends[at])
            if away < nearest:
                nearest = away
                here = ends[at]
            at += 1
