"""The bill in the HTML report: what units and memories spend, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fewflips.records.bill import Bill
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
from fewflips.report.html import charts
from fewflips.report.numbers import as_energy, energy_change, energy_unit


@dataclass(frozen=True)
class BillSection:
    """The bill before and after.

    Parameters
    ----------
    chart : Markup
        An ``<svg>`` element.
    legend : list of (str, str)
        Colour and name of each part of the bars.
    headings : list of str
        Headings of the figures in `blocks`.
    blocks : list of list of (str, list of str, bool)
        Units, and memories if there are any; in each, lines with their name, figures, and whether they are a sum.
    remarks : list of str
        Sentences below the table.
    fact : tuple of (str, str, str) or None
        Quantity, change of the whole, and its figures; None without memories or without an energy after.
    """

    chart: Markup
    legend: list[tuple[str, str]]
    headings: list[str]
    blocks: list[list[tuple[str, list[str], bool]]]
    remarks: list[str]
    fact: tuple[str, str, str] | None


def bill_section(total: EnergyComparison) -> BillSection | None:
    """The bill of all layers.

    Parameters
    ----------
    total : EnergyComparison
        Before and after.

    Returns
    -------
    BillSection or None
        None in reports without a bill. Every name in it is printable, but not escaped.
    """
    outcomes = (("before", total.baseline), ("scheduled", total.schedule), ("drop-in file", total.drop_in))
    named = [(name, energy.bill) for name, energy in outcomes if energy is not None and energy.bill is not None]
    if not named:
        return None
    bills = [bill for _, bill in named]
    units, memories = shown_lines(bills)
    remarks = [MARKED] if any(bill.estimated for bill in bills) else []
    return BillSection(
        chart=_chart(named, [*units, *memories]),
        legend=_legend([*units, *memories]),
        headings=_headings([name for name, _ in named]),
        blocks=_blocks(bills, units, memories),
        remarks=remarks + ([NO_BUFFERS] if bills[0].buffers is None else []),
        fact=_fact(bills) if memories and len(bills) > 1 else None,
    )


def _fact(bills: Sequence[Bill]) -> tuple[str, str, str]:
    before, after = (bill.whole_pj for bill in bills[:2])
    return "whole bill, with memories", energy_change(before, after), f"{as_energy(after)}, {as_energy(before)} before"


def _headings(outcomes: list[str]) -> list[str]:
    return [*outcomes[:2], "reduction", *outcomes[2:]] if len(outcomes) > 1 else outcomes


def _blocks(
    bills: Sequence[Bill], units: Sequence[Sequence[BillLine]], memories: Sequence[Sequence[BillLine]]
) -> list[list[tuple[str, list[str], bool]]]:
    def figures(energies: Sequence[float]) -> list[str]:
        return with_ratio([as_energy(energy) for energy in energies], energies)

    def rows(lines: Sequence[Sequence[BillLine]]) -> list[tuple[str, list[str], bool]]:
        return [(_label(line), figures([one.picojoules for one in line]), False) for line in lines]

    datapath = (DATAPATH, figures([bill.datapath_pj for bill in bills]), True)
    whole = (WHOLE, figures([bill.whole_pj for bill in bills]), True)
    return [[*rows(units), datapath], *([[*rows(memories), whole]] if memories else [])]


def _label(lines: Sequence[BillLine]) -> str:
    return f"{lines[0].name} {ESTIMATED}" if any(line.estimated for line in lines) else lines[0].name


def _legend(lines: Sequence[Sequence[BillLine]]) -> list[tuple[str, str]]:
    """Each colour once: memories beyond the buffers share one."""
    names: dict[str, list[str]] = {}
    for first, *_ in lines:
        names.setdefault(first.kind, []).append(first.name)
    return [(kind, ", ".join(found)) for kind, found in names.items()]


def _chart(named: Sequence[tuple[str, Bill]], lines: Sequence[Sequence[BillLine]]) -> Markup:
    size, symbol = energy_unit(max(bill.whole_pj for _, bill in named))
    bars = [_bar(name, bill, [line[column] for line in lines], size) for column, (name, bill) in enumerate(named)]
    alt = "The bill of all layers: what units and memories spend, before and after; the table below has the figures."
    return Markup(charts.split_rows(bars, f"energy of one inference, inertial ({symbol})", "bill", alt))


def _bar(name: str, bill: Bill, lines: Sequence[BillLine], size: float) -> charts.SplitBar:
    hint = ", ".join(f"{line.name} {as_energy(line.picojoules)}" for line in lines)
    return charts.SplitBar(
        label=name,
        hint=f"{name}: {hint}; {DATAPATH} {as_energy(bill.datapath_pj)}, {WHOLE} {as_energy(bill.whole_pj)}",
        energies=tuple(line.picojoules / size for line in lines),
        remark=as_energy(bill.whole_pj),
        kinds=tuple(line.kind for line in lines),
        mark=bill.datapath_pj / size if bill.buffers is not None else None,
    )
