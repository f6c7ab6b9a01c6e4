"""The schedule: the order of every segment, as a file for a compiler, and an executor that checks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fewflips.accelerator import Accelerator, Segment
from fewflips.accelerator.machine import describe_validation_error
from fewflips.compiled import compiled
from fewflips.errors import InputError, VerificationError
from fewflips.input_files import read_plain, size_of
from fewflips.json_text import parse_json
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.result_folder import check_belongs

_LARGEST_FILE_BYTES = 1 << 30

Index = Annotated[int, Field(ge=0, lt=1 << 31)]
LayerOrders = Mapping[str, tuple[Segment, ...]]
"""Segments of each layer, by its name."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScheduledSegment(_Record):
    """One pass through the array."""

    lanes: Annotated[tuple[Index, ...], Field(description="indices that share the pass, one a lane")]
    order: Annotated[tuple[Index, ...], Field(description="indices that stream, in the order of the cycles")]


class Axes(_Record):
    """Which index of Y[M, N] = X[M, K] W[K, N] is meant."""

    lanes: Literal["k", "n"]
    order: Literal["k", "n"]


class ScheduledLayer(_Record):
    """Orders of one layer.

    In an activation- or weight-stationary array `lanes` are k indices and `order` n indices; in an
    output-stationary array `lanes` are n indices and `order` k indices.
    """

    name: str
    n: Index
    k: Index
    axes: Axes
    segments: tuple[ScheduledSegment, ...]
    index_table_bits: Annotated[
        int, Field(ge=0, description="all orders as a table: entries x ceil(log2(entries of the segment))")
    ]


class Schedule(_Record):
    """Content of ``schedule.json``."""

    format: Literal["fewflips-schedule"] = "fewflips-schedule"
    version: Literal[1] = 1
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    accelerator: Accelerator
    layers: tuple[ScheduledLayer, ...]
    index_table_bits: Annotated[int, Field(ge=0, description="sum over the layers")]


def build_schedule(network: Network, array: Accelerator, orders: LayerOrders) -> Schedule:
    """A schedule from the segments of each layer.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine for which the orders were chosen.
    orders : mapping of str to tuple of Segment
        Segments of each layer.

    Returns
    -------
    Schedule
        Ready to be written as JSON.
    """
    axes = Axes(lanes=array.flow.lanes_axis, order=array.flow.order_axis)
    layers = tuple(
        ScheduledLayer(
            name=layer.name,
            n=layer.n,
            k=layer.k,
            axes=axes,
            segments=tuple(
                ScheduledSegment(lanes=tuple(segment.lanes.tolist()), order=tuple(segment.order.tolist()))
                for segment in orders[layer.name]
            ),
            index_table_bits=_index_table_bits(len(segment.order) for segment in orders[layer.name]),
        )
        for layer in network.layers
    )
    return Schedule(
        model_sha256=network.sha256,
        accelerator=array,
        layers=layers,
        index_table_bits=sum(layer.index_table_bits for layer in layers),
    )


