"""Orders under other costs than flips: against brute force and plain sums."""

from __future__ import annotations

from itertools import pairwise, permutations, product

import numpy as np
import pytest

from fewflips.errors import InputError
from fewflips.ordering import order_segments, shortest_word_path
from fewflips.streams.flips import stream_flips
from fewflips.streams.transition_cost import TransitionCost

SEEDS = range(8)


def random_table(generator: np.random.Generator, bits: int, metric: bool) -> np.ndarray:
    codes = 1 << bits
    upper = np.triu(generator.integers(10, 20, size=(codes, codes)), 1)  # no detour is cheaper
    if not metric:
        upper = np.triu(generator.integers(0, 20, size=(codes, codes)) ** 2, 1)
    return upper + upper.T


def plain(words: np.ndarray, step) -> int:
    steps = ((a, b) for one, other in pairwise(words.tolist()) for a, b in zip(one, other, strict=True))
    return sum(step(a, b) for a, b in steps)


def costs(generator: np.random.Generator):
    weights = generator.integers(0, 9, size=3)
    yield TransitionCost.per_bit(weights), lambda a, b: sum(int(w) for i, w in enumerate(weights) if (a ^ b) >> i & 1)
    for metric in (True, False):
        table = random_table(generator, 3, metric)
        yield TransitionCost.from_table(table), lambda a, b, table=table: int(table[a, b])
    yield TransitionCost.flips(3), lambda a, b: (a ^ b).bit_count()


@pytest.mark.parametrize("seed", SEEDS)
def test_costs_are_sums_over_lanes_and_cycles(seed: int) -> None:
    generator = np.random.default_rng(seed)
    words = generator.integers(0, 8, size=(7, 3), dtype=np.uint8)
    for cost, step in costs(generator):
        assert cost.along(words) == plain(words, step)
        expected = [[plain(words[[i, j]], step) for j in range(7)] for i in range(7)]
        assert cost.distances(words).tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_paths_are_the_cheapest_by_brute_force(seed: int) -> None:
    """Equal rows are among them; where a detour may be cheaper they need not lie side by side."""
    generator = np.random.default_rng(seed)
    words = generator.integers(0, 8, size=(6, 2), dtype=np.uint8)
    words[1] = words[0]
    for cost, step in costs(generator):
        best = min(plain(words[list(order)], step) for order in permutations(range(6)))
        found = shortest_word_path(words, cost=cost)
        assert sorted(found.order) == list(range(6))
        assert found.flips == plain(words[found.order], step) == best
        assert found.lower_bound <= best
        assert found.natural_flips == plain(words, step)
        (same,) = order_segments([words], cost=cost)
        assert same.flips == best


def test_rows_that_are_equal_may_be_apart_where_detours_are_cheaper() -> None:
    table = np.array([[0, 1, 9, 0], [1, 0, 1, 0], [9, 1, 0, 0], [0, 0, 0, 0]])
    cost = TransitionCost.from_table(table)
    assert not cost.is_metric
    words = np.array([[0], [3], [2], [3], [1]], dtype=np.uint8)
    assert shortest_word_path(words, cost=cost).flips == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_flips_as_a_cost_are_flips(seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 256, size=(40, 5), dtype=np.uint8)
    plain_path, costed = shortest_word_path(words), shortest_word_path(words, cost=TransitionCost.flips(8))
    assert plain_path.order.tolist() == costed.order.tolist()
    assert TransitionCost.flips(8).along(words) == stream_flips(words)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_metric_is_known_by_its_triangles(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for metric in (True, False):
        table = random_table(generator, 2, metric)
        triangles = all(table[a, c] <= table[a, b] + table[b, c] for a, b, c in product(range(4), repeat=3))
        assert TransitionCost.from_table(table).is_metric == triangles


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mean_per_flip_is_that_over_all_pairs_of_codes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    pairs = list(product(range(8), repeat=2))
    for cost, step in costs(generator):
        expected = sum(step(a, b) for a, b in pairs) / sum((a ^ b).bit_count() for a, b in pairs)
        assert cost.mean_per_flip == pytest.approx(expected, rel=1e-12)


def test_equal_costs_are_equal_objects() -> None:
    flips = [[0, 1], [1, 0]]
    assert TransitionCost.per_bit([2, 3]) == TransitionCost.per_bit([2, 3])
    assert len({TransitionCost.per_bit([2, 3]), TransitionCost.per_bit([2, 3]), TransitionCost.from_table(flips)}) == 2
    assert TransitionCost.flips(2) != TransitionCost.flips(3)
    assert TransitionCost.per_bit([2, 3]) != TransitionCost.per_bit([3, 2])
    assert TransitionCost.from_table(flips) != TransitionCost.from_table([[0, 2], [2, 0]])
    assert TransitionCost.flips(1) != "flips"


def test_costs_cannot_be_changed_afterwards() -> None:
    given = np.array([1, 2])
    cost = TransitionCost.per_bit(given)
    given[0] = 9
    assert cost.bit_costs.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        cost.bit_costs[0] = 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TransitionCost.per_bit([]), r"expected 1 to 16 integers, got shape \(0,\)"),
        (lambda: TransitionCost.from_table([]), r"a power of two, got shape \(0,\)"),
        (lambda: TransitionCost.per_bit([1] * 17), "costs of bits: expected 1 to 16 integers"),
        (lambda: TransitionCost.per_bit([0.5]), "expected integers from 0 to 32768, got float64"),
        (lambda: TransitionCost.per_bit([-1]), "expected integers from 0"),
        (lambda: TransitionCost.per_bit([1 << 16]), "expected integers from 0 to 32768"),
        (lambda: TransitionCost.from_table([[0, 1, 2]] * 3), "a power of two, got shape"),
        (lambda: TransitionCost.from_table([[0, 1], [2, 0]]), "expected a symmetric one"),
        (lambda: TransitionCost.from_table([[1, 1], [1, 0]]), "zeros on its diagonal"),
        (lambda: TransitionCost.from_table([0, 1]), "got shape"),
        (lambda: TransitionCost.flips(2).along(np.array([[4]], np.uint8)), "expected codes of 2 bits, got 4"),
    ],
)
def test_costs_that_cannot_be_used(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
