"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fewflips.accelerator import Accelerator
from fewflips.report.model import LayerMeasurement, LayerResult, MeasureReport, OptimizeReport, PortResult, ResultTotals
from fewflips.report.numbers import (
    ABSENT,
    above_bound,
    as_percent,
    as_ratio,
    comparison,
    other_notes,
    printable,
    reduction,
    shorten_middle,
    telling_names,
    with_si_prefix,
)

_NARROWEST_NAME = 12
_COUNTING = "Layers: each pass once. Total: one inference."
_Layer = TypeVar("_Layer", LayerMeasurement, LayerResult)


@dataclass(frozen=True)
class _Name:
    """A layer's name where there is room for it; otherwise what tells it from the others, without its middle."""

    whole: str
    telling: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = printable(self.whole)
        name = whole if cell_len(whole) <= options.max_width else self.telling
        yield Text(shorten_middle(name, options.max_width), no_wrap=True, overflow="ellipsis")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        length = cell_len(printable(self.whole))
        return Measurement(min(length, _NARROWEST_NAME), length).clamp(max_width=options.max_width)


def measurement_table(report: MeasureReport) -> Group:
    """Flips of every layer as the network stands.

    Parameters
    ----------
    report : MeasureReport
        Result of ``fewflips measure``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console, 80 columns or wider.
    """
    live = report.totals.activations
    table = _table("N", "K", "repeats", "weight\nflips", "\nNHD", *(("activation\nflips", "\nNHD") if live else ()))
    for number, (layer, name) in enumerate(_named(report.layers), start=1):
        cells = [_si(layer.n), _si(layer.k), _si(layer.repeats), _si(layer.weights.flips), f"{layer.weights.nhd:.3f}"]
        if live:
            port = layer.activations
            cells += [_si(port.flips), f"{port.nhd:.3f}"] if port else [ABSENT, ABSENT]
        table.add_row(str(number), name, *cells)
    weights = report.totals.weights
    total = ["", "", "", _si(weights.flips), f"{weights.nhd:.3f}"]
    total += [_si(live.flips), f"{live.nhd:.3f}"] if live else []
    _add_total(table, total)
    seams = f"Seams, from one pass to the next, in one inference: {_si(weights.seam_flips)} weight flips"
    seams += f", {_si(live.seam_flips)} activation flips." if live else "."
    if live:
        activations = f"Activations: mean over the sample inputs of {printable(report.inputs or 'the given samples')}."
    else:
        activations = "Activations were not measured: no sample inputs were given (--inputs)."
    return _page(
        f"{_subject(report)}: flips within passes, as stored",
        table,
        [f"{_COUNTING} NHD 0.5: random words.", seams, activations, *other_notes(report.notes)],
    )


def result_table(report: OptimizeReport) -> Group:
    """Flips of every layer before and after optimization.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console, 80 columns or wider.
    """
    both = report.schedule is not None and report.drop_in is not None
    live = report.totals.activations
    extra = [*(["drop-in"] if both else []), *(["activ."] if live else [])]
    table = _table("before", "after", "fewer", "above\nbound", "proven", *extra)
    for number, (layer, name) in enumerate(_named(report.layers), start=1):
        table.add_row(str(number), name, *_result_cells(layer, both, live is not None))
    total = _port_cells(report.totals.weights)
    total += [_ratio(report.drop_in.totals.weights)] if both and report.drop_in else []
    total += [_ratio(live)] if live else []
    _add_total(table, total)
    weights = report.totals.weights
    remarks = [_COUNTING]
    remarks.append(
        "Seams, from one pass to the next, in one inference: "
        f"{_si(weights.baseline_seam_flips)} before, {_si(weights.optimized_seam_flips)} after."
    )
    if not live:
        remarks.append("Activations were not measured: no sample inputs were given (--inputs).")
    means = "in scheduled order" if report.schedule else "in the drop-in file"
    return _page(
        f"{_subject(report)}: weight flips within passes, {means}", table, [*remarks, *other_notes(report.notes)]
    )


def headline(report: OptimizeReport) -> str:
    """The result in one or two lines of plain text.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.

    Returns
    -------
    str
        The reduction and how much more there could be; then, where known, the drop-in file's reduction and what
        becomes of the activations.
    """
    weights = report.totals.weights
    first = [f"{_subject(report)}: {_words(weights, 'weight flips')}"]
    gap = above_bound(weights.optimized_flips, weights.lower_bound)
    if gap is not None:
        first.append(f"{as_percent(gap, ' ')} above the lower bound")
        first.append(f"{weights.proven_segments} of {weights.segments} segments proven optimal")
    second = []
    if report.schedule is not None and report.drop_in is not None:
        second.append(f"drop-in file: {_words(report.drop_in.totals.weights, 'weight flips')}")
    if report.totals.activations is not None:
        second.append(_words(report.totals.activations, "activation flips"))
    return "\n".join(line for line in (", ".join(first), "; ".join(second)) if line)


def accelerator_table(machines: Sequence[Accelerator]) -> Table:
    """Accelerators, one a row.

    Parameters
    ----------
    machines : sequence of Accelerator
        The machines.

    Returns
    -------
    rich.table.Table
        To be printed by a rich console.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True)
    table.add_column("array", no_wrap=True)
    table.add_column("dataflow", no_wrap=True)
    table.add_column("description")
    for machine in machines:
        size = f"{machine.lanes} x {machine.columns}"
        table.add_row(*(Text(cell) for cell in (machine.name, size, machine.dataflow, machine.description)))
    return table


def _result_cells(layer: LayerResult, both: bool, live: bool) -> list[str]:
    cells = _port_cells(layer.weights)
    if both:
        cells.append(_ratio(layer.drop_in.weights) if layer.drop_in else ABSENT)
    if live:
        cells.append(_ratio(layer.activations) if layer.activations else ABSENT)
    return cells


def _port_cells(port: PortResult | ResultTotals) -> list[str]:
    gap = above_bound(port.optimized_flips, port.lower_bound)
    proven = ABSENT if port.lower_bound is None else f"{port.proven_segments}/{port.segments}"
    return [_si(port.baseline_flips), _si(port.optimized_flips), _ratio(port), as_percent(gap, " "), proven]


def _ratio(port: PortResult | ResultTotals) -> str:
    return as_ratio(reduction(port.baseline_flips, port.optimized_flips), "x")


def _words(totals: ResultTotals, what: str) -> str:
    return comparison(totals.baseline_flips, totals.optimized_flips, what, "x")


def _si(number: int) -> str:
    return with_si_prefix(number, " ")


def _subject(report: MeasureReport | OptimizeReport) -> str:
    return f"{printable(report.model.file)} on {printable(report.accelerator.name)}"


def _named(layers: Sequence[_Layer]) -> Iterator[tuple[_Layer, _Name]]:
    names = [layer.name for layer in layers]
    for layer, telling in zip(layers, telling_names(names), strict=True):
        yield layer, _Name(layer.name, telling)


def _table(*figures: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("layer")
    for figure in figures:
        table.add_column(figure, justify="right", no_wrap=True)
    return table


def _add_total(table: Table, figures: list[str]) -> None:
    table.add_section()
    table.add_row("", "total", *figures, style="bold")


def _page(title: str, table: Table, remarks: Sequence[str]) -> Group:
    return Group(Text(title, style="bold"), table, *(Text(remark) for remark in remarks))