def read_schedule(path: Path) -> Schedule:
    """Read and validate ``schedule.json``.

    Raises
    ------
    InputError
        If the file cannot be read or is not a schedule.
    """
    check_belongs(path)
    try:
        if size_of(path) > _LARGEST_FILE_BYTES:
            raise InputError(f"{path}: expected a schedule of at most {_LARGEST_FILE_BYTES} bytes")
        text = read_plain(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_schedule(text, str(path))


def parse_schedule(text: bytes, source: str) -> Schedule:
    """Validate the text of a ``schedule.json``.

    Parameters
    ----------
    text : bytes
        JSON.
    source : str
        Where it is from, for errors.

    Raises
    ------
    InputError
        If it is not a schedule.
    """
    try:
        return Schedule.model_validate(parse_json(text))
    except ValueError as error:
        reason = describe_validation_error(error) if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{source}: expected a fewflips schedule: {reason:.400}") from error


def same_orders(first: LayerOrders, second: LayerOrders) -> bool:
    """Whether two sets of orders have the same layers, and each the same segments in the same orders."""
    return first.keys() == second.keys() and all(
        len(ours) == len(theirs)
        and all(
            np.array_equal(one.lanes, other.lanes) and np.array_equal(one.order, other.order)
            for one, other in zip(ours, theirs, strict=True)
        )
        for ours, theirs in ((first[name], second[name]) for name in first)
    )


def schedule_orders(schedule: Schedule, network: Network) -> dict[str, tuple[Segment, ...]]:
    """Segments of each layer, checked against the network.

    Parameters
    ----------
    schedule : Schedule
        As read from a file.
    network : Network
        The network for which it was made.

    Returns
    -------
    dict of str to tuple of Segment
        Segments of each layer.

    Raises
    ------
    InputError
        If the schedule was made for another file, lacks a layer, or does not visit every product of a layer
        exactly once.
    """
    if schedule.model_sha256 != network.sha256:
        raise InputError(
            f"the schedule was made for a model with SHA-256 {schedule.model_sha256[:12]}..., "
            f"{network.path} has {network.sha256[:12]}...: optimize this model again"
        )
    scheduled = {layer.name: layer for layer in schedule.layers}
    known = {layer.name for layer in network.layers}
    if len(scheduled) < len(schedule.layers) or not known.issuperset(scheduled):
        raise InputError("the schedule has layers twice, or layers that the model lacks: optimize this model again")
    orders = {}
    for layer in network.layers:
        if layer.name not in scheduled:
            raise InputError(f"the schedule has no layer {layer.name}: optimize this model again")
        _check_layer(layer, scheduled[layer.name], schedule.accelerator)
        segments = tuple(
            Segment(np.array(segment.lanes, dtype=np.int64), np.array(segment.order, dtype=np.int64))
            for segment in scheduled[layer.name].segments
        )
        check_coverage(layer, segments, scheduled[layer.name].axes)
        if scheduled[layer.name].index_table_bits != _index_table_bits(len(segment.order) for segment in segments):
            raise InputError(
                f"{layer}: index_table_bits of the schedule do not fit its orders: optimize this model again"
            )
        orders[layer.name] = segments
    return orders


def _check_layer(layer: Layer, scheduled: ScheduledLayer, array: Accelerator) -> None:
    """Raise :class:`InputError` unless a scheduled layer fits the layer and the machine."""
    flow = array.flow
    if (scheduled.n, scheduled.k) != (layer.n, layer.k):
        raise InputError(f"{layer}: the schedule has N={scheduled.n}, K={scheduled.k}: optimize this model again")
    if (scheduled.axes.lanes, scheduled.axes.order) != (flow.lanes_axis, flow.order_axis):
        raise InputError(
            f"{layer}: expected lanes over {flow.lanes_axis} and an order of {flow.order_axis} ({flow.name}), "
            f"the schedule has {scheduled.axes.lanes} and {scheduled.axes.order}"
        )
    room = flow.lanes_in(layer, array)
    widest = max((len(segment.lanes) for segment in scheduled.segments), default=0)
    if widest > room:
        raise InputError(f"{layer}: a segment of the schedule has {widest} lanes, {array.name} has room for {room}")


def _index_table_bits(lengths: Iterable[int]) -> int:
    return sum(length * (length - 1).bit_length() for length in lengths)


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

    Parameters
    ----------
    layer : Layer
        Weights and zero points.
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
    ndarray of int64, shape (M, N)
        Sum over k of (X[m, k] - zero point) (W[n, k] - zero point of n), without bias.
    """
    activations = np.ascontiguousarray((rows.astype(np.int64) - activation_zero_point).swapaxes(1, 2))
    weights = layer.weights.astype(np.int64) - layer.weight_zero_points.reshape(-1, 1)
    sums = np.zeros((layer.n, rows.shape[1]), dtype=np.int64)
    outputs_per_group = layer.n // layer.groups
    for segment in segments:
        step = _add_over_n if axes.order == "n" else _add_over_k
        step(activations, weights, segment.lanes, segment.order, outputs_per_group, sums)
    return sums.T


def reference_product(layer: Layer, rows: NDArray[np.integer], activation_zero_point: int) -> NDArray[np.int64]:
    """The same product as :func:`execute_segments`, by one matrix product in natural order.

    Uses float64 arithmetic, which is exact here: every partial sum stays below 2**53.
    """
    activations = rows.astype(np.float64) - activation_zero_point
    weights = (layer.weights.astype(np.float64) - layer.weight_zero_points.reshape(-1, 1)).reshape(
        layer.groups, -1, layer.k
    )
    product = activations @ weights.swapaxes(1, 2)
    return np.rint(product).astype(np.int64).swapaxes(0, 1).reshape(rows.shape[1], layer.n)


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
        Number of sums that were compared.

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
    outputs_per_group: int,
    sums: NDArray[np.int64],
) -> None:
    for n in order:
        group = n // outputs_per_group
        for k in lanes:
            weight = weights[n, k]
            for m in range(sums.shape[1]):
                sums[n, m] += weight * activations[group, k, m]


@compiled
def _add_over_k(
    activations: NDArray[np.int64],
    weights: NDArray[np.int64],
    lanes: NDArray[np.int64],
    order: NDArray[np.int64],
    outputs_per_group: int,
    sums: NDArray[np.int64],
) -> None:
    for k in order:
        for n in lanes:
            group = n // outputs_per_group
            weight = weights[n, k]
            for m in range(sums.shape[1]):
                sums[n, m] += weight * activations[group, k, m]
