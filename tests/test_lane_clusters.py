"""Which channels share a segment: against trying every assignment and every order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest

from fewflips.errors import ToolError
from fewflips.optimization.lane_clusters import ClusterEffort, Clusters, LaneUse, cluster_channels
from fewflips.optimization.lane_clusters.arrangement import Arrangement
from fewflips.optimization.lane_clusters.likeness import likeness
from fewflips.optimization.lane_clusters.problem import Problem
from fewflips.optimization.lane_clusters.search import assigned
from fewflips.streams.transition_cost import TransitionCost
from tests.orders_by_cost import COSTS

Step = Callable[[int, int], int]


def use_of(
    channels: int, words: int, lanes: int, *, positions: int = 1, repeats: int = 1, chains: int = 1, seed: int = 0
) -> LaneUse:
    """Random codes on contiguous segments; the lanes of a channel's kernel positions lie one after the other."""
    rows = channels * positions
    codes = np.random.default_rng(seed).integers(0, 256, (rows, words)).astype(np.uint8)
    lane_of = np.arange(rows).reshape(channels, positions).T
    segments = tuple((np.arange(first, min(first + lanes, rows)), np.arange(words)) for first in range(0, rows, lanes))
    return LaneUse(repeats, 8, codes, lane_of, segments, chains)


def contents(use: LaneUse, order: np.ndarray) -> np.ndarray:
    """Codes on the lanes once channel order[p] is at position p, one channel after the other."""
    codes = use.codes.copy()
    for position, channel in enumerate(order):
        for lanes in use.lane_of:
            codes[lanes[position]] = use.codes[lanes[channel]]
    return codes


def pieces(path: list[int], chains: int) -> list[list[int]]:
    """A path cut into chains as even as can be, the longer ones first."""
    return [part.tolist() for part in np.array_split(np.array(path), chains)]


def walked(use: LaneUse, order: np.ndarray, paths: tuple[np.ndarray, ...], step: Step) -> int:
    """Cost of one inference, step by step."""
    codes, total = contents(use, order).tolist(), 0
    for (lanes, _), path in zip(use.segments, paths, strict=True):
        for part in pieces(path.tolist(), use.chains):
            total += sum(step(codes[lane][a], codes[lane][b]) for lane in lanes for a, b in pairwise(part))
    return use.repeats * total


def shortest(codes: np.ndarray, step: Step) -> int:
    """Cheapest order of the columns of codes (lanes, words)."""
    words = codes.T.tolist()
    apart = [[sum(step(a, b) for a, b in zip(one, other, strict=True)) for other in words] for one in words]
    return min(sum(apart[a][b] for a, b in pairwise(order)) for order in permutations(range(len(words))))


def partitions(channels: tuple[int, ...], size: int) -> list[list[int]]:
    """Channels in blocks of a size, in every way."""
    if len(channels) <= size:
        return [list(channels)]
    first, *rest = channels
    found = []
    for others in combinations(rest, size - 1):
        left = tuple(channel for channel in rest if channel not in others)
        found += [[first, *others, *more] for more in partitions(left, size)]
    return found


def least(uses: list[LaneUse], channels: int, lanes: int, step: Step) -> int:
    """Cheapest of all assignments and all orders."""
    known: dict[tuple[int, frozenset[int]], int] = {}

    def block_cost(number: int, block: list[int]) -> int:
        key = number, frozenset(block)
        if key not in known:
            rows = uses[number].lane_of[:, sorted(block)].T.reshape(-1)
            known[key] = uses[number].repeats * shortest(uses[number].codes[rows], step)
        return known[key]

    return min(
        sum(
            block_cost(number, order[first : first + lanes])
            for number in range(len(uses))
            for first in range(0, channels, lanes)
        )
        for order in partitions(tuple(range(channels)), lanes)
    )


def arranged(uses: list[LaneUse], order: np.ndarray, cost: TransitionCost | None = None):
    """A problem and a state of it, whose paths are natural and as good as they can be made from there."""
    problem = Problem(uses, cost)
    natural = [words for use in uses for _, words in use.segments]
    return problem, Arrangement.of(problem, order, natural, np.array([1], np.uint64))


def paths_of(state: Arrangement, uses: list[LaneUse]) -> list[tuple[np.ndarray, ...]]:
    orders = iter(state.orders)
    return [tuple(next(orders) for _ in use.segments) for use in uses]


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("seed", range(4))
def test_along_fixed_paths_the_assignment_is_the_best_of_all(cost: str, seed: int):
    transition, step = COSTS[cost]
    uses = [
        use_of(6, 5, 2, repeats=3, seed=seed),
        use_of(6, 12, 4, positions=2, seed=seed + 10),
        use_of(6, 4, 2, chains=2, repeats=2, seed=seed + 20),
    ]
    start = np.random.default_rng(seed).permutation(6)
    problem, state = arranged(uses, start, transition)
    paths = paths_of(state, uses)

    def cost_of(order: np.ndarray) -> int:
        return sum(walked(use, order, part, step) for use, part in zip(uses, paths, strict=True))

    assert state.cost == cost_of(start)
    assert state.price[start, problem.block].sum() == cost_of(start)
    best = min(cost_of(np.array(order)) for order in permutations(range(6)))
    found = assigned(problem, state)
    assert sorted(found.tolist()) == list(range(6))
    assert cost_of(found) == best


