"""The results of a calibration, as text shared by its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewflips.records.calibration import (
    Accuracy,
    Calibration,
    DelayRankings,
    EnergyPair,
    EstimatedEnergy,
    LayerComparison,
)
from fewflips.report.numbers import ABSENT, THIN_SPACE, as_energy, per_mac
from fewflips.visible import printable

ACCURACY_HEADINGS = ("R² per MAC", "R² log", "median error", "worst error", "total error")
"""Headings of :func:`accuracy_figures`."""


@dataclass(frozen=True)
class CurveRow:
    """Energy of a unit cycle at one NHD of the streaming operand, the other one held.

    Parameters
    ----------
    nhd : float
        NHD of the streaming operand.
    zero_delay_fj, inertial_fj : float
        Data energy per lane, without operand registers and without an incoming partial sum.
    """

    nhd: float
    zero_delay_fj: float
    inertial_fj: float


def curve_rows(calibration: Calibration) -> list[CurveRow]:
    """The curve along the streaming operand."""
    lanes = calibration.datapath.lanes
    held_weights = calibration.held_operand == "weights"
    axis = calibration.zero_delay.activations if held_weights else calibration.zero_delay.weights
    tables = (calibration.zero_delay.first.curve_fj, calibration.inertial.first.curve_fj)
    zero_delay, inertial = ([*table[0]] if held_weights else [row[0] for row in table] for table in tables)
    return [
        CurveRow(nhd, without / lanes, with_glitches / lanes)
        for nhd, without, with_glitches in zip(axis.nhd, zero_delay, inertial, strict=True)
    ]


def accuracy_figures(accuracy: Accuracy) -> tuple[str, ...]:
    """Figures of one comparison as text."""
    return (
        as_fit(accuracy.r2),
        as_fit(accuracy.r2_log, 4),
        f"{accuracy.median_error_percent:.1f} %",
        f"{accuracy.worst_error_percent:.1f} %",
        f"{accuracy.total_error_percent:+.1f} %",
    )


def as_fit(r2: float | None, digits: int = 3) -> str:
    """A coefficient of determination as text.

    Examples
    --------
    >>> as_fit(0.98765), as_fit(None) == ABSENT
    ('0.988', True)
    """
    return ABSENT if r2 is None else f"{r2:.{digits}f}"


def layer_figures(layer: LayerComparison) -> tuple[str, ...]:
    """Weight NHD, then simulated and predicted fJ/MAC and the error, without and with glitches."""
    figures = [f"{layer.weight_nhd:.3f}"]
    for found, expected in _energies((layer.simulated, layer.predicted)):
        figures += [_figure(found, layer.macs), _figure(expected, layer.macs), as_error(found, expected)]
    return tuple(figures)


def ranking_words(ranking: DelayRankings) -> list[str]:
    """How well the change from natural to scheduled order is predicted, one line per delay model."""
    return [
        f"{name}: the cheaper one is predicted correctly for {found.agreement:.0%} of layers; R² of their ratio "
        f"{as_fit(found.ratio_r2)}, from the layer's mean NHD alone {as_fit(found.ratio_r2_from_flips)}."
        for name, found in (("zero delay", ranking.zero_delay), ("inertial", ranking.inertial))
    ]


def estimate_words(estimate: EstimatedEnergy, space: str = THIN_SPACE) -> str:
    """An estimated energy, its basis, and its possible error, in one or two sentences.

    Parameters
    ----------
    estimate : EstimatedEnergy
        Estimate for one inference.
    space : str
        Space between a number and its unit.

    Returns
    -------
    str
        Plain text, with every name made printable.
    """
    energies = (estimate.total.zero_delay_data_pj, estimate.total.inertial_data_pj)
    zero_delay, inertial = (as_energy(energy, space) for energy in energies)
    record = estimate.calibration
    found = (
        f"Data energy of one inference, estimated from flips: {zero_delay} zero delay, {inertial} inertial "
        f"({printable(record.source)}, {printable(record.cells)})."
    )
    if record.accuracy is None or record.model is None:
        return f"{found} The calibration was not compared with a network."
    known = "" if record.activations == "sample inputs" else ", without sample inputs"
    fit = record.accuracy.inertial
    return (
        f"{found} Against gate level on {printable(record.model)}, with which it was made{known}: layers are off by "
        f"{fit.median_error_percent:.1f} % (median), {fit.worst_error_percent:.0f} % at worst, the total by "
        f"{fit.total_error_percent:+.1f} %."
    )


def total_of(layers: Sequence[LayerComparison]) -> LayerComparison:
    """All layers together, with an NHD of 0."""

    def pair(energies: list[EnergyPair]) -> EnergyPair:
        return EnergyPair(
            zero_delay_data_pj=sum(energy.zero_delay_data_pj for energy in energies),
            inertial_data_pj=sum(energy.inertial_data_pj for energy in energies),
        )

    return LayerComparison(
        name="total",
        macs=sum(layer.macs for layer in layers),
        weight_nhd=0.0,
        simulated=pair([layer.simulated for layer in layers]),
        predicted=pair([layer.predicted for layer in layers]),
        ci95_percent=0.0,
    )


def as_error(found: float, expected: float) -> str:
    """A signed error in percent; a dash if there is nothing to compare with.

    Examples
    --------
    >>> as_error(2.0, 2.1), as_error(0.0, 1.0) == ABSENT
    ('+5.0', True)
    """
    return f"{100 * (expected / found - 1):+.1f}" if found > 0 else ABSENT


def _energies(pairs: tuple[EnergyPair, EnergyPair]) -> tuple[tuple[float, float], tuple[float, float]]:
    found, expected = pairs
    return (
        (found.zero_delay_data_pj, expected.zero_delay_data_pj),
        (found.inertial_data_pj, expected.inertial_data_pj),
    )


def _figure(picojoules: float, macs: int) -> str:
    energy = per_mac(picojoules, macs)
    return ABSENT if energy is None else f"{energy:.1f}"
