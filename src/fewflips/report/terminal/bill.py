"""The bill of an inference as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fewflips.records.bill import Bill
from fewflips.records.energy import LayerEnergy
from fewflips.records.optimization import EnergyComparison
from fewflips.report.bill_words import (
    DATAPATH,
    ESTIMATED,
    MARKED,
    NO_BUFFERS,
    WHOLE,
    BillLine,
    shown_lines,
    with_ratio,
)
from fewflips.report.numbers import as_energy, as_figure, as_percent, per_mac
from fewflips.report.terminal.console_tables import Fitting, figures_table, title_text


def bill_table(total: LayerEnergy) -> list[RenderableType]:
    """The bill of one inference, line by line.

    Parameters
    ----------
    total : LayerEnergy
        All layers.

    Returns
    -------
    list of renderables
        A title, the table, remarks; empty if there is no bill.
    """
    if total.bill is None:
        return []
    return _with_title([total.bill], partial(_table, total.bill, total.macs))


def bill_comparison(total: EnergyComparison) -> list[RenderableType]:
    """The bill of one inference before and after optimization, line by line.

    Parameters
    ----------
    total : EnergyComparison
        All layers.

    Returns
    -------
    list of renderables
        A title, the table, remarks; empty if there is no bill.
    """
    outcomes = (("before", total.baseline), ("scheduled", total.schedule), ("drop-in", total.drop_in))
    named = [(name, energy.bill) for name, energy in outcomes if energy is not None and energy.bill is not None]
    if not named:
        return []
    return _with_title([bill for _, bill in named], partial(_comparison_table, named))


def _with_title(bills: Sequence[Bill], build: partial[Table]) -> list[RenderableType]:
    remarks = [MARKED] if any(bill.estimated for bill in bills) else []
    remarks += [NO_BUFFERS] if bills[0].buffers is None else []
    below = [Text(line) for line in [*remarks, *([""] if remarks else [])]]
    return [title_text("The bill, all layers, glitches included"), Fitting(build), *below]


def _table(bill: Bill, macs: int, dense: bool) -> Table:
    def cells(energies: Sequence[float]) -> list[str]:
        (energy,) = energies
        share = energy / bill.whole_pj if bill.whole_pj else None
        return [as_energy(energy, " "), as_percent(share, " "), as_figure(per_mac(energy, macs))]

    table = figures_table("energy", "share", "fJ/MAC", label="", numbered=False, dense=dense)
    return _filled(table, [bill], cells)


def _comparison_table(named: Sequence[tuple[str, Bill]], dense: bool) -> Table:
    def cells(energies: Sequence[float]) -> list[str]:
        return with_ratio([as_energy(energy, " ") for energy in energies], energies, "x")

    headings = [name for name, _ in named]
    headings[2:2] = ["less"] if len(named) > 1 else []
    table = figures_table(*headings, label="", numbered=False, dense=dense)
    return _filled(table, [bill for _, bill in named], cells)


def _filled(table: Table, bills: Sequence[Bill], cells: Callable[[Sequence[float]], list[str]]) -> Table:
    """Lines of the units and their sum, then those of the memories and the whole."""
    units, memories = shown_lines(bills)
    for lines in units:
        table.add_row(_label(lines), *cells([line.picojoules for line in lines]))
    table.add_row(DATAPATH, *cells([bill.datapath_pj for bill in bills]), style="bold", end_section=True)
    for lines in memories:
        table.add_row(_label(lines), *cells([line.picojoules for line in lines]))
    if memories:
        table.add_row(WHOLE, *cells([bill.whole_pj for bill in bills]), style="bold")
    return table


def _label(lines: Sequence[BillLine]) -> Text:
    return Text(f"{lines[0].name} {ESTIMATED}" if any(line.estimated for line in lines) else lines[0].name)
