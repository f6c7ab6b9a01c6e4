"""Orders chosen by a cost of transitions, of segments and of tied channels, against trying all orders."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest

from fewflips.dataflows import Segment, dataflow_of
from fewflips.errors import InputError
from fewflips.machine import Accelerator, Operand
from fewflips.network.channels import tie_channels
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.optimization.channel_orders import (
    ChannelUse,
    _keep_gains,
    channel_distances,
    drop_in_certificates,
    plan_channels,
    weighted_words,
)
from fewflips.optimization.segment_orders import Certificate, plan_schedule
from fewflips.optimization.weight_costs import network_costs, weight_cost
from fewflips.ordering import Effort
from fewflips.streams.codes import weight_codes
from fewflips.streams.transition_cost import TransitionCost
from tests.layers import altered, dense_layer
from tests.network_building import CHANNELWISE, GraphBuilder

STREAMING = Accelerator(name="streaming", dataflow="activation-stationary", lanes=2, columns=4)
LOADED = Accelerator(name="loaded", dataflow="weight-stationary", lanes=2, columns=2)
REDUCING = Accelerator(name="reducing", dataflow="output-stationary", lanes=4, columns=3)


def random_table() -> np.ndarray:
    """Squares, so that a detour is often cheaper than the direct step."""
    upper = np.triu(np.random.default_rng(5).integers(0, 20, size=(256, 256)) ** 2, 1)
    return upper + upper.T


TABLE = random_table()
BITS = (58, 57, 64, 66, 63, 60, 60, 100)
COSTS = {
    "flips": (TransitionCost.flips(8), lambda a, b: (a ^ b).bit_count()),
    "bits": (TransitionCost.per_bit(BITS), lambda a, b: sum(c for i, c in enumerate(BITS) if (a ^ b) >> i & 1)),
    "table": (TransitionCost.from_table(TABLE), lambda a, b: int(TABLE[a, b])),
}


@pytest.fixture(params=COSTS)
def priced(request: pytest.FixtureRequest):
    return COSTS[request.param]


def walked(weights: np.ndarray, order, step) -> int:
    """Cost of rows one after the other, step by step."""
    rows = weights.view(np.uint8)[list(order)].tolist()
    return sum(step(a, b) for one, other in pairwise(rows) for a, b in zip(one, other, strict=True))


def network_of(*layers: Layer) -> Network:
    named = [altered(layer, name=f"layer{number}", weights_tensor=f"w{number}") for number, layer in enumerate(layers)]
    return replace(GraphBuilder().network((), ()), layers=tuple(named))


def test_every_segment_has_the_cheapest_order_of_all(priced):
    cost, step = priced
    network = network_of(dense_layer(3, 6, 5, seed=0), dense_layer(2, 5, 2, seed=1))
    plan = plan_schedule(network, STREAMING, effort=Effort.quick(), seed=0, jobs=1, cost=cost)
    for layer, segments in zip(network.layers, (3, 1), strict=True):
        best = 0
        for segment in plan.orders[layer.name]:
            weights = layer.weights[:, segment.lanes]
            least = min(walked(weights, order, step) for order in permutations(range(layer.n)))
            assert walked(weights, segment.order, step) == least
            best += least
        assert plan.certificates[layer.name] == Certificate(segments, segments, best)
    assert network_costs(network, STREAMING, plan.orders, cost) == {
        name: certificate.lower_bound for name, certificate in plan.certificates.items()
    }


@pytest.mark.parametrize("array", [LOADED, REDUCING], ids=["chains", "reduction"])
def test_no_order_is_cheaper_than_the_bound(array: Accelerator, priced):
    cost, step = priced
    layer = network_of(dense_layer(3, 6, 2, seed=3) if array is LOADED else dense_layer(3, 2, 6, seed=3)).layers[0]
    plan = plan_schedule(network_of(layer), array, effort=Effort.quick(), seed=0, jobs=1, cost=cost)
    ((found,),) = plan.orders.values()
    (certificate,) = plan.certificates.values()

    def cost_of(order) -> int:
        if array is REDUCING:
            return walked(layer.weights.T.copy(), order, step)
        # a column takes every other channel of the order
        return sum(walked(layer.weights, order[column::2], step) for column in range(2))

    every = [cost_of(order) for order in permutations(range(6))]
    codes = weight_codes(layer, array.weights)
    assert weight_cost(layer, array, codes, (found,), cost) == cost_of(found.order)
    assert certificate.lower_bound <= min(every) <= cost_of(found.order) <= cost_of(range(6))
    assert certificate.proven_segments == (cost_of(found.order) == certificate.lower_bound)
    assert certificate.lower_bound > 0.7 * min(every)


def test_the_natural_order_stays_where_none_is_cheaper():
    layer = dense_layer(3, 6, 2)
    layer.weights[:] = np.array([[0, 1, 3, 7, 15, 31]]).T
    network = network_of(layer)
    cost = TransitionCost.per_bit([1, 2, 3, 4, 5, 0, 0, 0])
    plan = plan_schedule(network, STREAMING, effort=Effort.quick(), seed=0, jobs=1, cost=cost)
    ((segment,),) = plan.orders.values()
    assert walked(layer.weights, segment.order, lambda a, b: cost.along(np.array([[a], [b]], np.uint8))) == 2 * 15
    assert plan.certificates["layer0"] == Certificate(1, 1, 2 * 15)


def test_a_cost_may_choose_another_order_than_flips():
    layer = dense_layer(1, 4, 2)
    layer.weights[:, 0] = [0b00, 0b01, 0b11, 0b10]
    layer.weights[:, 1] = 0
    network = network_of(layer)
    cost = TransitionCost.per_bit([1, 50, 1, 1, 1, 1, 1, 1])
    ((by_flips,),) = plan_schedule(network, STREAMING, effort=Effort.quick(), seed=0, jobs=1).orders.values()
    plan = plan_schedule(network, STREAMING, effort=Effort.quick(), seed=0, jobs=1, cost=cost)
    ((by_cost,),) = plan.orders.values()
    assert network_costs(network, STREAMING, {"layer0": (by_flips,)}, cost)["layer0"] in (52, 101)
    assert network_costs(network, STREAMING, {"layer0": (by_cost,)}, cost)["layer0"] == 52
    assert plan.certificates["layer0"].lower_bound == 52


def test_a_cost_is_that_of_passes_and_not_of_the_steps_between_them():
    layer = dense_layer(2, 4, 5, seed=2)
    cost, step = COSTS["table"]
    segments = dataflow_of(STREAMING).segments(layer, STREAMING)
    backwards = tuple(Segment(segment.lanes, segment.order[::-1]) for segment in segments)
    expected = sum(walked(layer.weights[:, lanes], range(4), step) for lanes in ([0, 1], [2, 3], [4]))
    codes = weight_codes(layer, STREAMING.weights)
    for orders in (segments, backwards):
        assert weight_cost(layer, STREAMING, codes, orders, cost) == expected


def test_codes_of_another_width_are_refused():
    network = network_of(dense_layer(3, 4, 2))
    wide = STREAMING.model_copy(update={"weights": Operand(bits=10)})
    words = r"expected one for codes of 10 bits, as weights of layer0 \(.*\) have on streaming, got one for 8 bits"
    for plan in (plan_schedule, plan_channels):
        with pytest.raises(InputError, match=words):
            plan(network, wide, effort=Effort.quick(), seed=0, jobs=1, cost=TransitionCost.flips(8))
    plan = plan_schedule(network, wide, effort=Effort.quick(), seed=0, jobs=1, cost=TransitionCost.flips(10))
    flips = plan_schedule(network, wide, effort=Effort.quick(), seed=0, jobs=1)
    assert plan.certificates == flips.certificates


def residual(first: np.ndarray, second: np.ndarray) -> Network:
    """Two products whose outputs are added, repeated five times and once, and a product that ends the network."""
    build = GraphBuilder()
    build.tensor("x", 20, first.shape[1])
    channels = len(first)
    layers = []
    for name, weights, rows in (("a", first, 20), ("b", second, 4)):
        build.product("x", name, rows, channels)
        layers.append(_product(name, "x", weights, rows))
    build.operation(CHANNELWISE, ("a", "b"), "sum", 4, channels)
    build.product("sum", "y", 4, 1)
    layers.append(_product("y", "sum", np.zeros((1, channels), np.int8), 1))
    return replace(build.network(("x",), ("y",)), layers=tuple(layers))


def _product(name: str, source: str, weights: np.ndarray, m: int) -> Layer:
    layer = dense_layer(m, *weights.shape)
    return altered(layer, name=name, weights=weights, weights_tensor=f"{name}.w", input_tensor=source)


def random_weights(channels: int, inputs: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, size=(channels, inputs)).astype(np.int8)


@pytest.mark.parametrize("wide", [False, True])
def test_tied_channels_have_the_cheapest_order_of_all(priced, wide: bool, monkeypatch):
    cost, step = priced
    if wide:
        monkeypatch.setattr("fewflips.optimization.channel_orders.MOST_ENTRIES", 35)
    first, second = random_weights(6, 3, 1), random_weights(6, 4, 2)
    network = residual(first, second)
    every = {order: 5 * walked(first, order, step) + walked(second, order, step) for order in permutations(range(6))}
    plan = plan_channels(network, STREAMING, effort=Effort.default(), seed=0, jobs=1, cost=cost)
    ((group, order),) = plan.orders.items()
    assert every[tuple(order.tolist())] == min(every.values())
    groups = tie_channels(network)
    for order, found in list(every.items())[::37]:
        kept = _keep_gains(network, STREAMING, groups, {group: np.array(order)}, cost)
        assert (group in kept) == (found < every[tuple(range(6))])


def test_distances_of_channels_are_costs(priced):
    cost, step = priced
    generator = np.random.default_rng(0)
    uses = [ChannelUse(count, generator.integers(0, 256, size=(7, 3), dtype=np.uint8)) for count in (6, 4)]
    expected = [
        [
            sum(
                use.repeats // 2 * step(a, b)
                for use in uses
                for a, b in zip(use.words[i].tolist(), use.words[j].tolist(), strict=True)
            )
            // cost.unit
            for j in range(7)
        ]
        for i in range(7)
    ]
    assert channel_distances(uses, cost).tolist() == expected
    assert (cost.distances(weighted_words(uses, whole_codes=True)) // cost.unit).tolist() == expected


def test_words_of_a_wide_group_keep_codes_of_two_bytes_where_these_have_a_cost():
    words = np.array([[0x1FF], [0x001]], dtype=np.uint16)
    uses = [ChannelUse(2, words), ChannelUse(1, words)]
    assert weighted_words(uses, whole_codes=True).tolist() == [[0x1FF] * 3, [0x001] * 3]
    assert weighted_words(uses).shape == (2, 6)


def test_large_costs_of_channels_are_halved_until_they_fit():
    words = np.array([[0], [255]], dtype=np.uint8)
    cost = TransitionCost.per_bit([32768, 32767] * 4)
    for repeats in (1, 1 << 14, 1 << 20):
        expected = (repeats + 1) * 4 * 65535
        while expected >= 1 << 31:
            expected //= 2
        assert channel_distances([ChannelUse(repeats, words), ChannelUse(1, words)], cost)[0, 1] == expected


def test_bounds_of_a_drop_in_are_costs(priced):
    cost, step = priced
    weights = random_weights(6, 3, 1)
    network = residual(weights, random_weights(6, 3, 2))
    best = min(walked(weights, order, step) for order in permutations(range(6)))
    for excess, proven in ((0, 1), (1, 0)):
        flips = {"a": best + excess, "b": 10**9, "y": 0}
        found = drop_in_certificates(network, STREAMING, flips, effort=Effort.quick(), seed=0, jobs=1, cost=cost)
        assert found["a"] == Certificate(1, proven, best)
        assert found["b"].proven_segments == 0
