"""Costs of transitions in energy: by hand, and against the estimate that `measure` shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fewflips.dataflows.phases import Phase
from fewflips.errors import InputError
from fewflips.estimation.activity import LayerActivity
from fewflips.estimation.calibration_files import builtin_names
from fewflips.estimation.predict import predict_energy
from fewflips.estimation.transition_costs import CalibratedDelays, transition_cost_of
from fewflips.ordering import order_segments
from fewflips.records.calibration import Calibration, RegisterEnergy
from tests.calibration import hand_made

SLOPED = (0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.5, 2.0)


def builtin(name: str) -> Calibration:
    from importlib.resources import files

    return Calibration.model_validate_json((files("fewflips.estimation") / "tables" / f"{name}.json").read_bytes())


def test_costs_by_hand() -> None:
    calibration = hand_made.calibration(
        inertial=hand_made.curves(400.0, bit_costs=SLOPED), registers=RegisterEnergy(weights_fj=4.0, activations_fj=9.0)
    )
    # 400 fJ for 4 lanes x 8 bits that all flip: 12.5 fJ a flip, half of 4 fJ in the register; the dearest 27 fJ
    found = transition_cost_of(calibration, register_share=0.5, largest=27)
    assert found.joules_per_unit == pytest.approx(1e-15)
    assert found.cost.bit_costs is not None
    assert found.cost.bit_costs.tolist() == [2, 8, 14, 14, 14, 14, 21, 27]  # 8.25, 14.5 (to even), 20.75
    still = transition_cost_of(calibration, delays="zero_delay", register_share=0.0, largest=5)
    assert still.cost.bit_costs is not None
    assert still.cost.bit_costs.tolist() == [5] * 8
    assert still.joules_per_unit == pytest.approx(200 / 32 / 5 * 1e-15)


def words(rates: np.ndarray, cycles: int, lanes: int) -> np.ndarray:
    """A stream in which each bit flips in its share of the transitions, in every lane."""
    bits = np.zeros((cycles, len(rates)), dtype=np.int64)
    for bit, rate in enumerate(rates):
        bits[1:, bit] = np.floor(np.arange(1, cycles) * rate).astype(np.int64) % 2
    return np.repeat((bits << np.arange(len(rates))).sum(axis=1)[:, None], lanes, axis=1).astype(np.uint8)


@pytest.mark.parametrize("delays", ["zero_delay", "inertial"])
@pytest.mark.parametrize("name", builtin_names())
def test_the_cost_of_a_stream_is_the_energy_estimated_for_it(name: str, delays: CalibratedDelays) -> None:
    calibration, share = builtin(name), 0.25
    lanes, cycles = calibration.datapath.lanes, 1001
    sent = words(np.array([0.5, 0.1, 0.25, 0.2, 0.4, 0.3, 0.125, 0.05]), cycles, lanes)
    changed = sent[1:, 0] ^ sent[:-1, 0]
    rates = np.array([((changed >> bit) & 1).mean() for bit in range(8)])
    curves = calibration.inertial if delays == "inertial" else calibration.zero_delay
    nhd = float(rates @ np.array(curves.weights.bit_costs)) / 8
    flipping, still = (
        getattr(predict_energy(layer(lanes, cycles - 1, moving, share), calibration), f"{delays}_data_pj")
        for moving in (rates, 0 * rates)
    )
    found = transition_cost_of(calibration, delays=delays, nhd=nhd, register_share=share, largest=30000)
    assert found.cost.along(sent) * found.joules_per_unit == pytest.approx((flipping - still) * 1e-12, rel=1e-4)


def layer(lanes: int, cycles: int, rates: np.ndarray, share: float) -> LayerActivity:
    """A first segment in all lanes whose activations stand still."""
    return LayerActivity((Phase(cycles, lanes, rates, np.zeros(8), adds_to_sum=False),), share, 0.0, None)


def test_flips_cost_less_each_where_there_are_more_of_them() -> None:
    calibration = builtin("column16-twos-complement8-unsigned8-partial-sum")
    few, many = (transition_cost_of(calibration, nhd=nhd).joules_per_unit for nhd in (0.05, 0.5))
    assert few > 1.2 * many


def test_orders_can_be_chosen_by_calibrated_energy() -> None:
    calibration = builtin("column16-twos-complement8-unsigned8-partial-sum")
    cost = transition_cost_of(calibration).cost
    segment = np.random.default_rng(0).integers(0, 256, (9, 3), dtype=np.uint8)
    (by_energy,), (by_flips,) = order_segments([segment], cost=cost), order_segments([segment])
    assert by_energy.flips == cost.along(segment[by_energy.order]) < cost.along(segment[by_flips.order])
    assert by_energy.lower_bound <= by_energy.flips


@pytest.mark.parametrize("arguments", [{"nhd": 0.0}, {"nhd": 1.5}, {"nhd": float("nan")}, {"register_share": -0.1}])
def test_arguments_out_of_range(arguments: Any) -> None:
    with pytest.raises(InputError, match="expected an NHD above 0"):
        transition_cost_of(hand_made.calibration(), **arguments)


def test_the_largest_cost_is_one_that_costs_can_have() -> None:
    for largest in (0, 32769):
        with pytest.raises(InputError, match="largest cost from 1 to 32768"):
            transition_cost_of(hand_made.calibration(), largest=largest)


def test_an_operand_whose_flips_cost_nothing_has_no_cost() -> None:
    with pytest.raises(InputError, match="flips of activations cost energy, got one in which they cost none"):
        transition_cost_of(hand_made.calibration(), "activations")
