"""The energy section of the HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fewflips.records.energy import EnergyParts, LayerEnergy
from fewflips.records.optimization import EnergyComparison, EnergyResult, OptimizeReport
from fewflips.report.energy_words import SPLIT, confidence, glitches, how_simulated, optimized_energy, split_figures
from fewflips.report.html import charts
from fewflips.report.html.bill_section import BillSection, bill_section
from fewflips.report.numbers import as_energy, as_ratio, energy_change, energy_ratio, energy_unit
from fewflips.visible import printable


@dataclass(frozen=True)
class EnergySection:
    """The content of the energy section.

    Parameters
    ----------
    headline : str
        The change of all that is simulated: of the whole bill with memories, else of the arithmetic units; empty if
        there is no energy after.
    facts : list of (str, str, str)
        Quantity, its change with glitches, and its change without delays.
    lead : str
        The totals in a sentence.
    layers_chart, split_chart : Markup or None
        ``<svg>`` elements; None if no layer was simulated.
    optimized, drop_in : bool
        Whether there is an energy after optimization, and one of the drop-in file as well.
    headings : tuple of str
        Headings of the figures in `split`.
    split : list of (str, list of (str, list of str))
        Delay model; for each of its rows a label and figures.
    bill : BillSection or None
        What units and memories spend; None in reports without a bill.
    basis : list of (str, str)
        Terms with explanations of how energy was simulated.
    remarks : list of str
        Sentences below the table.
    """

    headline: str
    facts: list[tuple[str, str, str]]
    lead: str
    layers_chart: Markup | None
    split_chart: Markup
    optimized: bool
    drop_in: bool
    headings: tuple[str, ...]
    split: list[tuple[str, list[tuple[str, list[str]]]]]
    bill: BillSection | None
    basis: list[tuple[str, str]]
    remarks: list[str]


def energy_section(report: OptimizeReport, labels: Sequence[str]) -> EnergySection | None:
    """The energy section; None if no energy was simulated.

    Parameters
    ----------
    report : OptimizeReport
        The results.
    labels : sequence of str
        Labels of the layers in charts.

    Returns
    -------
    EnergySection or None
        Every name in it is printable, but not escaped.
    """
    result = report.energy
    if result is None:
        return None
    bill = bill_section(result.total)
    return EnergySection(
        headline=_headline(result.total),
        facts=_facts(result.total) + ([bill.fact] if bill and bill.fact else []),
        lead=_lead(result.total),
        layers_chart=_layers_chart(report, labels),
        split_chart=_split_chart(result.total),
        optimized=optimized_energy(result.total) is not None,
        drop_in=_both(result.total),
        headings=(*SPLIT, "fJ per MAC, data", "fJ per MAC, with clock"),
        split=[
            (title, [(outcome, split_figures(energy, parts)) for outcome, energy, parts in rows])
            for title, rows in _split(result.total)
        ],
        bill=bill,
        basis=how_simulated(result.settings, result.datapath, result.cells, several_orders=True),
        remarks=_remarks(report, result),
    )


def _headline(total: EnergyComparison) -> str:
    before, after = total.baseline, optimized_energy(total)
    if after is None:
        return ""
    if before.bill is not None and before.bill.buffers is not None and after.bill is not None:
        return f"{energy_change(before.bill.whole_pj, after.bill.whole_pj)} energy with memories"
    return f"{energy_change(before.inertial.total_pj, after.inertial.total_pj)} energy in the arithmetic units"


def _facts(total: EnergyComparison) -> list[tuple[str, str, str]]:
    before, after = total.baseline, optimized_energy(total)
    if after is None:
        return []

    def fact(what: str, inertial: tuple[float, float], zero_delay: tuple[float, float]) -> tuple[str, str, str]:
        return what, energy_change(*inertial), f"inertial, {energy_change(*zero_delay)} zero delay"

    return [
        fact(
            "energy, data alone",
            (before.inertial.data_pj, after.inertial.data_pj),
            (before.zero_delay.data_pj, after.zero_delay.data_pj),
        ),
        fact(
            "energy with clock",
            (before.inertial.total_pj, after.inertial.total_pj),
            (before.zero_delay.total_pj, after.zero_delay.total_pj),
        ),
    ]


def _lead(total: EnergyComparison) -> str:
    before, after = total.baseline.inertial, optimized_energy(total)
    if after is None:
        return (
            f"With glitches, one inference takes {as_energy(before.total_pj)} in the arithmetic units with clock "
            f"and leakage, {as_energy(before.data_pj)} for the data alone{_whole(total.baseline, None)}."
        )
    return (
        f"With glitches, one inference takes {as_energy(after.inertial.total_pj)} in the arithmetic units with clock "
        f"and leakage, {as_energy(before.total_pj)} before; for the data alone "
        f"{as_energy(after.inertial.data_pj)}, {as_energy(before.data_pj)} before{_whole(total.baseline, after)}."
    )


def _whole(before: LayerEnergy, after: LayerEnergy | None) -> str:
    """The whole bill, in continuation of a sentence; nothing if the machine describes no memories."""
    if before.bill is None or before.bill.buffers is None:
        return ""
    if after is None or after.bill is None:
        return f"; with the memories {as_energy(before.bill.whole_pj)}"
    return f"; with the memories {as_energy(after.bill.whole_pj)}, {as_energy(before.bill.whole_pj)} before"


def _remarks(report: OptimizeReport, result: EnergyResult) -> list[str]:
    total, remarks = result.total, []
    if sentence := glitches(total.baseline):
        remarks.append(sentence)
    if total.baseline.sampled:
        after = optimized_energy(total)
        words = f"{confidence(total.baseline)} before" + (f", {confidence(after)} after" if after else "")
        remarks.append(f"A sample of the cycles was simulated; 95 % confidence of the inertial data: {words}.")
    if missing := sum(layer.energy is None for layer in report.layers):
        remarks.append(f"Not simulated, and in no total: {missing} of {len(report.layers)} layers.")
    return remarks


def _layers_chart(report: OptimizeReport, labels: Sequence[str]) -> Markup | None:
    known = [(layer, layer.energy, label) for layer, label in zip(report.layers, labels, strict=True) if layer.energy]
    if not known:
        return None
    outcomes = [energy for _, comparison, _ in known for energy in _outcomes(comparison)]
    size, symbol = energy_unit(max(energy.inertial.total_pj for energy in outcomes))
    bars = [_layer_bar(printable(layer.name), label, comparison, size) for layer, comparison, label in known]
    alt = "Energy of each layer with glitches, before and after, data and with clock; the table has the figures."
    return Markup(charts.energy_rows(bars, f"energy of one inference, inertial ({symbol})", "energy", alt))


def _layer_bar(name: str, label: str, comparison: EnergyComparison, size: float) -> charts.EnergyBar:
    before, after = comparison.baseline.inertial, optimized_energy(comparison)
    hint = f"{name}: data {as_energy(before.data_pj)}, with clock {as_energy(before.total_pj)}"
    remark = ""
    if after is not None:
        remark = as_ratio(energy_ratio(before.data_pj, after.inertial.data_pj))
        clock = as_ratio(energy_ratio(before.total_pj, after.inertial.total_pj))
        hint += f" before; data {as_energy(after.inertial.data_pj)} ({remark}), "
        hint += f"with clock {as_energy(after.inertial.total_pj)} ({clock}) after"
    tied = comparison.drop_in if _both(comparison) else None
    return charts.EnergyBar(
        label=label,
        hint=hint,
        before=_lengths(before, size),
        after=None if after is None else _lengths(after.inertial, size),
        drop_in=None if tied is None else _lengths(tied.inertial, size)[0],
        remark=remark,
    )


def _lengths(parts: EnergyParts, size: float) -> tuple[float, float]:
    """Data and total as lengths; internal energy may be negative, but a length may not."""
    return max(parts.data_pj, 0.0) / size, max(parts.total_pj, 0.0) / size


def _split_chart(total: EnergyComparison) -> Markup:
    rows = [(f"{title}, {outcome}", parts) for title, group in _split(total) for outcome, _, parts in group]
    size, symbol = energy_unit(max(parts.total_pj for _, parts in rows))
    bars = [_split_bar(label, parts, size) for label, parts in rows]
    alt = "Energy of all layers by what it is spent on; the table below has the figures."
    return Markup(charts.split_rows(bars, f"energy of one inference ({symbol})", "split", alt))


def _split_bar(label: str, parts: EnergyParts, size: float) -> charts.SplitBar:
    energies = (parts.switching_pj, parts.internal_pj, parts.clock_pj, parts.leakage_pj)
    hint = ", ".join(f"{kind} {as_energy(energy)}" for kind, energy in zip(charts.ENERGY_KINDS, energies, strict=True))
    lengths = tuple(max(energy, 0.0) / size for energy in energies)
    return charts.SplitBar(label=label, hint=f"{label}: {hint}", energies=lengths, remark=as_energy(parts.total_pj))


def _split(total: EnergyComparison) -> list[tuple[str, list[tuple[str, LayerEnergy, EnergyParts]]]]:
    """Both delay models, each with its rows: before and after."""
    named = (("before", total.baseline), ("scheduled", total.schedule), ("drop-in file", total.drop_in))
    known = [(outcome, energy) for outcome, energy in named if energy is not None]
    return [
        ("zero delay", [(outcome, energy, energy.zero_delay) for outcome, energy in known]),
        ("inertial", [(outcome, energy, energy.inertial) for outcome, energy in known]),
    ]


def _outcomes(comparison: EnergyComparison) -> list[LayerEnergy]:
    return [energy for energy in (comparison.baseline, comparison.schedule, comparison.drop_in) if energy is not None]


def _both(comparison: EnergyComparison) -> bool:
    return comparison.schedule is not None and comparison.drop_in is not None
