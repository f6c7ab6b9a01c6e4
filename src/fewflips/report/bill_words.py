"""The lines of a bill, in the order in which reports show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewflips.records.bill import Bill, LevelBill
from fewflips.report.numbers import as_ratio, energy_ratio
from fewflips.visible import printable

DATAPATH = "datapath"
"""Heading of the arithmetic units' subtotal."""
WHOLE = "whole"
"""Heading of units and memories together."""
NO_BUFFERS = "The machine describes no buffers: the bill is that of the arithmetic units alone."
ESTIMATED = "*"
"""Mark of a line that is estimated, not simulated."""
MARKED = f"{ESTIMATED} estimated, not simulated: memories from their accesses and the energy of one."

_UNITS = (
    ("multipliers_pj", "multipliers"),
    ("adders_pj", "adders"),
    ("partial_sums_pj", "partial sums"),
    ("registers_pj", "registers"),
    ("clock_pj", "clock"),
    ("leakage_pj", "leakage"),
)
_BUFFERS = (
    ("weights_pj", "weight buffer"),
    ("activations_pj", "activation buffer"),
    ("partial_sums_pj", "partial-sum buffer"),
    ("register_files_pj", "register files"),
    ("index_table_pj", "index table"),
    ("leakage_pj", "leakage of buffers"),
)
UNIT_KINDS = tuple(key.removesuffix("_pj").replace("_", "-") for key, _ in _UNITS)
"""Names of the lines of arithmetic units, for colours."""
BUFFER_KINDS = (*(f"{key.removesuffix('_pj').replace('_', '-')}-buffer" for key, _ in _BUFFERS), "beyond")
"""Names of the lines of memories, for colours; memories beyond the buffers share one."""


@dataclass(frozen=True)
class BillLine:
    """One line of a bill.

    Parameters
    ----------
    kind : str
        One of :data:`UNIT_KINDS` or :data:`BUFFER_KINDS`.
    name : str
        In words, printable.
    picojoules : float
        Its energy.
    estimated : bool
        Whether it is an estimate, not simulated.
    """

    kind: str
    name: str
    picojoules: float
    estimated: bool


def unit_lines(bill: Bill) -> list[BillLine]:
    """What the arithmetic units spend, by part."""
    return [
        BillLine(kind, name, getattr(bill.units, key), f"units.{key}" in bill.estimated)
        for kind, (key, name) in zip(UNIT_KINDS, _UNITS, strict=True)
    ]


def buffer_lines(bill: Bill) -> list[BillLine]:
    """What the memories spend; none if the machine describes no buffers. Memories beyond the buffers come last."""
    buffers = bill.buffers
    if buffers is None:
        return []
    lines = [
        BillLine(kind, name, getattr(buffers, key), f"buffers.{key}" in bill.estimated)
        for kind, (key, name) in zip(BUFFER_KINDS, _BUFFERS, strict=False)
    ]
    return lines + [_level_line(level, bill) for level in buffers.beyond]


def shown_lines(bills: Sequence[Bill]) -> tuple[list[tuple[BillLine, ...]], list[tuple[BillLine, ...]]]:
    """Lines of several bills of one machine side by side; memories that none of them uses are left out.

    Parameters
    ----------
    bills : sequence of Bill
        With the same memories.

    Returns
    -------
    units, memories : list of tuple of BillLine
        For each line, one of each bill.
    """
    units = zip(*(unit_lines(bill) for bill in bills), strict=True)
    memories = zip(*(buffer_lines(bill) for bill in bills), strict=True)
    return list(units), [lines for lines in memories if any(line.picojoules > 0 for line in lines)]


def with_ratio(figures: Sequence[str], energies: Sequence[float], sign: str = "\u00d7") -> list[str]:
    """Figures of several outcomes, with the reduction from the first to the second behind these two.

    Examples
    --------
    >>> with_ratio(["3 pJ", "2 pJ", "4 pJ"], [3.0, 2.0, 4.0], "x")
    ['3 pJ', '2 pJ', '1.50x', '4 pJ']
    >>> with_ratio(["3 pJ"], [3.0])
    ['3 pJ']
    """
    if len(energies) < 2:
        return list(figures)
    return [*figures[:2], as_ratio(energy_ratio(energies[0], energies[1]), sign), *figures[2:]]


def _level_line(level: LevelBill, bill: Bill) -> BillLine:
    energy = level.access_pj + level.leakage_pj
    return BillLine(BUFFER_KINDS[-1], printable(level.name), energy, "buffers.beyond" in bill.estimated)
