"""A row-stationary dataflow, written outside the package: what docs/dataflows.md tells how to add.

for row of `ROW` x `columns` output pixels:
    for segment of `lanes` reduction indices:
        for n in the segment's order:            # weights stand still over the row
            for step of the row:                 # activations stream
                column c adds its product with W[segment, n] to its partial sum of (pixel, n)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fewflips.dataflows import Dataflow, Segment
from fewflips.dataflows.accesses import Accesses, Traffic, runs_of
from fewflips.dataflows.layer_operands import LayerOperands, segment_products
from fewflips.dataflows.layout import chunks, pad_last, pass_starts
from fewflips.dataflows.phases import Phase, PhaseSource, word_rates
from fewflips.dataflows.unit_work import PART_CYCLES, Part, PortContent, Steps, UnitWork, assemble_part, drain_cycles
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.stream import Stream

ROW = 3
"""Steps for which weights stand still."""


@dataclass(frozen=True)
class Row:
    """Output pixels of each step of a row."""

    steps: tuple[range, ...]


def rows_of(layer: Layer, array: Accelerator) -> list[Row]:
    steps = [range(first, min(layer.m, first + array.columns)) for first in range(0, layer.m, array.columns)]
    return [Row(tuple(steps[first : first + ROW])) for first in range(0, len(steps), ROW)]


class RowStationary(Dataflow):
    """Weights stand still over a row of output pixels, in each of which activations stream."""

    name = "row-stationary"
    lanes_axis = "k"
    order_axis = "n"
    held_operand = "weights"
    sums_change_with_order = True

    def segments(self, layer: Layer, array: Accelerator) -> tuple[Segment, ...]:
        groups = 1 if layer.is_depthwise else layer.groups
        outputs = layer.n // groups
        return tuple(
            Segment(lanes, np.arange(group * outputs, (group + 1) * outputs))
            for group in range(groups)
            for lanes in chunks(layer.k, array.lanes)
        )

    def unit(self, array):
        return "column"

    def lanes_in(self, layer, array):
        return array.lanes

    def weight_repeats(self, layer, array):
        return len(rows_of(layer, array))

    def weight_stream(self, layer, codes, bits, segments, array):
        passes = [pad_last(self.segment_words(codes, segment), array.lanes) for segment in segments]
        return Stream(
            port="weights",
            words=np.concatenate(passes),
            pass_starts=pass_starts([len(words) for words in passes]),
            bits=bits,
            repeats=self.weight_repeats(layer, array),
        )

    def activation_stream(self, layer, codes, bits, segments, array):
        """One pass a row, segment and output channel: the columns' activations, step by step."""
        outputs = layer.n // layer.groups
        passes = []
        for row in rows_of(layer, array):
            for segment in segments:
                for n in segment.order:
                    held = np.zeros((len(row.steps), array.columns, array.lanes), codes.dtype)
                    for number, pixels in enumerate(row.steps):
                        held[number, : len(pixels), : len(segment.lanes)] = codes[n // outputs][pixels][
                            :, segment.lanes
                        ]
                    passes.append(held.reshape(len(row.steps), -1))
        starts = pass_starts([len(words) for words in passes])
        return Stream(port="activations", words=np.concatenate(passes), pass_starts=starts, bits=bits)

    def unit_work(self, layer, segments, array):
        outputs = sum(len(segment.order) for segment in segments)
        tiles = -(-layer.m // array.columns)
        return UnitWork(
            unit_cycles=layer.m * outputs,
            array_cycles=tiles * outputs,
            units=array.columns,
            weight_share=tiles / layer.m,
            activation_share=1.0,
            weight_loads=outputs * sum(len(row.steps[0]) for row in rows_of(layer, array)),
            activation_loads=layer.m * outputs,
            weight_copies=1 / array.columns,
            activation_copies=1.0,
        )

    def unit_parts(
        self,
        operands: LayerOperands,
        segments: tuple[Segment, ...],
        array: Accelerator,
        part_cycles: int = PART_CYCLES,
    ) -> Iterator[Part]:
        """All in one part."""
        layer, datapath = operands.layer, operands.datapath
        words = [pad_last(operands.weights[np.ix_(one.order, one.lanes)], datapath.lanes) for one in segments]
        activations, before = [], []
        sums = np.full((layer.m, layer.n), datapath.sum_offset(0))
        for segment in segments:
            held = operands.activations[operands.groups_of(segment.order)][..., segment.lanes]
            activations.append(pad_last(held, datapath.lanes).reshape(-1, datapath.lanes))
            before.append(sums[:, segment.order].T.reshape(-1, 1))
            sums[:, segment.order] += segment_products(operands, segment, slice(0, layer.m)) + datapath.tree_bias
        steps = list(self._steps(layer, segments, array))
        weights, pixels, active = (np.array(column) for column in zip(*steps, strict=True))
        starts = {
            "weights": np.broadcast_to(weights[:, None], active.shape),
            "activations": weights[:, None] * layer.m + pixels,
            "partial_sum": weights[:, None] * layer.m + pixels,
        }
        contents = {
            "weights": PortContent(np.concatenate(words), datapath.weights.bits, stride=0),
            "activations": PortContent(np.concatenate(activations), datapath.activations.bits, stride=0),
            "partial_sum": PortContent(
                np.concatenate(before), datapath.accumulator_bits, stride=0, delay=datapath.partial_sum_delay
            ),
        }
        lengths = np.ones(len(steps), np.int64)
        ending = np.ones(array.columns, np.bool_)
        yield assemble_part(
            Steps(lengths, active, starts), contents, 0, drained=ending, drain_cycles=drain_cycles(datapath)
        )

    def phases(self, source: PhaseSource) -> Iterator[Phase]:
        rows = rows_of(source.layer, source.array)
        loads = sum(len(row.steps[0]) for row in rows)
        still = np.zeros(source.weight_bits)
        for index, words in enumerate(source.words):
            lanes, adds = len(source.segments[index].lanes), source.adds_to_sum(index)
            moving = source.activations.rates
            yield Phase(loads * len(words), lanes, word_rates(words, source.weight_bits), moving, adds)
            yield Phase((source.layer.m - loads) * len(words), lanes, still, moving, adds)

    def accesses(self, layer, segments, array, widths):
        """Weights once a row; activations at each of its steps, but once a segment where a column has only one step."""
        rows = rows_of(layer, array)
        alone = sum(len(row.steps[0]) - (len(row.steps[1]) if len(row.steps) > 1 else 0) for row in rows)
        words = [(len(one.order), self._changes(layer, one), len(one.lanes)) for one in segments]
        passed_on = sum(length for length, _, _ in words) - layer.n
        full, rest = divmod(layer.m, array.columns)
        sums = runs_of([(passed_on * full, array.columns), (passed_on, rest)])
        return Accesses(
            weights=Traffic(widths.weights, runs_of((len(rows), length * lanes) for length, _, lanes in words)),
            activations=Traffic(
                widths.activations,
                runs_of((length * (layer.m - alone) + changes * alone, lanes) for length, changes, lanes in words),
            ),
            results=Traffic(widths.activations, written=runs_of([(layer.n * full, array.columns), (layer.n, rest)])),
            partial_sums=Traffic(widths.partial_sums, sums, sums),
        )

    def _changes(self, layer, segment):
        """How often the group changes along an order, and once for its beginning."""
        groups = segment.order // (layer.n // layer.groups)
        return 1 + int(np.count_nonzero(np.diff(groups)))

    def _steps(self, layer, segments, array):
        """Row of the weights, pixel of each column, and which columns work."""
        for row in rows_of(layer, array):
            first = 0
            for segment in segments:
                for place in range(len(segment.order)):
                    for pixels in row.steps:
                        columns = np.arange(array.columns)
                        yield first + place, np.minimum(pixels[0] + columns, layer.m - 1), columns < len(pixels)
                first += len(segment.order)
