"""Flips per cycle, phase by phase, against flips counted on whole streams."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.phases import ActivationStatistics
from fewflips.estimation.activity import activation_statistics, layer_activity
from fewflips.machine import Accelerator
from fewflips.measurement.observed import ObservedActivations, flips_by_input, mean_observed, observe
from fewflips.streams.codes import weight_codes
from fewflips.streams.counting import count_flips
from tests.layers import dense_layer, depthwise_layer, random_rows

MACHINES = {
    "activation-stationary": Accelerator(name="as", lanes=4, columns=3),
    "weight-stationary": Accelerator(
        name="ws", dataflow="weight-stationary", lanes=4, columns=3, forwarding="systolic"
    ),
    "output-stationary": Accelerator(name="os", dataflow="output-stationary", lanes=4, columns=3),
}
LAYERS = {
    "dense": dense_layer(9, 7, 10),
    "grouped": dense_layer(9, 8, 5, groups=2),
    "depthwise": depthwise_layer(9, 6, (3, 3)),
    "one pixel": dense_layer(1, 7, 10),
    "one channel": dense_layer(9, 1, 10),
}
STATISTICS = ActivationStatistics(np.linspace(0.1, 0.4, 8), np.full(9, 1 / 9))


def activity_of(layer, array):
    segments = dataflow_of(array).segments(layer, array)
    codes, bits = weight_codes(layer, array.weights)
    return layer_activity(layer, segments, array, codes, bits, STATISTICS), segments, codes, bits


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("array", MACHINES.values(), ids=MACHINES)
def test_cycles_add_up_to_the_unit_cycles(layer, array):
    activity, segments, _, _ = activity_of(layer, array)
    work = dataflow_of(array).unit_work(layer, segments, array)
    assert sum(phase.cycles for phase in activity.phases) == pytest.approx(work.unit_cycles)
    assert (activity.weight_share, activity.activation_share) == (work.weight_share, work.activation_share)
    assert all(1 <= phase.active_lanes <= array.lanes for phase in activity.phases)
    assert 0 <= activity.weight_nhd <= 1


@pytest.mark.parametrize("name", ["dense", "grouped", "depthwise", "one pixel"])
def test_weight_flips_within_passes_are_those_of_the_stream(name):
    layer, array = LAYERS[name], MACHINES["activation-stationary"]
    activity, segments, codes, bits = activity_of(layer, array)
    count = count_flips(dataflow_of(array).weight_stream(layer, codes, bits, segments, array))
    within = activity.phases[::2]
    flips = sum(phase.cycles * phase.active_lanes * phase.weight_rates for phase in within)
    np.testing.assert_allclose(flips, layer.m * np.array(count.bit_positions))


def test_seams_by_hand():
    layer, array = LAYERS["dense"], MACHINES["activation-stationary"]  # segments of 4, 4 and 2 lanes
    activity, segments, codes, _ = activity_of(layer, array)
    ends = [np.pad(codes[6, segment.lanes], (0, 4 - len(segment.lanes))) for segment in segments]
    starts = [np.pad(codes[0, segment.lanes], (0, 4 - len(segment.lanes))) for segment in segments]
    for index, phase in enumerate(activity.phases[1::2]):
        flips = np.bitwise_count(ends[index - 1] ^ starts[index]).sum()
        assert phase.cycles == layer.m
        assert phase.weight_rates.sum() * phase.active_lanes == pytest.approx(flips)


def test_partial_sums_come_in_after_the_first_segment_of_a_group():
    array = MACHINES["activation-stationary"]
    dense, _, _, _ = activity_of(LAYERS["dense"], array)
    grouped, _, _, _ = activity_of(LAYERS["grouped"], array)
    assert [phase.adds_to_sum for phase in dense.phases[::2]] == [False, True, True]
    assert [phase.adds_to_sum for phase in grouped.phases[::2]] == [False, True, False, True]


def test_weights_stand_still_while_activations_stream():
    activity, segments, codes, bits = activity_of(LAYERS["dense"], MACHINES["weight-stationary"])
    assert not any(phase.weight_rates.any() for phase in activity.phases[::2])
    assert all(phase.weight_rates.any() for phase in activity.phases[1::2])
    # three chains of weights, of which each loads channels 0 3 6, 1 4, 2 5
    first = codes[:, segments[0].lanes]
    steps = np.concatenate([first[3:6] ^ first[0:3]])
    last = first[6] ^ first[3]
    rates = [((steps[column] >> 0) & 1).mean() for column in range(3)]
    rates[0] = (rates[0] + ((last >> 0) & 1).mean()) / 2
    assert activity.phases[1].weight_rates[0] == pytest.approx(np.mean(rates))
    assert activity.held_ones is not None
    assert activity.held_ones.sum() == pytest.approx(1)
    assert len(activity.held_ones) == bits + 1


def test_activation_rates_are_per_lane_in_use():
    layer, array = LAYERS["depthwise"], MACHINES["activation-stationary"]  # 9 of 12 lanes in 3 segments
    rows = random_rows(layer)
    segments = dataflow_of(array).segments(layer, array)
    count = count_flips(dataflow_of(array).activation_stream(layer, rows, 8, segments, array))
    statistics = activation_statistics(layer, segments, array, count, 8)
    assert statistics.rates.mean() == pytest.approx(0.5, abs=0.05)  # random words
    observed = ObservedActivations(np.full(9, 1 / 9), None)
    wider = activation_statistics(layer, segments, array, count, 9, observed)
    np.testing.assert_array_equal(wider.rates, [*statistics.rates, 0.0])
    np.testing.assert_array_equal(wider.ones, [*[1 / 9] * 9, 0.0])


@pytest.mark.parametrize("name", ["dense", "grouped", "depthwise"])
def test_activations_stream_as_each_input_does(name):
    layer, array = LAYERS[name], MACHINES["weight-stationary"]
    rows = random_rows(layer)
    segments = dataflow_of(array).segments(layer, array)
    codes, bits = weight_codes(layer, array.weights)
    statistics = ActivationStatistics(np.zeros(8), by_input=flips_by_input(rows, 8))
    activity = layer_activity(layer, segments, array, codes, bits, statistics)
    flips = sum(phase.cycles * phase.active_lanes * phase.activation_rates.sum() for phase in activity.phases)
    changes = np.bitwise_count(rows[:, 1:] ^ rows[:, :-1]).sum(axis=1).mean(axis=1) * layer.k  # of a group, per scan
    per_scan = changes * layer.n / layer.groups
    assert flips == pytest.approx(per_scan.sum() * layer.m / (layer.m - 1))


def test_random_order_by_hand():
    layer = dense_layer(4, 2, 1)
    array = MACHINES["activation-stationary"]
    codes = np.array([[0b0011], [0b0101]], dtype=np.uint8)  # bits 1 and 2 differ: half of the random pairs flip them
    activity = layer_activity(layer, dataflow_of(array).segments(layer, array), array, codes, 8, STATISTICS)
    assert activity.sum_nhd == pytest.approx(2 * 0.5 / 8)


def test_which_operand_is_held():
    assert {name: dataflow_of(array).held_operand for name, array in MACHINES.items()} == {
        "activation-stationary": "activations",
        "weight-stationary": "weights",
        "output-stationary": "activations",
    }


def test_what_is_observed_is_a_mean_over_samples():
    layer, array = LAYERS["dense"], MACHINES["weight-stationary"]
    samples = [random_rows(layer, seed) for seed in (1, 2)]
    found = mean_observed([observe(rows, 8, array) for rows in samples])
    both = np.bitwise_count(np.concatenate(samples))
    assert found.ones[4] == pytest.approx((both == 4).mean())
    assert found.by_input is not None
    changes = [np.bitwise_count(rows[0, 1:] ^ rows[0, :-1]).mean(axis=0) for rows in samples]
    np.testing.assert_allclose(found.by_input[0].sum(axis=1), np.mean(changes, axis=0))
    assert observe(samples[0], 8, MACHINES["activation-stationary"]).by_input is None
