"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fewflips.machine import Accelerator
from fewflips.records.optimization import LayerResult, MeasureReport, OptimizeReport, PortResult, ResultTotals
from fewflips.report.calibration_words import estimate_words
from fewflips.report.cost_words import chosen_by, cost_headline
from fewflips.report.coverage_words import coverage_lines
from fewflips.report.notes import operations_of, other_notes
from fewflips.report.numbers import (
    ABSENT,
    above_bound,
    as_energy,
    as_percent,
    as_ratio,
    comparison,
    not_measured,
    reduction,
    with_si_prefix,
)
from fewflips.report.stage_words import main_result, stage_lines
from fewflips.report.terminal.console_tables import add_total, figures_table, named_layers, page
from fewflips.report.terminal.energy import energy_headline, energy_tables
from fewflips.report.terminal.waterfall import waterfall_tables
from fewflips.visible import printable

_COUNTING = "Layers: each pass once. Total: one inference."
_CODED_COUNTING = "Layers: each pass once, on a coded port as often as it is sent. Total: one inference."


def measurement_table(report: MeasureReport) -> Group:
    """Flips of every layer in the network's own order.

    Parameters
    ----------
    report : MeasureReport
        Result of ``fewflips measure``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console, 80 columns or wider.
    """
    live, estimate = report.totals.activations, report.estimated_energy
    extra = [*(("activation\nflips", "\nNHD") if live else ()), *(("energy,\nestimated",) if estimate else ())]
    table = figures_table("N", "K", "repeats", "weight\nflips", "\nNHD", *extra)
    for number, (layer, name) in enumerate(named_layers(report.layers), start=1):
        cells = [_si(layer.n), _si(layer.k), _si(layer.repeats), _si(layer.weights.flips), f"{layer.weights.nhd:.3f}"]
        if live:
            port = layer.activations
            cells += [_si(port.flips), f"{port.nhd:.3f}"] if port else [ABSENT, ABSENT]
        if estimate:
            pair = layer.estimated_energy
            cells.append(as_energy(pair.inertial_data_pj if pair else None, " "))
        table.add_row(str(number), name, *cells)
    weights = report.totals.weights
    total = ["", "", "", _si(weights.flips), f"{weights.nhd:.3f}"]
    total += [_si(live.flips), f"{live.nhd:.3f}"] if live else []
    total += [as_energy(estimate.total.inertial_data_pj, " ")] if estimate else []
    add_total(table, total)
    seams = f"Seams, from one pass to the next, in one inference: {_si(weights.seam_flips)} weight flips"
    seams += f", {_si(live.seam_flips)} activation flips." if live else "."
    if live:
        activations = f"Activations: mean over the sample inputs of {printable(report.inputs or 'the given samples')}."
    else:
        activations = not_measured(report.inputs)
    return page(
        f"{_subject(report)}: flips within passes, as stored",
        *coverage_lines(report.coverage),
        table,
        f"{_counting(report.accelerator)} NHD 0.5: random words.",
        seams,
        activations,
        *([estimate_words(estimate, " ")] if estimate else []),
        *other_notes(report.notes, operations_of(report)),
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
    table = figures_table("before", "after", "fewer", "above\nbound", "proven", *extra)
    for number, (layer, name) in enumerate(named_layers(report.layers), start=1):
        table.add_row(str(number), name, *_result_cells(layer, both, live is not None))
    total = _port_cells(report.totals.weights)
    total += [_ratio(report.drop_in.totals.weights)] if both and report.drop_in else []
    total += [_ratio(live)] if live else []
    add_total(table, total)
    weights = report.totals.weights
    remarks = [_counting(report.accelerator)]
    remarks.append(
        "Seams, from one pass to the next, in one inference: "
        f"{_si(weights.baseline_seam_flips)} before, {_si(weights.optimized_seam_flips)} after."
    )
    remarks += stage_lines(report, "x", " ")
    remarks += filter(None, [chosen_by(report)])
    if not live:
        remarks.append(not_measured(report.settings.inputs))
    result = main_result(report)
    means = {"schedule": "in scheduled order", "drop-in file": "in the drop-in file"}.get(result, f"after {result}")
    title = f"{_subject(report)}: weight flips within passes, {means}"
    lead = coverage_lines(report.coverage)
    notes = other_notes(report.notes, operations_of(report))
    return page(title, *lead, table, *remarks, *energy_tables(report), *waterfall_tables(report), *notes)


def headline(report: OptimizeReport) -> str:
    """The result in one to four lines of plain text.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.

    Returns
    -------
    str
        The reduction and its distance from the bound; then, if known, the drop-in file's reduction and the change of
        activation flips; then the change of the cost that orders were chosen by, if it was not flips; then, if
        simulated, the change of energy.
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
    lines = (", ".join(first), "; ".join(second), cost_headline(report, "x", " "), energy_headline(report))
    return "\n".join(line for line in lines if line)


def accelerator_table(machines: Sequence[Accelerator]) -> Table:
    """Accelerators, one per row.

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


def _counting(array: Accelerator) -> str:
    return _CODED_COUNTING if array.is_coded else _COUNTING


def _si(number: int) -> str:
    return with_si_prefix(number, " ")


def _subject(report: MeasureReport | OptimizeReport) -> str:
    return f"{printable(report.model.file)} on {printable(report.accelerator.name)}"
