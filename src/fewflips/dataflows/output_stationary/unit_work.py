"""Multiply-accumulate units of an output-stationary array: both operands stream past an accumulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.scale_blocks import check_without_blocks
from fewflips.dataflows.segment import Segment
from fewflips.dataflows.unit_work import (
    PART_CYCLES,
    Part,
    PortContent,
    Steps,
    UnitWork,
    assemble_part,
    settling_cycles,
    steps_to_repeat,
)
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer

_ACCUMULATOR_DELAY = 2
"""Cycles from the operands at the ports to their product in the accumulator."""


def unit_work(layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> UnitWork:
    """Unit (r, c) computes output pixels r, r + lanes, ... of the c-th output channel of each segment."""
    tiles = -(-layer.m // array.lanes)
    broadcast = array.forwarding == "broadcast"
    unit_cycles = layer.m * layer.n * layer.k
    return UnitWork(
        unit_cycles=unit_cycles,
        array_cycles=tiles * len(segments) * layer.k,
        units=array.lanes * array.columns,
        weight_share=tiles / layer.m if broadcast else 1.0,
        activation_share=len(segments) / layer.n if broadcast else 1.0,
        weight_loads=unit_cycles,
        activation_loads=unit_cycles,
        weight_copies=1 / array.lanes if broadcast else 1.0,
        activation_copies=1 / array.columns if broadcast else 1.0,
    )


def unit_parts(
    operands: LayerOperands, segments: tuple[Segment, ...], array: Accelerator, part_cycles: int = PART_CYCLES
) -> Iterator[Part]:
    """What each unit sees.

    Parameters
    ----------
    operands : LayerOperands
        Codes of both operands.
    segments : tuple of Segment
        Output channels that share a pass, and the order of k.
    array : Accelerator
        Lanes (output pixels) and columns (output channels).
    part_cycles : int
        Approximate number of unit cycles of a part.

    Yields
    ------
    Part
        One per range of (tile of output pixels, segment) pairs.
    """
    layer = operands.layer
    check_without_blocks(layer, "an output-stationary unit")
    tiles = -(-layer.m // array.lanes)
    pairs = [
        (tile, len(segments) - 1 - index if array.turns and tile % 2 else index)
        for tile in range(tiles)
        for index in range(len(segments))
    ]
    width = max(len(segment.lanes) for segment in segments)
    in_part = max(1, part_cycles // (layer.k * array.lanes * width))
    settling = settling_cycles(operands.datapath)
    for first in range(0, len(pairs), in_part):
        before = [
            _active(pair, layer, segments, array, width) for pair in pairs[max(0, first - in_part - settling) : first]
        ]
        begin = first - steps_to_repeat(before, [layer.k] * len(before), settling)
        yield _part(operands, segments, array, pairs[begin : first + in_part], first - begin, width)


def _part(
    operands: LayerOperands,
    segments: tuple[Segment, ...],
    array: Accelerator,
    pairs: list[tuple[int, int]],
    repeated: int,
    width: int,
) -> Part:
    layer, datapath, k = operands.layer, operands.datapath, operands.layer.k
    weights, activations, sums = [], [], []
    shape = (len(pairs), array.lanes, width)
    starts = {name: np.zeros(shape, dtype=np.int64) for name in ("weights", "activations", "accumulator", "clear")}
    weight_rows = activation_rows = sum_rows = 0
    for step, (tile, index) in enumerate(pairs):
        segment = segments[index]
        if array.turns and tile % 2:
            segment = replace(segment, order=segment.order[::-1])
        rows = slice(tile * array.lanes, min(layer.m, (tile + 1) * array.lanes))
        group = operands.group_of(int(segment.lanes[0]))
        words = operands.weights[np.ix_(segment.lanes, segment.order)]
        codes = operands.activations[group, rows][:, segment.order]
        n, m = len(segment.lanes), codes.shape[0]
        weights.append(words.reshape(-1, 1))
        activations.append(codes.reshape(-1, 1))
        sums.append(_running_sums(operands, segment, codes))
        starts["weights"][step, :, :n] = weight_rows + np.arange(n) * k
        starts["activations"][step, :m] = activation_rows + np.arange(m)[:, None] * k
        starts["accumulator"][step, :m, :n] = sum_rows + (np.arange(m)[:, None] * n + np.arange(n)) * k
        weight_rows, activation_rows, sum_rows = weight_rows + n * k, activation_rows + m * k, sum_rows + m * n * k
    clear = np.zeros((k, 1), dtype=np.uint8)
    clear[0] = 1
    inputs = {
        "weights": PortContent(np.concatenate(weights), datapath.weights.bits, stride=1),
        "activations": PortContent(np.concatenate(activations), datapath.activations.bits, stride=1),
        "clear": PortContent(clear, 1, stride=1),
    }
    registers = {
        "accumulator": PortContent(np.concatenate(sums), datapath.accumulator_bits, stride=1, delay=_ACCUMULATOR_DELAY)
    }
    active = np.stack([_active(pair, layer, segments, array, width) for pair in pairs])
    lengths = np.full(len(pairs), k, dtype=np.int64)
    flat = {name: start.reshape(len(pairs), -1) for name, start in starts.items()}
    return assemble_part(Steps(lengths, active, flat), inputs, repeated, registers)


def _active(
    pair: tuple[int, int], layer: Layer, segments: tuple[Segment, ...], array: Accelerator, width: int
) -> NDArray[np.bool_]:
    """Which units have operands in a step, row by row."""
    tile, index = pair
    rows = np.arange(array.lanes) < layer.m - tile * array.lanes
    columns = np.arange(width) < len(segments[index].lanes)
    return np.logical_and.outer(rows, columns).reshape(-1)


def _running_sums(operands: LayerOperands, segment: Segment, codes: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
    """Contents of each accumulator after each product, shape (pixels x channels x K, 1)."""
    weights = operands.weight_values(segment.lanes, segment.order).astype(np.int64)
    activations = operands.activation_values(codes).astype(np.int64)
    return np.cumsum(activations[:, None, :] * weights, axis=2).reshape(-1, 1)
