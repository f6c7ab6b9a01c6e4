"""Bounds: never above the optimum, whatever the potentials, cuts and branches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.ordering import Effort, shortest_path, shortest_word_path
from fewflips.ordering.bound import (
    ascend,
    dual_value,
    flips_of,
    nearest_neighbours,
    spanning_tree,
    sparse_graph,
)
from fewflips.ordering.branch import BranchAndBound
from fewflips.ordering.metric import UNIT, source_of_distances
from tests.ordering import reference
from tests.property_settings import examples


def test_flips_of_rounds_up() -> None:
    assert [flips_of(value) for value in (-5, 0, 1, UNIT, UNIT + 1)] == [0, 0, 1, 1, 2]


def test_spanning_tree_by_hand() -> None:
    # A square of sides 1, 2, 3, 4 and diagonals 9: the tree is 1 + 2 + 3.
    square = np.array([[0, 1, 9, 4], [1, 0, 2, 9], [9, 2, 0, 3], [4, 9, 3, 0]])
    potentials = np.zeros(4, np.int64)
    tree = spanning_tree(source_of_distances(square), potentials)
    assert tree.cost.sum() == 6 * UNIT
    assert dual_value(potentials, tree) == 6 * UNIT


def test_star_needs_potentials() -> None:
    # The spanning tree is the star, 3 flips, and a path takes 4; half a flip at the centre closes the gap.
    star = source_of_distances(np.array([[0, 1, 1, 1], [1, 0, 2, 2], [1, 2, 0, 2], [1, 2, 2, 0]]))
    potentials = np.zeros(4, np.int64)
    assert dual_value(potentials, spanning_tree(star, potentials)) == 3 * UNIT
    potentials[0] = UNIT
    assert dual_value(potentials, spanning_tree(star, potentials)) == 4 * UNIT


def test_alpha_of_neighbours_by_hand() -> None:
    # On a line 0 - 1 - 2 - 3 the tree edges and the dummy's edges to both ends have alpha 0.
    line = source_of_distances(np.abs(np.arange(4)[:, None] - np.arange(4)))
    potentials = np.array([-1, 0, 0, -1])
    neighbours = nearest_neighbours(line, potentials, spanning_tree(line, potentials), 2)
    assert [sorted(row) for row in neighbours.node.tolist()] == [[1, 4], [0, 2], [1, 3], [2, 4], [0, 3]]


@examples(60)
@given(reference.distances(least=2, most=9), st.data())
def test_any_potentials_give_a_bound(table: np.ndarray, data: Any) -> None:
    n = len(table)
    potentials = np.array(data.draw(st.lists(st.integers(-3 * UNIT, 3 * UNIT), min_size=n, max_size=n)))
    tree = spanning_tree(source_of_distances(table), potentials)
    assert flips_of(dual_value(potentials, tree)) <= reference.held_karp(table)


@examples(12)
@given(reference.words(least=11, most=11))
def test_bound_is_below_the_optimum(words: np.ndarray) -> None:
    optimum = reference.held_karp(reference.hamming(words))
    for effort in (Effort.quick(), Effort.prove()):
        result = shortest_word_path(words, effort=effort)
        assert result.lower_bound <= optimum <= result.flips


@examples(12)
@given(reference.distances(least=11, most=11))
def test_bound_without_triangle_inequality(table: np.ndarray) -> None:
    result = shortest_path(table, effort=Effort.prove())
    assert result.lower_bound <= reference.held_karp(table) <= result.flips


def test_ascent_raises_the_bound() -> None:
    words = np.random.default_rng(0).integers(0, 256, size=(80, 8), dtype=np.uint8)
    source = source_of_distances(reference.hamming(words))
    potentials = np.zeros(80, np.int64)
    tree = spanning_tree(source, potentials)
    graph = sparse_graph(source, nearest_neighbours(source, potentials, tree, 8), tree)
    raised = ascend(graph, potentials, reference.lkh(source), 100)
    before, after = (dual_value(p, spanning_tree(source, p)) for p in (potentials, raised))
    assert before < after <= reference.lkh(source) * UNIT


@pytest.mark.parametrize("lanes", [1, 2, 8, 16])
@pytest.mark.parametrize("seed", range(5))
def test_against_lkh(seed: int, lanes: int) -> None:
    words = np.random.default_rng(seed).integers(0, 256, size=(60, lanes), dtype=np.uint8)
    theirs = reference.lkh(reference.hamming(words))
    for effort in (Effort.quick(), Effort.default(), Effort.prove()):
        result = shortest_word_path(words, effort=effort, seed=seed)
        assert result.lower_bound <= theirs
        assert not (result.proven and theirs < result.flips)
    assert result.flips <= theirs


@pytest.mark.parametrize("seed", range(20))
def test_branch_and_bound_from_a_poor_path(seed: int) -> None:
    generator = np.random.default_rng(seed)
    words = generator.integers(0, 256, size=(11, 2), dtype=np.uint8)
    table = reference.hamming(words)
    source = source_of_distances(table)
    poor = generator.permutation(11)
    search = BranchAndBound(source, np.zeros(11, np.int64), poor, reference.length(table, poor))
    bounds = [search.bound]
    while not search.closed:
        search.explore()
        bounds.append(search.bound)
    assert search.length == search.bound == reference.held_karp(table)
    assert reference.length(table, search.path) == search.length
    assert bounds == sorted(bounds)


@examples(100)
@given(reference.distances(least=5, most=8), st.data())
def test_branch_and_bound_is_exact(table: np.ndarray, data: Any) -> None:
    n = len(table)
    potentials = np.array(data.draw(st.lists(st.integers(-2 * UNIT, 2 * UNIT), min_size=n, max_size=n)))
    path = np.array(data.draw(st.permutations(range(n))))
    search = BranchAndBound(source_of_distances(table), potentials, path, reference.length(table, path))
    for _ in range(data.draw(st.integers(0, 2))):
        if not (search.closed or search.too_wide):
            search.cut()
    while not search.closed and not search.too_wide:
        search.explore()
    if search.too_wide:
        assert reference.length(table, path) == reference.held_karp(table)
    else:
        assert search.length == reference.held_karp(table) == reference.length(table, search.path)


@pytest.mark.parametrize("seed", range(20))
def test_cuts_keep_the_optimum(seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 256, size=(11, 1), dtype=np.uint8)
    table = reference.hamming(words)
    optimum = reference.held_karp(table)
    search = BranchAndBound(source_of_distances(table), np.zeros(11, np.int64), np.arange(11), optimum + 3)
    for _ in range(6):
        if search.closed or not search.cut():
            break
    assert search.bound <= optimum or search.length == optimum
