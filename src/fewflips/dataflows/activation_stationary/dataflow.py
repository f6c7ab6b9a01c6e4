"""Activation-stationary: a tile of activations stays in the array, weights stream over output channels.

for tile of `columns` output pixels:
    for segment of `lanes` reduction indices:
        load the activations of the tile
        for n in the segment's order:            # streams
            every column adds its product with W[segment, n] to its partial sum of n

In a depthwise layer each output channel has its own activations, so the tile changes with n.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.activation_stationary.phases import phases
from fewflips.dataflows.activation_stationary.unit_work import unit_parts, unit_work
from fewflips.dataflows.coded_ports import coded_parts
from fewflips.dataflows.hold_flags import hold_flags
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.layout import check_stream_size, chunks, output_tiles, pad_last, pass_starts
from fewflips.dataflows.phases import Phase, PhaseSource
from fewflips.dataflows.protocol import Dataflow
from fewflips.dataflows.segment import Segment
from fewflips.dataflows.unit_work import PART_CYCLES, LaneHolds, Part, UnitWork
from fewflips.machine.accelerator import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.codes import weight_codes
from fewflips.streams.stream import Stream


class ActivationStationary(Dataflow):
    """Weights stream over n, one word per lane, shared by all columns."""

    name = "activation-stationary"
    lanes_axis = "k"
    order_axis = "n"
    sums_change_with_order = True
    has_hold_flags = True
    has_coded_units = True

    def segments(self, layer: Layer, array: Accelerator) -> tuple[Segment, ...]:
        """One segment for every `lanes` reduction indices of every group; a depthwise layer is one stream."""
        groups = 1 if layer.is_depthwise else layer.groups
        outputs = layer.n // groups
        return tuple(
            Segment(lanes, np.arange(group * outputs, (group + 1) * outputs))
            for group in range(groups)
            for lanes in chunks(layer.k, array.lanes)
        )

    def unit(self, array: Accelerator) -> Literal["column", "chain", "mac"]:
        """Columns: weights stream past held activations."""
        return "column"

    def lanes_in(self, layer: Layer, array: Accelerator) -> int:
        """Lanes of the array."""
        return array.lanes

    def weight_stream(
        self,
        layer: Layer,
        codes: NDArray[np.unsignedinteger],
        bits: int,
        segments: tuple[Segment, ...],
        array: Accelerator,
    ) -> Stream:
        """W[segment, n] over n, once for every tile of output pixels."""
        passes = [pad_last(self.segment_words(codes, segment), array.lanes) for segment in segments]
        return Stream(
            port="weights",
            words=np.concatenate(passes),
            pass_starts=pass_starts([len(words) for words in passes]),
            bits=bits,
            repeats=self.weight_repeats(layer, array),
            hops=array.columns if array.forwarding == "systolic" else 1,
        )

    def weight_repeats(self, layer: Layer, array: Accelerator) -> int:
        """Once for every tile of output pixels."""
        return -(-layer.m // array.columns)

    def activation_stream(
        self,
        layer: Layer,
        codes: NDArray[np.unsignedinteger],
        bits: int,
        segments: tuple[Segment, ...],
        array: Accelerator,
    ) -> Stream:
        """Contents of the tile registers: one load per segment, or one per channel in a depthwise layer."""
        channels = layer.n if layer.is_depthwise else 1
        loads_in_all = -(-layer.m // array.columns) * len(segments) * channels
        check_stream_size(loads_in_all * array.columns * array.lanes, layer, array)
        tiles = output_tiles(codes, array.columns)
        outputs_per_group = layer.n // layer.groups
        if not layer.is_depthwise:
            loads = [
                pad_last(tiles[segment.order[0] // outputs_per_group][:, :, segment.lanes], array.lanes)
                for segment in segments
            ]
            words = np.stack(loads, axis=1)
            starts = np.zeros(1, dtype=np.int64)
        else:
            loads = [
                pad_last(tiles[segment.order // outputs_per_group][..., segment.lanes], array.lanes).swapaxes(0, 1)
                for segment in segments
            ]
            words = np.stack(loads, axis=1)
            starts = np.arange(words.shape[0] * words.shape[1], dtype=np.int64) * words.shape[2]
        registers = array.columns * array.lanes
        return Stream(port="activations", words=words.reshape(-1, registers), pass_starts=starts, bits=bits)

    def unit_work(self, layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> UnitWork:
        """Column c computes output pixels c, c + columns, ...; all segments one after the other."""
        work = unit_work(layer, segments, array)
        if not array.datapath.hold_flags:
            return work
        codes, bits = weight_codes(layer, array.weights)
        flags = hold_flags(self.weight_stream(layer, codes, bits, segments, array))
        pixels_in_a_run = layer.m / self.weight_repeats(layer, array)
        loads = tuple(pixels_in_a_run * int(count) for count in flags.loads)
        return replace(work, holds=LaneHolds(loads, pixels_in_a_run * int(flags.toggles.sum())))

    def unit_parts(
        self,
        operands: LayerOperands,
        segments: tuple[Segment, ...],
        array: Accelerator,
        part_cycles: int = PART_CYCLES,
    ) -> Iterator[Part]:
        """One part per range of tiles; a tile is one output pixel in each column."""
        parts = unit_parts(operands, segments, array, part_cycles)
        ports = operands.datapath.bus_invert_ports
        return coded_parts(parts, ports, {"weights": True, "activations": False}) if ports else parts

    def phases(self, source: PhaseSource) -> Iterator[Phase]:
        """See :mod:`fewflips.dataflows.activation_stationary.phases`."""
        return phases(source)
