"""Costs of transitions in energy: from a calibration to the object that orders and codes are chosen by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.estimation.concave import surface_at
from fewflips.records.calibration import Axis, Calibration, DelayCurves
from fewflips.streams.transition_cost import TransitionCost

_J_PER_FJ = 1e-15

CalibratedDelays = Literal["zero_delay", "inertial"]


@dataclass(frozen=True)
class EnergyCost:
    """A transition cost that stands for energy.

    Parameters
    ----------
    cost : TransitionCost
        Integers, for orders, codes and training.
    joules_per_unit : float
        Energy of one unit of `cost` in one arithmetic unit; every unit that sees the words takes as much.
    """

    cost: TransitionCost
    joules_per_unit: float


def transition_cost_of(
    calibration: Calibration,
    operand: Literal["weights", "activations"] = "weights",
    *,
    delays: CalibratedDelays = "inertial",
    nhd: float = 0.3,
    register_share: float = 1.0,
    largest: int = 100,
) -> EnergyCost:
    """What a flip of each bit of an operand costs in energy, while the other operand stands still.

    A calibration's curve of energy against flips is concave. The cost of a flip is that of the chord up to a usual NHD:
    at that NHD, with all lanes in use and held words as in the calibration, the cost of a stream is the energy that
    :func:`~fewflips.estimation.predict.predict_energy` gives for a first segment above that without any flips, but for
    rounding. Partial sums are left out.

    Parameters
    ----------
    calibration : Calibration
        Of the arithmetic unit.
    operand : {"weights", "activations"}
        Whose words follow one another.
    delays : {"zero_delay", "inertial"}
        Without glitches or with them.
    nhd : float
        Where the chord ends, as flips per cycle and bit; at most 1. Beyond the calibration's range, its end.
    register_share : float
        Part of the operand's register that is a unit's own, from 0 to 1
        (:attr:`~fewflips.dataflows.unit_work.UnitWork.weight_share`).
    largest : int
        Cost of the dearest bit, from 1 to 32768: the others are rounded to this unit. A larger one is finer, but a
        gap between an order and its bound also counts more units.

    Returns
    -------
    EnergyCost
        For codes of the unit's width.

    Raises
    ------
    InputError
        If an argument is out of range, or flips of that operand cost nothing in the calibration: where it stands
        still in the array, there is no curve.

    Examples
    --------
    >>> from fewflips.estimation.calibration_files import builtin_calibration
    >>> from fewflips.datapath.design import Datapath, Word, WordFormat
    >>> weights, activations = Word(WordFormat.TWOS_COMPLEMENT, 8), Word(WordFormat.UNSIGNED, 8)
    >>> unit = Datapath("column", weights, activations, lanes=16, partial_sum_input=True)
    >>> found = transition_cost_of(builtin_calibration(unit))
    >>> found.cost.bit_costs.tolist()
    [58, 57, 64, 66, 63, 60, 60, 100]
    >>> f"{found.joules_per_unit:.2g}"
    '8.5e-15'
    """
    if not 0 < nhd <= 1 or not 0 <= register_share <= 1 or not 1 <= largest <= 1 << 15:
        raise InputError(
            "energy of transitions: expected an NHD above 0 and up to 1, a share of the register from 0 to 1 and a "
            f"largest cost from 1 to {1 << 15}, got {nhd}, {register_share} and {largest}"
        )
    curves = calibration.zero_delay if delays == "zero_delay" else calibration.inertial
    axis = curves.weights if operand == "weights" else curves.activations
    registers = calibration.registers
    register_fj = registers.weights_fj if operand == "weights" else registers.activations_fj
    logic_fj = _flip_fj(curves, operand, nhd) / calibration.datapath.lanes
    flips_fj = logic_fj * np.array(axis.bit_costs) + register_share * register_fj
    dearest_fj = float(flips_fj.max())
    if logic_fj == 0 or dearest_fj == 0:
        raise InputError(
            f"energy of transitions: expected a calibration in which flips of {operand} cost energy, got one in which "
            "they cost none; take the other operand, which streams"
        )
    unit_fj = dearest_fj / largest
    return EnergyCost(TransitionCost.per_bit(np.rint(flips_fj / unit_fj).astype(np.int64)), unit_fj * _J_PER_FJ)


def _flip_fj(curves: DelayCurves, operand: Literal["weights", "activations"], nhd: float) -> float:
    """Energy of a flip of the mean bit of a single lane's word, times the lanes."""
    axis = curves.weights if operand == "weights" else curves.activations
    end = min(nhd, axis.weighted_nhd[-1])
    if end == 0:
        return 0.0
    places, still = np.array([0.0, end]), np.zeros(2)
    rows, columns = (places, still) if operand == "weights" else (still, places)
    start_fj, end_fj = surface_at(
        _places(curves.weights), _places(curves.activations), np.array(curves.first.curve_fj), rows, columns
    )
    return float(end_fj - start_fj) / (end * len(axis.bit_costs))


def _places(axis: Axis) -> NDArray[np.float64]:
    return np.array(axis.weighted_nhd)
