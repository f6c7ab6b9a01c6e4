"""Columns of a weight-stationary array: activations stream past held weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.layer_operands import LayerOperands, segment_products
from fewflips.dataflows.layout import pad_last
from fewflips.dataflows.scale_blocks import begins_sum
from fewflips.dataflows.segment import Segment
from fewflips.dataflows.unit_work import (
    PART_CYCLES,
    Part,
    PortContent,
    Steps,
    UnitWork,
    assemble_part,
    drain_cycles,
    settling_cycles,
    steps_to_repeat,
)
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer


@dataclass(frozen=True, eq=False)
class _Tile:
    """One step: in each column an output channel's weights are held while all output pixels stream.

    `channels` has -1 for idle columns; `partial_sums` has a row for each working one. Pixels may stream backwards.
    """

    segment: Segment
    channels: NDArray[np.int64]
    partial_sums: NDArray[np.int64]
    backwards: bool


def unit_work(layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> UnitWork:
    """Column c computes output channels c, c + columns, ... of each segment's order."""
    columns = _working_columns(layer, array)
    loads = sum(len(segment.order) for segment in segments)
    tiles = sum(-(-len(segment.order) // columns) for segment in segments)
    return UnitWork(
        unit_cycles=loads * layer.m,
        array_cycles=tiles * layer.m,
        units=array.columns,
        weight_share=1.0,
        activation_share=1.0 if array.forwarding == "systolic" else tiles / loads,
        weight_loads=loads,
        activation_loads=loads * layer.m,
        weight_copies=1.0,
        activation_copies=1.0 if array.forwarding == "systolic" else 1 / array.columns,
    )


def unit_parts(
    operands: LayerOperands, segments: tuple[Segment, ...], array: Accelerator, part_cycles: int = PART_CYCLES
) -> Iterator[Part]:
    """What each column sees.

    Parameters
    ----------
    operands : LayerOperands
        Codes of both operands.
    segments : tuple of Segment
        Lanes and order of the weights of each pass.
    array : Accelerator
        Columns and forwarding.
    part_cycles : int
        Approximate number of unit cycles of a part.

    Yields
    ------
    Part
        One per range of tiles of output channels.
    """
    m, columns = operands.layer.m, _working_columns(operands.layer, array)
    tiles_in_part = max(1, part_cycles // (m * columns))
    settling = settling_cycles(operands.datapath)
    last_tiles = _last_tiles(segments, columns)
    kept: list[_Tile] = []
    new = done = 0
    for tile in _tiles(operands, segments, columns, turns=array.turns):
        kept.append(tile)
        new += 1
        if new == tiles_in_part:
            yield _part(operands, kept, len(kept) - new, (last_tiles >= done) & (last_tiles < done + new))
            repeated = steps_to_repeat([tile.channels >= 0 for tile in kept], [m] * len(kept), settling)
            kept, done, new = kept[len(kept) - repeated :], done + new, 0
    if new:
        yield _part(operands, kept, len(kept) - new, last_tiles >= done)


def _last_tiles(segments: tuple[Segment, ...], columns: int) -> NDArray[np.int64]:
    """The last tile in which each column works, -1 if it never does, shape (columns,)."""
    last = np.full(columns, -1, dtype=np.int64)
    tile = 0
    for segment in segments:
        for first in range(0, len(segment.order), columns):
            last[: len(segment.order) - first] = tile
            tile += 1
    return last


def _working_columns(layer: Layer, array: Accelerator) -> int:
    return 1 if layer.is_depthwise else array.columns


def _tiles(operands: LayerOperands, segments: tuple[Segment, ...], columns: int, *, turns: bool) -> Iterator[_Tile]:
    datapath = operands.datapath
    sums = np.full((operands.layer.n, operands.layer.m), datapath.sum_offset(0), dtype=np.int64)
    everything = slice(0, operands.layer.m)
    for segment, begins in zip(segments, begins_sum(operands.layer, segments), strict=True):
        if begins:
            sums[:] = datapath.sum_offset(0)
        for first in range(0, len(segment.order), columns):
            order = segment.order[first : first + columns]
            channels = np.full(columns, -1, dtype=np.int64)
            channels[: len(order)] = order
            backwards = turns and first // columns % 2 == 1
            yield _Tile(segment, channels, sums[order][:, :: -1 if backwards else 1], backwards)
            products = segment_products(operands, Segment(segment.lanes, order), everything).T
            sums[order] += products + datapath.tree_bias


def _part(operands: LayerOperands, tiles: list[_Tile], repeated: int, drained: NDArray[np.bool_]) -> Part:
    layer, datapath = operands.layer, operands.datapath
    skew = datapath.traits.skewed
    weights, activation_starts = [], []
    activations: list[NDArray[np.unsignedinteger]] = []
    places: dict[tuple[int, int, bool], int] = {}
    for tile in tiles:
        working = tile.channels[tile.channels >= 0]
        weights.append(pad_last(operands.weights[np.ix_(working, tile.segment.lanes)], datapath.lanes))
        group = operands.group_of(int(working[0]))
        key = (id(tile.segment), group, tile.backwards)
        if key not in places:
            places[key] = len(activations) * layer.m
            codes = operands.activations[group][:: -1 if tile.backwards else 1, tile.segment.lanes]
            activations.append(pad_last(codes, datapath.lanes))
        activation_starts.append(places[key])
    active = np.stack([tile.channels >= 0 for tile in tiles])
    load = np.where(active, np.cumsum(active).reshape(active.shape) - 1, 0)
    contents = {
        "weights": PortContent(np.concatenate(weights), datapath.weights.bits, stride=0, skew=skew),
        "activations": PortContent(np.concatenate(activations), datapath.activations.bits, stride=1, skew=skew),
    }
    if datapath.partial_sum_input:
        sums = np.concatenate([tile.partial_sums for tile in tiles]).reshape(-1, 1)
        contents["partial_sum"] = PortContent(
            sums, datapath.accumulator_bits, stride=1, delay=datapath.partial_sum_delay
        )
    starts = {
        "weights": load,
        "activations": np.broadcast_to(np.array(activation_starts, dtype=np.int64)[:, None], active.shape),
        "partial_sum": load * layer.m,
    }
    lengths = np.full(len(tiles), layer.m, dtype=np.int64)
    steps = Steps(lengths, active, starts)
    return assemble_part(steps, contents, repeated, drained=drained, drain_cycles=drain_cycles(datapath))
