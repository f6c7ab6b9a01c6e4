"""Cheapest codes along an order: against all sequences of codes, and the textbook recursion."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from numpy.typing import NDArray

from fewflips.assignment.nearest_codes import WordCosts, nearest_codes
from fewflips.errors import InputError
from fewflips.formats.number_formats import NumberFormat, encode

FORMATS = (NumberFormat.TWOS_COMPLEMENT, NumberFormat.SIGN_MAGNITUDE)


def word_values(bits: int, number_format: NumberFormat) -> NDArray[np.float32]:
    """The symmetric code that each word stands for, NaN for the one that is left."""
    peak = 2 ** (bits - 1) - 1
    codes = np.arange(-peak, peak + 1)
    values = np.full(2**bits, np.nan, dtype=np.float32)
    values[encode(codes, number_format, bits)] = codes
    return values


def some_costs(
    bits: int, number_format: NumberFormat, generator: np.random.Generator, table: bool = False
) -> WordCosts:
    words = 2**bits
    return WordCosts(
        word_values(bits, number_format),
        generator.uniform(0.0, 2.0, bits).astype(np.float32),
        generator.uniform(0.0, 1.0, words).astype(np.float32),
        generator.uniform(0.0, 4.0, (words, words)).astype(np.float32) if table else None,
    )


def transitions(costs: WordCosts) -> NDArray[np.float64]:
    """Cost from each word (row) to each (column), bit by bit."""
    if costs.transition_costs is not None:
        return costs.transition_costs.astype(np.float64)
    words = range(len(costs.values))
    weights = [float(cost) for cost in costs.bit_costs]
    return np.array([[sum(w for b, w in enumerate(weights) if (i ^ j) >> b & 1) for j in words] for i in words])


def total_cost(
    codes: NDArray[np.integer], latent: NDArray[np.float32], curvature: NDArray[np.float32], costs: WordCosts
) -> float:
    """Cost of one lane's codes, in plain Python."""
    place = {float(value): word for word, value in enumerate(costs.values) if not np.isnan(value)}
    words = [place[float(code)] for code in codes]
    table = transitions(costs)
    away = sum(float(c) * (float(x) - float(code)) ** 2 for c, x, code in zip(curvature, latent, codes, strict=True))
    moved = sum(table[a, b] for a, b in pairwise(words))
    return away + moved + sum(float(costs.word_costs[word]) for word in words)


def viterbi(latent: NDArray[np.float32], curvature: NDArray[np.float32], costs: WordCosts) -> float:
    """Least cost of one lane: the textbook recursion in float64, over all pairs of words."""
    valid = np.flatnonzero(~np.isnan(costs.values))
    values = costs.values[valid].astype(np.float64)
    table = transitions(costs)[np.ix_(valid, valid)]
    here = [c * (x - values) ** 2 + costs.word_costs[valid] for x, c in zip(latent, curvature, strict=True)]
    best = here[0]
    for cost in here[1:]:
        best = (best[:, None] + table).min(axis=0) + cost
    return float(best.min())


