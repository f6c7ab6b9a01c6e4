"""Explorations in words and figures, for the terminal and the page."""

from __future__ import annotations

from fewflips.records.exploration import ExplorationReport, ExploredMachine, Measure, Measures
from fewflips.report.numbers import THIN_SPACE, as_energy, with_si_prefix

MEASURE_NAMES: dict[Measure, str] = {
    "whole_pj": "whole energy",
    "datapath_pj": "datapath energy",
    "area_um2": "area",
    "critical_path_ns": "critical path",
    "index_table_bits": "index table",
    "cycles": "cycles",
    "latency_us": "latency",
    "slack_ns": "slack",
}
"""What measures are called in reports."""


def measure_text(measures: Measures, name: Measure, space: str = THIN_SPACE) -> str:
    """A measure with its unit, and the interval of an energy."""
    value: float = getattr(measures, name)
    if name in ("whole_pj", "datapath_pj"):
        share = 100 * measures.half_width_pj / value if value else 0.0
        return as_energy(value, space) + (f" \u00b1{share:.2f}{space}%" if share else "")
    if name == "area_um2":
        return f"{value * 1e-6:.4g}{space}mm\u00b2"
    if name == "index_table_bits":
        return f"{with_si_prefix(round(value), space)}bit" if value >= 10_000 else f"{value:.0f}{space}bit"
    if name == "cycles":
        return with_si_prefix(round(value), space)
    if name == "latency_us":
        return f"{value * 1e-3:.4g}{space}ms" if value >= 1e3 else f"{value:.4g}{space}\u00b5s"
    return f"{value:.4g}{space}ns"


def choices_text(machine: ExploredMachine) -> str:
    """Everything that varies, in one line."""
    return ", ".join(f"{name} {value}" for name, value in machine.choices.items()) or "the only machine"


def work_text(report: ExplorationReport) -> str:
    """How much of the space was looked at, and how."""
    work, settings = report.work, report.settings
    words = [
        f"{work.evaluated} of {work.machines} machines evaluated ({settings.method})",
        f"{work.gate_level} of them at gate level on their own array",
    ]
    if work.estimate_error_percent is not None:
        words.append(f"estimates within {work.estimate_error_percent:.2g} % of these")
    words.append(f"{work.simulations} simulations and {work.layers_found} known layers in {work.seconds:.0f} s")
    return ", ".join(words) + "."


def remarks(report: ExplorationReport) -> list[str]:
    """What a reader of the front has to know."""
    found = []
    if not report.complete:
        found.append("The search was cut short: the same command goes on where it was.")
    for reason in report.contradictions:
        found.append(f"{_machines(reason.machines)} cannot be ({reason.example}, say): {reason.reason}")
    if report.work.outside:
        found.append(f"Not simulated, since their units alone are outside the constraints: {report.work.outside}.")
    unclear = [machine.index for machine in report.front if not machine.separated]
    if unclear:
        numbers = ", ".join(map(str, unclear[:10])) + (", ..." if len(unclear) > 10 else "")
        found.append(f"The intervals do not tell {numbers} from the machines next to the front (a larger share would).")
    if any(machine.precision == "estimate" for machine in report.front):
        found.append("Energies marked ~ are estimates: toggles of 16 columns, charged to this machine.")
    return found


def _machines(count: int) -> str:
    return f"{count} machine{'' if count == 1 else 's'}"
