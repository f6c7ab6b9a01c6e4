"""One order for each group of tied channels, against trying all orders."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import pytest

from fewflips.accelerator import Accelerator
from fewflips.dropin import (
    ChannelUse,
    channel_distances,
    channel_uses,
    drop_in_certificates,
    plan_channels,
    weighted_words,
)
from fewflips.network.channels import tie_channels
from fewflips.network.graph import ConstantAxis, Network, Operation
from fewflips.network.layer import Layer
from fewflips.ordering import Effort
from tests.layers import dense_layer, depthwise_layer
from tests.network_building import CHANNELWISE, GraphBuilder

STREAMING = Accelerator(name="streaming", dataflow="activation-stationary", lanes=4, columns=4)
LOADED = Accelerator(name="loaded", dataflow="weight-stationary", lanes=4, columns=4)


def product(name: str, source: str, weights: np.ndarray, m: int) -> Layer:
    layer = dense_layer(m, *weights.shape)
    return replace(layer, name=name, weights=weights, weights_tensor=f"{name}.w", input_tensor=source)


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
    depthwise = replace(depthwise, name="d", weights_tensor="d.w", input_tensor="a")
    layers = (
        product("a", "x", np.repeat(words, 2, axis=0), 4),
        depthwise,
        product("y", "d", np.zeros((1, 8), np.int8), 4),
    )
    network = replace(build.network(("x",), ("y",)), layers=layers)
    assert [LOADED.flow.chains(layer, LOADED) for layer in layers[:2]] == [4, 1]

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


def test_words_of_a_wide_group_are_bounded(monkeypatch):
    monkeypatch.setattr("fewflips.dropin.MOST_WORD_BYTES", 9 * 60)
    uses = [ChannelUse(count, np.full((9, 4), count, dtype=np.uint8)) for count in (30, 7, 1)]
    # 38 words of 4 bytes a channel: three times as many as fit
    assert weighted_words(uses)[0].tolist() == [30] * 4 * 10 + [7] * 4 * 2 + [1] * 4


def test_a_group_too_wide_for_a_matrix_is_ordered_as_well(monkeypatch):
    first, second = random_weights(6, 3, 1), random_weights(6, 4, 2)
    network = residual(first, second, rows=(20, 4))
    best = min(5 * path_flips(first, order) + path_flips(second, order) for order in permutations(range(6)))

    def refuse(_):
        raise MemoryError

    monkeypatch.setattr("fewflips.dropin.channel_distances", refuse)
    with pytest.raises(MemoryError):
        plan_of(network, STREAMING)
    monkeypatch.setattr("fewflips.dropin.MOST_ENTRIES", 35)
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
