"""Columns of an activation-stationary array: weights stream past held activations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.activation_stationary.tiles import visits
from fewflips.dataflows.layer_operands import LayerOperands, segment_products
from fewflips.dataflows.layout import pad_last
from fewflips.dataflows.scale_blocks import begins_sum
from fewflips.dataflows.segment import Segment
from fewflips.dataflows.sign_flags import NO_SIGN_FLAGS, streamed_codes
from fewflips.dataflows.unit_work import (
    PART_CYCLES,
    Part,
    PortContent,
    Steps,
    UnitWork,
    assemble_part,
    drain_cycles,
    settling_cycles,
)
from fewflips.errors import AcceleratorError
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer


def unit_work(layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> UnitWork:
    """Column c computes output pixels c, c + columns, ...; those of a tile segment by segment."""
    cycles = sum(len(segment.order) for segment in segments)
    tiles = -(-layer.m // array.columns)
    return UnitWork(
        unit_cycles=layer.m * cycles,
        array_cycles=tiles * cycles,
        units=array.columns,
        weight_share=1.0 if array.forwarding == "systolic" else tiles / layer.m,
        activation_share=1.0,
        weight_loads=layer.m * cycles,
        activation_loads=layer.m * (cycles if layer.is_depthwise else len(segments)),
        weight_copies=1.0 if array.forwarding == "systolic" else 1 / array.columns,
        activation_copies=1.0,
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
        Lanes and order of each pass.
    array : Accelerator
        Columns and tiling.
    part_cycles : int
        Approximate number of unit cycles of a part.

    Yields
    ------
    Part
        One per range of tiles of pixels, and at least one of these, so that no sum is left halfway.
    """
    layer, datapath = operands.layer, operands.datapath
    lengths = np.array([len(segment.order) for segment in segments], dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    cycles, columns = int(offsets[-1]), array.columns
    weights = np.concatenate([pad_last(_streamed_weights(operands, segment), datapath.lanes) for segment in segments])
    negated = np.concatenate([segment.sign_flags for segment in segments]).astype(np.uint8)
    if array.turns:
        weights, negated = np.concatenate((weights, weights[::-1])), np.concatenate((negated, negated[::-1]))
    rows = -(-layer.m // columns)
    tile_rows = min(array.tiling.pixels, rows)
    rows_in_part = tile_rows * max(1, part_cycles // (cycles * columns * tile_rows))
    repeated_rows = tile_rows * -(-settling_cycles(datapath) // cycles)
    for first in range(0, rows, rows_in_part):
        begin = max(0, first - repeated_rows)
        end = min(rows, first + rows_in_part)
        pixels = np.arange(begin * columns, min(layer.m, end * columns))
        backwards = _Backwards.of(array, pixels // columns)
        contents = {
            "weights": PortContent(weights, datapath.weights.bits, stride=1),
            "activations": _held_activations(operands, segments, pixels, backwards),
        }
        if datapath.partial_sum_input:
            contents["partial_sum"] = PortContent(
                _sums_by_cycle(operands, segments, pixels, backwards).reshape(-1, 1),
                datapath.accumulator_bits,
                stride=1,
                delay=datapath.partial_sum_delay,
            )
        if datapath.sign_flags:
            contents["negate"] = PortContent(negated.reshape(-1, 1), 1, stride=1)
        order = visits(end - begin, len(segments), tile_rows, serpentine=array.turns, tiles_before=begin // tile_rows)
        steps = _steps(lengths, offsets, order, columns, backwards, layer.is_depthwise)
        last_rows = (layer.m - 1 - np.arange(columns)) // columns  # -1 in columns that never work
        drained = (last_rows >= first) & (last_rows < end)
        repeated = (first - begin) * len(segments)
        yield assemble_part(steps, contents, repeated, drained=drained, drain_cycles=drain_cycles(datapath))


@dataclass(frozen=True, eq=False)
class _Backwards:
    """Which output pixels of a part take each segment's order backwards, and which the segments, shape (pixels,)."""

    orders: NDArray[np.bool_]
    segments: NDArray[np.bool_]

    @classmethod
    def of(cls, array: Accelerator, rows: NDArray[np.int64]) -> _Backwards:
        if not array.turns:
            return cls(np.zeros(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_))
        return cls(rows % 2 == 1, rows // array.tiling.pixels % 2 == 1)


def _steps(
    lengths: NDArray[np.int64],
    offsets: NDArray[np.int64],
    order: tuple[NDArray[np.int64], NDArray[np.int64]],
    columns: int,
    backwards: _Backwards,
    moves_with_weights: bool,
) -> Steps:
    """One step per row and segment, in the order of the visits; rows of pixels count from the first one of the part."""
    segments, cycles = len(lengths), int(offsets[-1])
    row, segment = order[0][:, None], order[1][:, None]
    pixel = row * columns + np.arange(columns)  # (steps, columns)
    turned = backwards.orders[row * columns]  # all orders of a pixel backwards: its last cycle comes first
    begin = np.where(turned, cycles - offsets[segment + 1], offsets[segment])
    by_cycle = pixel * cycles + begin
    return Steps(
        lengths=lengths[order[1]],
        active=pixel < len(backwards.orders),
        starts={
            "weights": np.broadcast_to(begin + turned * cycles, pixel.shape),
            "negate": np.broadcast_to(begin + turned * cycles, pixel.shape),
            "activations": by_cycle if moves_with_weights else pixel * segments + segment,
            "partial_sum": by_cycle,
        },
    )


def _streamed_weights(operands: LayerOperands, segment: Segment) -> NDArray[np.unsignedinteger]:
    """Codes of a segment's words, those that it has negated as their negatives, shape (T, L)."""
    if segment.negated is not None and not operands.datapath.sign_flags:
        raise AcceleratorError(f"{operands.layer}: {NO_SIGN_FLAGS}")
    words = operands.weights[np.ix_(segment.order, segment.lanes)]
    return streamed_codes(words, segment, operands.datapath.weights)


def _held_activations(
    operands: LayerOperands, segments: tuple[Segment, ...], pixels: NDArray[np.int64], backwards: _Backwards
) -> PortContent:
    """One row per pixel and segment; in a depthwise layer one per pixel and cycle, as each channel has its own."""
    layer, datapath = operands.layer, operands.datapath
    rows = slice(int(pixels[0]), int(pixels[-1]) + 1)
    loads = []
    for segment in segments:
        if layer.is_depthwise:
            channels = operands.activations[operands.groups_of(segment.order), rows][:, :, segment.lanes]
            loads.append(pad_last(channels.swapaxes(0, 1), datapath.lanes))
        else:
            group = operands.group_of(int(segment.order[0]))
            loads.append(pad_last(operands.activations[group, rows][:, None, segment.lanes], datapath.lanes))
    words = np.concatenate(loads, axis=1)
    if layer.is_depthwise:
        words[backwards.orders] = words[backwards.orders, ::-1]
    words = words.reshape(-1, datapath.lanes)
    return PortContent(words, datapath.activations.bits, stride=1 if layer.is_depthwise else 0)


def _sums_by_cycle(
    operands: LayerOperands, segments: tuple[Segment, ...], pixels: NDArray[np.int64], backwards: _Backwards
) -> NDArray[np.int64]:
    """Partial sums of some pixels, each in the order of its cycles, shape (pixels, cycles)."""
    rows = slice(int(pixels[0]), int(pixels[-1]) + 1)
    sums = partial_sums(operands, segments, rows)
    if backwards.segments.any():
        taken = segments[::-1]
        ends = np.cumsum([len(segment.order) for segment in taken])[:-1]
        in_place = np.concatenate(np.split(partial_sums(operands, taken, rows), ends, axis=1)[::-1], axis=1)
        sums[backwards.segments] = in_place[backwards.segments]
    sums[backwards.orders] = sums[backwards.orders, ::-1]
    return sums


def partial_sums(operands: LayerOperands, segments: tuple[Segment, ...], rows: slice) -> NDArray[np.int64]:
    """Sums of the previous segments as the units take them, with the offset of a unit whose sums carry one.

    Parameters
    ----------
    operands : LayerOperands
        Codes of both operands.
    segments : tuple of Segment
        Lanes and order of each pass.
    rows : slice
        Output pixels, at any distance.

    Returns
    -------
    ndarray of int64, shape (pixels, cycles)
        For each pixel, in the order of its cycles.
    """
    layer, datapath = operands.layer, operands.datapath
    pixels = len(range(*rows.indices(layer.m)))
    sums = np.full((pixels, layer.n), datapath.sum_offset(0), dtype=np.int64)
    before = []
    for segment, begins in zip(segments, begins_sum(layer, segments), strict=True):
        if begins:
            sums[:] = datapath.sum_offset(0)
        before.append(sums[:, segment.order])
        bias = np.where(segment.sign_flags, datapath.negated_bias, datapath.tree_bias)
        sums[:, segment.order] += segment_products(operands, segment, rows) + bias
    return np.concatenate(before, axis=1)
