"""Tables of energies for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fewflips.records.energy import EnergyReport, LayerEnergy
from fewflips.records.optimization import EnergyComparison, LayerResult, OptimizeReport
from fewflips.report.coverage_words import coverage_lines
from fewflips.report.energy_words import (
    MEANING,
    confidence,
    glitches,
    how_simulated,
    optimized_energy,
    split_figures,
)
from fewflips.report.notes import other_notes
from fewflips.report.numbers import (
    ABSENT,
    as_energy,
    as_figure,
    as_ratio,
    energy_change,
    energy_ratio,
    per_mac,
    with_si_prefix,
)
from fewflips.report.terminal.bill import bill_comparison, bill_table
from fewflips.report.terminal.console_tables import Fitting, add_total, figures_table, named_layers, page, title_text
from fewflips.visible import printable

_SPLIT = ("switch-\ning", "inter-\nnal", "\nclock", "leak-\nage", "\ndata", "with\nclock")


def energy_table(report: EnergyReport) -> Group:
    """Energy of every layer, and what it is spent on.

    Parameters
    ----------
    report : EnergyReport
        Result of ``fewflips energy``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console, 80 columns or wider.
    """
    return page(
        f"{printable(report.model.file)} on {printable(report.accelerator.name)}: energy of one inference",
        *coverage_lines(report.coverage),
        Fitting(partial(_layers_table, report)),
        f"{MEANING} fJ/MAC is inertial.",
        "",
        title_text("What the energy is spent on, all layers"),
        Fitting(partial(_split_table, report.total)),
        *bill_table(report.total),
        *_remarks(report.total, how_simulated(report.settings, report.datapath, report.cells, " ")),
        *other_notes(report.notes),
    )


def energy_tables(report: OptimizeReport) -> list[RenderableType]:
    """Energy of every layer before and after optimization.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.

    Returns
    -------
    list of renderables
        To be printed by a rich console, 80 columns or wider; empty if no energy was simulated.
    """
    result = report.energy
    if result is None:
        return []
    basis = how_simulated(result.settings, result.datapath, result.cells, " ", several_orders=True)
    remarks = _remarks(result.total.baseline, basis)
    if missing := sum(layer.energy is None for layer in report.layers):
        remarks.append(Text(f"{ABSENT}: not simulated, nor in the total: {missing} of {len(report.layers)} layers."))
    if result.total.baseline.sampled:
        remarks.append(Text(_confidences(result.total)))
    means = "in scheduled order" if result.total.schedule is not None else "in the drop-in file"
    title = f"Energy of one inference, {means if optimized_energy(result.total) is not None else 'as stored'}"
    tied = " and drop-in" if _both(result.total) else ""
    return [
        Text(),
        title_text(title),
        Fitting(partial(_comparisons_table, report.layers, result.total)),
        Text(f"{MEANING} Zero delay{tied}: before / after."),
        Text(),
        title_text("What the energy is spent on, all layers"),
        Fitting(partial(_comparison_split, result.total)),
        *bill_comparison(result.total),
        *remarks,
    ]


def energy_headline(report: OptimizeReport) -> str:
    """The change of an inference's energy in one line of plain text; empty if it was not simulated.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.

    Returns
    -------
    str
        Ratios of the totals, zero delay and inertial, data and with clock, and of the whole bill if it has memories.
    """
    if report.energy is None or (after := optimized_energy(report.energy.total)) is None:
        return ""
    before = report.energy.total.baseline
    pairs = (("zero delay", before.zero_delay, after.zero_delay), ("inertial", before.inertial, after.inertial))
    words = [
        f"{name} {energy_change(old.data_pj, new.data_pj, 'x')} (data), "
        f"{energy_change(old.total_pj, new.total_pj, 'x')} (with clock)"
        for name, old, new in pairs
    ]
    if before.bill and before.bill.buffers and after.bill:
        words.append(f"whole bill {energy_change(before.bill.whole_pj, after.bill.whole_pj, 'x')}")
    return f"energy: {'; '.join(words)}"


def _layers_table(report: EnergyReport, dense: bool) -> Table:
    sampled = any(energy.sampled for energy in (*report.layers, report.total))
    headings = ["\n\nMACs", "zero\ndelay\ndata", "\nwith\nclock", "inertial\n\ndata", "\nwith\nclock"]
    headings += ["fJ/MAC\n\ndata", "\nwith\nclock", *(["\n\n95 %"] if sampled else [])]
    table = figures_table(*headings, dense=dense)
    for number, (layer, name) in enumerate(named_layers(report.layers), start=1):
        table.add_row(str(number), name, *_layer_cells(layer, sampled))
    add_total(table, _layer_cells(report.total, sampled))
    return table


def _comparisons_table(layers: Sequence[LayerResult], total: EnergyComparison, dense: bool) -> Table:
    both = _both(total)
    headings = ["inertial\ndata\nbefore", "\n\nafter", "\n\nless", "with\nclock\nbefore", "\n\nafter", "\n\nless"]
    headings += ["zero\ndelay\ndata", "\nwith\nclock", *(["drop-\nin\ndata"] if both else [])]
    table = figures_table(*headings, dense=dense)
    for number, (layer, name) in enumerate(named_layers(layers), start=1):
        cells = _comparison_cells(layer.energy, both) if layer.energy else [ABSENT] * len(headings)
        table.add_row(str(number), name, *cells)
    add_total(table, _comparison_cells(total, both))
    return table


def _layer_cells(layer: LayerEnergy, sampled: bool) -> list[str]:
    energies = [layer.zero_delay.data_pj, layer.zero_delay.total_pj, layer.inertial.data_pj, layer.inertial.total_pj]
    cells = [with_si_prefix(layer.macs, " "), *(as_energy(energy, " ") for energy in energies)]
    cells += [as_figure(per_mac(energy, layer.macs)) for energy in energies[2:]]
    return cells + ([confidence(layer, " ")] if sampled else [])


def _comparison_cells(comparison: EnergyComparison, both: bool) -> list[str]:
    before, after = comparison.baseline, optimized_energy(comparison)
    cells = []
    for old, new in (
        (before.inertial.data_pj, after.inertial.data_pj if after else None),
        (before.inertial.total_pj, after.inertial.total_pj if after else None),
    ):
        cells += [as_energy(old, " "), as_energy(new, " "), _ratio(old, new)]
    cells.append(_ratio(before.zero_delay.data_pj, after.zero_delay.data_pj if after else None))
    cells.append(_ratio(before.zero_delay.total_pj, after.zero_delay.total_pj if after else None))
    if both:
        tied = comparison.drop_in
        cells.append(_ratio(before.inertial.data_pj, tied.inertial.data_pj if tied else None))
    return cells


def _split_table(total: LayerEnergy, dense: bool) -> Table:
    table = _empty_split(dense)
    table.add_row("zero delay", *split_figures(total, total.zero_delay, " "))
    table.add_row("inertial", *split_figures(total, total.inertial, " "))
    return table


def _comparison_split(total: EnergyComparison, dense: bool) -> Table:
    table = _empty_split(dense)
    outcomes = (("before", total.baseline), ("scheduled", total.schedule), ("drop-in", total.drop_in))
    known = [(outcome, energy) for outcome, energy in outcomes if energy is not None]
    table.add_row("zero delay")
    for outcome, energy in known:
        table.add_row(f" {outcome}", *split_figures(energy, energy.zero_delay, " "))
    table.add_row("inertial")
    for outcome, energy in known:
        table.add_row(f" {outcome}", *split_figures(energy, energy.inertial, " "))
    return table


def _empty_split(dense: bool) -> Table:
    return figures_table(*_SPLIT, "fJ/MAC\ndata", "with\nclock", label="", numbered=False, dense=dense)


def _both(total: EnergyComparison) -> bool:
    return total.schedule is not None and total.drop_in is not None


def _confidences(total: EnergyComparison) -> str:
    after = optimized_energy(total)
    words = [f"{confidence(total.baseline, ' ')} before", *([f"{confidence(after, ' ')} after"] if after else [])]
    return f"Inertial data energy of all layers, 95 % confidence: {', '.join(words)}."


def _remarks(total: LayerEnergy, basis: Sequence[tuple[str, str]]) -> list[RenderableType]:
    sentence = glitches(total, "x")
    lines = [*([sentence] if sentence else []), *(f"{term}: {words}." for term, words in basis)]
    return [Text(line) for line in lines]


def _ratio(before: float, after: float | None) -> str:
    return as_ratio(energy_ratio(before, after), "x")
