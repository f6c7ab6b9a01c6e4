"""The cheapest codes of lanes whose errors add up in a sum: exact along each lane, lane after lane.

The weights of an output channel are added up after they are multiplied by activations, so that the error of one lane
can make up for that of another. With C the covariance of the activations, the output error of channel n is d^T C d for
its change of weights d. Given all other lanes, that is a parabola in the change on one lane:

    C_kk (d_k + sum_{j != k} C_kj d_j / C_kk)^2 + terms without d_k

so that the cheapest codes along the lane are a shortest path (as in :mod:`fewflips.assignment.nearest_codes`), whose
targets are the original weights less what the other lanes' errors call for. One lane after the other, the sum of
errors and costs never rises (coordinate descent). Codes are sought in a window of values around the target: a step
through it takes W^2 operations whatever transitions cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.kernels.compiled import compiled

WINDOW = 32
"""Values that a weight may choose from, unless more are asked for."""


@dataclass(frozen=True, eq=False)
class Values:
    """The values that weights may take, in rising order, and what steps between them cost.

    Parameters
    ----------
    low : int
        The smallest.
    transition_costs : ndarray of float32, shape (V, V)
        Of the step from one value to the next along a lane; symmetric.
    """

    low: int
    transition_costs: NDArray[np.float32] = field(repr=False)

    @property
    def count(self) -> int:
        """V."""
        return len(self.transition_costs)


@dataclass(frozen=True, eq=False)
class CoupledLayer:
    """A layer's weights and what their errors do to its output.

    Parameters
    ----------
    weights : ndarray of float32, shape (N, K)
        What the weights would be without any cost: the original's integers, or real numbers.
    covariance : ndarray of float32, shape (G, K, K)
        Of the activations of each group; positive on the diagonal. Channel n belongs to group n // (N // G).
    importance : ndarray of float32, shape (N,)
        Weight of each channel's squared error; positive.
    values : Values
        Of all weights.
    """

    weights: NDArray[np.float32] = field(repr=False)
    covariance: NDArray[np.float32] = field(repr=False)
    importance: NDArray[np.float32] = field(repr=False)
    values: Values

    def __post_init__(self) -> None:
        n, k = self.weights.shape
        groups = len(self.covariance)
        if self.covariance.shape[1:] != (k, k) or not groups or n % groups or self.importance.shape != (n,):
            raise InputError(
                f"assignment: expected covariances (G, {k}, {k}) and {n} importances for weights of shape {(n, k)}, "
                f"got {self.covariance.shape} and {self.importance.shape}"
            )
        if not (np.diagonal(self.covariance, axis1=1, axis2=2) > 0).all():
            raise InputError("assignment: expected activations of a variance above 0 on every lane")

    def error(self, codes: NDArray[np.integer]) -> float:
        """Output error of codes, shape (N, K): importance times d^T C d, summed over channels."""
        change = codes - self.weights
        return float((self.importance[:, None] * change * self.gradient(codes)).sum(dtype=np.float64))

    def gradient(self, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """C d of every channel, float32, shape (N, K)."""
        n, k = self.weights.shape
        change = (codes - self.weights).astype(np.float32).reshape(len(self.covariance), -1, k)
        product: NDArray[np.float32] = np.matmul(change, self.covariance).reshape(n, k)
        return product


def descend(
    layer: CoupledLayer,
    codes: NDArray[np.int16],
    gradient: NDArray[np.float32],
    lanes: NDArray[np.int64],
    order: NDArray[np.int64],
    price: float,
    window: int = WINDOW,
) -> None:
    """Give each lane of a segment its cheapest codes, one lane after the other.

    Parameters
    ----------
    layer : CoupledLayer
        The layer.
    codes : ndarray of int16, shape (N, K)
        Present codes; those of the segment are replaced.
    gradient : ndarray of float32, shape (N, K)
        :meth:`CoupledLayer.gradient` of the codes; it is kept up.
    lanes : ndarray of int64, shape (L,)
        Columns of the weights that share the pass.
    order : ndarray of int64, shape (T,)
        Rows in the order in which they stream.
    price : float
        What a unit of the transition costs is worth in error.
    window : int
        Values among which a weight is sought, around its target; the present one is always among them.
    """
    width = min(window, layer.values.count)
    rows = order
    group = rows // (len(codes) // len(layer.covariance))
    of_lanes = np.ascontiguousarray(layer.covariance[:, lanes][:, :, lanes])
    weights = np.ascontiguousarray(layer.weights[np.ix_(rows, lanes)].T)
    before = np.ascontiguousarray(codes[np.ix_(rows, lanes)].T)
    after, slopes = before.copy(), np.ascontiguousarray(gradient[np.ix_(rows, lanes)].T)
    costs = layer.values.transition_costs * np.float32(price)
    _descend(weights, after, slopes, of_lanes, group, layer.importance[rows], costs, layer.values.low, width)
    moved = after - before
    if moved.any():
        codes[np.ix_(rows, lanes)] = after.T
        _spread(moved, rows, np.ascontiguousarray(layer.covariance[:, lanes]), group, gradient)


@compiled
def _spread(moved, rows, covariance, group, gradient):  # type: ignore[no-untyped-def]
    """What the moves of a segment's codes do to the gradient; most stay where they are."""
    lanes, length = moved.shape
    for t in range(length):
        slopes = gradient[rows[t]]
        for lane in range(lanes):
            change = np.float32(moved[lane, t])
            if change != 0:
                row = covariance[group[t], lane]
                for k in range(slopes.size):
                    slopes[k] += change * row[k]


