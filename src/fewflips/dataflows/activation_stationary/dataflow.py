"""Activation-stationary: a tile of activations stays in the array, weights stream over output channels.

for tile of `pixels` x `columns` output pixels:
    for tile of `outputs` output channels:
        for segment of `lanes` reduction indices:
            for row of `columns` output pixels of the tile:
                load the activations of the row
                for n in the segment's order:            # streams
                    every column adds its product with W[segment, n] to its partial sum of n

A machine without tiling has one row in a tile of pixels, and all output channels of a group in a tile of channels.
In a depthwise layer each output channel has its own activations, so they change with n.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.accesses import Accesses, CodeWidths, same_segments
from fewflips.dataflows.activation_stationary.accesses import accesses, with_hold_flags
from fewflips.dataflows.activation_stationary.phases import phases
from fewflips.dataflows.activation_stationary.tiles import channel_tiles, tile_outputs, visits
from fewflips.dataflows.activation_stationary.unit_work import unit_parts, unit_work
from fewflips.dataflows.coded_ports import coded_parts
from fewflips.dataflows.hold_flags import hold_flags, load_flags
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.layout import check_stream_size, chunks, output_tiles, pad_last, pass_starts
from fewflips.dataflows.phases import Phase, PhaseSource
from fewflips.dataflows.protocol import Dataflow
from fewflips.dataflows.segment import Segment
from fewflips.dataflows.sign_flags import streamed_codes
from fewflips.dataflows.unit_words import stored_word
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
    has_tiles = True
    has_hold_flags = True
    has_sign_flags = True
    has_coded_units = True
    columns_share_pixels = True

    def segments(self, layer: Layer, array: Accelerator) -> tuple[Segment, ...]:
        """One segment for every `lanes` reduction indices of every tile of channels; see :func:`channel_tiles`."""
        return tuple(
            Segment(lanes, tile) for tile in channel_tiles(layer, array) for lanes in chunks(layer.k, array.lanes)
        )

    def tiles_of_outputs(self, layer: Layer, array: Accelerator) -> int:
        """As many as the machine's tiling cuts a group into."""
        outputs = layer.n if layer.is_depthwise else layer.n // layer.groups
        return -(-outputs // tile_outputs(layer, array))

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
        """W[segment, n] over n, once for every row of output pixels; those of a tile one after the other."""
        word = stored_word(layer.weight_type, array.weights, bits)
        words = [streamed_codes(self.segment_words(codes, segment), segment, word) for segment in segments]
        passes = [pad_last(words_of_pass, array.lanes) for words_of_pass in words]
        rows = self.weight_repeats(layer, array)
        pixels = min(array.tiling.pixels, rows)
        tiles = -(-rows // pixels)
        return Stream(
            port="weights",
            words=np.concatenate(passes),
            pass_starts=pass_starts([len(words) for words in passes]),
            bits=bits,
            repeats=tiles,
            pass_repeats=pixels,
            hops=array.columns if array.forwarding == "systolic" else 1,
            last_pass_repeats=rows - (tiles - 1) * pixels,
        )

    def weight_repeats(self, layer: Layer, array: Accelerator) -> int:
        """Once for every row of `columns` output pixels."""
        return -(-layer.m // array.columns)

    def activation_stream(
        self,
        layer: Layer,
        codes: NDArray[np.unsignedinteger],
        bits: int,
        segments: tuple[Segment, ...],
        array: Accelerator,
    ) -> Stream:
        """Contents of the activation registers: one load per row and segment, or per channel in a depthwise layer."""
        cycles = sum(len(segment.order) for segment in segments)
        rows = -(-layer.m // array.columns)
        loads_in_all = rows * (cycles if layer.is_depthwise else len(segments))
        check_stream_size(loads_in_all * array.columns * array.lanes, layer, array)
        tiles = output_tiles(codes, array.columns)
        outputs_per_group = layer.n // layer.groups
        loads = []
        for segment in segments:
            if layer.is_depthwise:
                words = tiles[segment.order // outputs_per_group][..., segment.lanes].swapaxes(0, 1)
            else:
                words = tiles[segment.order[0] // outputs_per_group][:, None, :, segment.lanes]
            loads.append(pad_last(words, array.lanes).reshape(rows, -1, array.columns * array.lanes))
        lengths = [words.shape[1] for words in loads]
        laid_out, starts = _in_order_of_visits(np.concatenate(loads, axis=1), lengths, array.tiling.pixels)
        if not layer.is_depthwise:
            starts = np.zeros(1, dtype=np.int64)
        return Stream(port="activations", words=laid_out, pass_starts=starts, bits=bits)

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
        """One part per range of tiles of pixels."""
        parts = unit_parts(operands, segments, array, part_cycles)
        ports = operands.datapath.bus_invert_ports
        return coded_parts(parts, ports, {"weights": True, "activations": False}) if ports else parts

    def phases(self, source: PhaseSource) -> Iterator[Phase]:
        """See :mod:`fewflips.dataflows.activation_stationary.phases`."""
        return phases(source)

    def accesses(self, layer: Layer, segments: tuple[Segment, ...], array: Accelerator, widths: CodeWidths) -> Accesses:
        """See :mod:`fewflips.dataflows.activation_stationary.accesses`."""
        scheduled = not same_segments(segments, self.segments(layer, array))
        found = accesses(layer, segments, array, widths, scheduled=scheduled)
        if not array.datapath.hold_flags:
            return found
        codes, bits = weight_codes(layer, array.weights)
        load = load_flags(self.weight_stream(layer, codes, bits, segments, array))
        return with_hold_flags(found, layer, segments, load, array)


def _in_order_of_visits(
    words: NDArray[np.unsignedinteger], lengths: list[int], pixels: int
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """Loads in the order in which the array takes them.

    Parameters
    ----------
    words : ndarray, shape (rows, loads, registers)
        Loads of each row of output pixels, segment after segment.
    lengths : list of int
        Loads of each segment.
    pixels : int
        Rows of a tile of pixels.

    Returns
    -------
    words : ndarray, shape (rows x loads, registers)
        One load after the other.
    starts : ndarray of int64, shape (rows x segments,)
        First load of each visit.
    """
    rows, loads, registers = words.shape
    row, segment = visits(rows, len(lengths), pixels)
    of_visit = np.array(lengths)[segment]
    starts = np.cumsum(of_visit) - of_visit
    flat = words.reshape(-1, registers)
    if pixels > 1:
        first = row * loads + (np.cumsum(lengths) - lengths)[segment]
        flat = flat[np.repeat(first - starts, of_visit) + np.arange(rows * loads)]
    return flat, starts
