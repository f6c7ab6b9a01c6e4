"""The built-in table: energies of memories as they were published.

Between two sizes, the energy of a bit follows a power of the size (a straight line between the logarithms of both), as
wires grow with the edge of a memory. Beyond the sizes of the source there is no figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import exp, log

from fewflips.buffers.source import MemoryEnergy, MemorySource
from fewflips.errors import AcceleratorError
from fewflips.machine.buffers import Buffer, MemoryLevel
from fewflips.machine.memory_sources import TABLE

HOROWITZ = "M. Horowitz, ISSCC 2014, fig. 1.1.9 (45 nm, 0.9 V)"


@dataclass(frozen=True)
class Figure:
    """A published energy.

    Parameters
    ----------
    size_kib : float
        Capacity of the memory.
    access_pj : float
        Energy of an access, read or written.
    access_bits : int
        Bits of that access.
    source : str
        Where it was published.
    """

    size_kib: float
    access_pj: float
    access_bits: int
    source: str

    @property
    def pj_per_bit(self) -> float:
        """Energy of a bit."""
        return self.access_pj / self.access_bits


SRAM = (
    Figure(8, 10.0, 64, HOROWITZ),
    Figure(32, 20.0, 64, HOROWITZ),
    Figure(1024, 100.0, 64, HOROWITZ),
)
"""On-chip memories, smallest first; the source calls them caches."""

DRAM_PJ_PER_64_BITS = (1300.0, 2600.0)
"""Range that the same source gives for DRAM."""


class PublishedFigures(MemorySource):
    """Energy of an access by the size of a bank; the source has no leakage, and one figure for reads and writes."""

    name = TABLE

    def energy(self, memory: Buffer) -> MemoryEnergy:
        """The word's bits times the energy of a bit."""
        if isinstance(memory, MemoryLevel) and memory.kind == "dram":
            access_pj = memory.word_bits * DRAM_PJ_PER_64_BITS[0] / 64
            return MemoryEnergy(access_pj, access_pj, None, f"{HOROWITZ}, lower end of the range")
        access_pj = memory.word_bits * sram_pj_per_bit(memory.bank_kib)
        return MemoryEnergy(access_pj, access_pj, None, HOROWITZ)


def sram_pj_per_bit(size_kib: float) -> float:
    """Energy of a bit in an on-chip memory.

    Parameters
    ----------
    size_kib : float
        Capacity of a bank.

    Returns
    -------
    float
        In pJ, read or written.

    Raises
    ------
    AcceleratorError
        If the size is outside the range of the source.

    Examples
    --------
    >>> sram_pj_per_bit(8), sram_pj_per_bit(16)
    (0.15625, 0.22097086912079608)
    """
    smallest, largest = SRAM[0].size_kib, SRAM[-1].size_kib
    if not smallest <= size_kib <= largest:
        raise AcceleratorError(
            f"the built-in table has banks of {smallest:g} to {largest:g} KiB, got {size_kib:g} KiB: state read_pj and "
            "write_pj, another source, or other banks"
        )
    low, high = next(pair for pair in pairwise(SRAM) if size_kib <= pair[1].size_kib)
    share = log(size_kib / low.size_kib) / log(high.size_kib / low.size_kib)
    return low.pj_per_bit * exp(share * log(high.pj_per_bit / low.pj_per_bit))
