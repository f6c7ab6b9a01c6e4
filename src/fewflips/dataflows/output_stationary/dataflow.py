"""Output-stationary: a tile of outputs stays in the array, both operands stream over the reduction.

for tile of `lanes` output pixels:
    for tile of `columns` output channels:       # a segment
        for k in the segment's order:            # both stream
            accumulator (m, n) adds X[m, k] * W[k, n]

In a depthwise layer each output channel has its own activations, so one column works at a time. With serpentine replay,
every other tile of output pixels takes the segments from the last to the first, and each order backwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.accesses import Accesses, CodeWidths, same_segments
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.layout import check_stream_size, chunks, output_tiles, pad_last, pass_starts
from fewflips.dataflows.output_stationary.accesses import accesses
from fewflips.dataflows.output_stationary.phases import phases
from fewflips.dataflows.output_stationary.unit_work import unit_parts, unit_work
from fewflips.dataflows.phases import Phase, PhaseSource
from fewflips.dataflows.protocol import Dataflow
from fewflips.dataflows.segment import Segment
from fewflips.dataflows.unit_work import PART_CYCLES, Part, UnitWork
from fewflips.machine.accelerator import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.stream import Stream


class OutputStationary(Dataflow):
    """Weights and activations stream over k in a common order."""

    name = "output-stationary"
    lanes_axis = "n"
    order_axis = "k"
    has_serpentine_replay = True

    def segments(self, layer: Layer, array: Accelerator) -> tuple[Segment, ...]:
        """One segment for every `columns` output channels of a group (depthwise: for every channel)."""
        outputs = layer.n // layer.groups
        columns = self.lanes_in(layer, array)
        return tuple(
            Segment(lanes, np.arange(layer.k))
            for group in range(layer.groups)
            for lanes in chunks(outputs, columns, start=group * outputs)
        )

    def unit(self, array: Accelerator) -> Literal["column", "chain", "mac"]:
        """Multiply-accumulate units."""
        return "mac"

    def lanes_in(self, layer: Layer, array: Accelerator) -> int:
        """Columns of the array; one in a depthwise layer."""
        return 1 if layer.is_depthwise else array.columns

    def weight_stream(
        self,
        layer: Layer,
        codes: NDArray[np.unsignedinteger],
        bits: int,
        segments: tuple[Segment, ...],
        array: Accelerator,
    ) -> Stream:
        """W[k, tile] over k, once for every tile of output pixels."""
        columns = self.lanes_in(layer, array)
        passes = [pad_last(self.segment_words(codes, segment), columns) for segment in segments]
        return Stream(
            port="weights",
            words=np.concatenate(passes),
            pass_starts=pass_starts([len(words) for words in passes]),
            bits=bits,
            repeats=self.weight_repeats(layer, array),
            hops=array.lanes if array.forwarding == "systolic" else 1,
            serpentine=array.turns,
        )

    def weight_repeats(self, layer: Layer, array: Accelerator) -> int:
        """Once for every tile of output pixels."""
        return -(-layer.m // array.lanes)

    def activation_stream(
        self,
        layer: Layer,
        codes: NDArray[np.unsignedinteger],
        bits: int,
        segments: tuple[Segment, ...],
        array: Accelerator,
    ) -> Stream:
        """X[tile, k] over k in the order of each segment."""
        check_stream_size(-(-layer.m // array.lanes) * len(segments) * layer.k * array.lanes, layer, array)
        tiles = output_tiles(codes, array.lanes)
        outputs_per_group = layer.n // layer.groups
        passes = [
            tiles[segment.lanes[0] // outputs_per_group][:, :, segment.order].swapaxes(1, 2) for segment in segments
        ]
        words = np.stack(passes, axis=1)
        if array.turns:
            words[1::2] = words[1::2, ::-1, ::-1]
        return Stream(
            port="activations",
            words=words.reshape(-1, array.lanes),
            pass_starts=np.arange(words.shape[0] * words.shape[1], dtype=np.int64) * layer.k,
            bits=bits,
            hops=self.lanes_in(layer, array) if array.forwarding == "systolic" else 1,
        )

    def moving_activations(
        self, layer: Layer, codes: NDArray[np.unsignedinteger], segment: Segment
    ) -> NDArray[np.unsignedinteger] | None:
        """X[m, k] of every output pixel, for each k."""
        group = int(segment.lanes[0]) // (layer.n // layer.groups)
        return np.ascontiguousarray(codes[group][:, segment.order].T)

    def unit_work(self, layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> UnitWork:
        """Unit (r, c) computes output pixels r, r + lanes, ... of the c-th output channel."""
        return unit_work(layer, segments, array)

    def unit_parts(
        self,
        operands: LayerOperands,
        segments: tuple[Segment, ...],
        array: Accelerator,
        part_cycles: int = PART_CYCLES,
    ) -> Iterator[Part]:
        """One part per range of tiles of output pixels."""
        return unit_parts(operands, segments, array, part_cycles)

    def phases(self, source: PhaseSource) -> Iterator[Phase]:
        """See :mod:`fewflips.dataflows.output_stationary.phases`."""
        return phases(source)

    def accesses(self, layer: Layer, segments: tuple[Segment, ...], array: Accelerator, widths: CodeWidths) -> Accesses:
        """See :mod:`fewflips.dataflows.output_stationary.accesses`."""
        scheduled = not same_segments(segments, self.segments(layer, array))
        return accesses(layer, segments, array, widths, scheduled=scheduled)
