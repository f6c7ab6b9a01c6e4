"""Streams of each dataflow against a cycle-by-cycle walk of its loop nest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.dataflows import Segment, dataflow_named, dataflow_names, dataflow_of
from fewflips.formats.number_formats import UINT8
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.codes import activation_codes, weight_codes
from fewflips.streams.counting import count_flips
from tests.accelerator.cycle_simulation import SIMULATIONS
from tests.layers import dense_layer, depthwise_layer, random_rows
from tests.property_settings import examples


def shuffled(segments: tuple[Segment, ...], seed: int) -> tuple[Segment, ...]:
    generator = np.random.default_rng(seed)
    return tuple(Segment(segment.lanes, generator.permutation(segment.order)) for segment in segments)


def compare_with_simulation(layer: Layer, array: Accelerator, segments: tuple[Segment, ...]) -> None:
    rows = random_rows(layer)
    plain = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    simulate = SIMULATIONS[array.dataflow]
    options = {"turns": True} if array.turns else {}
    trace = simulate(rows, layer.weights, plain, array.lanes, array.columns, layer.is_depthwise, **options)
    outputs_per_group = layer.n // layer.groups
    expected = np.stack(
        [rows[n // outputs_per_group].astype(np.int64) @ layer.weights[n].astype(np.int64) for n in range(layer.n)],
        axis=1,
    )
    np.testing.assert_array_equal(trace.y, expected)

    codes, bits = weight_codes(layer, array.weights)
    weights = count_flips(dataflow_of(array).weight_stream(layer, codes, bits, segments, array))
    assert (weights.within * weights.repeats, weights.seams) == trace.flips("weights")
    assert sum(weights.bit_positions) == weights.within

    codes, bits = activation_codes(layer, rows, array.activations)
    activations = count_flips(dataflow_of(array).activation_stream(layer, codes, bits, segments, array))
    assert (activations.within * activations.repeats, activations.seams) == trace.flips("activations")
    assert sum(activations.bit_positions) == activations.within


def machine(dataflow: str, lanes: int, columns: int) -> Accelerator:
    return Accelerator(name="test", dataflow=dataflow, lanes=lanes, columns=columns)


@pytest.mark.parametrize("dataflow", dataflow_names())
@given(
    m=st.integers(1, 7),
    n=st.integers(1, 7),
    k=st.integers(1, 9),
    groups=st.sampled_from([1, 2, 3]),
    lanes=st.integers(1, 4),
    columns=st.integers(1, 4),
    seed=st.integers(0, 100),
)
@examples(60)
def test_dense_and_grouped_layers(dataflow, m, n, k, groups, lanes, columns, seed):
    layer = dense_layer(m, n * groups, k, groups=groups, seed=seed, storage=UINT8)
    if layer.is_depthwise:
        return  # one reduction index a group is a depthwise layer of kernel 1: covered below
    array = machine(dataflow, lanes, columns)
    natural = dataflow_of(array).segments(layer, array)
    compare_with_simulation(layer, array, natural)
    compare_with_simulation(layer, array, shuffled(natural, seed))


@pytest.mark.parametrize("dataflow", dataflow_names())
@given(
    m=st.integers(1, 6),
    channels=st.integers(2, 6),
    multiplier=st.integers(1, 2),
    kernel=st.sampled_from([(1, 1), (3, 3), (1, 5)]),
    lanes=st.integers(1, 10),
    columns=st.integers(1, 4),
    seed=st.integers(0, 100),
)
@examples(40)
def test_depthwise_layers(dataflow, m, channels, multiplier, kernel, lanes, columns, seed):
    layer = depthwise_layer(m, channels, kernel, multiplier=multiplier, seed=seed)
    array = machine(dataflow, lanes, columns)
    natural = dataflow_of(array).segments(layer, array)
    compare_with_simulation(layer, array, natural)
    compare_with_simulation(layer, array, shuffled(natural, seed))


def test_activation_stationary_by_hand():
    # N = 3 output channels, K = 3: with two lanes there are two segments, the second with an idle lane.
    layer = dense_layer(5, 3, 3, storage=UINT8)
    layer.weights[:] = [[0b00, 0b01, 0b11], [0b01, 0b01, 0b00], [0b11, 0b10, 0b01]]
    array = machine("activation-stationary", 2, 4)
    codes, bits = weight_codes(layer, array.weights)
    stream = dataflow_of(array).weight_stream(layer, codes, bits, dataflow_of(array).segments(layer, array), array)
    assert stream.words.tolist() == [[0, 1], [1, 1], [3, 2], [3, 0], [0, 0], [1, 0]]
    assert stream.pass_starts.tolist() == [0, 3]
    count = count_flips(stream)
    # segment 0: 1 + (1 + 2), segment 1: 2 + 1
    assert count.within == 7
    # two tiles of output pixels: two seams 3,2 -> 3,0 (one flip each) and one wrap 1,0 -> 0,1 (two flips)
    assert count.repeats == 2
    assert count.seams == 2 * 1 + 2
    assert count.bit_positions[:2] == (4, 3)
    assert count.nhd == 7 / (4 * 2 * 8)


def test_systolic_forwarding_counts_a_register_a_hop():
    layer = dense_layer(4, 8, 8)
    for dataflow, port, hops in (
        ("activation-stationary", "weights", 4),
        ("weight-stationary", "activations", 4),
        ("output-stationary", "weights", 2),
        ("output-stationary", "activations", 4),
    ):
        array = Accelerator(name="test", dataflow=dataflow, lanes=2, columns=4, forwarding="systolic")
        segments = dataflow_of(array).segments(layer, array)
        codes, bits = weight_codes(layer, array.weights)
        if port == "weights":
            stream = dataflow_of(array).weight_stream(layer, codes, bits, segments, array)
        else:
            codes, bits = activation_codes(layer, random_rows(layer), array.activations)
            stream = dataflow_of(array).activation_stream(layer, codes, bits, segments, array)
        assert stream.hops == hops, dataflow


def test_weight_stationary_lays_a_path_along_its_columns():
    flow = dataflow_named("weight-stationary")
    order = flow.order_from_path(np.arange(7), 3)
    # columns 0..2 hold 0 1 2 | 3 4 | 5 6: the tiles are read across
    assert order.tolist() == [0, 3, 5, 1, 4, 6, 2]


@pytest.mark.parametrize(("dataflow", "dense", "depthwise"), [("weight-stationary", 4, 1), ("output-stationary", 4, 1)])
def test_activations_of_a_depthwise_layer_pass_the_one_column_that_works(dataflow, dense, depthwise):
    array = Accelerator(name="test", dataflow=dataflow, lanes=2, columns=4, forwarding="systolic")
    for layer, hops in ((dense_layer(4, 8, 8), dense), (depthwise_layer(4, 6, (3, 3)), depthwise)):
        codes, bits = activation_codes(layer, random_rows(layer), array.activations)
        segments = dataflow_of(array).segments(layer, array)
        assert dataflow_of(array).activation_stream(layer, codes, bits, segments, array).hops == hops