@compiled
def _descend(weights, codes, slopes, covariance, group, importance, costs, low, width):  # type: ignore[no-untyped-def]
    """Lane by lane: targets, window, path, and what the move does to the slopes of the lanes to come."""
    lanes, length = codes.shape
    totals = np.empty((length, width), dtype=np.float32)
    best = np.empty(width, dtype=np.float32)
    bases = np.empty(length, dtype=np.int64)
    last = costs.shape[0] - width
    for lane in range(lanes):
        for t in range(length):
            curvature = covariance[group[t], lane, lane]
            present = np.float32(codes[lane, t])
            target = present - slopes[lane, t] / curvature
            index = codes[lane, t] - low
            base = int(np.rint(target)) - low - width // 2
            base = min(max(base, index - width + 1), index)
            base = min(max(base, 0), last)
            bases[t] = base
            weight = curvature * importance[t]
            for j in range(width):
                away = np.float32(low + base + j) - target
                totals[t, j] = away * away * weight
            if t > 0:
                _step(totals[t - 1], costs[bases[t - 1] : bases[t - 1] + width], base, totals[t], best)
        _trace(totals, bases, costs, low, codes[lane], slopes, lane, covariance, group)


@compiled
def _step(before, costs, base, total, best):  # type: ignore[no-untyped-def]
    """Add the least cost of reaching each value of the window."""
    width = total.size
    best[:] = np.inf
    for i in range(width):
        reached, row = before[i], costs[i, base : base + width]
        for j in range(width):
            other = reached + row[j]
            best[j] = other if other < best[j] else best[j]
    for j in range(width):
        total[j] += best[j]


@compiled
def _trace(totals, bases, costs, low, codes, slopes, lane, covariance, group):  # type: ignore[no-untyped-def]
    """Walk back along the cheapest path, write its codes, and update the slopes of the other lanes."""
    length, width = totals.shape
    at = 0
    for j in range(1, width):
        at = j if totals[length - 1, j] < totals[length - 1, at] else at
    for t in range(length - 1, -1, -1):
        value = low + bases[t] + at
        change = np.float32(value - codes[t])
        if change != 0:
            codes[t] = value
            for other in range(slopes.shape[0]):
                slopes[other, t] += change * covariance[group[t], lane, other]
        if t > 0:
            row, base = costs[bases[t] + at], bases[t - 1]
            best, at = totals[t - 1, 0] + row[base], 0
            for i in range(1, width):
                other_cost = totals[t - 1, i] + row[base + i]
                if other_cost < best:
                    best, at = other_cost, i