@pytest.mark.parametrize("seed", range(3))
def test_channels_that_stay_in_their_block_stay_where_they_are(seed: int):
    problem, state = arranged([use_of(8, 6, 4, seed=seed)], np.random.default_rng(seed).permutation(8))
    found = assigned(problem, state)
    stayed = [p for p in range(8) if problem.block[p] == problem.block[np.flatnonzero(found == state.channel[p])[0]]]
    assert all(found[position] == state.channel[position] for position in stayed)


def test_a_surcharge_on_where_channels_are_moves_more_of_them():
    problem, state = arranged([use_of(24, 12, 4)], np.arange(24))
    moved = [int((assigned(problem, state, surcharge) != np.arange(24)).sum()) for surcharge in (0, 0.3, 3)]
    assert moved[0] < moved[1] <= moved[2] == 24


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("seed", range(3))
def test_small_problems_are_solved_best_of_all_assignments_and_orders(cost: str, seed: int):
    transition, step = COSTS[cost]
    uses = [use_of(6, 5, 3, repeats=2, seed=seed), use_of(6, 6, 6, positions=2, seed=seed + 10)]
    found = cluster_channels(uses, cost=transition, effort=ClusterEffort.thorough(), seed=seed)
    assert found.cost == least(uses, 6, 3, step)
    check(found, uses, step)


def check(found: Clusters, uses: list[LaneUse], step: Step) -> None:
    """The cost is that of the order and the paths given, and not more than before."""
    channels = uses[0].lane_of.shape[1]
    assert sorted(found.order.tolist()) == list(range(channels))
    assert found.cost == sum(walked(use, found.order, part, step) for use, part in zip(uses, found.paths, strict=True))
    assert found.cost <= found.natural
    for use, part in zip(uses, found.paths, strict=True):
        assert [sorted(path.tolist()) for path in part] == [words.tolist() for _, words in use.segments]


@pytest.mark.parametrize("lanes", [3, 4, 5])
@pytest.mark.parametrize("cost", COSTS)
def test_positions_that_share_segments_with_others_are_counted_right(lanes: int, cost: str):
    transition, step = COSTS[cost]  # five channels of three kernel positions: lanes of a channel lie in two segments
    uses = [use_of(5, 13, lanes, positions=3, chains=3, seed=lanes), use_of(5, 12, 2, repeats=7, seed=1)]
    check(cluster_channels(uses, cost=transition, seed=2), uses, step)


@pytest.mark.parametrize("seed", range(3))
def test_equal_channels_are_brought_together(seed: int):
    generator = np.random.default_rng(seed)
    kinds = generator.integers(0, 256, (5, 24)).astype(np.uint8)
    use = use_of(20, 24, 4)
    codes = kinds[generator.permutation(np.repeat(np.arange(5), 4))]
    use = LaneUse(1, 8, codes, use.lane_of, use.segments)
    found = cluster_channels([use], seed=seed)
    for first in range(0, 20, 4):
        assert (codes[found.order[first : first + 4]] == codes[found.order[first]]).all()
    check(found, [use], COSTS["flips"][1])


def test_given_paths_are_where_the_search_begins():
    use = use_of(4, 40, 2)
    good = cluster_channels([use], effort=ClusterEffort.thorough()).paths
    nothing = ClusterEffort(assignments=0, starts=1, exchanges=0, most_words=0, heat=0, kicks=0)
    known = (tuple(np.random.default_rng(1).permutation(40) for _ in use.segments),)
    before = walked(use, np.arange(4), known[0], COSTS["flips"][1])
    again = cluster_channels([use], paths=known, effort=nothing)
    assert again.cost == again.natural <= before
    solved = cluster_channels([LaneUse(1, 8, use.codes, use.lane_of, use.segments)], paths=good, effort=nothing)
    assert solved.natural <= walked(use, np.arange(4), good[0], COSTS["flips"][1])


def test_the_same_seed_gives_the_same_and_a_stop_gives_the_natural_arrangement():
    uses = [use_of(24, 16, 4)]
    first, again, other = (cluster_channels(uses, seed=seed) for seed in (5, 5, 6))
    assert first.cost == again.cost
    assert first.order.tolist() == again.order.tolist()
    assert first.cost < first.natural
    assert other.natural == first.natural
    stopped = cluster_channels(uses, seed=5, stop=lambda: True)
    assert stopped.order.tolist() == list(range(24))
    assert stopped.cost == stopped.natural
    asked = iter([False] * 4 + [True] * 10_000)
    check(cluster_channels(uses, seed=5, stop=lambda: next(asked)), uses, COSTS["flips"][1])


def test_likeness_is_the_sum_of_squared_covariances():
    use = use_of(3, 50, 3, repeats=2)
    bits = [[[code >> bit & 1 for code in row] for bit in range(8)] for row in use.codes.tolist()]
    expected = np.zeros((3, 3))
    for a, b in permutations(range(3), 2):
        expected[a, b] = sum(np.cov(one, other, ddof=0)[0, 1] ** 2 for one in bits[a] for other in bits[b])
    found = likeness((use,), 3, np.random.default_rng(0))
    assert found == pytest.approx(expected / expected.max(), rel=1e-4)


def test_without_scipy_the_search_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ToolError, match=r"needs SciPy, which is not installed: pip install 'fewflips\[assignment\]'"):
        cluster_channels([use_of(8, 6, 2)])
