"""What a layer's accesses of memories cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from fewflips.buffers.chain import memories, transfers
from fewflips.buffers.fit import check_memories
from fewflips.buffers.source import MemoryEnergy, memory_energy
from fewflips.dataflows.accesses import Accesses
from fewflips.errors import AcceleratorError
from fewflips.machine import Accelerator
from fewflips.machine.buffers import Buffers
from fewflips.network.layer import Layer
from fewflips.records.bill import BufferBill, LevelBill

REGISTER_FILES = "register_files"
"""Label of the columns' register files among simulated figures, which are for one partial sum."""


@dataclass(frozen=True)
class _Entry:
    """A line of the bill: energy, and whether all of it was simulated."""

    pj: float = 0.0
    simulated: bool = True

    def __add__(self, other: _Entry) -> _Entry:
        return _Entry(self.pj + other.pj, self.simulated and other.simulated)


def buffer_bill(
    layer: Layer,
    accesses: Accesses,
    array: Accelerator,
    array_cycles: int,
    clock_mhz: float,
    simulated: Mapping[str, MemoryEnergy] | None = None,
) -> tuple[BufferBill, tuple[str, ...]]:
    """Energy of the memories in one inference of a layer.

    Parameters
    ----------
    layer : Layer
        For messages.
    accesses : Accesses
        What the array reads and writes.
    array : Accelerator
        The machine, with buffers.
    array_cycles : int
        Cycles that the layer takes, for leakage.
    clock_mhz : float
        Clock frequency.
    simulated : mapping of str to MemoryEnergy, optional
        Figures of memories that are made of registers, from the simulation of their gates, by label: ``weights``,
        ``partial_sums``, ..., ``beyond.NAME``. Those of the columns' register files, for one partial sum, are under
        :data:`REGISTER_FILES`.

    Returns
    -------
    bill : BufferBill
        With the leakage of those memories for which it is known.
    estimated : tuple of str
        Entries that are not simulated, as ``buffers.weights_pj``.

    Raises
    ------
    AcceleratorError
        If the machine has no buffers, they do not suffice for the layer (:func:`check_memories`), or the energy of an
        access is not known.
    """
    if array.buffers is None:
        raise AcceleratorError(f"{array.name}: expected a machine with buffers, got none: describe `buffers`")
    check_memories(layer, accesses, array)
    figures = memory_figures(array.buffers, simulated)
    spent: defaultdict[str, _Entry] = defaultdict(_Entry)
    for moved in transfers(accesses, array.buffers):
        label = moved.memory.label if moved.memory.is_beyond else moved.content.replace("-", "_")
        spent[label] += _access(figures[moved.memory.label], moved.reads, moved.writes)
    files = accesses.register_files
    if files.codes_written:
        if simulated is None or REGISTER_FILES not in simulated:
            raise AcceleratorError(f"{array.name}: its register files were not simulated: leave out tiling.outputs")
        figures[REGISTER_FILES] = simulated[REGISTER_FILES]
        spent[REGISTER_FILES] += _access(figures[REGISTER_FILES], files.codes_read, files.codes_written)
    microseconds = array_cycles / clock_mhz
    leaking = {label: _leakage(found, microseconds) for label, found in figures.items()}
    return _bill(array.buffers, spent, leaking)


def memory_figures(buffers: Buffers, simulated: Mapping[str, MemoryEnergy] | None = None) -> dict[str, MemoryEnergy]:
    """Figures of all memories of a machine.

    Parameters
    ----------
    buffers : Buffers
        The memories.
    simulated : mapping of str to MemoryEnergy, optional
        As for :func:`buffer_bill`.

    Returns
    -------
    dict of str to MemoryEnergy
        By label.

    Raises
    ------
    AcceleratorError
        If a source does not know a memory.
    """
    known = simulated or {}
    return {
        memory.label: memory_energy(memory.buffer, f"buffers.{memory.label}", known.get(memory.label))
        for memory in memories(buffers)
    }


def _access(found: MemoryEnergy, reads: int, writes: int) -> _Entry:
    pj = reads * found.read_pj + writes * found.write_pj
    return _Entry(pj, found.simulated or not pj)


def _leakage(found: MemoryEnergy, microseconds: float) -> _Entry:
    pj = (found.leakage_uw or 0.0) * microseconds
    return _Entry(pj, found.simulated or not pj)


def _bill(
    buffers: Buffers, spent: Mapping[str, _Entry], leaking: Mapping[str, _Entry]
) -> tuple[BufferBill, tuple[str, ...]]:
    beyond = {f"beyond.{level.name}" for level in buffers.beyond}
    leakage = _Entry()
    for label, leak in leaking.items():
        if label not in beyond:
            leakage += leak
    names = ("weights", "activations", "partial_sums", "index_table", REGISTER_FILES)
    lines = {f"{name}_pj": spent.get(name, _Entry()) for name in names} | {"leakage_pj": leakage}
    levels = [
        (level.name, spent.get(f"beyond.{level.name}", _Entry()), leaking[f"beyond.{level.name}"])
        for level in buffers.beyond
    ]
    bill = BufferBill(
        **{name: line.pj for name, line in lines.items()},
        beyond=tuple(LevelBill(name=name, access_pj=access.pj, leakage_pj=leak.pj) for name, access, leak in levels),
    )
    estimated = [name for name, line in lines.items() if not line.simulated]
    if any(not (access.simulated and leak.simulated) for _, access, leak in levels):
        estimated.append("beyond")
    return bill, tuple(f"buffers.{name}" for name in estimated)
