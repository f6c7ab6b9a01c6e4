"""Energy of the columns' register files in a layer, from a sample of its cycles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from fewflips.buffers.register_file import FileRows, GateLevelFile, joined
from fewflips.dataflows.activation_stationary.register_file import (
    FileCycles,
    Stretch,
    file_cycles,
    tiles_of_segments,
)
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.segment import Segment
from fewflips.datapath.register_file import RegisterFile
from fewflips.machine import Accelerator
from fewflips.simulation.sampling import REPLICATES, relative_ci95

BLOCK = 128
"""Transitions of a block, of which the last of a tile may have fewer."""
BLOCKS = 2
"""Blocks of each replicate."""


@dataclass(frozen=True)
class FileEnergy:
    """Energy of a column's register file in a layer.

    Parameters
    ----------
    read_fj, write_fj : float
        Of the data's toggles in a cycle in which the column works: of what depends on the read port, and of the rest.
    clock_fj : float
        Of each sum that is written.
    leakage_uw : float
        Of one file.
    ci95_percent : float
        Half width of the 95 % confidence interval of the data's energy.
    transitions : int
        Cycles that were simulated.
    """

    read_fj: float
    write_fj: float
    clock_fj: float
    leakage_uw: float
    ci95_percent: float
    transitions: int


def column_file(array: Accelerator, accumulator_bits: int) -> RegisterFile | None:
    """The register file of a machine's columns: an entry for each output of a tile.

    Parameters
    ----------
    array : Accelerator
        The machine.
    accumulator_bits : int
        Width of a sum.

    Returns
    -------
    RegisterFile or None
        None where partial sums go to a buffer.

    Raises
    ------
    InputError
        If its tiles have more sums than a register file holds.
    """
    if array.tiling.outputs is None:
        return None
    return RegisterFile(array.tiling.outputs * array.tiling.pixels, accumulator_bits)


def simulate_files(
    built: GateLevelFile,
    operands: LayerOperands,
    segments: tuple[Segment, ...],
    array: Accelerator,
    *,
    seed: int | tuple[int, ...] = 0,
    jobs: int = 1,
) -> FileEnergy:
    """Simulate a sample of a layer.

    Parameters
    ----------
    built : GateLevelFile
        The register file.
    operands : LayerOperands
        Codes of both operands.
    segments : tuple of Segment
        Lanes and order of each pass.
    array : Accelerator
        Columns and tiling.
    seed : int or tuple of int
        Chooses the sample.
    jobs : int
        Threads.

    Returns
    -------
    FileEnergy
        A layer without partial sums leaves its register files still.
    """
    if all(len(tile) == 1 for tile in tiles_of_segments(segments)):
        return FileEnergy(0.0, 0.0, 0.0, built.leakage_uw, 0.0, 0)
    generator = np.random.default_rng(seed)
    replicates = [
        built.simulate(joined(list(_blocks(built, operands, segments, array, generator))), jobs)
        for _ in range(REPLICATES)
    ]
    estimates = [sum(built.data_fj(toggles)) / toggles.transitions for toggles in replicates]
    whole = reduce(add, replicates)
    read_fj, write_fj = built.data_fj(whole)
    return FileEnergy(
        read_fj / whole.transitions,
        write_fj / whole.transitions,
        built.write_clock_fj,
        built.leakage_uw,
        100 * relative_ci95(estimates),
        whole.transitions,
    )


def _blocks(
    built: GateLevelFile,
    operands: LayerOperands,
    segments: tuple[Segment, ...],
    array: Accelerator,
    generator: np.random.Generator,
) -> Iterator[FileRows]:
    """Blocks around random cycles of the layer."""
    tiles = tiles_of_segments(segments)
    lengths = np.array([sum(len(segment.order) for segment in tile) for tile in tiles])
    for _ in range(BLOCKS):
        row, column = divmod(int(generator.integers(operands.layer.m)), array.columns)
        channels = int(generator.choice(len(tiles), p=lengths / lengths.sum()))
        stretch = Stretch(column, row // array.tiling.pixels, channels)
        cycles = file_cycles(operands, tiles, array, [*stretch.before(len(tiles)), stretch])
        pixels = range(*stretch.rows(operands.layer, array).indices(operands.layer.m))
        lead = len(cycles) - len(pixels) * int(lengths[channels])
        place = int(generator.integers(lead, len(cycles)))
        first = lead + (place - lead) // BLOCK * BLOCK
        yield rows_of(cycles, max(first - 1, 0), min(first + BLOCK, len(cycles)), built.file)


def rows_of(cycles: FileCycles, first: int, stop: int, file: RegisterFile) -> FileRows:
    """Consecutive cycles as a block."""
    return FileRows(
        read=cycles.read[first:stop],
        write=cycles.write[first:stop],
        read_address=cycles.read_address[first:stop],
        write_address=cycles.write_address[first:stop],
        write_data=cycles.write_data[first:stop],
        contents=cycles.contents(first, stop - first, file.entries),
        lengths=np.array([stop - first], dtype=np.int64),
    )
