"""Many rows: exact nearest neighbours, the bound that they prove, and paths that are as good as others'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.ordering import Effort, PathResult, order_segments, shortest_word_path
from fewflips.ordering.at_size import kicks_at_size
from fewflips.ordering.bound import flips_of
from fewflips.ordering.fragments import greedy_edges_path
from fewflips.ordering.metric import FRACTION_BITS, UNIT
from fewflips.ordering.near_bound import near_dual_value
from fewflips.ordering.nearest import nearest_rows, varying_bits
from fewflips.ordering.path import Interrupted
from tests.ordering import reference
from tests.property_settings import examples


@pytest.fixture
def everything_at_size(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("fewflips.ordering.path.AT_SIZE", 10)
    return


def random_words(rows: int, lanes: int, below: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, below, size=(rows, lanes), dtype=np.uint8)


def costs(words: np.ndarray, potentials: np.ndarray) -> np.ndarray:
    """Reduced costs of all pairs, from a table."""
    return (reference.hamming(words) << FRACTION_BITS) + potentials[:, None] + potentials


def nothing() -> None:
    """No reason to stop."""


@examples(60)
@given(reference.words(most=20, lanes=11))
def test_without_constant_bits_distances_are_the_same(words: np.ndarray) -> None:
    assert np.array_equal(reference.hamming(varying_bits(words).view(np.uint8)), reference.hamming(words))


def test_lanes_of_four_bits_are_one_word_and_wide_ones_more() -> None:
    assert varying_bits(random_words(300, 16, 16, 0)).shape == (300, 1)
    assert varying_bits(random_words(300, 16, 256, 0)).shape == (300, 2)
    assert varying_bits(np.random.default_rng(0).integers(0, 1 << 16, (300, 9), np.uint16)).shape == (300, 3)


@pytest.mark.parametrize(("rows", "lanes", "k"), [(2, 3, 8), (64, 16, 5), (65, 16, 63), (200, 20, 8), (257, 4, 1)])
def test_nearest_rows_are_those_of_a_table(rows: int, lanes: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewflips.ordering.nearest.PAIRS_AT_A_TIME", 40 * rows)  # in several parts
    words = random_words(rows, lanes, 256, 1)
    potentials = np.random.default_rng(2).integers(-3 * UNIT, 3 * UNIT, rows)
    lists = nearest_rows(varying_bits(words), potentials, k, nothing)
    table = costs(words, potentials)
    assert np.array_equal(np.take_along_axis(table, lists.node.astype(np.int64), 1), lists.cost)
    np.fill_diagonal(table, np.iinfo(np.int64).max)
    assert np.array_equal(np.sort(table, axis=1)[:, : min(k, rows - 1)], lists.cost)
    assert all(len(set(row)) == len(row) for row in lists.node.tolist())


def test_ties_go_to_different_rows() -> None:
    words = np.eye(256, dtype=np.uint8)  # all pairs are 2 flips apart
    lists = nearest_rows(varying_bits(words), np.zeros(256, np.int64), 4, nothing)
    assert np.bincount(lists.node.reshape(-1), minlength=256).max() < 128


def relaxed_tree(words: np.ndarray, potentials: np.ndarray, k: int) -> int:
    """The bound by its definition: on the complete graph, edges in no list are lowered to the larger of two k-th."""
    table = costs(words, potentials)
    lists = nearest_rows(varying_bits(words), potentials, k, nothing)
    last = lists.cost[:, -1]
    listed = np.zeros(table.shape, bool)
    np.put_along_axis(listed, lists.node.astype(np.int64), True, axis=1)
    relaxed = np.where(listed | listed.T, table, np.maximum(last[:, None], last))
    inside, total = [0], 0
    while len(inside) < len(table):
        outside = np.setdiff1d(np.arange(len(table)), inside)
        reach = relaxed[np.ix_(inside, outside)]
        total += int(reach.min())
        inside.append(int(outside[reach.min(axis=0).argmin()]))
    return total + int(np.sort(potentials)[:2].sum()) - 2 * int(potentials.sum())


@examples(80)
@given(reference.words(least=3, most=9), st.data())
def test_bound_is_its_definition_and_below_every_path(words: np.ndarray, data: Any) -> None:
    n = len(words)
    potentials = np.array(data.draw(st.lists(st.integers(-9 * UNIT, 9 * UNIT), min_size=n, max_size=n)))
    k = data.draw(st.integers(1, n - 1))
    lists = nearest_rows(varying_bits(words), potentials, k, nothing)
    value = near_dual_value(lists.node, lists.cost, potentials)
    assert value == relaxed_tree(words, potentials, k)
    assert flips_of(value) <= reference.held_karp(reference.hamming(words))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_bound_of_groups_far_apart_counts_the_way_between_them(k: int) -> None:
    # Lists of two groups, 32 flips apart, do not connect them: the star does, as far as the lists reach.
    group = random_words(20, 4, 256, 3)
    words = np.vstack([np.hstack([group, np.full((20, 4), fill, np.uint8)]) for fill in (0, 255)])
    potentials = np.zeros(40, np.int64)
    lists = nearest_rows(varying_bits(words), potentials, k, nothing)
    value = near_dual_value(lists.node, lists.cost, potentials)
    assert value == relaxed_tree(words, potentials, k)
    assert value > relaxed_tree(group, potentials[:20], k)


def test_greedy_edges_by_hand() -> None:
    # Thermometer codes are a line: the greedy edges of any lists are the line.
    line = np.array([[(1 << i) - 1] for i in (0, 4, 1, 7, 2, 6, 5, 3)], np.uint8)
    lists = nearest_rows(varying_bits(line), np.zeros(8, np.int64), 2, nothing)
    path = greedy_edges_path(varying_bits(line), lists.node, lists.cost)
    assert reference.length(reference.hamming(line), path) == 7


def check(words: np.ndarray, result: PathResult) -> None:
    table = reference.hamming(words)
    assert np.array_equal(np.sort(result.order), np.arange(len(words)))
    assert result.flips == reference.length(table, result.order)
    assert result.natural_flips == reference.length(table, np.arange(len(words)))
    assert result.lower_bound <= result.flips <= result.natural_flips


@pytest.mark.usefixtures("everything_at_size")
@pytest.mark.parametrize(("rows", "lanes", "below"), [(11, 1, 256), (40, 2, 16), (150, 16, 16), (150, 16, 256)])
def test_small_instances_at_size_against_lkh(rows: int, lanes: int, below: int) -> None:
    words = random_words(rows, lanes, below, rows)
    theirs = reference.lkh(reference.hamming(words))
    for effort in (Effort.quick(), Effort.default()):
        result = shortest_word_path(words, effort=effort)
        check(words, result)
        assert result.bound_by == "nearest neighbours"
        assert 0.95 * theirs <= result.lower_bound <= theirs
        assert result.flips <= 1.03 * theirs


@pytest.mark.usefixtures("everything_at_size")
def test_what_may_branch_is_solved_from_all_distances() -> None:
    result = shortest_word_path(random_words(40, 2, 16, 1), effort=Effort.prove())
    assert result.bound_by == "1-tree"


@pytest.mark.usefixtures("everything_at_size")
@examples(25)
@given(reference.words(least=11, most=13))
def test_never_below_the_optimum_at_size(words: np.ndarray) -> None:
    result = shortest_word_path(words)
    check(words, result)
    assert result.lower_bound <= reference.held_karp(reference.hamming(words)) <= result.flips


@pytest.mark.usefixtures("everything_at_size")
def test_same_seed_gives_the_same_order_whatever_the_jobs() -> None:
    segments = [random_words(120, 16, 16, seed) for seed in range(3)]
    one, two = (order_segments(segments, seed=5, jobs=jobs) for jobs in (1, 2))
    assert [a.order.tolist() for a in one] == [b.order.tolist() for b in two]


@pytest.mark.usefixtures("everything_at_size")
def test_interruptions_at_size() -> None:
    words = random_words(100, 16, 16, 1)
    with pytest.raises(Interrupted):
        shortest_word_path(words, interrupted=lambda: True)
    for looks in range(6):
        left = iter(range(looks))
        result = shortest_word_path(words, enough=lambda left=left: next(left, None) is None)
        check(words, result)
        assert result.lower_bound <= shortest_word_path(words).flips


def test_thousands_of_rows() -> None:
    words = random_words(2100, 16, 16, 4)
    words[5] = words[2000]
    result = shortest_word_path(words)
    assert result.bound_by == "nearest neighbours"
    assert int(np.bitwise_count(words[result.order][1:] ^ words[result.order][:-1]).sum()) == result.flips
    assert result.lower_bound <= result.flips <= 1.01 * result.lower_bound
    assert abs(int(np.flatnonzero(result.order == 5)[0]) - int(np.flatnonzero(result.order == 2000)[0])) == 1
    assert shortest_word_path(words[:1900]).bound_by == "1-tree"


def test_kicks_stop_growing() -> None:
    assert [kicks_at_size(Effort.default(), rows) for rows in (4096, 8192, 10**6)] == [2048, 4096, 4096]
    assert kicks_at_size(Effort.quick(), 4096) == 0
