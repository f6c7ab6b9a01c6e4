"""Weight-stationary (TPU-like): a tile of weights stays in the array, activations stream over output pixels.

for segment of `lanes` reduction indices:
    for tile of `columns` output channels, taken in the segment's order:
        load W[segment, tile]                    # every register from the tile before
        for m in output pixels:                  # streams
            every column adds its product with X[m, segment] to its partial sum of m

In a depthwise layer each output channel has its own activations, so one column works at a time. With serpentine replay,
pixels stream backwards past every other tile of a segment. A machine's scan says in which order pixels stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.accesses import Accesses, CodeWidths, same_segments
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.layout import check_stream_size, chunks, pad_last, pass_starts
from fewflips.dataflows.phases import Phase, PhaseSource
from fewflips.dataflows.protocol import Dataflow
from fewflips.dataflows.scans import scanned
from fewflips.dataflows.segment import Segment
from fewflips.dataflows.unit_work import PART_CYCLES, Part, UnitWork
from fewflips.dataflows.weight_stationary.accesses import accesses
from fewflips.dataflows.weight_stationary.phases import phases
from fewflips.dataflows.weight_stationary.unit_work import unit_parts, unit_work
from fewflips.machine.accelerator import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.stream import Stream


class WeightStationary(Dataflow):
    """Activations stream over m; weights change from tile to tile."""

    name = "weight-stationary"
    lanes_axis = "k"
    order_axis = "n"
    held_operand = "weights"
    weights_stream = False
    has_serpentine_replay = True
    has_scans = True
    activations_follow_pixels = True

    def segments(self, layer: Layer, array: Accelerator) -> tuple[Segment, ...]:
        """One segment for every `lanes` reduction indices of every group; a depthwise layer is one stream."""
        groups = 1 if layer.is_depthwise else layer.groups
        outputs = layer.n // groups
        return tuple(
            Segment(lanes, np.arange(group * outputs, (group + 1) * outputs))
            for group in range(groups)
            for lanes in chunks(layer.k, array.lanes)
        )

    def chains(self, layer: Layer, array: Accelerator) -> int:
        """One chain of weights per column; a depthwise layer uses one column."""
        return 1 if layer.is_depthwise else min(array.columns, layer.n // layer.groups)

    def order_from_path(self, path: NDArray[np.int64], chains: int) -> NDArray[np.int64]:
        """Consecutive pieces of the path, one per column; tiles are read across the columns."""
        longer = len(path) % chains or chains
        loads = -(-len(path) // chains)
        table = np.full((loads, chains), -1, dtype=np.int64)
        start = 0
        for column in range(chains):
            length = loads if column < longer else loads - 1
            table[:length, column] = path[start : start + length]
            start += length
        return table[table >= 0]

    def unit(self, array: Accelerator) -> Literal["column", "chain", "mac"]:
        """Chains of processing elements; columns with an adder tree if activations are broadcast."""
        return "chain" if array.forwarding == "systolic" else "column"

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
        """Contents of the weight registers, one row per tile, one pass per segment."""
        columns = 1 if layer.is_depthwise else array.columns
        passes = []
        for segment in segments:
            words = pad_last(self.segment_words(codes, segment), array.lanes)
            tiles = -(-len(words) // columns)
            filled = np.pad(words, ((0, tiles * columns - len(words)), (0, 0)))
            passes.append(filled.reshape(tiles, columns * array.lanes))
        return Stream(
            port="weights",
            words=np.concatenate(passes),
            pass_starts=pass_starts([len(words) for words in passes]),
            bits=bits,
        )

    def weight_repeats(self, layer: Layer, array: Accelerator) -> int:
        """Each weight is loaded once."""
        return 1

    def activation_stream(
        self,
        layer: Layer,
        codes: NDArray[np.unsignedinteger],
        bits: int,
        segments: tuple[Segment, ...],
        array: Accelerator,
    ) -> Stream:
        """X[m, segment] over m, once for every tile of output channels (depthwise: once for every channel)."""
        codes = scanned(layer, codes, array)
        outputs_per_group = layer.n // layer.groups
        channels = layer.n if layer.is_depthwise else 1
        check_stream_size(len(segments) * channels * layer.m * array.lanes, layer, array)
        if layer.is_depthwise:
            passes = [
                codes[n // outputs_per_group][:: -1 if array.turns and tile % 2 else 1, segment.lanes]
                for segment in segments
                for tile, n in enumerate(segment.order)
            ]
            tiles = 1
        else:
            passes = [codes[segment.order[0] // outputs_per_group][:, segment.lanes] for segment in segments]
            tiles = -(-outputs_per_group // array.columns)
        working_columns = 1 if layer.is_depthwise else array.columns
        return Stream(
            port="activations",
            words=np.concatenate([pad_last(words, array.lanes) for words in passes]),
            pass_starts=pass_starts([len(words) for words in passes]),
            bits=bits,
            pass_repeats=tiles,
            hops=working_columns if array.forwarding == "systolic" else 1,
            serpentine=array.turns,
        )

    def unit_work(self, layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> UnitWork:
        """Column c computes output channels c, c + columns, ... of each segment's order."""
        return unit_work(layer, segments, array)

    def unit_parts(
        self,
        operands: LayerOperands,
        segments: tuple[Segment, ...],
        array: Accelerator,
        part_cycles: int = PART_CYCLES,
    ) -> Iterator[Part]:
        """One part per range of tiles of output channels."""
        in_scan = replace(operands, activations=scanned(operands.layer, operands.activations, array))
        return unit_parts(in_scan, segments, array, part_cycles)

    def phases(self, source: PhaseSource) -> Iterator[Phase]:
        """See :mod:`fewflips.dataflows.weight_stationary.phases`."""
        return phases(source)

    def accesses(self, layer: Layer, segments: tuple[Segment, ...], array: Accelerator, widths: CodeWidths) -> Accesses:
        """See :mod:`fewflips.dataflows.weight_stationary.accesses`."""
        scheduled = not same_segments(segments, self.segments(layer, array))
        return accesses(layer, segments, array, widths, scheduled=scheduled)
