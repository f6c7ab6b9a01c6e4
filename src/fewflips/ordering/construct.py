"""First paths: the natural order, and the nearest neighbour."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.metric import INFINITE, distance


def natural(nodes: int) -> NDArray[np.int64]:
    """The order in which the rows are stored.

    Parameters
    ----------
    nodes : int
        Number of rows N.

    Returns
    -------
    ndarray of int64, shape (N,)
        0, 1, ..., N - 1.
    """
    return np.arange(nodes, dtype=np.int64)


@compiled
def greedy_path(source: Any, start: int = 0) -> NDArray[np.int64]:
    """Nearest-neighbour path: from the last node to the nearest one not yet visited.

    Rosenkrantz, Stearns, Lewis, *An analysis of several heuristics for the traveling salesman problem*
    (SIAM J. Comput. 6, 1977), section 2. Takes O(N^2) distances. Ties go to the node met first.

    Parameters
    ----------
    source : ndarray
        (N, N) distances of uint16 or int32, or (N, W) packed rows of uint64.
    start : int
        First node.

    Returns
    -------
    ndarray of int64, shape (N,)
        The nodes in the order of the path.
    """
    n = source.shape[0]
    path = np.empty(n, np.int64)
    rest = np.arange(n)
    rest[start] = rest[n - 1]
    left = n - 1
    path[0] = start
    for step in range(1, n):
        nearest = INFINITE
        chosen = 0
        for r in range(left):
            away = distance(source, path[step - 1], rest[r])
            if away < nearest:
                nearest = away
                chosen = r
        path[step] = rest[chosen]
        left -= 1
        rest[chosen] = rest[left]
    return path
