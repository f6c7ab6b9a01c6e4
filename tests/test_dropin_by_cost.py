"""One order for each group of tied channels, chosen by a cost of transitions, against trying all orders."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

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
from fewflips.optimization.segment_orders import Certificate
from fewflips.ordering import Effort
from fewflips.streams.transition_cost import TransitionCost
from tests.layers import altered, dense_layer
from tests.network_building import CHANNELWISE, GraphBuilder
from tests.orders_by_cost import COSTS, walked

STREAMING = Accelerator(name="streaming", dataflow="activation-stationary", lanes=2, columns=4)


@pytest.fixture(params=COSTS)
def priced(request: pytest.FixtureRequest):
    return COSTS[request.param]


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


def test_a_wide_group_of_two_byte_codes_is_ordered_by_their_cost(monkeypatch):
    """The two highest of ten bits repeat the sign; as bytes of their own they would cost what the lowest do."""
    monkeypatch.setattr("fewflips.optimization.channel_orders.MOST_ENTRIES", 35)
    bits = (1, 9, 1, 9, 1, 9, 1, 9, 50, 50)
    first, second = random_weights(6, 3, 1), random_weights(6, 4, 2)
    array = STREAMING.model_copy(update={"weights": Operand(bits=10)})

    def step(a: int, b: int) -> int:
        low, sign = a ^ b, (a ^ b) >> 7
        return sum(cost for bit, cost in enumerate(bits) if (low | sign << 8 | sign << 9) >> bit & 1)

    orders = permutations(range(6))
    best = min(5 * walked(first, order, step) + walked(second, order, step) for order in orders)
    cost = TransitionCost.per_bit(bits)
    plan = plan_channels(residual(first, second), array, effort=Effort.default(), seed=0, jobs=1, cost=cost)
    assert [certificate.flips for certificate in plan.certificates.values()] == [best]


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
