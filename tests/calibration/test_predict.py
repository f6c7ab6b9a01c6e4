"""Predictions by hand, from a calibration that was written down."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.dataflows.phases import Phase
from fewflips.estimation.activity import LayerActivity
from fewflips.estimation.predict import STEPS, Terms, predict_energy, weighted_nhd
from fewflips.records.calibration import RegisterEnergy
from tests.calibration import hand_made

STILL = np.zeros(8)


def phase(nhd=0.5, *, cycles=10.0, lanes=4, adds=False, activations=STILL):
    return Phase(cycles, lanes, np.full(8, nhd), activations, adds)


def layer(*phases, ones=None, weight_share=0.0, activation_share=0.0):
    return LayerActivity(tuple(phases), weight_share, activation_share, ones)


def test_energy_by_hand():
    found = predict_energy(layer(phase(0.5)), hand_made.calibration())
    # 10 cycles x 4 lanes x 0.5 x 100 fJ
    assert found.inertial_data_pj == pytest.approx(2.0)
    assert found.zero_delay_data_pj == pytest.approx(1.0)


def test_idle_lanes_cost_nothing():
    assert predict_energy(layer(phase(lanes=1)), hand_made.calibration()).inertial_data_pj == pytest.approx(0.5)


def test_phases_add_up():
    both = predict_energy(layer(phase(0.2), phase(0.6, cycles=5)), hand_made.calibration())
    assert both.inertial_data_pj == pytest.approx((10 * 0.2 + 5 * 0.6) * 4 * 100 / 1000)


def test_partial_sums_cost_whatever_the_lanes():
    calibration = hand_made.calibration(inertial=hand_made.curves(400.0, partial_fj=70.0))
    for lanes in (1, 4):
        without, with_sum = (
            predict_energy(layer(phase(lanes=lanes, adds=adds)), calibration).inertial_data_pj for adds in (False, True)
        )
        assert with_sum - without == pytest.approx(10 * 70 / 1000)


def test_sums_that_move_little_cost_little():
    calibration = hand_made.calibration(inertial=hand_made.curves(400.0, partial_fj=70.0))
    activity = LayerActivity((phase(adds=True),), 0.0, 0.0, None, sum_nhd=0.1)
    without = predict_energy(layer(phase()), calibration).inertial_data_pj
    found = predict_energy(activity, calibration).inertial_data_pj
    assert found - without == pytest.approx(10 * 70 * 0.1 / 0.5 / 1000)


def test_ones_of_the_held_operand():
    calibration = hand_made.calibration()  # costs 0, 1/4, 2/4, ...
    zeros, eights = np.eye(9)[0], np.eye(9)[8]
    assert predict_energy(layer(phase(), ones=zeros), calibration).inertial_data_pj == 0
    assert predict_energy(layer(phase(), ones=eights), calibration).inertial_data_pj == pytest.approx(4.0)
    half = predict_energy(layer(phase(), ones=(zeros + eights) / 2), calibration).inertial_data_pj
    assert half == pytest.approx(2.0)


def test_bits_by_their_cost():
    costs = (0.0,) * 7 + (8.0,)
    calibration = hand_made.calibration(inertial=hand_made.curves(400.0, bit_costs=costs))
    rates = np.array([1.0] * 7 + [0.25])
    only_top = layer(Phase(10.0, 4, rates, STILL, False))
    assert predict_energy(only_top, calibration).inertial_data_pj == pytest.approx(10 * 400 * 0.25 / 1000)
    alike = predict_energy(only_top, calibration, Terms(bit_costs=False)).inertial_data_pj
    assert alike == pytest.approx(10 * 400 * rates.mean() / 1000)


def test_operand_registers_cost_by_the_flip_and_share():
    registers = RegisterEnergy(weights_fj=3.0, activations_fj=5.0)
    calibration = hand_made.calibration(registers=registers)
    moving = np.full(8, 0.25)
    activity = layer(phase(0.0, activations=moving), weight_share=0.5, activation_share=0.5)
    assert predict_energy(activity, calibration).zero_delay_data_pj == pytest.approx(10 * 4 * 2 * 0.5 * 5 / 1000)
    activity = layer(phase(0.5), weight_share=0.25, activation_share=1.0)
    logic = predict_energy(layer(phase(0.5)), calibration).zero_delay_data_pj
    found = predict_energy(activity, calibration).zero_delay_data_pj
    assert found - logic == pytest.approx(10 * 4 * 4 * 0.25 * 3 / 1000)


def test_a_mean_over_the_layer_overestimates_where_the_curve_is_concave():
    bent = hand_made.surface(400.0).model_copy(
        update={
            "curve_fj": ((0.0,) * 2, (300.0,) * 2, (400.0,) * 2),
            "simulated_fj": ((0.0,) * 2, (300.0,) * 2, (400.0,) * 2),
        }
    )
    axis = hand_made.axis().model_copy(update={"nhd": (0.0, 0.5, 1.0), "weighted_nhd": (0.0, 0.5, 1.0)})
    curves = hand_made.curves(400.0).model_copy(update={"weights": axis, "first": bent, "later": bent})
    calibration = hand_made.calibration(inertial=curves)
    activity = layer(phase(0.0), phase(1.0))
    apart = predict_energy(activity, calibration).inertial_data_pj
    as_mean = predict_energy(activity, calibration, Terms(segments=False)).inertial_data_pj
    assert apart == pytest.approx(10 * 400 / 1000)
    assert as_mean == pytest.approx(20 * 300 / 1000)


def test_weights_of_bits_have_a_mean_of_one():
    assert float(weighted_nhd(np.array([0.3, 0.3, 0.3]), np.array([0.1, 0.9, 2.0]))) == pytest.approx(0.3)


def test_each_step_adds_one_term():
    fields = ("segments", "bit_costs", "partial_sums", "ones")
    counts = [sum(getattr(terms, field) for field in fields) for _, terms in STEPS]
    assert counts == [0, 1, 2, 3, 4]
