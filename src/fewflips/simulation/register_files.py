"""Energy of memories made of registers in a layer, from a sample of its cycles.

The columns' register files see the sums and addresses of the layer's orders; buffers of weights and of orders see their
words in the order of use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from fewflips.buffers import MemoryEnergy
from fewflips.buffers.register_file import FileRows, GateLevelFile, joined
from fewflips.buffers.register_stream import streamed_rows
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
_PJ_PER_FJ = 1e-3


@dataclass(frozen=True)
class SimulatedMemory:
    """Figures of a memory made of registers in a layer.

    Parameters
    ----------
    energy : MemoryEnergy
        Of an access, and leakage.
    ci95_percent : float
        Half width of the 95 % confidence interval of the energy of data, without clock and leakage.
    transitions : int
        Cycles that were simulated.
    """

    energy: MemoryEnergy
    ci95_percent: float
    transitions: int


def simulate_files(
    built: GateLevelFile,
    operands: LayerOperands,
    segments: tuple[Segment, ...],
    array: Accelerator,
    *,
    seed: int | tuple[int, ...] = 0,
    jobs: int = 1,
) -> SimulatedMemory:
    """Simulate the columns' register files in a sample of a layer.

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
    SimulatedMemory
        Energy for each partial sum, so that all of them together have that of the layer; leakage of all columns. A
        layer without partial sums leaves its register files still.
    """
    leakage_uw = built.leakage_uw * array.columns
    tiles = tiles_of_segments(segments)
    cycles = sum(len(segment.order) for segment in segments)
    share = 1 - operands.layer.n / cycles  # of the cycles that read, and of those that write
    if share == 0:
        return SimulatedMemory(MemoryEnergy(0.0, 0.0, leakage_uw, _origin(built), simulated=True), 0.0, 0)
    return _sampled(
        built,
        lambda generator: _blocks_of_sums(built.file, operands, tiles, array, generator),
        share,
        leakage_uw,
        np.random.default_rng(seed),
        jobs,
    )


def simulate_stream(
    built: GateLevelFile, words: NDArray[np.uint8], banks: int = 1, *, seed: int | tuple[int, ...] = 0, jobs: int = 1
) -> SimulatedMemory:
    """Simulate a buffer through which words pass in the order of their use.

    Parameters
    ----------
    built : GateLevelFile
        The buffer.
    words : ndarray of uint8, shape (W, bits)
        Result of :func:`fewflips.buffers.register_stream.memory_words`.
    banks : int
        Copies, of which one is read or written at a time.
    seed : int or tuple of int
        Chooses the sample.
    jobs : int
        Threads.

    Returns
    -------
    SimulatedMemory
        Energy for each word, and leakage of all banks.
    """

    def blocks(generator: np.random.Generator) -> Iterator[FileRows]:
        length = min(BLOCK, len(words)) + 1
        for first in generator.integers(len(words), size=BLOCKS):
            yield streamed_rows(built.file, words, int(first), length)

    return _sampled(built, blocks, 1.0, banks * built.leakage_uw, np.random.default_rng(seed), jobs)


def _sampled(
    built: GateLevelFile,
    blocks: Callable[[np.random.Generator], Iterator[FileRows]],
    share: float,
    leakage_uw: float,
    generator: np.random.Generator,
    jobs: int,
) -> SimulatedMemory:
    """Figures from replicates of some blocks, in which a share of the cycles reads, and one writes."""
    replicates = [built.simulate(joined(list(blocks(generator))), jobs) for _ in range(REPLICATES)]
    estimates = [sum(built.data_fj(toggles)) / toggles.transitions for toggles in replicates]
    whole = reduce(add, replicates)
    read_fj, write_fj = (fj / whole.transitions / share for fj in built.data_fj(whole))
    return SimulatedMemory(
        MemoryEnergy(
            read_pj=read_fj * _PJ_PER_FJ,
            write_pj=(write_fj + built.write_clock_fj + built.cycle_clock_fj / share) * _PJ_PER_FJ,
            leakage_uw=leakage_uw,
            origin=_origin(built),
            simulated=True,
        ),
        100 * relative_ci95(estimates),
        whole.transitions,
    )


def _origin(built: GateLevelFile) -> str:
    return f"registers, {built.file.entries} x {built.file.bits} bits, simulated with cells of {built.library.source}"


def _blocks_of_sums(
    file: RegisterFile,
    operands: LayerOperands,
    tiles: list[tuple[Segment, ...]],
    array: Accelerator,
    generator: np.random.Generator,
) -> Iterator[FileRows]:
    """Blocks around random cycles of the layer."""
    lengths = np.array([sum(len(segment.order) for segment in tile) for tile in tiles])
    for _ in range(BLOCKS):
        row, column = divmod(int(generator.integers(operands.layer.m)), array.columns)
        channels = int(generator.choice(len(tiles), p=lengths / lengths.sum()))
        stretch = Stretch(column, row // array.tiling.pixels, channels)
        rows = len(range(*stretch.rows(operands.layer, array).indices(operands.layer.m)))
        first = int(generator.integers(rows * lengths[channels])) // BLOCK * BLOCK
        # until every sum has been written once, entries still hold those of the tile before
        begun = rows * len(tiles[channels][0].order) + operands.datapath.latency
        before = stretch.before(len(tiles), serpentine=array.turns) if first <= begun else []
        cycles = file_cycles(operands, tiles, array, [*before, stretch])
        first += len(cycles) - rows * int(lengths[channels])
        yield rows_of(cycles, max(first - 1, 0), min(first + BLOCK, len(cycles)), file)


def rows_of(cycles: FileCycles, first: int, stop: int, file: RegisterFile) -> FileRows:
    """Consecutive cycles of a column's register file as a block."""
    return FileRows(
        read=cycles.read[first:stop],
        write=cycles.write[first:stop],
        read_address=cycles.read_address[first:stop],
        write_address=cycles.write_address[first:stop],
        write_data=cycles.write_data[first:stop, None],
        contents=cycles.contents(first, stop - first, file.entries),
        lengths=np.array([stop - first], dtype=np.int64),
    )
