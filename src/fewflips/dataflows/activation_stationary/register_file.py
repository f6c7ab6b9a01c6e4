"""What the register file of a column sees while it keeps the partial sums of a tile.

The file is read at the address of the sum that the unit takes, and written at that of the sum that leaves it, as many
cycles later as the unit needs for adding. The first segment of a tile reads nothing, and the last one writes nothing:
its sums are complete, and leave. Entry p x outputs + i keeps the sum of the tile's i-th output channel for its p-th row
of pixels.

A segment may begin with a channel with which the one before ended. Where a tile has one row of pixels, its sum is then
read before it has been written; real hardware waits, or passes it on around the file. :attr:`FileCycles.early` counts
these reads; the bits that the file shows in them are those of its contents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.activation_stationary.tiles import visits
from fewflips.dataflows.activation_stationary.unit_work import partial_sums
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.scale_blocks import check_without_blocks
from fewflips.dataflows.segment import Segment
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer


@dataclass(frozen=True, eq=False)
class FileCycles:
    """Ports of a register file, cycle by cycle.

    Parameters
    ----------
    read, write : ndarray of bool, shape (T,)
        Whether there is such an access.
    read_address, write_address : ndarray of int64, shape (T,)
        Entries; addresses go on where there is no access.
    write_data : ndarray of int64, shape (T,)
        Sums that leave the unit, whether they are written or not.
    expected : ndarray of int64, shape (T,)
        Sums that the unit takes.
    """

    read: NDArray[np.bool_] = field(repr=False)
    write: NDArray[np.bool_] = field(repr=False)
    read_address: NDArray[np.int64] = field(repr=False)
    write_address: NDArray[np.int64] = field(repr=False)
    write_data: NDArray[np.int64] = field(repr=False)
    expected: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.read)

    def contents(self, first: int, count: int, entries: int) -> NDArray[np.int64]:
        """Contents of all entries.

        Parameters
        ----------
        first : int
            Cycle to begin with.
        count : int
            Cycles.
        entries : int
            Entries of the file.

        Returns
        -------
        ndarray of int64, shape (count, entries)
            During each cycle; entries that have not been written hold 0.
        """
        written = np.full((count, entries), -1, dtype=np.int64)
        before = np.flatnonzero(self.write[:first])
        np.maximum.at(written[0], self.write_address[before], before)
        later = first + np.flatnonzero(self.write[first : first + count - 1])
        written[later - first + 1, self.write_address[later]] = later
        written = np.maximum.accumulate(written, axis=0)
        return np.where(written >= 0, self.write_data[written], 0)

    def early(self, entries: int) -> NDArray[np.bool_]:
        """Whether a read finds something else than the sum that the unit takes, shape (T,)."""
        shown = self.contents(0, len(self), entries)[np.arange(len(self)), self.read_address]
        return self.read & (shown != self.expected)


@dataclass(frozen=True)
class Stretch:
    """The cycles in which a column computes one tile.

    Parameters
    ----------
    column : int
        The column.
    pixels : int
        Which tile of pixels.
    channels : int
        Which tile of channels.
    """

    column: int
    pixels: int
    channels: int

    def before(self, tiles: int, *, serpentine: bool = False) -> list[Stretch]:
        """The stretch of the same column that comes before, if any, in a layer of so many tiles of channels."""
        step, first, last = (1, tiles - 1, 0) if serpentine and self.pixels % 2 else (-1, 0, tiles - 1)
        if self.channels != first:
            return [Stretch(self.column, self.pixels, self.channels + step)]
        return [Stretch(self.column, self.pixels - 1, first if serpentine else last)] if self.pixels else []

    def rows(self, layer: Layer, array: Accelerator) -> slice:
        """Its output pixels."""
        begin = self.pixels * array.tiling.pixels * array.columns + self.column
        return slice(begin, min(layer.m, begin + array.tiling.pixels * array.columns), array.columns)


def tiles_of_segments(segments: tuple[Segment, ...]) -> list[tuple[Segment, ...]]:
    """Segments of each tile of channels, in their order."""
    found = groupby(segments, key=lambda segment: frozenset(segment.order.tolist()))
    return [tuple(of_tile) for _, of_tile in found]


def file_cycles(
    operands: LayerOperands,
    tiles: list[tuple[Segment, ...]],
    array: Accelerator,
    stretches: list[Stretch],
) -> FileCycles:
    """What a column's register file sees over consecutive stretches.

    Parameters
    ----------
    operands : LayerOperands
        Codes of both operands.
    tiles : list of tuple of Segment
        Result of :func:`tiles_of_segments`.
    array : Accelerator
        Columns and tiling.
    stretches : list of Stretch
        Of one column, one after the other.

    Returns
    -------
    FileCycles
        In the cycles before the first sum leaves, the write port shows that sum and writes nothing.
    """
    parts = [_stretch(operands, tiles[s.channels], array, s) for s in stretches]
    address, taken, leaving, first, last = (np.concatenate(part) for part in zip(*parts, strict=True))
    # a unit may take the sum some cycles after the operands
    stages = operands.datapath.latency - operands.datapath.partial_sum_delay
    delayed = np.maximum(np.arange(len(address)) - stages, 0)
    began = np.arange(len(address)) >= stages
    return FileCycles(
        read=~first,
        write=began & ~last[delayed],
        read_address=address,
        write_address=address[delayed],
        write_data=leaving[delayed],
        expected=taken,
    )


def _stretch(
    operands: LayerOperands, segments: tuple[Segment, ...], array: Accelerator, stretch: Stretch
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Addresses, sums taken and sums leaving of each cycle; whether it is of the tile's first and last segment."""
    check_without_blocks(operands.layer, "a register file of sums")
    rows = stretch.rows(operands.layer, array)
    if array.turns and stretch.pixels % 2:
        segments = segments[::-1]
    count = len(range(*rows.indices(operands.layer.m)))
    whole = Segment(np.zeros(0, dtype=np.int64), np.sort(segments[0].order))  # takes the complete sums
    before = partial_sums(operands, (*segments, whole), rows)
    ends = np.cumsum([len(segment.order) for segment in segments])
    taken = np.split(before, ends, axis=1)
    places = [np.searchsorted(whole.order, segment.order) for segment in segments]
    leaving = [taken[index + 1] for index in range(len(segments))]
    leaving = [
        after[:, np.argsort(following)[place]]
        for after, following, place in zip(leaving, [*places[1:], np.arange(len(whole.order))], places, strict=True)
    ]
    row, segment = visits(count, len(segments), array.tiling.pixels)
    pairs = list(zip(row.tolist(), segment.tolist(), strict=True))
    length = len(whole.order)
    first_row = stretch.pixels * array.tiling.pixels
    steps = [-1 if array.turns and (first_row + r) % 2 else 1 for r, _ in pairs]  # -1: backwards
    visited = list(zip(steps, pairs, strict=True))
    return (
        np.concatenate([r * (array.tiling.outputs or length) + places[s][::step] for step, (r, s) in visited]),
        np.concatenate([taken[s][r][::step] for step, (r, s) in visited]),
        np.concatenate([leaving[s][r][::step] for step, (r, s) in visited]),
        np.repeat(segment == 0, length),
        np.repeat(segment == len(segments) - 1, length),
    )
