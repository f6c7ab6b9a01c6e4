"""The demonstration as a table for the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table

from fewflips.records.demo import DemoReport, DemoSimulation, DemoVariant
from fewflips.report.numbers import (
    ABSENT,
    as_energy,
    as_percent,
    as_ratio,
    comparison,
    energy_change,
    energy_ratio,
    reduction,
    with_si_prefix,
)
from fewflips.report.terminal.console_tables import Fitting, figures_table, page
from fewflips.visible import one_line, printable

_HEADINGS = ("\naccu-\nracy", "\nweight\nflips", "\n\nfewer", "esti-\nmated\nenergy", "\n\nless")
_GATE_HEADINGS = ("gate\nlevel\nenergy", "\n\nless", "with\nclock\nless")


def demo_table(report: DemoReport) -> Group:
    """Every network in every order, compared with the first.

    Parameters
    ----------
    report : DemoReport
        Result of ``fewflips demo``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console, 80 columns or wider.
    """
    remarks = [
        "Accuracy: on the test images, as each file states it. An order changes no output.",
        *_estimate_remark(report),
        *([_simulation_remark(report, report.simulation)] if report.simulation else []),
        *(one_line(note) for note in report.notes),
    ]
    title = f"Bundled networks on {printable(report.accelerator.name)}: one inference"
    return page(title, Fitting(lambda dense: _table(report, dense)), *remarks)


def demo_headline(report: DemoReport) -> str:
    """The last variant against the first, in one sentence of plain text.

    Parameters
    ----------
    report : DemoReport
        Result of ``fewflips demo``.

    Returns
    -------
    str
        Flips, energy if known, and accuracy.
    """
    before, after = report.variants[0], report.variants[-1]
    words = [comparison(before.weight_flips, after.weight_flips, "weight flips", "x")]
    if before.estimated_energy and after.estimated_energy:
        change = energy_change(_estimated(before), _estimated(after), "x")
        words.append(f"estimated energy {change}")
    if before.simulated_energy and after.simulated_energy:
        words.append(f"gate-level energy {energy_change(_simulated(before), _simulated(after), 'x')}")
    if before.accuracy_percent is not None and after.accuracy_percent is not None:
        change_points = after.accuracy_percent - before.accuracy_percent
        words.append(f"accuracy {change_points:+.2f} points")
    return f"{_name(after)}, against {_name(before)}: {', '.join(words)}"


def _table(report: DemoReport, dense: bool) -> Table:
    headings = (*_HEADINGS, *(_GATE_HEADINGS if report.simulation else ()))
    table = figures_table(*headings, label="network, order", numbered=False, dense=dense)
    first = report.variants[0]
    for variant in report.variants:
        cells = _flip_cells(first, variant)
        cells += _gate_cells(first, variant) if report.simulation else []
        table.add_row(_name(variant), *cells)
    return table


def _flip_cells(first: DemoVariant, variant: DemoVariant) -> list[str]:
    accuracy = variant.accuracy_percent
    return [
        ABSENT if accuracy is None else f"{accuracy:.2f} %",
        with_si_prefix(variant.weight_flips, " "),
        as_ratio(reduction(first.weight_flips, variant.weight_flips), "x"),
        as_energy(_estimated(variant), " "),
        as_ratio(energy_ratio(_estimated(first), _estimated(variant)), "x"),
    ]


def _gate_cells(first: DemoVariant, variant: DemoVariant) -> list[str]:
    before, after = first.simulated_energy, variant.simulated_energy
    totals = [energy.inertial.total_pj if energy else None for energy in (before, after)]
    return [
        as_energy(_simulated(variant), " "),
        as_ratio(energy_ratio(_simulated(first), _simulated(variant)), "x"),
        as_ratio(energy_ratio(*totals), "x"),
    ]


def _estimate_remark(report: DemoReport) -> list[str]:
    record = report.calibration
    if record is None:
        return []
    words = f"Estimated energy: of the data, glitches included, from flips by a calibration ({printable(record.cells)})"
    errors = [abs(error) for variant in report.variants if (error := _estimate_error(variant)) is not None]
    found = []
    if record.accuracy is not None:
        median = record.accuracy.inertial.median_error_percent
        found.append(f"layers of the network that it was made with are off by {median:.1f} % (median)")
    if errors:
        found.append(f"the totals here by up to {as_percent(max(errors), ' ')} of gate level")
    return [f"{words}{'; ' if found else ''}{', '.join(found)}."]


def _estimate_error(variant: DemoVariant) -> float | None:
    """Error of an estimated total relative to the simulated one; None if either is unknown."""
    ratio = energy_ratio(_estimated(variant), _simulated(variant))
    return None if ratio is None else ratio - 1


def _simulation_remark(report: DemoReport, simulation: DemoSimulation) -> str:
    energies = [variant.simulated_energy for variant in report.variants if variant.simulated_energy]
    words = (
        f"Gate-level energy: of the data, inertial delays (glitches included), {printable(simulation.cells.name)}, on "
        f"{simulation.inputs} of {simulation.inputs_given} sample inputs"
    )
    if any(energy.sampled for energy in energies):
        worst = max(energy.ci95_percent for energy in energies)
        words += (
            f", a sample of {as_percent(simulation.sampled_share, ' ')} of the cycles or more "
            f"(95 % confidence: \u00b1{worst:.2f} % or better)"
        )
    return f"{words}. With clock: clock and leakage included. `fewflips energy` simulates all."


def _name(variant: DemoVariant) -> str:
    return f"{variant.network}, {variant.order}"


def _estimated(variant: DemoVariant) -> float | None:
    return variant.estimated_energy.inertial_data_pj if variant.estimated_energy else None


def _simulated(variant: DemoVariant) -> float | None:
    return variant.simulated_energy.inertial.data_pj if variant.simulated_energy else None
