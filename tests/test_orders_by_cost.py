"""Orders of segments, chosen by a cost of transitions, against trying all orders."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from fewflips.dataflows import Segment, dataflow_of
from fewflips.errors import InputError
from fewflips.machine import Accelerator, Operand
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.optimization.channel_orders import plan_channels
from fewflips.optimization.segment_orders import Certificate, plan_schedule
from fewflips.optimization.weight_costs import network_costs, weight_cost
from fewflips.ordering import Effort
from fewflips.streams.codes import weight_codes
from fewflips.streams.transition_cost import TransitionCost
from tests.layers import altered, dense_layer
from tests.network_building import GraphBuilder
from tests.orders_by_cost import COSTS, walked

STREAMING = Accelerator(name="streaming", dataflow="activation-stationary", lanes=2, columns=4)
LOADED = Accelerator(name="loaded", dataflow="weight-stationary", lanes=2, columns=2)
REDUCING = Accelerator(name="reducing", dataflow="output-stationary", lanes=4, columns=3)


@pytest.fixture(params=COSTS)
def priced(request: pytest.FixtureRequest):
    return COSTS[request.param]


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
