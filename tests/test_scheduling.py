"""Orders of every segment, and what is said about them, against trying all orders."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from fewflips.dataflows import Segment, dataflow_of
from fewflips.machine import Accelerator
from fewflips.network.graph import Network
from fewflips.optimization.channel_orders import drop_in_certificates, plan_channels
from fewflips.optimization.segment_orders import Certificate, plan_schedule
from fewflips.optimization.segment_words import SegmentWords
from fewflips.ordering import Effort
from fewflips.ordering.path import PathResult
from fewflips.streams.transition_cost import TransitionCost
from tests.layers import altered, dense_layer
from tests.network_building import GraphBuilder

STREAMING = Accelerator(name="streaming", dataflow="activation-stationary", lanes=2, columns=4)


def network_of(*shapes: tuple[int, int, int]) -> Network:
    layers = tuple(
        altered(dense_layer(*shape, seed=seed), name=f"layer{seed}", weights_tensor=f"w{seed}")
        for seed, shape in enumerate(shapes)
    )
    return replace(GraphBuilder().network((), ()), layers=layers)


def segment_flips(weights: np.ndarray, segment: Segment, order: tuple[int, ...] | np.ndarray) -> int:
    rows = weights.view(np.uint8)[np.ix_(order, segment.lanes)]
    return int(np.bitwise_count(rows[1:] ^ rows[:-1]).sum())


def test_every_segment_has_an_order_of_its_own_that_is_the_best_of_all():
    network = network_of((3, 6, 5), (2, 5, 2))
    plan = plan_schedule(network, STREAMING, effort=Effort.quick(), seed=0, jobs=1)
    for layer, segments in zip(network.layers, (3, 1), strict=True):
        best = 0
        for segment in plan.orders[layer.name]:
            least = min(segment_flips(layer.weights, segment, order) for order in permutations(range(layer.n)))
            assert segment_flips(layer.weights, segment, segment.order) == least
            best += least
        assert plan.certificates[layer.name] == Certificate(segments, segments, best)


@pytest.mark.parametrize(("below", "proven"), [(0, 1), (1, 0), (2, 0), (5, 0)])
def test_an_order_is_proven_only_where_it_meets_its_bound(below: int, proven: int, monkeypatch):
    network = network_of((3, 5, 2))
    (best,) = plan_schedule(network, STREAMING, effort=Effort.quick(), seed=0, jobs=1).certificates.values()

    def weaker(words, **_):
        order = min(permutations(range(5)), key=lambda order: segment_flips(network.layers[0].weights, lanes, order))
        return [PathResult(np.array(order), best.lower_bound, best.lower_bound - below, 0) for _ in words]

    (lanes,) = dataflow_of(STREAMING).segments(network.layers[0], STREAMING)
    monkeypatch.setattr("fewflips.optimization.segment_orders.order_segments", weaker)
    (found,) = plan_schedule(network, STREAMING, effort=Effort.quick(), seed=0, jobs=1).certificates.values()
    assert found == Certificate(1, proven, best.lower_bound - below)


def test_the_natural_order_stays_where_none_is_better():
    network = network_of((3, 6, 2))
    network.layers[0].weights[:] = np.array([[0, 1, 3, 7, 15, 31]]).T
    plan = plan_schedule(network, STREAMING, effort=Effort.quick(), seed=0, jobs=1)
    (segment,) = plan.orders["layer0"]
    assert segment_flips(network.layers[0].weights, segment, segment.order) == 2 * 5
    assert plan.certificates["layer0"] == Certificate(1, 1, 2 * 5)


def test_words_of_a_segment_are_its_weights_whenever_they_are_asked_for():
    network = network_of((3, 6, 5), (2, 5, 3))
    segments = [(layer, segment) for layer in network.layers for segment in _segments(layer)]
    words = SegmentWords(STREAMING, segments)
    expected = [layer.weights.view(np.uint8)[:, segment.lanes].tolist() for layer, segment in segments]
    assert len(words) == 3 + 2
    for index in (4, 0, 3, -1, 1, 2, 0):
        assert words[index].tolist() == expected[index]
    assert [segment.tolist() for segment in words] == expected
    assert [segment.tolist() for segment in words[1:4]] == expected[1:4]
    with pytest.raises(IndexError):
        words[5]


def _segments(layer):
    return dataflow_of(STREAMING).segments(layer, STREAMING)


WIDE = Accelerator(name="wide", dataflow="activation-stationary", lanes=512, columns=4)
WEIGHTS = 96 * 2048
"""Of each layer: four segments of 96 words."""


def peak_of(work: Callable[[], object]) -> int:
    """Most bytes that Python and NumPy held at a time, beside those held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_memory_of_a_schedule_follows_from_a_layer_and_not_from_their_number(jobs: int):
    def peak(layers: int) -> int:
        network = network_of(*[(3, 96, 2048)] * layers)
        return peak_of(lambda: plan_schedule(network, WIDE, effort=Effort.quick(), seed=0, jobs=jobs))

    peak(1)  # compiles
    assert peak(6) - peak(2) < 4 * WEIGHTS / 2


def test_the_memory_of_a_drop_ins_bounds_follows_from_a_layer_and_not_from_their_number():
    def peak(layers: int) -> int:
        network = network_of(*[(3, 96, 2048)] * layers)
        flips = {layer.name: 10**6 for layer in network.layers}
        return peak_of(lambda: drop_in_certificates(network, WIDE, flips, effort=Effort.quick(), seed=0, jobs=1))

    peak(1)  # compiles
    assert peak(6) - peak(2) < 4 * WEIGHTS / 2


def branches(count: int) -> Network:
    """Products of one wide input, each followed by a product of one channel of its own."""
    build = GraphBuilder()
    build.tensor("x", 4, WIDE_INPUT)
    layers = []
    for number in range(count):
        build.product("x", f"a{number}", 4, CHANNELS)
        build.product(f"a{number}", f"y{number}", 4, 1)
        for name, source, shape in (
            (f"a{number}", "x", (CHANNELS, WIDE_INPUT)),
            (f"y{number}", f"a{number}", (1, CHANNELS)),
        ):
            layer = dense_layer(4, *shape, seed=number)
            layers.append(altered(layer, name=name, weights_tensor=f"{name}.w", input_tensor=source))
    return replace(build.network(("x",), tuple(f"y{number}" for number in range(count))), layers=tuple(layers))


CHANNELS, WIDE_INPUT = 48, 1 << 13


@pytest.mark.parametrize("cost", [None, TransitionCost.per_bit([1, 2, 3, 4, 5, 6, 7, 9])], ids=["flips", "cost"])
def test_the_memory_of_channel_orders_follows_from_a_layer_and_not_from_their_number(cost: TransitionCost | None):
    def peak(layers: int) -> int:
        network = branches(layers)
        return peak_of(lambda: plan_channels(network, WIDE, effort=Effort.quick(), seed=0, jobs=1, cost=cost))

    peak(1)  # compiles
    assert peak(6) - peak(2) < 4 * CHANNELS * WIDE_INPUT / 4
