"""The check of a schedule: every layer, on random and on real activations, and what it says of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fewflips.dataflows import Segment
from fewflips.errors import VerificationError
from fewflips.execution.samples import Samples
from fewflips.formats.number_formats import UINT8
from fewflips.machine import load_accelerator
from fewflips.network.graph import Network
from fewflips.network.quantization_values import QuantizationValues
from fewflips.verification import schedule_check
from fewflips.verification.schedule_check import RANDOM_ROWS, check_schedule
from tests.layers import altered, dense_layer
from tests.test_schedule import network_of, shuffled_orders

LAYERS = (dense_layer(3, 5, 7), altered(dense_layer(2, 4, 6, seed=1), input_tensor="y"))
"""The first has 5 outputs, the second 4, which take 3 and 2 rows a sample."""
ARRAY = load_accelerator("edge4")


@pytest.fixture
def seen(monkeypatch) -> list[tuple[str, np.ndarray]]:
    """Rows on which layers are executed, in place of executing them."""
    rows: list[tuple[str, np.ndarray]] = []

    def note(layer: Any, activations: np.ndarray, segments: Any, axes: Any) -> int:
        rows.append((layer.name, activations))
        return activations.shape[1] * layer.n

    monkeypatch.setattr(schedule_check, "check_segments", note)
    return rows


def feeds(number: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(number)
    return {
        "x": generator.integers(0, 256, size=(3, 7)).astype(np.uint8),
        "y": generator.integers(0, 256, size=(2, 6)).astype(np.uint8),
    }


def samples_of(monkeypatch, count: int, tensors: tuple[str, ...] = ("x", "y")) -> Samples:
    """Samples whose feeds are the tensors that a runtime gives."""

    def run(network: Network, samples: Samples) -> Iterator[Mapping[str, np.ndarray]]:
        assert len(samples.feeds) == 1
        yield {name: samples.feeds[0][name] for name in tensors}

    monkeypatch.setattr(schedule_check, "run_samples", run)
    return Samples(tuple(feeds(number) for number in range(count)), "here", "as they are")


def test_what_was_compared_without_samples() -> None:
    network = network_of(*LAYERS)
    check = check_schedule(network, ARRAY, shuffled_orders(network, ARRAY), None, seed=0)
    assert check.values == RANDOM_ROWS * (5 + 4)
    assert check.passed is True
    assert check.bit_exact is True
    assert (check.equal_share, check.largest_difference) == (1.0, 0.0)
    assert (check.sample_inputs, check.random_inputs) == (0, RANDOM_ROWS)
    assert f"on {RANDOM_ROWS} rows of random activations, and compared" in check.method
    assert check.method.endswith(f"all {check.values} sums are equal")


def test_sums_of_blocks_with_scales_of_their_own_are_compared_and_said_so() -> None:
    first, second = LAYERS
    scales = QuantizationValues(np.array([[0.5, 0.25, 0.125]]), 1, 2)
    network = network_of(first, replace(second, right=replace(second.right, scales=scales)))
    check = check_schedule(network, ARRAY, shuffled_orders(network, ARRAY), None, seed=0)
    assert check.values == RANDOM_ROWS * (5 + 3 * 4)
    words = "where blocks of a layer's weights have scales of their own, the sum of each block was compared, since only"
    assert check.method.endswith(f"all {check.values} sums are equal; {words} these are added in integers")


def test_the_first_samples_activations_are_taken_too(monkeypatch, seen) -> None:
    network = network_of(*LAYERS)
    samples = samples_of(monkeypatch, 2)
    check = check_schedule(network, ARRAY, shuffled_orders(network, ARRAY), samples, seed=0)
    assert [name for name, _ in seen] == ["layer0", "layer0", "layer1", "layer1"]
    assert seen[1][1].tolist() == [feeds(0)["x"].tolist()]
    assert seen[3][1].tolist() == [feeds(0)["y"].tolist()]
    assert check.values == RANDOM_ROWS * (5 + 4) + 3 * 5 + 2 * 4
    assert check.sample_inputs == 1
    assert "rows of random activations and on the first sample's activations, and compared" in check.method


def test_layers_whose_activations_a_runtime_does_not_give_have_random_ones(monkeypatch, seen) -> None:
    network = network_of(*LAYERS)
    samples = samples_of(monkeypatch, 1, ("y",))
    check_schedule(network, ARRAY, shuffled_orders(network, ARRAY), samples, seed=0)
    assert [name for name, _ in seen] == ["layer0", "layer1", "layer1"]


def test_random_activations_span_the_layers_type(seen) -> None:
    unknown = altered(LAYERS[0], activation_type=None)
    network = network_of(LAYERS[0], unknown)
    for seed in range(20):
        check_schedule(network, ARRAY, shuffled_orders(network, ARRAY), None, seed=seed)
    assert all(rows.shape == (1, RANDOM_ROWS, 7) for _, rows in seen)
    for name, low, high in (("layer0", UINT8.low, UINT8.high), ("layer1", -128, 127)):
        drawn = np.concatenate([rows.ravel() for layer, rows in seen if layer == name])
        assert (drawn.min(), drawn.max()) == (low, high)
    assert seen[0][1].tolist() != seen[2][1].tolist()  # another seed draws others


@pytest.mark.parametrize("place", [0, 1])
def test_a_wrong_order_in_any_layer_is_refused(place: int) -> None:
    network = network_of(*LAYERS)
    orders = dict(shuffled_orders(network, ARRAY))
    first, *others = orders[f"layer{place}"]
    orders[f"layer{place}"] = (Segment(first.lanes, np.repeat(first.order[:1], len(first.order))), *others)
    with pytest.raises(VerificationError, match=f"layer{place}.*sums differ"):
        check_schedule(network, ARRAY, orders, None, seed=0)


@pytest.mark.parametrize("place", [0, 1])
def test_a_difference_on_real_activations_alone_is_refused(monkeypatch, place: int) -> None:
    """Random rows of zeros hide it: what the first sample brings is executed as well."""
    network = network_of(*(altered(layer, activation_zero_point=0) for layer in LAYERS))
    orders = dict(shuffled_orders(network, ARRAY))
    first, *others = orders[f"layer{place}"]
    orders[f"layer{place}"] = (Segment(first.lanes, np.repeat(first.order[:1], len(first.order))), *others)
    monkeypatch.setattr(schedule_check, "_random_rows", lambda layer, _: np.zeros((1, RANDOM_ROWS, layer.k), np.int16))
    check_schedule(network, ARRAY, orders, None, seed=0)
    with pytest.raises(VerificationError, match=f"layer{place}"):
        check_schedule(network, ARRAY, orders, samples_of(monkeypatch, 1), seed=0)


def test_progress_counts_layers() -> None:
    network = network_of(*LAYERS)
    told: list[tuple[str, int, int]] = []
    check_schedule(network, ARRAY, shuffled_orders(network, ARRAY), None, 0, lambda *step: told.append(step))
    assert told == [("executing the schedule", 1, 2), ("executing the schedule", 2, 2)]
