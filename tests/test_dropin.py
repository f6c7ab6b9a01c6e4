"""One order for each group of tied channels, against trying all orders."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import pytest

from fewflips.dataflows import dataflow_of
from fewflips.machine import Accelerator
from fewflips.network.channels import tie_channels
from fewflips.network.graph import ConstantAxis, Network, Operation
from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D
from fewflips.optimization.channel_orders import (
    ChannelUse,
    _chains,
    _keep_gains,
    channel_distances,
    channel_uses,
    drop_in_certificates,
    plan_channels,
    weighted_words,
)
from fewflips.optimization.segment_orders import Certificate
from fewflips.ordering import Effort, order_distances
from tests.layers import altered, dense_layer, depthwise_layer
from tests.network_building import CHANNELWISE, CONCATENATION, GraphBuilder

STREAMING = Accelerator(name="streaming", dataflow="activation-stationary", lanes=4, columns=4)
BOTH = Accelerator(name="both", dataflow="output-stationary", lanes=4, columns=4)
LOADED = Accelerator(name="loaded", dataflow="weight-stationary", lanes=4, columns=4)


def product(name: str, source: str, weights: np.ndarray, m: int) -> Layer:
    layer = dense_layer(m, *weights.shape)
    return altered(layer, name=name, weights=weights, weights_tensor=f"{name}.w", input_tensor=source)


def residual(first: np.ndarray, second: np.ndarray, rows: tuple[int, int] = (8, 4)) -> Network:
    """Two products of the input whose outputs are added, and a product of one channel that ends the network."""
    build = GraphBuilder()
    build.tensor("x", rows[0], first.shape[1])
    channels = len(first)
    build.product("x", "a", rows[0], channels)
    build.product("x", "b", rows[0], channels)
    build.operation(CHANNELWISE, ("a", "b"), "sum", rows[0], channels)
    build.product("sum", "y", rows[0], 1)
    last = product("y", "sum", np.zeros((1, channels), dtype=np.int8), 1)
    layers = (product("a", "x", first, rows[0]), product("b", "x", second, rows[1]), last)
    return replace(build.network(("x",), ("y",)), layers=layers)


def path_flips(weights: np.ndarray, order: tuple[int, ...] | np.ndarray) -> int:
    rows = weights.view(np.uint8)[list(order)]
    return int(np.bitwise_count(rows[1:] ^ rows[:-1]).sum())


def random_weights(channels: int, inputs: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, size=(channels, inputs)).astype(np.int8)


def plan_of(network: Network, array: Accelerator):
    return plan_channels(network, array, effort=Effort.default(), seed=0, jobs=1)


def test_distances_weigh_each_layer_by_its_repeats():
    first = ChannelUse(6, np.array([[0b000], [0b001], [0b111]], dtype=np.uint8))
    second = ChannelUse(4, np.array([[0b11], [0b00], [0b01]], dtype=np.uint8))
    # in units of two passes: three times 1, 3, 2 flips and twice 2, 1, 1
    assert channel_distances([first, second]).tolist() == [[0, 7, 11], [7, 0, 8], [11, 8, 0]]
    assert channel_distances([first]).tolist() == [[0, 1, 3], [1, 0, 2], [3, 2, 0]]


@pytest.mark.parametrize(
    ("repeats", "halvings"),
    [((1 << 31) - 2, 0), ((1 << 31) - 1, 1), ((1 << 33) - 2, 2), ((1 << 33) - 1, 3)],
)
def test_distances_are_halved_as_often_as_31_bits_need_it(repeats: int, halvings: int):
    # one flip in a layer of `repeats` passes and one in a layer of a single pass
    uses = [ChannelUse(count, np.array([[0], [1]], dtype=np.uint8)) for count in (repeats, 1)]
    expected = (repeats + 1) // 2**halvings
    assert channel_distances(uses).tolist() == [[0, expected], [expected, 0]]


def test_distances_do_not_overflow_where_every_bit_differs():
    uses = [ChannelUse(count, np.array([[0, 0], [255, 255]], dtype=np.uint8)) for count in ((1 << 27) - 1, 2, 1)]
    assert channel_distances(uses[:2])[0, 1] == 16 * ((1 << 27) + 1) >> 1
    assert channel_distances([uses[0]])[0, 1] == 16
    assert channel_distances([uses[0], uses[2]])[0, 1] == 16 * (1 << 27) >> 1


def test_the_plan_counts_flips_as_often_as_they_occur():
    first, second = random_weights(6, 3, 1), random_weights(6, 4, 2)
    network = residual(first, second, rows=(20, 4))  # five tiles of pixels and one
    flips = {order: (path_flips(first, order), path_flips(second, order)) for order in permutations(range(6))}
    best = min(5 * a + b for a, b in flips.values())
    unweighted = min(flips.values(), key=sum)
    assert 5 * unweighted[0] + unweighted[1] > best  # else this would not tell them apart

    plan = plan_of(network, STREAMING)
    ((group, order),) = plan.orders.items()
    assert 5 * path_flips(first, order) + path_flips(second, order) == best
    assert plan.certificates[group].flips == plan.certificates[group].lower_bound == best


def test_an_order_is_laid_along_the_layer_with_most_chains():
    # A product loads four columns side by side, two words each; the depthwise layer tied to it has one chain.
    build = GraphBuilder()
    build.tensor("x", 4, 4)
    build.product("x", "a", 4, 8)
    build.tensor("d", 4, 8)
    build.tensor("d.w", 8, 1, constant=True)
    build.operations.append(
        Operation("d", "DEPTHWISE", CHANNELWISE, ("a",), ("d",), (ConstantAxis("d.w", 0, "output"),))
    )
    build.product("d", "y", 4, 1)
    words = np.array([[1, 2, 4, 8], [16, 32, 64, 3], [5, 9, 17, 33], [7, 11, 13, 19]], dtype=np.int8)
    depthwise = depthwise_layer(4, 8, (1, 1))
    depthwise.weights[:] = 0
    depthwise = altered(depthwise, name="d", weights_tensor="d.w", input_tensor="a")
    layers = (
        product("a", "x", np.repeat(words, 2, axis=0), 4),
        depthwise,
        product("y", "d", np.zeros((1, 8), np.int8), 4),
    )
    network = replace(build.network(("x",), ("y",)), layers=layers)
    assert [dataflow_of(LOADED).chains(layer, LOADED) for layer in layers[:2]] == [4, 1]

    (order,) = plan_of(network, LOADED).orders.values()
    moved = layers[0].weights[order]
    assert (moved[:4] == moved[4:]).all()  # each column keeps its word: no flips at all


@pytest.mark.parametrize(("excess", "proven"), [(0, 1), (1, 0), (2, 0), (5, 0)])
def test_a_drop_in_is_proven_only_where_it_meets_its_bound(excess: int, proven: int):
    weights = random_weights(6, 3, 1)
    network = residual(weights, random_weights(6, 3, 2))
    best = min(path_flips(weights, order) for order in permutations(range(6)))
    flips = {"a": best + excess, "b": 10**6, "y": 0}
    certificates = drop_in_certificates(network, STREAMING, flips, effort=Effort.quick(), seed=0, jobs=1)
    assert (certificates["a"].segments, certificates["a"].proven_segments) == (1, proven)
    assert certificates["a"].lower_bound == best
    assert certificates["b"].proven_segments == 0
    assert certificates["y"].proven_segments == 1


def test_uses_are_those_of_free_groups():
    first, second = random_weights(5, 3, 1), random_weights(5, 3, 2)
    network = residual(first, second, rows=(20, 4))
    ((_, uses),) = channel_uses(network, STREAMING, tie_channels(network)).items()
    assert [use.repeats for use in uses] == [5, 1]
    assert [use.words.view(np.int8).tolist() for use in uses] == [first.tolist(), second.tolist()]


def test_words_of_a_wide_group_have_the_distances_of_its_matrix():
    generator = np.random.default_rng(0)
    uses = [
        ChannelUse(6, generator.integers(0, 256, size=(9, 3), dtype=np.uint8)),
        ChannelUse(4, generator.integers(0, 512, size=(9, 2), dtype=np.uint16)),
    ]
    words = weighted_words(uses)
    expected = np.bitwise_count(words[:, np.newaxis] ^ words[np.newaxis]).sum(axis=2)
    assert channel_distances(uses).tolist() == expected.tolist()
    assert words.shape == (9, 3 * 3 + 2 * 2 * 2)


@pytest.mark.parametrize(
    ("most", "times"),
    # 38 words of 4 bytes a channel, in units of two passes
    [(9 * 38 * 4, [30, 7, 1]), (9 * 38 * 4 - 1, [15, 4, 1]), (9 * 60, [10, 2, 1]), (1, [1, 1, 1])],
)
def test_words_of_a_wide_group_are_bounded(most: int, times: list[int], monkeypatch):
    monkeypatch.setattr("fewflips.optimization.channel_orders.MOST_WORD_BYTES", most)
    uses = [ChannelUse(count, np.full((9, 4), count, dtype=np.uint8)) for count in (60, 14, 2)]
    assert weighted_words(uses)[0].tolist() == [60] * 4 * times[0] + [14] * 4 * times[1] + [2] * 4 * times[2]


def test_a_group_too_wide_for_a_matrix_is_ordered_as_well(monkeypatch):
    first, second = random_weights(6, 3, 1), random_weights(6, 4, 2)
    network = residual(first, second, rows=(20, 4))
    best = min(5 * path_flips(first, order) + path_flips(second, order) for order in permutations(range(6)))

    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr("fewflips.optimization.channel_orders.channel_distances", refuse)
    with pytest.raises(MemoryError):
        plan_of(network, STREAMING)
    monkeypatch.setattr("fewflips.optimization.channel_orders.MOST_ENTRIES", 35)
    steps = []
    plan = plan_channels(
        network, STREAMING, effort=Effort.default(), seed=0, jobs=1, progress=lambda *step: steps.append(step)
    )
    (certificate,) = plan.certificates.values()
    assert certificate.flips == certificate.lower_bound == best
    assert steps == [("ordering channels", 1, 1)]


@pytest.mark.parametrize(("repeats", "bytes_an_entry"), [(3, 8), (1 << 40, 16)])
def test_distances_take_no_more_than_two_matrices(repeats: int, bytes_an_entry: int):
    channels = 200
    uses = [ChannelUse(count, random_weights(channels, 8, count).view(np.uint8)) for count in (repeats, 1)]
    channel_distances(uses)  # compiles the kernel
    start()
    channel_distances(uses)
    _, peak = get_traced_memory()
    stop()
    assert peak < (bytes_an_entry + 0.5) * channels**2


def convolution(layout: str, channels: int, kernel: tuple[int, int], outputs: int = 3) -> Network:
    """A product of the input, and a convolution of its channels that ends the network."""
    build = GraphBuilder()
    build.tensor("x", 4, 2)
    build.product("x", "a", 4, channels)
    build.product("a", "y", 4, outputs)
    last = product("y", "a", random_weights(outputs, channels * kernel[0] * kernel[1], 3), 4)
    last = altered(last, lowering=Convolution2D(layout, kernel, (1, 1), (1, 1), (0, 0, 0, 0)))
    layers = (product("a", "x", random_weights(channels, 2, 1), 4), last)
    return replace(build.network(("x",), ("y",)), layers=layers)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3)])
def test_input_channels_stream_where_neighbours_follow_one_another(layout: str, kernel: tuple[int, int]):
    network = convolution(layout, 5, kernel)
    uses = channel_uses(network, BOTH, tie_channels(network))
    if layout == "NCHW" and kernel != (1, 1):
        assert uses == {}  # all positions of a channel come before the next channel
        return
    ((_, (use,)),) = uses.items()
    weights = network.layers[1].weights
    words = weights.T if kernel == (1, 1) else weights.reshape(3 * 6, 5).T
    assert use.words.view(np.int8).tolist() == words.tolist()
    assert use.words.flags.c_contiguous


def moved_inputs(layer: Layer, order: np.ndarray, layout: str) -> np.ndarray:
    """Weights of a convolution with its input channels in another order, by plain indexing."""
    positions = layer.lowering.kernel_positions
    shape = (layer.n, positions, -1) if layout == "NHWC" else (layer.n, -1, positions)
    table = layer.weights.reshape(shape)
    moved = table[:, :, order] if layout == "NHWC" else table[:, order]
    return moved.reshape(layer.n, layer.k)


def test_channels_of_a_convolution_move_only_where_its_flips_become_fewer():
    kept = []
    for channels in range(3, 8):
        network = convolution("NHWC", channels, (1, 2))
        last = network.layers[1]
        plan = plan_of(network, BOTH)
        ((group, certificate),) = plan.certificates.items()
        words = last.weights.reshape(6, channels).T
        best = min(path_flips(np.ascontiguousarray(words), order) for order in permutations(range(channels)))
        assert certificate.flips == best
        kept.append(group in plan.orders)
        if group in plan.orders:
            order = plan.orders[group]
            assert path_flips(np.ascontiguousarray(words), order) == best
            before, after = (
                path_flips(np.ascontiguousarray(weights.T), range(last.k))
                for weights in (last.weights, moved_inputs(last, order, "NHWC"))
            )
            assert after < before
    assert any(kept)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_an_order_is_judged_by_the_layer_as_it_will_be(layout: str, monkeypatch):
    network = convolution(layout, 5, (1, 3))
    last = network.layers[1]
    groups = tie_channels(network)
    (group,) = groups.free
    flips = {
        order: path_flips(np.ascontiguousarray(moved_inputs(last, np.array(order), layout).T), range(last.k))
        for order in permutations(range(5))
    }
    natural = flips[tuple(range(5))]
    for order, found in list(flips.items())[::7]:
        kept = _keep_gains(network, BOTH, groups, {group: np.array(order)})
        assert (group in kept) == (found < natural)


def test_concatenated_groups_have_words_of_their_own():
    build = GraphBuilder()
    build.tensor("x", 4, 2)
    build.product("x", "a", 4, 3)
    build.product("x", "b", 4, 2)
    build.operation(CONCATENATION, ("a", "b"), "ab", 4, 5)
    build.product("ab", "y", 4, 4)
    last = product("y", "ab", random_weights(4, 5, 3), 4)
    layers = (product("a", "x", random_weights(3, 2, 1), 4), product("b", "x", random_weights(2, 2, 2), 4), last)
    network = replace(build.network(("x",), ("y",)), layers=layers)
    uses = channel_uses(network, BOTH, tie_channels(network))
    words = [use.words.view(np.int8).tolist() for (use,) in uses.values()]
    assert words == [last.weights[:, :3].T.tolist(), last.weights[:, 3:].T.tolist()]


def test_channels_that_are_all_alike_stay_where_they_are():
    same = np.full((6, 3), 5, dtype=np.int8)
    plan = plan_of(residual(same, same), STREAMING)
    assert plan.orders == {}
    assert [certificate.flips for certificate in plan.certificates.values()] == [0]


@pytest.mark.parametrize(
    ("most", "batches"), [(1000, [[3, 4, 2]]), (25, [[3, 4], [2]]), (24, [[3], [4, 2]]), (16, [[3], [4], [2]])]
)
def test_distances_are_held_in_batches(most: int, batches: list[list[int]], monkeypatch):
    build = GraphBuilder()
    build.tensor("x", 4, 2)
    layers, source, inputs = [], "x", 2
    for name, channels in (("a", 3), ("b", 4), ("c", 2), ("y", 1)):
        build.product(source, name, 4, channels)
        layers.append(product(name, source, random_weights(channels, inputs, channels), 4))
        source, inputs = name, channels
    network = replace(build.network(("x",), ("y",)), layers=tuple(layers))
    held = []

    def record(distances, **options):
        held.append([len(table) for table in distances])
        return order_distances(distances, **options)

    monkeypatch.setattr("fewflips.optimization.channel_orders.MOST_ENTRIES", most)
    monkeypatch.setattr("fewflips.optimization.channel_orders.order_distances", record)
    plan = plan_of(network, STREAMING)
    assert held == batches
    assert list(plan.certificates) == sorted(plan.certificates)


def test_a_layer_has_one_order_for_all_its_segments():
    weights = random_weights(6, 10, 1)  # three segments of four, four and two lanes
    network = residual(weights, random_weights(6, 10, 2))
    best = min(path_flips(weights, order) for order in permutations(range(6)))
    flips = {"a": best, "b": 10**6, "y": 0}
    certificates = drop_in_certificates(network, STREAMING, flips, effort=Effort.quick(), seed=0, jobs=1)
    assert certificates["a"] == Certificate(1, 1, best)


def test_each_group_of_a_grouped_layer_has_an_order_of_its_own():
    layer = replace(dense_layer(4, 8, 3, groups=2), name="grouped")
    network = replace(GraphBuilder().network((), ()), layers=(layer,))
    halves = [layer.weights[:4], layer.weights[4:]]
    best = sum(min(path_flips(half, order) for order in permutations(range(4))) for half in halves)
    for excess, proven in ((0, 2), (1, 0)):
        flips = {"grouped": best + excess}
        certificates = drop_in_certificates(network, STREAMING, flips, effort=Effort.quick(), seed=0, jobs=1)
        assert certificates == {"grouped": Certificate(2, proven, best)}


def test_gains_count_as_often_as_a_layer_repeats():
    first, second = random_weights(5, 3, 1), random_weights(5, 4, 2)
    network = residual(first, second, rows=(20, 4))  # five tiles of pixels and one
    groups = tie_channels(network)
    (group,) = channel_uses(network, STREAMING, groups)
    flips = {order: 5 * path_flips(first, order) + path_flips(second, order) for order in permutations(range(5))}
    for order, found in flips.items():
        kept = _keep_gains(network, STREAMING, groups, {group: np.array(order)})
        assert (group in kept) == (found < flips[tuple(range(5))])


def test_chains_are_those_of_the_groups_own_layers():
    build = GraphBuilder()
    build.tensor("x", 4, 2)
    layers, source, inputs = [], "x", 2
    for name, channels in (("a", 4), ("b", 2), ("c", 4), ("y", 1)):
        build.product(source, name, 4, channels)
        layers.append(product(name, source, random_weights(channels, inputs, channels), 4))
        source, inputs = name, channels
    network = replace(build.network(("x",), ("y",)), layers=tuple(layers))
    groups = tie_channels(network)
    assert [_chains(network, LOADED, groups, group) for group in groups.free] == [4, 2, 4]


def test_distances_of_two_byte_codes_do_not_overflow():
    uses = [ChannelUse(count, np.array([[0], [0xFFFF]], dtype=np.uint16)) for count in (1 << 27, 1)]
    assert channel_distances(uses)[0, 1] == 16 * ((1 << 27) + 1) >> 1


@pytest.mark.parametrize("array", [STREAMING, BOTH], ids=["outputs", "inputs"])
def test_the_axis_that_streams_is_found_in_any_order(array: Accelerator):
    network = convolution("NHWC", 5, (1, 2))
    groups = tie_channels(network)
    backwards = replace(groups, axes=groups.axes[::-1])
    for found in (groups, backwards):
        uses = channel_uses(network, array, found)
        assert [use.words.shape for (use,) in uses.values()] == [(5, 2) if array is STREAMING else (5, 6)]
