"""The Pareto front of machines for the terminal."""

from __future__ import annotations

from functools import partial

from rich.console import Group, RenderableType
from rich.table import Table

from fewflips.records.exploration import DetailedMachine, ExplorationReport
from fewflips.report.exploration_words import MEASURE_NAMES, choices_text, measure_text, remarks, work_text
from fewflips.report.notes import other_notes
from fewflips.report.terminal.console_tables import Fitting, figures_table, page, title_text
from fewflips.visible import printable

_MOST_LINES = 12


def exploration_table(report: ExplorationReport) -> Group:
    """The machines of the front, the best first.

    Parameters
    ----------
    report : ExplorationReport
        Result of ``fewflips explore``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console, 80 columns or wider.
    """
    names = ", ".join(printable(one.model.file) for one in report.networks)
    parts: list[RenderableType] = [
        work_text(report),
        *remarks(report),
        Fitting(partial(_front_table, report)),
    ]
    if report.ablation:
        best = report.front[0].index
        parts += ["", title_text(f"What the choices of machine {best} are worth"), Fitting(partial(_ablation, report))]
    return page(f"{names}: the front of {report.work.machines} machines", *parts, *other_notes(report.notes))


def exploration_summary(report: ExplorationReport) -> str:
    """The best machine, and the comparison with the baseline, in lines of plain text."""
    if not report.front:
        return "no machine is within the constraints" if report.complete else "no machine was evaluated yet"
    best = report.front[0]
    lines = [f"best machine: {best.index} ({choices_text(best)}): {_objectives(report, best)}"]
    if len(report.networks) > 1:
        lines += [f"best for {one.network} alone: {one.index}" for one in report.best_per_network]
    if report.against is not None:
        times = ", ".join(f"{MEASURE_NAMES[name]} {value:.2f}x" for name, value in report.against.times.items())
        lines.append(f"{report.against.source} / best machine: {times}")
    return "\n".join(lines)


def _objectives(report: ExplorationReport, machine: DetailedMachine) -> str:
    return ", ".join(f"{MEASURE_NAMES[name]} {measure_text(machine.measures, name, ' ')}" for name in report.objectives)


def _front_table(report: ExplorationReport, dense: bool) -> Table:
    table = figures_table(*_headings(report), label="choice", dense=dense)
    for machine in report.front:
        mark = "~" if machine.precision == "estimate" else ""
        cells = [mark + measure_text(machine.measures, name, " ") for name in report.objectives]
        table.add_row(str(machine.index), printable(choices_text(machine)), *cells)
    return table


def _ablation(report: ExplorationReport, dense: bool) -> Table:
    table = figures_table(*_headings(report), label="choice", dense=dense)
    for entry in report.ablation[: _MOST_LINES * 2]:
        cells = [
            f"{entry.change_percent[name]:+.1f} %" if name in entry.change_percent else "" for name in report.objectives
        ]
        number = "" if entry.index is None else str(entry.index)
        what = f"{entry.dimension}: {entry.other} for {entry.best}" + (f" ({entry.reason})" if entry.reason else "")
        table.add_row(number, printable(what), *cells)
    return table


def _headings(report: ExplorationReport) -> list[str]:
    return [MEASURE_NAMES[name].replace(" ", "\n") for name in report.objectives]
