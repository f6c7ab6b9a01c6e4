"""Lower bound by nearest neighbours: the 1-tree of Held and Karp where comparing all pairs for it is too dear.

Under potentials p the reduced cost of an edge is c[i, j] = d[i, j] + p[i] + p[j]. For each node i its k edges of least
reduced cost are known exactly; let r[i] be the k-th of them. Then

* an edge that is in no list costs at least max(r[i], r[j]): it is not among the k least of i, nor of j;
* let h be the node of least r. Lower every such edge to max(r[i], r[j]) and add edges (i, h) of cost
  max(r[i], r[h]) = r[i]. No spanning tree became dearer, so that a minimum spanning tree of the new graph costs at most
  as much as one of the complete graph;
* of the lowered edges only those of h are needed: (i, j) is in the circle i, h, j, whose two other edges cost r[i] and
  r[j], neither more than max(r[i], r[j]).

So a minimum spanning tree of the lists' edges and of a star around h, with the dummy's two edges as in
:mod:`fewflips.ordering.bound`, gives a valid bound in O(k N log N). It is as tight as the 1-tree where no edge of the
star is in the tree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.bound import Graph, minimum_one_tree, new_one_tree


@compiled
def near_dual_value(node: NDArray[np.int32], cost: NDArray[np.int64], potentials: NDArray[np.int64]) -> int:
    """The bound that exact neighbour lists certify.

    Parameters
    ----------
    node : ndarray of int32, shape (N, k)
        Of each node the k others of least reduced cost.
    cost : ndarray of int64, shape (N, k)
        The reduced costs, ascending, in 2 ** -FRACTION_BITS flips.
    potentials : ndarray of int64, shape (N,)
        In the same unit.

    Returns
    -------
    int
        No path is shorter, in 2 ** -FRACTION_BITS flips.
    """
    return minimum_one_tree(starred_graph(node, cost, potentials), potentials, new_one_tree(potentials.size))


@compiled
def starred_graph(node: NDArray[np.int32], cost: NDArray[np.int64], potentials: NDArray[np.int64]) -> Any:
    """The edges of the lists, in both directions, and a star that stands for all others; lengths without potentials."""
    n, k = node.shape
    hub = np.argmin(cost[:, k - 1])
    room = np.zeros(n + 1, np.int64)
    for i in range(n):
        room[i + 1] += k + 1
        room[hub + 1] += 1
        for slot in range(k):
            room[node[i, slot] + 1] += 1
    start = np.cumsum(room).astype(np.int32)
    stop = start[:n].copy()
    to = np.empty(start[n], np.int32)
    length = np.empty(start[n], np.int64)
    for i in range(n):
        for slot in range(k + 1):
            j = node[i, slot] if slot < k else hub
            if i == j:
                continue
            reduced = cost[i, slot] if slot < k else cost[i, k - 1]
            away = reduced - potentials[i] - potentials[j]
            to[stop[i]], length[stop[i]] = j, away
            to[stop[j]], length[stop[j]] = i, away
            stop[i] += 1
            stop[j] += 1
    return Graph(start[:n].copy(), stop, to, length)