def some_lanes(
    length: int, lanes: int, bits: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    peak = 2 ** (bits - 1) - 1
    latent = generator.uniform(-1.3 * peak, 1.3 * peak, (length, lanes)).astype(np.float32)
    return latent, generator.uniform(0.0, 1.5, (length, lanes)).astype(np.float32)


@pytest.mark.parametrize("table", [False, True], ids=["bits", "asymmetric table"])
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize(("bits", "length"), [(2, 1), (2, 4), (3, 4), (4, 3)])
def test_no_other_sequence_of_codes_is_cheaper(
    bits: int, length: int, number_format: NumberFormat, table: bool
) -> None:
    generator = np.random.default_rng(bits * 10 + length)
    costs = some_costs(bits, number_format, generator, table)
    latent, curvature = some_lanes(length, 3, bits, generator)
    codes = nearest_codes(latent, curvature, costs)
    assert codes.dtype == np.int16
    peak = 2 ** (bits - 1) - 1
    for lane in range(3):
        given = (latent[:, lane], curvature[:, lane], costs)
        cheapest = min(
            total_cost(np.array(sequence), *given) for sequence in product(range(-peak, peak + 1), repeat=length)
        )
        assert total_cost(codes[:, lane], *given) == pytest.approx(cheapest, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("table", [False, True], ids=["bits", "asymmetric table"])
@pytest.mark.parametrize("number_format", FORMATS)
def test_eight_bits_cost_what_the_textbook_recursion_finds(number_format: NumberFormat, table: bool) -> None:
    generator = np.random.default_rng(5)
    costs = some_costs(8, number_format, generator, table)
    costs = WordCosts(
        costs.values,
        costs.bit_costs * 40,
        costs.word_costs * 20,
        None if costs.transition_costs is None else costs.transition_costs * 40,
    )
    latent, curvature = some_lanes(25, 17, 8, generator)  # one lane more than a block
    codes = nearest_codes(latent, curvature, costs)
    rounded = np.clip(np.rint(latent), -127, 127)
    for lane in range(17):
        given = (latent[:, lane], curvature[:, lane], costs)
        cost = total_cost(codes[:, lane], *given)
        assert cost == pytest.approx(viterbi(*given), rel=1e-5)
        assert cost < total_cost(rounded[:, lane], *given)


def test_a_table_of_bit_costs_gives_what_the_bit_costs_give() -> None:
    generator = np.random.default_rng(9)
    costs = some_costs(6, NumberFormat.TWOS_COMPLEMENT, generator)
    as_table = WordCosts(costs.values, costs.bit_costs, costs.word_costs, transitions(costs).astype(np.float32))
    latent, curvature = some_lanes(12, 5, 6, generator)
    assert np.array_equal(nearest_codes(latent, curvature, costs), nearest_codes(latent, curvature, as_table))


def test_the_number_of_threads_changes_nothing() -> None:
    generator = np.random.default_rng(4)
    costs = some_costs(5, NumberFormat.TWOS_COMPLEMENT, generator)
    latent, curvature = some_lanes(10, 70, 5, generator)
    alone = nearest_codes(latent, curvature, costs, jobs=1)
    assert np.array_equal(nearest_codes(latent, curvature, costs, jobs=3), alone)


def test_the_direction_of_a_table_is_from_row_to_column() -> None:
    values = np.array([0, 1, np.nan, -1], dtype=np.float32)
    table = np.zeros((4, 4), dtype=np.float32)
    table[0, 1] = 10.0  # from 0 to 1; back is free
    costs = WordCosts(values, np.zeros(2, np.float32), np.zeros(4, np.float32), table)
    ones = np.ones((2, 1), dtype=np.float32)
    rising = nearest_codes(np.array([[0.0], [1.0]], dtype=np.float32), ones, costs)
    falling = nearest_codes(np.array([[1.0], [0.0]], dtype=np.float32), ones, costs)
    assert rising[0, 0] == rising[1, 0]
    assert falling.tolist() == [[1], [0]]


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize("number_format", FORMATS)
def test_a_price_of_nothing_rounds_and_clips(bits: int, number_format: NumberFormat) -> None:
    generator = np.random.default_rng(1)
    latent, _ = some_lanes(30, 20, bits, generator)
    free = WordCosts(word_values(bits, number_format), np.zeros(bits, np.float32), np.zeros(2**bits, np.float32))
    peak = 2 ** (bits - 1) - 1
    expected = np.clip(np.rint(latent), -peak, peak)
    assert np.array_equal(nearest_codes(latent, np.ones_like(latent), free), expected)


@pytest.mark.parametrize("number_format", FORMATS)
def test_a_huge_price_makes_each_lane_constant_at_its_weighted_mean(number_format: NumberFormat) -> None:
    generator = np.random.default_rng(2)
    latent, curvature = some_lanes(30, 20, 8, generator)
    curvature += 0.1
    dear = WordCosts(word_values(8, number_format), np.full(8, 1e6, np.float32), np.zeros(256, np.float32))
    codes = nearest_codes(latent, curvature, dear)
    assert (codes == codes[0]).all()
    means = (latent * curvature).sum(axis=0) / curvature.sum(axis=0)
    assert np.abs(codes[0] - means).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("table", [False, True], ids=["bits", "table"])
def test_words_without_a_code_are_never_taken_even_where_distance_is_free(table: bool) -> None:
    word_costs = np.ones(16, dtype=np.float32)
    word_costs[8] = 0.0  # -8 in two's complement, which symmetric codes leave out
    transition = np.ones((16, 16), dtype=np.float32) if table else None
    costs = WordCosts(
        word_values(4, NumberFormat.TWOS_COMPLEMENT), np.ones(4, dtype=np.float32), word_costs, transition
    )
    codes = nearest_codes(np.full((5, 3), -8.0, np.float32), np.zeros((5, 3), np.float32), costs)
    assert np.abs(codes).max() <= 7


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    costs = some_costs(4, NumberFormat.TWOS_COMPLEMENT, np.random.default_rng(0))
    latent = np.zeros((3, 2), dtype=np.float32)
    latent[1, 1] = bad
    with pytest.raises(InputError, match="expected finite weights"):
        nearest_codes(latent, np.ones_like(latent), costs)


@pytest.mark.parametrize(
    ("latent", "curvature"),
    [((3, 2), (2, 3)), ((3,), (3,)), ((0, 2), (0, 2)), ((3, 2), (3, 1)), ((1, 3, 2), (1, 3, 2))],
)
def test_shapes_that_do_not_fit_are_refused(latent: tuple[int, ...], curvature: tuple[int, ...]) -> None:
    costs = some_costs(4, NumberFormat.TWOS_COMPLEMENT, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"one shape \(T, L\)"):
        nearest_codes(np.zeros(latent, np.float32), np.ones(curvature, np.float32), costs)
