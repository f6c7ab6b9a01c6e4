"""Codes under any transition cost: against all sequences of codes, in integers."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fewflips.assignment.nearest_codes import WordCosts, nearest_codes
from fewflips.errors import InputError
from fewflips.streams.transition_cost import TransitionCost
from tests.property_settings import examples

MOST = 4
"""Length of a lane: 8^4 sequences of codes are tried."""


def symmetric(entries: list[int], codes: int) -> list[list[int]]:
    """A table whose upper triangle has these entries, row by row."""
    table = [[0] * codes for _ in range(codes)]
    rest = iter(entries)
    for i in range(codes):
        for j in range(i + 1, codes):
            table[i][j] = table[j][i] = next(rest)
    return table


@st.composite
def costs(draw: st.DrawFn) -> TransitionCost:
    """Flips, weights of bits, or a table in which a detour may be cheaper, for 1 to 3 bits."""
    bits = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["flips", "bits", "table"]))
    if kind == "flips":
        return TransitionCost.flips(bits)
    if kind == "bits":
        return TransitionCost.per_bit(draw(st.lists(st.integers(0, 40), min_size=bits, max_size=bits)))
    codes = 1 << bits
    pairs = codes * (codes - 1) // 2
    return TransitionCost.from_table(
        symmetric(draw(st.lists(st.integers(0, 40), min_size=pairs, max_size=pairs)), codes)
    )


def step(cost: TransitionCost, before: int, after: int) -> int:
    """Cost of one transition, from the definition."""
    if cost.table is not None:
        return int(cost.table[before, after])
    assert cost.bit_costs is not None
    return sum(int(c) for bit, c in enumerate(cost.bit_costs) if (before ^ after) >> bit & 1)


def lane_cost(words: tuple[int, ...], quarters: list[int], weights: list[int], cost: TransitionCost) -> int:
    """Sixteenths of a lane's cost; latent codes are in quarters, words stand for codes 0, 1, ..."""
    away = sum(w * (q - 4 * word) ** 2 for word, q, w in zip(words, quarters, weights, strict=True))
    return away + 16 * sum(step(cost, a, b) for a, b in pairwise(words))


@st.composite
def lanes(draw: st.DrawFn) -> tuple[TransitionCost, list[list[int]], list[list[int]]]:
    cost = draw(costs())
    length, count = draw(st.integers(1, MOST)), draw(st.integers(1, 3))
    codes = 1 << cost.bits
    quarters = st.lists(st.integers(-8, 4 * codes + 8), min_size=length, max_size=length)
    weights = st.lists(st.integers(0, 30), min_size=length, max_size=length)
    return cost, [draw(quarters) for _ in range(count)], [draw(weights) for _ in range(count)]


@given(lanes())
@examples(120)
def test_no_sequence_of_codes_is_cheaper_under_any_cost(case: Any) -> None:
    cost, quarters, weights = case
    latent = np.array(quarters, dtype=np.float32).T / 4  # exact, as are all sums below
    curvature = np.array(weights, dtype=np.float32).T
    values = np.arange(1 << cost.bits, dtype=np.float32)
    found = nearest_codes(latent, curvature, WordCosts.priced(values, cost))
    for lane, (given_quarters, given_weights) in enumerate(zip(quarters, weights, strict=True)):
        sequences = product(range(1 << cost.bits), repeat=len(given_quarters))
        least = min(lane_cost(words, given_quarters, given_weights, cost) for words in sequences)
        words = tuple(int(word) for word in found[:, lane])
        assert lane_cost(words, given_quarters, given_weights, cost) == least


def some(bits: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    generator = np.random.default_rng(bits)
    values = np.arange(1 << bits, dtype=np.float32) - (1 << (bits - 1))
    values = np.roll(values, 1 << (bits - 1))  # two's complement
    latent = generator.uniform(values.min(), values.max(), (20, 18)).astype(np.float32)
    return values, latent, generator.uniform(0.1, 1.5, latent.shape).astype(np.float32)


@pytest.mark.parametrize("price", [1.0, 0.37, 12.5])
def test_flips_give_the_bits_that_unit_costs_give(price: float) -> None:
    values, latent, curvature = some(8)
    plain = WordCosts(values, np.ones(8, np.float32) * np.float32(price), np.zeros(256, np.float32))
    found = nearest_codes(latent, curvature, WordCosts.priced(values, TransitionCost.flips(8), price))
    assert np.array_equal(found, nearest_codes(latent, curvature, plain))


def test_words_may_cost_something_themselves() -> None:
    values, latent, curvature = some(4)
    dear = np.where(values == 3, 1e6, 0.0)
    cost = TransitionCost.per_bit([1, 0, 2, 1])
    assert (nearest_codes(latent, curvature, WordCosts.priced(values, cost)) == 3).any()
    assert not (nearest_codes(latent, curvature, WordCosts.priced(values, cost, word_costs=dear)) == 3).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(8), TransitionCost.flips(2)), r"4 words for costs of 2 bits, got shapes \(8,\) and \(4,\)"),
        ((np.zeros(4), TransitionCost.flips(2), 1.0, np.zeros(3)), r"got shapes \(4,\) and \(3,\)"),
        ((np.zeros(4), TransitionCost.flips(2), -1.0), "price of 0 or more, got -1.0"),
        ((np.zeros(4), TransitionCost.flips(2), float("nan")), "price of 0 or more, got nan"),
        ((np.zeros(4), TransitionCost.flips(2), float("inf")), "price of 0 or more, got inf"),
    ],
)
def test_costs_of_words_that_do_not_fit(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WordCosts.priced(*arguments)
