"""The memories of a machine that are made of registers: built once, and simulated with each layer's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.buffers import REGISTER_FILES, MemoryEnergy
from fewflips.buffers.chain import memories
from fewflips.buffers.column_file import column_file
from fewflips.buffers.register_file import TYPICAL_CYCLES, GateLevelFile, build_file, random_rows
from fewflips.buffers.register_stream import memory_words
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.accesses import same_segments
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.sign_flags import stored_codes
from fewflips.dataflows.unit_words import stored_word
from fewflips.datapath.design import Datapath
from fewflips.datapath.register_file import RegisterFile
from fewflips.errors import AcceleratorError, InputError
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.machine import Accelerator
from fewflips.machine.buffers import Buffer
from fewflips.machine.memory_sources import REGISTERS
from fewflips.network.layer import Layer
from fewflips.progress import Progress
from fewflips.simulation.register_files import SimulatedMemory, simulate_files, simulate_stream
from fewflips.streams.codes import weight_codes

_STREAMED = ("weights", "index_table")
"""Buffers whose words are used in the order in which they are stored."""


@dataclass(frozen=True, eq=False)
class RegisterMemories:
    """Memories of a machine at gate level.

    Parameters
    ----------
    array : Accelerator
        The machine.
    built : mapping of str to GateLevelFile
        By label, as :func:`fewflips.buffers.buffer_bill` takes their figures.
    copies : mapping of str to int
        How many of each the machine has: columns, or banks.
    """

    array: Accelerator
    built: Mapping[str, GateLevelFile] = field(repr=False)
    copies: Mapping[str, int]

    @property
    def area_um2(self) -> float:
        """Area of the cells of all copies."""
        return sum(self.copies[label] * memory.area_um2 for label, memory in self.built.items())

    def of_layer(
        self, operands: LayerOperands, segments: tuple[Segment, ...], seed: int | tuple[int, ...] = 0, jobs: int = 1
    ) -> dict[str, SimulatedMemory]:
        """Figures of each memory in a layer.

        Parameters
        ----------
        operands : LayerOperands
            Codes of both operands.
        segments : tuple of Segment
            The order of each pass.
        seed : int or tuple of int
            Chooses the sample.
        jobs : int
            Threads.

        Returns
        -------
        dict of str to SimulatedMemory
            By label. The index table costs nothing in natural order, which reads no orders.
        """
        found = {}
        for label, memory in self.built.items():
            if label == REGISTER_FILES:
                found[label] = simulate_files(memory, operands, segments, self.array, seed=seed, jobs=jobs)
            else:
                words = self._words(label, operands.layer, segments, memory.file.bits)
                found[label] = simulate_stream(memory, words, self.copies[label], seed=seed, jobs=jobs)
        return found

    def _words(self, label: str, layer: Layer, segments: tuple[Segment, ...], word_bits: int) -> NDArray[np.uint8]:
        if label == "weights":
            codes, bits = weight_codes(layer, self.array.weights)
            word, flow = stored_word(layer.weight_type, self.array.weights, bits), dataflow_of(self.array)
            passes = [stored_codes(flow.segment_words(codes, segment), segment, word) for segment in segments]
            return memory_words(passes, bits, word_bits)
        return index_words(layer, segments, self.array, word_bits)


def index_words(layer: Layer, segments: tuple[Segment, ...], array: Accelerator, word_bits: int) -> NDArray[np.uint8]:
    """Words of an index table: for each segment, which of its indices comes next.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        The order of each pass.
    array : Accelerator
        The machine.
    word_bits : int
        Width of the table.

    Returns
    -------
    ndarray of uint8, shape (words, word_bits)
        A single word of zeros where the table is not read: in natural order, or where no segment has a choice.
    """
    runs = []
    if not same_segments(segments, dataflow_of(array).segments(layer, array)):
        for segment in segments:
            bits = (len(segment.order) - 1).bit_length()
            if bits:
                places = np.searchsorted(np.sort(segment.order), segment.order).astype(np.uint32)
                runs.append(memory_words([places], bits, word_bits))
    return np.concatenate(runs) if runs else np.zeros((1, word_bits), dtype=np.uint8)


def build_register_memories(
    array: Accelerator,
    datapath: Datapath,
    library: CellLibrary,
    *,
    step_ps: float = 10.0,
    progress: Progress | None = None,
) -> RegisterMemories:
    """Synthesize the memories of a machine that are made of registers.

    Parameters
    ----------
    array : Accelerator
        The machine: its tiling, and its buffers whose `source` is ``registers``.
    datapath : Datapath
        Its unit, for the width of sums.
    library : CellLibrary
        Cells.
    step_ps : float
        Step to which delays are rounded.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    RegisterMemories
        Possibly none.

    Raises
    ------
    AcceleratorError
        If one is too large, or of a kind whose words are not known in their order.
    """
    files, copies = {}, {REGISTER_FILES: array.columns}
    sums = column_file(array, datapath.accumulator_bits)
    if sums is not None:
        files[REGISTER_FILES] = sums
    for memory in memories(array.buffers) if array.buffers is not None else ():
        if memory.buffer.source == REGISTERS and None in (memory.buffer.read_pj, memory.buffer.write_pj):
            files[memory.label] = _buffer_file(memory.label, memory.buffer, array)
            copies[memory.label] = memory.buffer.banks
    built = {label: build_file(file, library, step_ps=step_ps, progress=progress) for label, file in files.items()}
    return RegisterMemories(array, built, copies)


def _buffer_file(label: str, buffer: Buffer, array: Accelerator) -> RegisterFile:
    if label not in _STREAMED:
        raise AcceleratorError(
            f"{array.name}: buffers.{label}: registers: expected weights or an index table, whose words follow in the "
            "order of use; state read_pj and write_pj, or take another source"
        )
    try:
        return RegisterFile(buffer.capacity_bits // buffer.banks // buffer.word_bits, buffer.word_bits)
    except InputError as error:
        raise AcceleratorError(f"{array.name}: buffers.{label}: {error}") from error


def typical_memory(built: GateLevelFile, *, columns: int = 1) -> MemoryEnergy:
    """Figures of a register file with random words and addresses, as an estimate without a layer.

    Parameters
    ----------
    built : GateLevelFile
        The memory.
    columns : int
        Copies, for leakage.

    Returns
    -------
    MemoryEnergy
        Not marked as simulated.
    """
    rows = random_rows(built.file, TYPICAL_CYCLES, seed=1)
    toggles = built.simulate(rows)
    read_fj, write_fj = built.data_fj(toggles)
    return MemoryEnergy(
        read_pj=read_fj / rows.read[1:].sum() * 1e-3,
        write_pj=(write_fj / rows.write[1:].sum() + built.write_clock_fj) * 1e-3,
        leakage_uw=built.leakage_uw * columns,
        origin=f"registers, {built.file.entries} x {built.file.bits} bits, simulated with random words",
    )
