"""Distances as the solver sees them: a matrix, or packed rows whose Hamming distance is computed on demand.

Every kernel of this package takes a `source`, which is one of

* an (N, N) symmetric matrix of uint16 or int32: any distances, or
* an (N, W) matrix of uint64: rows of bits; the distance is the number of bits that differ.

Potentials and costs are exact integers, in units of 2 ** -FRACTION_BITS flips. No certificate depends on
floating-point arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.kernels.compiled import compiled
from fewflips.streams.flips import pack_rows, pairwise_distances, popcount
from fewflips.streams.transition_cost import TransitionCost

FRACTION_BITS = 12
UNIT = 1 << FRACTION_BITS  # one flip, in the units of costs and potentials
INFINITE = 1 << 60  # above every cost; sums of two stay within int64

MATRIX_ROWS = 8192  # the largest N whose Hamming distances are tabulated (128 MiB of uint16)
MOST_COMPARED = 1 << 37  # pairs of 64-bit words that one pass over all pairs of rows may compare: minutes in total
LARGEST_PATH = 1 << 36  # flips, N x largest distance: every sum of costs, potentials and multipliers fits int64


def distance(source: Any, i: int, j: int) -> Any:
    """Distance of two nodes, in flips (compiled code only; see the overloads below)."""
    raise NotImplementedError("distance() is for compiled code")


@overload(distance)
def _distance(source: Any, i: int, j: int) -> Any:
    if source.dtype == types.uint64:

        def of_rows(source: Any, i: int, j: int) -> Any:
            total = np.uint64(0)
            for w in range(source.shape[1]):
                total += popcount(source[i, w] ^ source[j, w])
            return np.int64(total)

        return of_rows

    def of_matrix(source: Any, i: int, j: int) -> Any:
        return np.int64(source[i, j])

    return of_matrix


@compiled
def edge_cost(source: Any, potentials: NDArray[np.int64], i: int, j: int) -> Any:
    """Distance plus both potentials; node N is the dummy, at distance 0 from all, of potential 0."""
    n = potentials.size
    if i == n:
        return potentials[j]
    if j == n:
        return potentials[i]
    return (distance(source, i, j) << FRACTION_BITS) + potentials[i] + potentials[j]


@compiled
def path_length(source: Any, order: NDArray[np.int64]) -> Any:
    """Sum of the distances of consecutive nodes, in flips."""
    total = np.int64(0)
    for i in range(order.size - 1):
        total += distance(source, order[i], order[i + 1])
    return total


def hamming_distance_matrix(words: NDArray[np.unsignedinteger]) -> NDArray[np.uint16]:
    """Hamming distances of all pairs of rows.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (N, L)
        One word vector per row; at most 65535 bits.

    Returns
    -------
    ndarray of uint16, shape (N, N)
        Distances in flips.

    Raises
    ------
    InputError
        If `words` is not a matrix of 8- or 16-bit integers, or if its rows have more than 65535 bits.
    """
    packed = pack_rows(words)
    if packed.shape[1] * 64 > 65535:
        raise InputError(
            f"distance matrix: expected rows of at most 65472 bits, got {packed.shape[1] * 64}; split the rows"
        )
    return pairwise_distances(words).astype(np.uint16)


def check_words(words: NDArray[np.unsignedinteger]) -> None:
    """Refuse anything but a matrix of codes with at least one row.

    Raises
    ------
    InputError
        If `words` is not a matrix of 8- or 16-bit integers with at least one row.
    """
    if words.ndim != 2 or words.shape[0] == 0 or words.dtype.kind not in "ui" or words.dtype.itemsize > 2:
        raise InputError(
            f"words: expected a matrix of 8- or 16-bit integers with at least one row, "
            f"got shape {words.shape} of {words.dtype}"
        )


def rows_within_reach(words: NDArray[np.unsignedinteger], cost: TransitionCost | None = None) -> int:
    """The largest block of rows to compare all with all; len(words) if that is not too many.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (N, L)
        One word vector per row.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.

    Returns
    -------
    int
        With blocks of this many rows, one pass compares at most MOST_COMPARED pairs of 64-bit words; costs other than
        flips are tabulated, for at most MATRIX_ROWS rows.
    """
    row_words = max(1, -(-words.shape[1] * words.dtype.itemsize // 8))
    most = len(words) if cost is None or cost.is_flips else min(len(words), MATRIX_ROWS)
    return max(1, min(most, MOST_COMPARED // max(1, len(words) * row_words)))


def spread_bound(words: NDArray[np.unsignedinteger], chains: int = 1, cost: TransitionCost | None = None) -> int:
    """Lower bound of `chains` paths through rows that are too many to compare: different rows are one flip apart.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (N, L)
        One word vector per row.
    chains : int
        Number of paths that together visit every row, at least 1.
    cost : TransitionCost, optional
        Cost of a transition (:meth:`~fewflips.streams.transition_cost.TransitionCost.spread`); flips by default.

    Returns
    -------
    int
        In flips, or in the unit of `cost`.
    """
    if cost is not None and not cost.is_flips:
        return cost.spread(words, chains)
    return max(0, len(np.unique(words, axis=0)) - chains)


def source_of_words(words: NDArray[np.unsignedinteger], cost: TransitionCost | None = None) -> NDArray[Any]:
    """Distances of rows as a `source`.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (N, L)
        One word vector per row.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.

    Returns
    -------
    ndarray
        A table for up to MATRIX_ROWS rows; beyond that, for flips, the packed rows.

    Raises
    ------
    InputError
        If there are more rows and the cost is not flips.
    """
    if cost is not None and not cost.is_flips:
        if len(words) > MATRIX_ROWS:
            raise InputError(f"costs of transitions: expected at most {MATRIX_ROWS} rows, got {len(words)}; take flips")
        return source_of_distances(cost.distances(words))
    packed = pack_rows(words)
    if packed.shape[0] > MATRIX_ROWS or packed.shape[1] * 64 > 65535:
        return np.ascontiguousarray(packed)
    return hamming_distance_matrix(words)


def source_of_distances(distances: NDArray[np.integer]) -> NDArray[Any]:
    """A checked (N, N) matrix as a `source`.

    Raises
    ------
    InputError
        If the matrix is not square, not of integers, empty, negative, not symmetric, not zero on its
        diagonal, or so large that exact 64-bit arithmetic could overflow.
    """
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1] or distances.shape[0] == 0:
        raise InputError(f"distances: expected a square matrix of at least one row, got {distances.shape}")
    if distances.dtype.kind not in "ui":
        raise InputError(f"distances: expected integers, got {distances.dtype}; scale and round them")
    if distances.min() < 0 or distances.diagonal().any() or not np.array_equal(distances, distances.T):
        raise InputError("distances: expected a symmetric non-negative matrix with a zero diagonal")
    largest = int(distances.max())
    if largest > np.iinfo(np.int32).max or largest * distances.shape[0] > LARGEST_PATH:
        raise InputError(f"distances: {largest} is too large for exact arithmetic; scale the distances down")
    return np.ascontiguousarray(distances, dtype=np.uint16 if largest < 65536 else np.int32)
