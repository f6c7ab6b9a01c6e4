"""A scheduled column as tables for the terminal."""

from __future__ import annotations

from functools import partial

from rich.console import Group
from rich.table import Table

from fewflips.records.column import ColumnGates, ColumnPart, ColumnReport
from fewflips.report.notes import other_notes
from fewflips.report.numbers import ABSENT
from fewflips.report.terminal.console_tables import Fitting, figures_table, page
from fewflips.visible import printable, shorten_middle

_LONGEST_NAME = 70


def column_table(report: ColumnReport) -> Group:
    """What a column is made of, how long it takes, and what its testbench found.

    Parameters
    ----------
    report : ColumnReport
        Result of ``fewflips rtl --column``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console, 80 columns or wider.
    """
    parts = [Fitting(partial(_memory_table, report))]
    if report.gates is not None:
        parts.append(Fitting(partial(_gate_table, report, report.gates)))
    return page(
        f"{printable(report.model.file)} on {printable(report.accelerator.name)}: a scheduled column runs "
        f"{shorten_middle(printable(report.layer), _LONGEST_NAME)}",
        _work(report),
        *parts,
        *([] if report.gates is None else [_shares(report.gates)]),
        *([] if report.simulation is None else [_verdict(report)]),
        *other_notes(report.notes),
    )


def _work(report: ColumnReport) -> str:
    order = "in natural order" if report.schedule is None else f"in the order of {report.schedule}"
    holds = report.holds
    negated = f", {report.negated} of them negated" if report.negated else ""
    fetched = (
        ""
        if holds is None
        else f" Lanes fetch {holds.fetched} of {holds.flags} weights; the others repeat, as their flags say."
    )
    return (
        f"{report.n} channels x {report.k} products, {report.pixels} of {report.pixels_of_layer} pixels, {order}: "
        f"{report.passes} passes with {report.words} words a pixel{negated}. {report.cycles} cycles, {report.waits} of "
        f"them spent waiting for a partial sum; the order takes {report.index_table_bits} bits as an index table."
        f"{fetched}"
    )


def _memory_table(report: ColumnReport, dense: bool) -> Table:
    table = figures_table("words", "bits each", "copies", "bits", "um2", label="memory", numbered=False, dense=dense)
    for memory in report.memories:
        area = ABSENT if memory.area_um2 is None else f"{memory.area_um2:.0f}"
        figures = (memory.depth, memory.width, memory.copies, memory.bits)
        table.add_row(memory.name, *map(str, figures), area)
    return table


def _gate_table(report: ColumnReport, gates: ColumnGates, dense: bool) -> Table:
    table = figures_table("copies", "cells", "registers", "um2 each", "ps", label="logic", numbered=False, dense=dense)
    for name, copies, part in _parts(report, gates):
        figures = (copies, part.cells, part.registers)
        table.add_row(name, *map(str, figures), f"{part.area_um2:.0f}", f"{part.critical_path_ps:.0f}")
    return table


def _parts(report: ColumnReport, gates: ColumnGates) -> list[tuple[str, int, ColumnPart]]:
    """Names, copies and gates of what the column is made of."""
    found = [
        ("unit", report.columns, gates.unit),
        ("encoders, weights", 1, gates.weight_encoders),
        ("encoders, activations", report.columns, gates.activation_encoders),
        ("controller", 1, gates.control),
    ]
    return [(name, copies, part) for name, copies, part in found if part is not None]


def _shares(gates: ColumnGates) -> str:
    return (
        f"Logic without memories: {gates.area_um2:.0f} um2, {gates.control_percent:.1f} % of it the controller; "
        f"critical path {gates.critical_path_ps:.0f} ps ({printable(gates.cells.name)}, {gates.netlist})."
    )


def _verdict(report: ColumnReport) -> str:
    found = report.simulation
    assert found is not None
    if found.passed:
        return (
            f"PASS: all {found.results} results are equal to the integer matrix product ({found.simulator}, "
            f"{found.cycles} cycles)."
        )
    lines = "".join(f"\n  {line}" for line in found.first_mismatches)
    return f"FAIL: {found.mismatches} of {found.results} results differ ({found.simulator}).{lines}"
