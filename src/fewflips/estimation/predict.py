"""Energy of a layer from its flips and a calibration.

For a unit cycle with weighted NHD w of the weights and a of the activations, over the lanes in use,

    energy = [F(w, 0) x held + F(w, a) - F(w, 0)] x lanes(n) + [L(w, a) - F(w, a)]
             + own share of the operand registers x their flips

F and L are the curves without and with partial sums. The second bracket counts if there are partial sums, and only in
part if the words that earlier segments added flip less than the network's. lanes(n) is the share of F that n lanes
cost. held follows from the ones in the words of the held operand, here the activations: a flip that meets a zero ends
in the first gates. If the weights are held, F(0, a) replaces F(w, 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.phases import HeldOperand
from fewflips.estimation.activity import LayerActivity
from fewflips.estimation.concave import rising_concave_surface, surface_at
from fewflips.records.calibration import Axis, Calibration, DelayCurves, EnergyPair, Surface

_PJ_PER_FJ = 1e-3


@dataclass(frozen=True)
class Terms:
    """The terms of a prediction; all by default.

    Parameters
    ----------
    segments : bool
        Whether each segment is predicted separately, instead of one mean NHD for the layer.
    bit_costs : bool
        Whether each bit has its own cost of a flip, instead of one cost for all bits.
    partial_sums : bool
        Whether partial sums are considered.
    ones : bool
        Whether the ones of the held operand are considered.
    """

    segments: bool = True
    bit_costs: bool = True
    partial_sums: bool = True
    ones: bool = True


@dataclass(frozen=True, eq=False)
class _Phases:
    """Phases of a layer as arrays."""

    cycles: NDArray[np.float64]
    lanes: NDArray[np.float64]
    weight_rates: NDArray[np.float64]
    activation_rates: NDArray[np.float64]
    adds: NDArray[np.float64]


def predict_energy(activity: LayerActivity, calibration: Calibration, terms: Terms | None = None) -> EnergyPair:
    """Data energy of a layer in one inference.

    Parameters
    ----------
    activity : LayerActivity
        Flips per cycle.
    calibration : Calibration
        Calibration of the layer's arithmetic unit.
    terms : Terms, optional
        Terms to include.

    Returns
    -------
    EnergyPair
        Energy without and with glitches.
    """
    terms = terms or Terms()
    phases = _as_arrays(activity, terms)
    registers = _register_energy_fj(activity, phases, calibration)
    ones = activity.held_ones if terms.ones else None
    logic = [
        _logic_energy_fj(phases, calibration.held_operand, ones, activity.sum_nhd, curves, terms)
        for curves in (calibration.zero_delay, calibration.inertial)
    ]
    return EnergyPair(
        zero_delay_data_pj=(logic[0] + registers) * _PJ_PER_FJ, inertial_data_pj=(logic[1] + registers) * _PJ_PER_FJ
    )


def weighted_nhd(rates: NDArray[np.float64], bit_costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flips per cycle and bit, weighted by the cost of each bit.

    Parameters
    ----------
    rates : ndarray of float64, shape (..., bits)
        Flips of each bit.
    bit_costs : ndarray of float64, shape (bits,)
        Costs whose mean is 1, so that equal rates are their own weighted NHD.

    Returns
    -------
    ndarray of float64, shape (...)
        One figure for all bits.

    Examples
    --------
    >>> float(weighted_nhd(np.array([0.5, 0.5]), np.array([0.5, 1.5])))
    0.5
    """
    return rates @ bit_costs / len(bit_costs)


def held_factor(curves: DelayCurves, ones: NDArray[np.float64]) -> float:
    """Factor by which the held operand's words scale the energy of the other operand's flips.

    Parameters
    ----------
    curves : DelayCurves
        Curves under one delay model.
    ones : ndarray of float64, shape (bits + 1,)
        Share of words with 0, 1, ... ones.

    Returns
    -------
    float
        1 for words as in the calibration.
    """
    return float(np.interp(ones @ np.array(curves.ones_costs), curves.mean_costs, curves.factors))


