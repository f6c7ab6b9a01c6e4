"""Exact solution of tiny instances by dynamic programming."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.metric import INFINITE, distance

LARGEST = 10  # nodes


@compiled
def dynamic_program(source: Any) -> NDArray[np.int64]:
    """A shortest Hamiltonian path of at most :data:`LARGEST` nodes.

    Bellman, *Dynamic programming treatment of the travelling salesman problem* (J. ACM 9, 1962); Held and
    Karp, *A dynamic programming approach to sequencing problems* (J. SIAM 10, 1962). O(2^N N^2).

    Parameters
    ----------
    source : ndarray
        (N, N) distances of uint16 or int32, or (N, W) packed rows of uint64.

    Returns
    -------
    ndarray of int64, shape (N,)
        The nodes in the order of the path.
    """
    n = source.shape[0]
    full = (1 << n) - 1
    length = np.full((full + 1, n), INFINITE)
    previous = np.full((full + 1, n), -1)
    for last in range(n):
        length[1 << last, last] = 0
    for subset in range(1, full):
        for last in range(n):
            if length[subset, last] == INFINITE:
                continue
            for following in range(n):
                if subset >> following & 1:
                    continue
                larger = subset | 1 << following
                candidate = length[subset, last] + distance(source, last, following)
                if candidate < length[larger, following]:
                    length[larger, following] = candidate
                    previous[larger, following] = last
    path = np.empty(n, np.int64)
    subset = full
    path[n - 1] = np.argmin(length[full])
    for step in range(n - 1, 0, -1):
        path[step - 1] = previous[subset, path[step]]
        subset &= ~(1 << path[step])
    return path
