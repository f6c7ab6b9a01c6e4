"""What a bill leaves out, and where its figures come from, in words for reports."""

from __future__ import annotations

from collections.abc import Mapping

from fewflips.buffers.bill import memory_figures
from fewflips.buffers.chain import OPERANDS, chains
from fewflips.buffers.source import MemoryEnergy
from fewflips.machine.buffers import Buffers


def buffer_notes(buffers: Buffers, simulated: Mapping[str, MemoryEnergy] | None = None) -> tuple[str, ...]:
    """Remarks on a machine's memories.

    Parameters
    ----------
    buffers : Buffers
        The memories.
    simulated : mapping of str to MemoryEnergy, optional
        As for :func:`fewflips.buffers.buffer_bill`.

    Returns
    -------
    tuple of str
        Sources of the figures; memories whose leakage is not known; operands that come from nowhere.

    Raises
    ------
    AcceleratorError
        If a source does not know a memory.
    """
    figures = memory_figures(buffers, simulated)
    notes = [
        f"Energy of {_listed(labels)}: {origin}."
        for origin in dict.fromkeys(found.origin for found in figures.values())
        if (labels := [label for label, found in figures.items() if found.origin == origin])
    ]
    unknown = [label for label, found in figures.items() if found.leakage_uw is None]
    if unknown:
        notes.append(f"Leakage of {_listed(unknown)} is not known and left out.")
    unfilled = [chain[0].label for content, chain in chains(buffers).items() if content in OPERANDS and len(chain) == 1]
    if unfilled:
        notes.append(f"What fills {_listed(unfilled)} from beyond is left out: the machine describes no memory there.")
    return tuple(notes)


def _listed(labels: list[str]) -> str:
    return ", ".join(label.replace("_", " ").removeprefix("beyond.") for label in labels)
