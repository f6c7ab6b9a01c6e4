"""Orders under other costs than flips: against brute force and plain sums."""

from __future__ import annotations

from itertools import pairwise, permutations, product

import numpy as np
import pytest

from fewflips.errors import InputError
from fewflips.ordering import order_segments, path_cover_bound, shortest_word_path
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


def cheapest_chains(words: np.ndarray, step, chains: int) -> int:
    """Every order of the rows, cut in every way."""
    if chains >= len(words):
        return 0
    apart = np.array([[plain(words[[i, j]], step) for j in range(len(words))] for i in range(len(words))])
    return min(
        sum(sorted(int(apart[i, j]) for i, j in pairwise(order))[: len(words) - chains])
        for order in permutations(range(len(words)))
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_no_chains_are_cheaper_than_their_bound(seed: int) -> None:
    generator = np.random.default_rng(seed)
    words = generator.integers(0, 8, size=(6, 2), dtype=np.uint8)
    words[4] = words[2]
    for cost, step in costs(generator):
        for chains in (1, 2, 3, 5, 6, 8):
            best = cheapest_chains(words, step, chains)
            for target in (best, 2 * best + 3):
                assert 0 <= path_cover_bound(words, chains, target, cost=cost) <= best
            assert cost.spread(words, chains) <= best


def test_a_bound_of_chains_meets_the_cheapest_ones() -> None:
    cost, pairs = TransitionCost.per_bit([2, 9, 4]), np.array([[0b000], [0b001], [0b110], [0b111]], dtype=np.uint8)
    # two chains of one flip of the lowest bit each; as one path, the step between them costs 13 more
    assert [path_cover_bound(pairs, chains, 17, cost=cost) for chains in (1, 2, 3, 4)] == [17, 4, 2, 0]


@pytest.mark.parametrize("chains", [1, 2, 8, 30])
def test_bounds_of_long_chains_are_close_to_what_cutting_a_path_costs(chains: int) -> None:
    """The chains are found, not given: no solver of anybody else's is asked."""
    cost = TransitionCost.per_bit([58, 57, 64, 66, 63, 60, 60, 100])
    words = np.random.default_rng(0).integers(0, 256, size=(120, 8), dtype=np.uint8)
    path = shortest_word_path(words, cost=cost)
    steps = np.sort([cost.along(words[[i, j]]) for i, j in pairwise(path.order)])
    reached = int(steps[: len(words) - chains].sum())
    assert 0.95 * reached < path_cover_bound(words, chains, reached, cost=cost) <= reached


@pytest.mark.parametrize("seed", SEEDS)
def test_a_multiple_of_a_cost_has_its_orders_and_proves_as_much(seed: int) -> None:
    """Costs are multiples of 10 where every bit's is, so that a bound may be rounded up to the next one."""
    words = np.random.default_rng(seed).integers(0, 256, size=(14, 2), dtype=np.uint8)
    for bits in ([1] * 8, [3, 1, 4, 1, 5, 9, 2, 6]):
        once = shortest_word_path(words, cost=TransitionCost.per_bit(bits))
        tenfold = TransitionCost.per_bit([10 * bit for bit in bits])
        found = shortest_word_path(words, cost=tenfold)
        assert found.order.tolist() == once.order.tolist()
        expected = [10 * once.flips, 10 * once.lower_bound, 10 * once.natural_flips]
        assert [found.flips, found.lower_bound, found.natural_flips] == expected
        bound = path_cover_bound(words, 3, 40, cost=TransitionCost.per_bit(bits))
        assert path_cover_bound(words, 3, 400, cost=tenfold) == 10 * bound


def test_units_of_costs() -> None:
    assert TransitionCost.per_bit([0, 6, 9]).unit == 3
    assert TransitionCost.per_bit([0, 6, 9]).in_units == TransitionCost.per_bit([0, 2, 3])
    table = TransitionCost.from_table([[0, 8], [8, 0]])
    assert (table.unit, table.in_units) == (8, TransitionCost.from_table([[0, 1], [1, 0]]))
    nothing = TransitionCost.per_bit([0, 0])
    assert (nothing.unit, nothing.in_units) == (1, nothing)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reach", [1, 3])
def test_rows_too_many_to_tabulate_are_ordered_in_blocks(seed: int, reach: int, monkeypatch) -> None:
    generator = np.random.default_rng(seed)
    words = generator.integers(0, 8, size=(6, 1), dtype=np.uint8)
    for cost, step in costs(generator):
        if cost.is_flips:
            continue
        best = [cheapest_chains(words, step, chains) for chains in (1, 2)]
        with monkeypatch.context() as patch:
            patch.setattr("fewflips.ordering.metric.MATRIX_ROWS", reach)
            found = shortest_word_path(words, cost=cost)
            assert sorted(found.order) == list(range(6))
            assert found.flips == plain(words[found.order], step)
            assert found.lower_bound <= best[0] <= found.flips
            assert path_cover_bound(words, 2, best[1], cost=cost) <= best[1]


def test_the_bound_of_too_many_rows_counts_those_that_differ_at_a_cost(monkeypatch) -> None:
    monkeypatch.setattr("fewflips.ordering.metric.MATRIX_ROWS", 1)
    words = np.array([[0b000], [0b011], [0b100], [0b111], [0b100]], dtype=np.uint8)
    assert path_cover_bound(words, 1, 99, cost=TransitionCost.per_bit([7, 4, 5])) == 3 * 4
    assert path_cover_bound(words, 2, 99, cost=TransitionCost.per_bit([7, 4, 5])) == 2 * 4
    assert path_cover_bound(words, 1, 99, cost=TransitionCost.per_bit([7, 4, 0])) == 4
    assert path_cover_bound(words, 1, 99, cost=TransitionCost.per_bit([0, 0, 0])) == 0
    # 0 and 1 are apart by a detour alone, 0 - 2 - 1, which costs nothing
    detour = TransitionCost.from_table([[0, 9, 0, 5], [9, 0, 0, 5], [0, 0, 0, 5], [5, 5, 5, 0]])
    assert path_cover_bound(np.array([[0], [1], [2], [3]], np.uint8), 1, 99, cost=detour) == 5
    assert shortest_word_path(words, cost=TransitionCost.per_bit([7, 4, 5])).lower_bound == 3 * 4


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