def _logic_energy_fj(
    phases: _Phases,
    held: HeldOperand,
    ones: NDArray[np.float64] | None,
    sum_nhd: float | None,
    curves: DelayCurves,
    terms: Terms,
) -> float:
    weights = _places(phases.weight_rates, curves.weights, terms)
    activations = _places(phases.activation_rates, curves.activations, terms)
    later = curves.later or curves.first
    lane_shares = np.interp(phases.lanes, curves.lanes, curves.lane_shares)
    later_fj = _on_surface(later, curves, terms, weights, activations)
    if not terms.partial_sums:
        return float((phases.cycles * later_fj * lane_shares).sum())
    first_fj = _on_surface(curves.first, curves, terms, weights, activations)
    logic_fj = first_fj
    if ones is not None:
        still = (weights * 0, activations) if held == "weights" else (weights, activations * 0)
        streaming_fj = _on_surface(curves.first, curves, terms, *still)
        logic_fj = first_fj + streaming_fj * (held_factor(curves, ones) - 1)
    adding = phases.adds if sum_nhd is None else phases.adds * np.interp(sum_nhd, curves.sum_nhd, curves.sum_shares)
    return float((phases.cycles * (logic_fj * lane_shares + adding * (later_fj - first_fj))).sum())


def _register_energy_fj(activity: LayerActivity, phases: _Phases, calibration: Calibration) -> float:
    words = phases.cycles * phases.lanes
    weights = activity.weight_share * float(words @ phases.weight_rates.sum(axis=1))
    activations = activity.activation_share * float(words @ phases.activation_rates.sum(axis=1))
    return weights * calibration.registers.weights_fj + activations * calibration.registers.activations_fj


def _as_arrays(activity: LayerActivity, terms: Terms) -> _Phases:
    phases = activity.phases
    arrays = _Phases(
        cycles=np.array([phase.cycles for phase in phases], dtype=np.float64),
        lanes=np.array([phase.active_lanes for phase in phases], dtype=np.float64),
        weight_rates=np.stack([phase.weight_rates for phase in phases]),
        activation_rates=np.stack([phase.activation_rates for phase in phases]),
        adds=np.array([phase.adds_to_sum for phase in phases], dtype=np.float64),
    )
    return arrays if terms.segments else _mean(arrays)


def _mean(phases: _Phases) -> _Phases:
    """One phase with the means of all."""
    words = (phases.cycles * phases.lanes)[:, None]
    cycles = phases.cycles.sum(keepdims=True)
    return _Phases(
        cycles=cycles,
        lanes=(phases.cycles @ phases.lanes) / cycles,
        weight_rates=(words * phases.weight_rates).sum(axis=0, keepdims=True) / words.sum(),
        activation_rates=(words * phases.activation_rates).sum(axis=0, keepdims=True) / words.sum(),
        adds=(phases.cycles @ phases.adds) / cycles,
    )


def _places(rates: NDArray[np.float64], axis: Axis, terms: Terms) -> NDArray[np.float64]:
    return weighted_nhd(rates, np.array(axis.bit_costs)) if terms.bit_costs else rates.mean(axis=1)


def _on_surface(
    surface: Surface,
    curves: DelayCurves,
    terms: Terms,
    weights: NDArray[np.float64],
    activations: NDArray[np.float64],
) -> NDArray[np.float64]:
    rows, columns = curves.weights, curves.activations
    if terms.bit_costs:
        places, energies = (rows.weighted_nhd, columns.weighted_nhd), surface.curve_fj
    else:
        places = (rows.nhd, columns.nhd)
        energies = _plain_curve(*places, surface.simulated_fj)
    return surface_at(np.array(places[0]), np.array(places[1]), np.array(energies), weights, activations)


@lru_cache(maxsize=8)
def _plain_curve(
    rows: tuple[float, ...], columns: tuple[float, ...], simulated_fj: tuple[tuple[float, ...], ...]
) -> tuple[tuple[float, ...], ...]:
    """The curve against the NHD in which all bits count equally."""
    surface = rising_concave_surface(np.array(rows), np.array(columns), np.array(simulated_fj))
    return tuple(tuple(float(energy) for energy in row) for row in surface)


MeanTerm = Literal["layer mean", "segments", "bit costs", "partial sums", "ones"]
"""The steps from the simplest prediction to the full one."""

STEPS: tuple[tuple[MeanTerm, Terms], ...] = (
    ("layer mean", Terms(segments=False, bit_costs=False, partial_sums=False, ones=False)),
    ("segments", Terms(bit_costs=False, partial_sums=False, ones=False)),
    ("bit costs", Terms(partial_sums=False, ones=False)),
    ("partial sums", Terms(ones=False)),
    ("ones", Terms()),
)
"""Each step adds a term to the previous one."""
