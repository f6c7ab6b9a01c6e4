"""Codes of lanes whose errors add up, against all sequences of codes."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.assignment.coupled_lanes import CoupledLayer, Values, descend
from fewflips.errors import InputError
from tests.property_settings import examples


def layer_of(seed: int, n: int, k: int, values: int, groups: int = 1) -> CoupledLayer:
    """Random weights, covariances, importances, and symmetric costs that are no metric."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(groups, 2 * k + 1, k))
    covariance = (rows.swapaxes(1, 2) @ rows / k + 0.05 * np.eye(k)).astype(np.float32)
    costs = rng.integers(0, 9, (values, values)).astype(np.float32)
    costs += costs.T
    np.fill_diagonal(costs, 0)
    weights = (rng.uniform(0, values - 1, (n, k)) - 2).astype(np.float32)
    importance = rng.uniform(0.2, 2, n).astype(np.float32)
    return CoupledLayer(weights, covariance, importance, Values(-2, costs))


def objective(layer: CoupledLayer, codes: np.ndarray, lanes: np.ndarray, order: np.ndarray, price: float) -> float:
    """Written plainly: channel by channel, lane by lane."""
    total = 0.0
    for n in range(len(codes)):
        change = codes[n].astype(float) - layer.weights[n]
        covariance = layer.covariance[n // (len(codes) // len(layer.covariance))].astype(float)
        total += float(layer.importance[n]) * float(change @ covariance @ change)
    for lane in lanes:
        along = codes[order, lane].astype(int) - layer.values.low
        total += price * sum(float(layer.values.transition_costs[a, b]) for a, b in pairwise(along))
    return total


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 4]), st.floats(0, 2))
@examples(40)
def test_one_lane_is_the_best_of_all_sequences(seed: int, groups: int, price: float) -> None:
    n, k, values = 4, 3, 4
    layer = layer_of(seed, n, k, values, groups)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    lane = np.array([seed % k])
    codes = rng.integers(-2, values - 2, (n, k)).astype(np.int16)
    others = codes.copy()
    descend(layer, codes, layer.gradient(codes), lane, order, price)
    assert (np.delete(codes, lane, axis=1) == np.delete(others, lane, axis=1)).all()
    least = np.inf
    for sequence in product(range(-2, values - 2), repeat=n):
        others[:, lane[0]] = sequence
        least = min(least, objective(layer, others, lane, order, price))
    assert objective(layer, codes, lane, order, price) == pytest.approx(least, rel=1e-4, abs=1e-4)


@given(st.integers(0, 10**6), st.sampled_from([1, 3]), st.sampled_from([3, 16]))
@examples(30)
def test_no_sweep_costs_more_than_the_one_before(seed: int, groups: int, window: int) -> None:
    """Windows narrower than the values among them; the gradient stays that of the codes."""
    n, k, values, price = 9, 6, 12, 0.3
    layer = layer_of(seed, n, k, values, groups)
    rng = np.random.default_rng(seed)
    segments = [(np.arange(4), rng.permutation(n)), (np.arange(4, 6), rng.permutation(n))]
    codes = rng.integers(-2, values - 2, (n, k)).astype(np.int16)
    gradient = layer.gradient(codes)

    def total() -> float:
        alone = objective(layer, codes, np.array([], int), segments[0][1], price)
        return alone + sum(objective(layer, codes, lanes, order, price) - alone for lanes, order in segments)

    before = total()
    for _ in range(4):
        for lanes, order in segments:
            descend(layer, codes, gradient, lanes, order, price, window)
        after = total()
        assert after <= before * (1 + 1e-5) + 1e-4
        before = after
    assert np.allclose(gradient, layer.gradient(codes), atol=1e-3)
    assert codes.min() >= -2
    assert codes.max() < values - 2


def test_without_a_price_the_original_comes_back() -> None:
    layer = layer_of(1, 8, 4, 20)
    whole = CoupledLayer(np.rint(layer.weights), layer.covariance, layer.importance, layer.values)
    codes = np.rint(layer.weights).astype(np.int16)
    moved = codes.copy()
    descend(whole, moved, whole.gradient(moved), np.arange(4), np.arange(8), 0.0)
    assert (moved == codes).all()


def test_another_lane_makes_up_for_an_error() -> None:
    """Two lanes with the same activations: what one is rounded up by, the other is rounded down by."""
    costs = np.zeros((9, 9), np.float32)
    covariance = np.array([[[1.0, 0.99], [0.99, 1.0]]], np.float32)
    layer = CoupledLayer(
        np.array([[0.5, 0.5], [0.5, 0.5]], np.float32), covariance, np.ones(2, np.float32), Values(-4, costs)
    )
    codes = np.array([[1, 1], [1, 1]], np.int16)
    descend(layer, codes, layer.gradient(codes), np.arange(2), np.arange(2), 1.0)
    assert codes.sum(axis=1).tolist() == [1, 1]


def test_shapes_that_do_not_fit() -> None:
    layer = layer_of(0, 4, 3, 4)
    for covariance, importance in (
        (layer.covariance[:, :2, :2], layer.importance),
        (layer.covariance, layer.importance[:2]),
        (np.repeat(layer.covariance, 3, axis=0), layer.importance),
    ):
        with pytest.raises(InputError, match="expected covariances"):
            CoupledLayer(layer.weights, covariance, importance, layer.values)
    with pytest.raises(InputError, match="variance above 0"):
        CoupledLayer(layer.weights, 0 * layer.covariance, layer.importance, layer.values)
