"""Distances between partial sums, against plain loops over the executor's sums, and prices that are fitted to them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from benchmarks.partial_sums import (
    LayerDistances,
    fitted_prices,
    neighbours,
    random_pairs,
    running_sums,
    some_pixels,
    sum_flips,
)

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.machine import load_accelerator
from fewflips.network.layer import Layer
from fewflips.records.schedule import Axes
from fewflips.schedule.executor import check_segments, execute_segments
from tests.layers import dense_layer, depthwise_layer, random_rows

AXES = Axes(lanes="k", order="n")
LAYERS = [dense_layer(5, 7, 10), depthwise_layer(6, 5, (3, 3))]
EDGE4 = load_accelerator("edge4")


def _known(layer: Layer) -> tuple[LayerDistances, np.ndarray]:
    rows = random_rows(layer)
    operands = layer_operands(layer, rows, EDGE4, network_datapath([layer], EDGE4))
    steps_fj = np.abs(np.arange(256.0)[:, None] - np.arange(256.0))
    return LayerDistances.of(operands, dataflow_of(EDGE4).segments(layer, EDGE4), steps_fj), rows


def _executed(layer: Layer, rows: np.ndarray, segments: int) -> np.ndarray:
    """Sums behind the first segments, shape (pixels, channels); weights and activations as stored."""
    taken = dataflow_of(EDGE4).segments(layer, EDGE4)[:segments]
    return execute_segments(layer, rows, 0, taken, AXES)[0]


def _flips(first: int, second: int, bits: int) -> int:
    words = [format(number % 2**bits, f"0{bits}b") for number in (int(first), int(second))]
    return sum(left != right for left, right in zip(*words, strict=True))


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_sums_are_those_of_the_executor(layer: Layer) -> None:
    known, rows = _known(layer)
    assert len(known.sums) == len(known.segments) + 1 > 2
    for number, found in enumerate(running_sums(known.operands, known.segments)):
        np.testing.assert_array_equal(found, _executed(layer, rows, number))


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_distances_are_counted_one_bit_after_the_other(layer: Layer) -> None:
    known, rows = _known(layer)
    bits = known.operands.datapath.accumulator_bits
    for number, found in enumerate(known.by_segment):
        for name, behind in (("before", number), ("after", number + 1)):
            sums = _executed(layer, rows, behind)
            expected = [
                [np.mean([_flips(pixel[i], pixel[j], bits) for pixel in sums]) for j in range(layer.n)]
                for i in range(layer.n)
            ]
            np.testing.assert_allclose(found[name], expected)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_orders_that_see_sums_compute_the_same_and_flip_less_of_them(layer: Layer) -> None:
    known, rows = _known(layer)
    orders, mean = known.paths(("before", "after"), (1.0, 1.0))
    assert check_segments(layer, rows, orders, AXES) == layer.n * layer.m
    sums = [_executed(layer, rows, number) for number in range(len(orders) + 1)]
    bits = known.operands.datapath.accumulator_bits
    along = [
        np.mean([_flips(pixel[i], pixel[j], bits) for pixel in before])
        + np.mean([_flips(pixel[i], pixel[j], bits) for pixel in after])
        for segment, (before, after) in zip(orders, pairwise(sums), strict=True)
        for i, j in pairwise(segment.order)
    ]
    assert known.flips_along(orders) == pytest.approx(np.mean(along))
    assert known.flips_along(orders) <= known.flips_along(known.segments)
    assert mean == pytest.approx(known.flips_along(orders), abs=0.2)  # distances are rounded to quarters


def test_pairs_are_different_channels_and_neighbours_follow_one_another() -> None:
    known, _ = _known(LAYERS[0])
    generator = np.random.default_rng(0)
    numbers, pairs = random_pairs(known, 200, generator)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert set(np.unique(pairs)) == set(range(7))
    assert set(numbers) == {0, 1, 2}
    orders, _ = known.paths(("steps",), (1.0,))
    for number, (first, second) in zip(*neighbours(orders, 50, generator), strict=True):
        order = orders[number].order.tolist()
        assert order.index(second) == order.index(first) + 1
    expected = [[known.by_segment[s]["after"][i, j]] for s, (i, j) in zip(numbers, pairs, strict=True)]
    np.testing.assert_array_equal(known.of_pairs(("after",), (numbers, pairs)), expected)


def test_steps_count_by_the_ones_of_their_lane() -> None:
    known, rows = _known(LAYERS[0])
    words = LAYERS[0].weights.astype(np.uint8).astype(int)
    for segment, found in zip(known.segments, known.by_segment, strict=True):
        ones = [np.mean([int(code).bit_count() for code in rows[0, :, lane]]) for lane in segment.lanes]
        expected = sum(
            one * abs(words[2, lane] - words[5, lane]) for one, lane in zip(ones, segment.lanes, strict=True)
        )
        assert found["activity"][2, 5] == pytest.approx(expected)


def test_words_wider_than_sixteen_bits_are_counted_whole() -> None:
    sums = np.array([[0, -1, 1 << 20], [3, 3, -2]])
    np.testing.assert_array_equal(sum_flips(sums, 26)[0], [0.0, 13.0, (1 + 26 - 1) / 2])


def test_prices_are_found_and_never_negative() -> None:
    generator = np.random.default_rng(1)
    distances = generator.random((40, 3))
    np.testing.assert_allclose(fitted_prices(distances, 7 + distances @ [2.0, 0.5, 4.0]), [7, 2, 0.5, 4])
    found = fitted_prices(distances, 7 + distances @ [2.0, -5.0, 4.0])
    assert (found >= 0).all()
    assert found[2] == 0
    assert found[[1, 3]] == pytest.approx([2, 4], abs=2)


def test_each_input_gives_pixels() -> None:
    layer = dense_layer(200, 4, 4)
    datapath = network_datapath([layer], EDGE4)
    inputs = [layer_operands(layer, random_rows(layer, seed), EDGE4, datapath) for seed in (1, 2)]
    taken = some_pixels(inputs, np.random.default_rng(0)).activations
    assert taken.shape == (1, 128, 4)
    for part, one in zip(np.split(taken, 2, axis=1), inputs, strict=True):
        assert set(map(tuple, part[0])) <= set(map(tuple, one.activations[0]))
