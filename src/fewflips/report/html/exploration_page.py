"""One self-contained page about an exploration: the front, and for each of its machines the bill and the YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fewflips.records.exploration import DetailedMachine, ExplorationReport, NetworkCost
from fewflips.report.bill_words import NO_BUFFERS, BillLine, buffer_lines, unit_lines
from fewflips.report.exploration_words import MEASURE_NAMES, choices_text, measure_text, remarks, work_text
from fewflips.report.html.assets import asset, page_environment
from fewflips.report.html.exploration_chart import HEIGHT, WIDTH, charts_of
from fewflips.report.machine_yaml import explored_machine_yaml
from fewflips.report.notes import other_notes
from fewflips.report.numbers import as_energy

_BAR = 640.0
_BUFFERS_ESTIMATED = "Memories are estimated from accesses and the energy of one, not simulated."


@dataclass(frozen=True)
class Slice:
    """A part of a stacked bar."""

    kind: str
    start: float
    length: float
    hint: str


@dataclass(frozen=True)
class NetworkBar:
    """What a network spends on a machine."""

    network: str
    whole: str
    datapath: str
    slices: list[Slice]
    dataflows: list[tuple[str, str]]


@dataclass(frozen=True)
class MachineView:
    """What the page shows of a machine."""

    index: int
    title: str
    figures: list[tuple[str, str]]
    bars: list[NetworkBar]
    files: list[tuple[str, str]]


def exploration_page(report: ExplorationReport) -> str:
    """The report as a self-contained page without scripts; a point leads to its machine by the page's address.

    Parameters
    ----------
    report : ExplorationReport
        Result of ``fewflips explore``.

    Returns
    -------
    str
        The page; the same report gives the same bytes.
    """
    shown = [*report.front, *([report.against.baseline] if report.against is not None else [])]
    longest = max((cost.whole_pj for machine in shown for cost in machine.networks), default=1.0) or 1.0
    style = "\n".join(asset(name) for name in ("report.css", "exploration.css"))
    costs = [cost for machine in shown for cost in machine.networks]
    return (
        page_environment()
        .get_template("exploration.html.j2")
        .render(
            report=report,
            style=Markup(style),
            names=", ".join(one.model.file for one in report.networks),
            work=work_text(report),
            remarks=remarks(report),
            charts=charts_of(report),
            width=WIDTH,
            height=HEIGHT,
            headings=[MEASURE_NAMES[name] for name in report.objectives],
            rows=[_row(machine, report) for machine in report.front],
            machines=[_view(machine, report, longest) for machine in report.front],
            baseline=None if report.against is None else _view(report.against.baseline, report, longest),
            times=[] if report.against is None else _times(report),
            ablation=_ablation(report),
            legend=_legend(costs),
            bar_width=_BAR,
            bill_remarks=_bill_remarks(costs),
            notes=other_notes(report.notes),
        )
    )


def _row(machine: DetailedMachine, report: ExplorationReport) -> tuple[int, str, list[str], bool]:
    figures = [measure_text(machine.measures, name) for name in report.objectives]
    return machine.index, choices_text(machine), figures, machine.separated


def _view(machine: DetailedMachine, report: ExplorationReport, longest: float) -> MachineView:
    return MachineView(
        index=machine.index,
        title=choices_text(machine),
        figures=[(words, measure_text(machine.measures, name)) for name, words in MEASURE_NAMES.items()],
        bars=[_bar(cost, longest) for cost in machine.networks],
        files=list(explored_machine_yaml(machine).items()),
    )


def _bar(cost: NetworkCost, longest: float) -> NetworkBar:
    slices, start = [], 0.0
    for line in _lines(cost):
        length = _BAR * line.picojoules / longest
        slices.append(Slice(line.kind, round(start, 2), round(length, 2), f"{line.name} {as_energy(line.picojoules)}"))
        start += length
    return NetworkBar(
        network=cost.network,
        whole=as_energy(cost.whole_pj),
        datapath=as_energy(cost.datapath_pj),
        slices=slices,
        dataflows=list(cost.dataflows.items()),
    )


def _lines(cost: NetworkCost) -> list[BillLine]:
    return [line for line in (*unit_lines(cost.bill), *buffer_lines(cost.bill)) if line.picojoules > 0]


def _legend(costs: Sequence[NetworkCost]) -> list[tuple[str, str]]:
    """Each colour once: memories beyond the buffers share one."""
    names: dict[str, dict[str, None]] = {}
    for cost in costs:
        for line in _lines(cost):
            names.setdefault(line.kind, {})[line.name] = None
    return [(kind, ", ".join(found)) for kind, found in names.items()]


def _bill_remarks(costs: Sequence[NetworkCost]) -> list[str]:
    found = [_BUFFERS_ESTIMATED] if any(cost.bill.estimated for cost in costs) else []
    return found + ([NO_BUFFERS] if any(cost.bill.buffers is None for cost in costs) else [])


def _times(report: ExplorationReport) -> list[tuple[str, str]]:
    times = report.against.times if report.against is not None else {}
    return [(MEASURE_NAMES[name], f"{value:.2f}\u00d7") for name, value in times.items()]


def _ablation(report: ExplorationReport) -> list[tuple[str, list[str], str]]:
    return [
        (
            f"{entry.dimension}: {entry.other} for {entry.best}",
            [
                f"{entry.change_percent[name]:+.1f}\u202f%" if name in entry.change_percent else ""
                for name in report.objectives
            ],
            entry.reason,
        )
        for entry in report.ablation
    ]
