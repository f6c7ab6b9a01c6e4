"""Energy in the table of layers of the HTML report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fewflips.records.energy import LayerEnergy
from fewflips.records.optimization import EnergyComparison, OptimizeReport
from fewflips.report.energy_words import confidence, optimized_energy
from fewflips.report.html.column import Column, Value
from fewflips.report.numbers import ABSENT, as_energy, as_ratio, energy_ratio

_Picojoules = Callable[[LayerEnergy], float | None]
_Outcome = Callable[[EnergyComparison], LayerEnergy | None]
_Comparisons = Sequence[EnergyComparison | None]

_KINDS: tuple[tuple[str, str, _Picojoules], ...] = (
    ("energy", "energy, inertial: data", lambda energy: energy.inertial.data_pj),
    ("energy-clock", "energy, inertial: with clock", lambda energy: energy.inertial.total_pj),
    ("zero-delay", "energy, zero delay: data", lambda energy: energy.zero_delay.data_pj),
    ("zero-delay-clock", "energy, zero delay: with clock", lambda energy: energy.zero_delay.total_pj),
)
_WHOLE = ("whole", "the whole bill, with memories", lambda energy: energy.bill.whole_pj if energy.bill else None)


def energy_columns(report: OptimizeReport) -> list[Column]:
    """Energies before and after, data and with clock, inertial and zero delay.

    Parameters
    ----------
    report : OptimizeReport
        The results.

    Returns
    -------
    list of Column
        Empty if no energy was simulated.
    """
    if report.energy is None:
        return []
    total = report.energy.total
    layers = [layer.energy for layer in report.layers]
    bill = total.baseline.bill
    kinds = [*_KINDS, *([_WHOLE] if bill is not None and bill.buffers is not None else [])]
    table = [column for kind in kinds for column in _kind_columns(*kind, layers, total)]
    if total.schedule is not None and total.drop_in is not None:
        table += _drop_in_columns(layers, total)
    if any(energy is not None and energy.baseline.sampled for energy in (*layers, total)):
        table += _confidence_columns(layers, total)
    return table


def _kind_columns(
    key: str, group: str, picojoules: _Picojoules, layers: _Comparisons, total: EnergyComparison
) -> list[Column]:
    return [
        _energy_column(f"{key}-before", "before", group, _before, picojoules, layers, total),
        _energy_column(f"{key}-after", "after", group, optimized_energy, picojoules, layers, total),
        _ratio_column(f"{key}-reduction", "reduction", group, optimized_energy, picojoules, layers, total),
    ]


def _drop_in_columns(layers: _Comparisons, total: EnergyComparison) -> list[Column]:
    titles = ("data", "with clock", "data, zero delay", "with clock, zero delay")
    return [
        _ratio_column(f"drop-in-{key}", title, "drop-in file: reduction of energy", _tied, picojoules, layers, total)
        for title, (key, _, picojoules) in zip(titles, _KINDS, strict=True)
    ]


def _confidence_columns(layers: _Comparisons, total: EnergyComparison) -> list[Column]:
    group = "inertial data: 95 % confidence"
    return [
        _column("confidence-before", "before", group, lambda known: _confidence(known.baseline), layers, total),
        _column("confidence-after", "after", group, lambda known: _confidence(optimized_energy(known)), layers, total),
    ]


def _energy_column(
    key: str,
    title: str,
    group: str,
    outcome: _Outcome,
    picojoules: _Picojoules,
    layers: _Comparisons,
    total: EnergyComparison,
) -> Column:
    def cell(comparison: EnergyComparison) -> tuple[str, Value]:
        energy = outcome(comparison)
        return (ABSENT, None) if energy is None else (as_energy(picojoules(energy)), picojoules(energy))

    return _column(key, title, group, cell, layers, total)


def _ratio_column(
    key: str,
    title: str,
    group: str,
    outcome: _Outcome,
    picojoules: _Picojoules,
    layers: _Comparisons,
    total: EnergyComparison,
) -> Column:
    def cell(comparison: EnergyComparison) -> tuple[str, Value]:
        energy = outcome(comparison)
        ratio = None if energy is None else energy_ratio(picojoules(comparison.baseline), picojoules(energy))
        return as_ratio(ratio), ratio

    return _column(key, title, group, cell, layers, total)


def _column(
    key: str,
    title: str,
    group: str,
    cell: Callable[[EnergyComparison], tuple[str, Value]],
    layers: _Comparisons,
    total: EnergyComparison,
) -> Column:
    cells = [(ABSENT, None) if layer is None else cell(layer) for layer in layers]
    return Column(key, title, group, cells, cell(total)[0])


def _confidence(energy: LayerEnergy | None) -> tuple[str, Value]:
    return (ABSENT, None) if energy is None else (confidence(energy), energy.ci95_percent)


def _before(comparison: EnergyComparison) -> LayerEnergy | None:
    return comparison.baseline


def _tied(comparison: EnergyComparison) -> LayerEnergy | None:
    return comparison.drop_in
