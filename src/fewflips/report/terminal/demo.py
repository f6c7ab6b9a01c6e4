"""The demonstration as a table for the terminal."""

from __future__ import annotations

from functools import partial

from rich.console import Group
from rich.table import Table

from fewflips.records.bill import Bill
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

_ACCURACY = "accu-\nracy"
_FLIP_HEADINGS = ("weight\nflips", "\nfewer", "estimated\nenergy", "\nless")
_GATE_HEADINGS = ("data\nenergy", "\nless", "data-\npath", "\nless")
_WHOLE_HEADINGS = ("whole\nbill", "\nless")


def demo_table(report: DemoReport) -> Group:
    """Every network in every order, compared with the first.

    Parameters
    ----------
    report : DemoReport
        Result of ``fewflips demo``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console, 80 columns or wider: energy at gate level first, if it was simulated.
    """
    remarks = [
        "Accuracy: on the test images, as each file states it. An order changes no output.",
        *([_simulation_remark(report, report.simulation)] if report.simulation else []),
        *_estimate_remark(report),
        *(one_line(note) for note in report.notes),
    ]
    title = f"Bundled networks on {printable(report.accelerator.name)}: one inference"
    energies = [Fitting(partial(_energy_table, report))] if report.simulation else []
    return page(title, *energies, Fitting(partial(_flip_table, report)), *remarks)


def demo_headline(report: DemoReport) -> str:
    """The last variant against the first, in one sentence of plain text.

    Parameters
    ----------
    report : DemoReport
        Result of ``fewflips demo``.

    Returns
    -------
    str
        Energy at gate level if it was simulated (data, datapath, whole bill), flips, the estimate, accuracy.
    """
    before, after = report.variants[0], report.variants[-1]
    words = []
    if before.simulated_energy and after.simulated_energy:
        words.append(f"gate-level energy {energy_change(_simulated(before), _simulated(after), 'x')} (data)")
        words.append(f"datapath {energy_change(_datapath(before), _datapath(after), 'x')}")
        if _has_memories(report):
            words.append(f"whole bill {energy_change(_whole(before), _whole(after), 'x')}")
    words.append(comparison(before.weight_flips, after.weight_flips, "weight flips", "x"))
    if before.estimated_energy and after.estimated_energy:
        change = energy_change(_estimated(before), _estimated(after), "x")
        words.append(f"estimated energy {change}")
    if before.accuracy_percent is not None and after.accuracy_percent is not None:
        change_points = after.accuracy_percent - before.accuracy_percent
        words.append(f"accuracy {change_points:+.2f} points")
    return f"{_name(after)}, against {_name(before)}: {', '.join(words)}"


def _energy_table(report: DemoReport, dense: bool) -> Table:
    """Accuracy and energy at gate level: of the data, the datapath, and with memories."""
    kinds = [_simulated, _datapath, *([_whole] if _has_memories(report) else [])]
    headings = (*_GATE_HEADINGS, *(_WHOLE_HEADINGS if _has_memories(report) else ()))
    table = figures_table(_ACCURACY, *headings, label="network, order", numbered=False, dense=dense)
    first = report.variants[0]
    for variant in report.variants:
        cells = [_accuracy(variant)]
        for energy in kinds:
            ratio = as_ratio(energy_ratio(energy(first), energy(variant)), "x")
            cells += [as_energy(energy(variant), " "), ratio]
        table.add_row(_name(variant), *cells)
    return table


def _flip_table(report: DemoReport, dense: bool) -> Table:
    """Weight flips and the energy estimated from flips; accuracy if no other table has it."""
    alone = report.simulation is None
    headings = (*([_ACCURACY] if alone else []), *_FLIP_HEADINGS)
    table = figures_table(*headings, label="network, order", numbered=False, dense=dense)
    first = report.variants[0]
    for variant in report.variants:
        cells = [
            with_si_prefix(variant.weight_flips, " "),
            as_ratio(reduction(first.weight_flips, variant.weight_flips), "x"),
            as_energy(_estimated(variant), " "),
            as_ratio(energy_ratio(_estimated(first), _estimated(variant)), "x"),
        ]
        table.add_row(_name(variant), *([_accuracy(variant)] if alone else []), *cells)
    return table


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
    sums = "Datapath: with clock and leakage."
    if _has_memories(report):
        sums += " Whole bill: with memories, every access counted"
        sums += ", the energy of one estimated." if any(bill.estimated for bill in _bills(report)) else "."
    return f"{words}. {sums} `fewflips energy` simulates all."


def _name(variant: DemoVariant) -> str:
    return f"{variant.network}, {variant.order}"


def _estimated(variant: DemoVariant) -> float | None:
    return variant.estimated_energy.inertial_data_pj if variant.estimated_energy else None


def _accuracy(variant: DemoVariant) -> str:
    return ABSENT if variant.accuracy_percent is None else f"{variant.accuracy_percent:.2f} %"


def _simulated(variant: DemoVariant) -> float | None:
    return variant.simulated_energy.inertial.data_pj if variant.simulated_energy else None


def _datapath(variant: DemoVariant) -> float | None:
    return variant.simulated_energy.inertial.total_pj if variant.simulated_energy else None


def _whole(variant: DemoVariant) -> float | None:
    bill = variant.simulated_energy.bill if variant.simulated_energy else None
    return bill.whole_pj if bill is not None else None


def _has_memories(report: DemoReport) -> bool:
    return any(bill.buffers is not None for bill in _bills(report))


def _bills(report: DemoReport) -> list[Bill]:
    energies = [variant.simulated_energy for variant in report.variants if variant.simulated_energy]
    return [energy.bill for energy in energies if energy.bill is not None]
