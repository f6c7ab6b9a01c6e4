"""The schedule: the order of every segment, as a file for a compiler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import ValidationError

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.errors import InputError
from fewflips.files.input_files import read_plain, size_of
from fewflips.files.json_text import parse_json
from fewflips.files.result_folder import check_belongs
from fewflips.files.validation import describe_validation_error
from fewflips.machine import Accelerator
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.records.schedule import Axes, Schedule, ScheduledLayer, ScheduledSegment
from fewflips.schedule.binary import MAGIC, decode_schedule, index_table_bits
from fewflips.schedule.executor import check_coverage
from fewflips.schedule.signs import check_signs
from fewflips.schedule.tiles import check_tiles

_LARGEST_FILE_BYTES = 1 << 30


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
    axes = Axes(lanes=dataflow_of(array).lanes_axis, order=dataflow_of(array).order_axis)
    layers = tuple(
        ScheduledLayer(
            name=layer.name,
            n=layer.n,
            k=layer.k,
            axes=axes,
            segments=tuple(
                ScheduledSegment(
                    lanes=tuple(segment.lanes.tolist()),
                    order=tuple(segment.order.tolist()),
                    negated=tuple(segment.sign_flags.astype(int).tolist()) if segment.sign_flags.any() else None,
                )
                for segment in orders[layer.name]
            ),
            index_table_bits=index_table_bits(len(segment.order) for segment in orders[layer.name]),
        )
        for layer in network.layers
    )
    signed = any(segment.negated is not None for layer in layers for segment in layer.segments)
    return Schedule(
        version=2 if signed else 1,
        model_sha256=network.sha256,
        accelerator=array,
        layers=layers,
        index_table_bits=sum(layer.index_table_bits for layer in layers),
    )


def read_schedule(path: Path) -> Schedule:
    """Read and validate ``schedule.json`` or ``schedule.bin``.

    Parameters
    ----------
    path : Path
        The file; its first bytes say which of the two it is.

    Returns
    -------
    Schedule
        The same from both.

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
    """Validate the content of a ``schedule.json`` or ``schedule.bin``.

    Parameters
    ----------
    text : bytes
        JSON, or what :func:`fewflips.schedule.binary.encode_schedule` makes.
    source : str
        Where it is from, for errors.

    Raises
    ------
    InputError
        If it is not a schedule.
    """
    try:
        return decode_schedule(text) if text.startswith(MAGIC) else Schedule.model_validate(parse_json(text))
    except ValueError as error:
        reason = describe_validation_error(error) if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{source}: expected a fewflips schedule: {reason:.400}") from error


def same_orders(first: LayerOrders, second: LayerOrders) -> bool:
    """Whether two sets of orders have the same layers, and each the same segments in the same orders and signs."""
    return first.keys() == second.keys() and all(
        len(ours) == len(theirs) and all(one.is_same(other) for one, other in zip(ours, theirs, strict=True))
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
        If the schedule was made for another file, lacks a layer, does not visit every product of a layer
        exactly once, does not keep to the machine's tiles, or negates what it cannot.
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
            Segment(
                np.array(segment.lanes, dtype=np.int64),
                np.array(segment.order, dtype=np.int64),
                None if segment.negated is None else np.array(segment.negated, dtype=np.bool_),
            )
            for segment in scheduled[layer.name].segments
        )
        check_coverage(layer, segments, scheduled[layer.name].axes)
        check_tiles(layer, segments, schedule.accelerator)
        check_signs(layer, segments, schedule.accelerator)
        if scheduled[layer.name].index_table_bits != index_table_bits(len(segment.order) for segment in segments):
            raise InputError(
                f"{layer}: index_table_bits of the schedule do not fit its orders: optimize this model again"
            )
        orders[layer.name] = segments
    return orders


def _check_layer(layer: Layer, scheduled: ScheduledLayer, array: Accelerator) -> None:
    """Raise :class:`InputError` unless a scheduled layer fits the layer and the machine."""
    flow = dataflow_of(array)
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
