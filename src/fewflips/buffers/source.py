"""What an access of a memory costs: stated by the machine, or from a source of figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from fewflips.errors import AcceleratorError
from fewflips.machine.buffers import Buffer
from fewflips.machine.memory_sources import MEMORY_SOURCES, REGISTERS, TABLE

SourceClass = TypeVar("SourceClass", bound=type["MemorySource"])


@dataclass(frozen=True)
class MemoryEnergy:
    """Figures of a memory.

    Parameters
    ----------
    read_pj, write_pj : float
        Energy of reading and of writing one word.
    leakage_uw : float or None
        Leakage power of the whole memory; None where it is not known.
    origin : str
        Where the figures come from, for reports.
    simulated : bool
        Whether they come from the simulation of its gates; otherwise they are an estimate.
    """

    read_pj: float
    write_pj: float
    leakage_uw: float | None
    origin: str
    simulated: bool = False


class MemorySource(ABC):
    """Figures of memories that a machine does not state."""

    name: ClassVar[str]
    """Key in the registry and in YAML."""

    @abstractmethod
    def energy(self, memory: Buffer) -> MemoryEnergy:
        """Figures of a memory.

        Parameters
        ----------
        memory : Buffer
            Its size, banks and width; figures that it states itself take precedence over those found here.

        Returns
        -------
        MemoryEnergy
            Per word of the memory.

        Raises
        ------
        AcceleratorError
            If the source does not know such a memory. The message is preceded by its name.
        """


def memory_source(name: str) -> MemorySource:
    """A source of figures by its name.

    Raises
    ------
    AcceleratorError
        If the package that announces it cannot be loaded, or provides something other than a source.
    """
    source = MEMORY_SOURCES[name]
    if not isinstance(source, MemorySource):
        raise AcceleratorError(
            f"source of memories {name}: expected a fewflips.buffers.MemorySource, got {type(source).__name__}"
        )
    return source


def register_memory_source(source: SourceClass) -> SourceClass:
    """Register a source of figures; a decorator for its class.

    Parameters
    ----------
    source : type
        A subclass of MemorySource; memories refer to it by its `name`.

    Returns
    -------
    type
        The class, unchanged.

    Raises
    ------
    FewflipsError
        If fewflips itself has a source with that name.
    """
    return MEMORY_SOURCES.register(source.name)(source)


def memory_energy(memory: Buffer, label: str, simulated: MemoryEnergy | None = None) -> MemoryEnergy:
    """Figures of a memory: those that the machine states, the others from its source.

    Parameters
    ----------
    memory : Buffer
        The memory.
    label : str
        What it is called in errors, such as ``buffers.weights``.
    simulated : MemoryEnergy, optional
        Figures of a memory of registers, from the simulation of its gates.

    Returns
    -------
    MemoryEnergy
        Per word.

    Raises
    ------
    AcceleratorError
        If the source does not know such a memory, or registers were not simulated.
    """
    stated = memory.read_pj is not None and memory.write_pj is not None
    if stated and (memory.leakage_uw is not None or memory.source in (TABLE, REGISTERS)):
        found = MemoryEnergy(0.0, 0.0, None, "stated by the machine")
    elif memory.source != REGISTERS:
        found = _looked_up(memory, label)
    elif simulated is not None:
        found = simulated
    else:
        raise AcceleratorError(
            f"{label}: source registers: its gates were not simulated: state read_pj and write_pj, or another source"
        )
    return replace(
        found,
        read_pj=found.read_pj if memory.read_pj is None else memory.read_pj,
        write_pj=found.write_pj if memory.write_pj is None else memory.write_pj,
        leakage_uw=found.leakage_uw if memory.leakage_uw is None else memory.leakage_uw,
        simulated=found.simulated and memory.read_pj is None and memory.write_pj is None,
    )


def _looked_up(memory: Buffer, label: str) -> MemoryEnergy:
    try:
        return memory_source(memory.source).energy(memory)
    except AcceleratorError as error:
        raise AcceleratorError(f"{label}: {error}") from error
