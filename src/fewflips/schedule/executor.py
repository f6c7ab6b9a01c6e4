"""Executing a schedule in integers, and comparing it with the plain product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment
from fewflips.errors import InputError, VerificationError
from fewflips.kernels.compiled import compiled
from fewflips.network.layer import Layer
from fewflips.records.schedule import Axes


def check_coverage(layer: Layer, segments: tuple[Segment, ...], axes: Axes) -> None:
    """Raise :class:`InputError` unless the segments visit every (n, k) of a layer exactly once."""
    visits = np.zeros((layer.n, layer.k), dtype=np.int8)
    for segment in segments:
        channels, reduction = (segment.order, segment.lanes) if axes.order == "n" else (segment.lanes, segment.order)
        if not channels.size or not reduction.size or channels.max() >= layer.n or reduction.max() >= layer.k:
            raise InputError(f"{layer}: a segment of the schedule has indices outside the layer")
        if len(np.unique(channels)) < len(channels) or len(np.unique(reduction)) < len(reduction):
            raise InputError(f"{layer}: a segment of the schedule visits an index twice")
        visits[np.ix_(channels, reduction)] += 1
        if visits.max() > 1:
            raise InputError(f"{layer}: the segments of the schedule overlap")
    if not visits.all():
        missed = int((visits == 0).sum())
        raise InputError(f"{layer}: the schedule leaves out {missed} of {visits.size} weights")


def execute_segments(
    layer: Layer, rows: NDArray[np.integer], activation_zero_point: int, segments: tuple[Segment, ...], axes: Axes
) -> NDArray[np.int64]:
    """Compute Y in integers, adding partial sums in the scheduled order.

    Words that stream negated are negated first, and their products subtracted.

    Integers of different scales do not add up, so that each group of reduction indices that share theirs
    (:meth:`~fewflips.network.operand.ConstantOperand.scale_groups`) has sums of its own.

    Parameters
    ----------
    layer : Layer
        Weights, zero points and scales.
    rows : ndarray of int8, uint8 or int16, shape (G, M, K)
        Activations of each group.
    activation_zero_point : int
        Subtracted from the activations.
    segments : tuple of Segment
        The scheduled passes.
    axes : Axes
        What their lanes and order index.

    Returns
    -------
    ndarray of int64, shape (G, M, N)
        For each of G groups of reduction indices, one where every output channel has a single scale: the sum over its
        k of (X[m, k] - zero point) (W[n, k] - zero point of n and k), without bias.
    """
    activations = np.ascontiguousarray((rows.astype(np.int64) - activation_zero_point).swapaxes(1, 2))
    weights = layer.weights.astype(np.int64) - layer.right.element_zero_points()
    streamed = _as_streamed(weights, segments, axes)
    scale_groups = layer.right.scale_groups()
    sums = np.zeros((scale_groups.max() + 1, layer.n, rows.shape[1]), dtype=np.int64)
    outputs_per_group = layer.n // layer.groups
    for segment in segments:
        step = _add_over_n if axes.order == "n" else _add_over_k
        signs = np.where(segment.sign_flags, -1, 1)
        step(activations, streamed, segment.lanes, segment.order, signs, outputs_per_group, scale_groups, sums)
    return sums.swapaxes(1, 2)


def _as_streamed(weights: NDArray[np.int64], segments: tuple[Segment, ...], axes: Axes) -> NDArray[np.int64]:
    """Weights as they come, shape (N, K): negated where a segment has their word so."""
    streamed = weights.copy()
    for segment in segments:
        words = segment.order[segment.sign_flags]
        block = np.ix_(words, segment.lanes) if axes.order == "n" else np.ix_(segment.lanes, words)
        streamed[block] = -weights[block]
    return streamed


def reference_product(layer: Layer, rows: NDArray[np.integer], activation_zero_point: int) -> NDArray[np.int64]:
    """The same sums as :func:`execute_segments`, by a matrix product in natural order for each group of indices.

    Uses float64 arithmetic, which is exact here: every partial sum stays below 2**53.
    """
    activations = rows.astype(np.float64) - activation_zero_point
    weights = (layer.weights.astype(np.float64) - layer.right.element_zero_points()).reshape(layer.groups, -1, layer.k)
    scale_groups = layer.right.scale_groups()
    sums = []
    for group in range(scale_groups.max() + 1):
        shared = scale_groups == group
        product = activations[:, :, shared] @ weights[:, :, shared].swapaxes(1, 2)
        sums.append(np.rint(product).astype(np.int64).swapaxes(0, 1).reshape(rows.shape[1], layer.n))
    return np.stack(sums)


def check_segments(layer: Layer, rows: NDArray[np.integer], segments: tuple[Segment, ...], axes: Axes) -> int:
    """Execute a layer in scheduled order and compare it with the plain product.

    Parameters
    ----------
    layer : Layer
        The layer.
    rows : ndarray of int8, uint8 or int16, shape (G, M, K)
        Activations.
    segments : tuple of Segment
        The scheduled passes.
    axes : Axes
        What their lanes and order index.

    Returns
    -------
    int
        Number of sums that were compared; where blocks of the weights have scales of their own, those of each.

    Raises
    ------
    VerificationError
        If any sum differs.
    """
    zero_point = layer.activation_zero_point or 0
    scheduled = execute_segments(layer, rows, zero_point, segments, axes)
    expected = reference_product(layer, rows, zero_point)
    different = int((scheduled != expected).sum())
    if different:
        raise VerificationError(
            f"{layer}: {different} of {expected.size} sums differ when its segments are executed in scheduled order"
        )
    return int(expected.size)


@compiled
def _add_over_n(
    activations: NDArray[np.int64],
    weights: NDArray[np.int64],
    lanes: NDArray[np.int64],
    order: NDArray[np.int64],
    signs: NDArray[np.int64],
    outputs_per_group: int,
    scale_groups: NDArray[np.int64],
    sums: NDArray[np.int64],
) -> None:
    for n, sign in zip(order, signs):  # noqa: B905 - Numba's zip is not strict
        group = n // outputs_per_group
        for k in lanes:
            weight = sign * weights[n, k]
            for m in range(sums.shape[2]):
                sums[scale_groups[k], n, m] += weight * activations[group, k, m]


@compiled
def _add_over_k(
    activations: NDArray[np.int64],
    weights: NDArray[np.int64],
    lanes: NDArray[np.int64],
    order: NDArray[np.int64],
    signs: NDArray[np.int64],
    outputs_per_group: int,
    scale_groups: NDArray[np.int64],
    sums: NDArray[np.int64],
) -> None:
    for k, sign in zip(order, signs):  # noqa: B905 - Numba's zip is not strict
        for n in lanes:
            group = n // outputs_per_group
            weight = sign * weights[n, k]
            for m in range(sums.shape[2]):
                sums[scale_groups[k], n, m] += weight * activations[group, k, m]
