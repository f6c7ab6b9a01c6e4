"""Local search: moves keep a tour, undo restores it, and the work limit holds."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.ordering.bound import nearest_neighbours, spanning_tree
from fewflips.ordering.construct import greedy_path
from fewflips.ordering.local_search import kick, new_queue, new_tour, path_of, search, undo
from fewflips.ordering.metric import source_of_distances
from tests.ordering import reference


def instance(seed: int, n: int = 70) -> tuple:
    words = np.random.default_rng(seed).integers(0, 256, size=(n, 3), dtype=np.uint8)
    source = source_of_distances(reference.hamming(words))
    potentials = np.zeros(n, np.int64)
    return source, potentials, nearest_neighbours(source, potentials, spanning_tree(source, potentials), 8)


@pytest.mark.parametrize("seed", range(5))
def test_length_is_kept_book_of(seed: int) -> None:
    source, potentials, neighbours = instance(seed)
    path = greedy_path(source)
    tour = new_tour(path)
    state = np.array([seed], np.uint64)
    before = reference.length(source, path)
    for kicks in (0, 1, 10, 200):
        after, done = search(source, potentials, neighbours, tour, before, 0, kicks, state)
        assert done == kicks
        assert after <= before
        assert after == reference.length(source, path_of(tour))
        assert sorted(path_of(tour)) == list(range(len(source)))
        before = after


def test_stops_at_the_target() -> None:
    source, potentials, neighbours = instance(0)
    path = greedy_path(source)
    length = reference.length(source, path)
    state = np.array([0], np.uint64)
    assert search(source, potentials, neighbours, new_tour(path), length, length, 100, state) == (length, 0)


@pytest.mark.parametrize("seed", range(5))
def test_undo_restores_the_tour(seed: int) -> None:
    source, _, neighbours = instance(seed)
    tour = new_tour(greedy_path(source))
    before = tour.node.copy()
    length = reference.length(source, path_of(tour))
    state = np.array([seed], np.uint64)
    added = 0
    for _ in range(20):
        queue = new_queue(tour.node.size)
        added += kick(source, tour, neighbours, queue, state, np.empty(3, np.int64))
    assert reference.length(source, path_of(tour)) == length + added
    assert tour.node.tolist() != before.tolist()
    undo(tour)
    assert tour.node.tolist() == before.tolist()
    assert tour.node[tour.place].tolist() == list(range(tour.node.size))


@pytest.mark.parametrize("n", [8, 9, 10])
def test_smallest_tours(n: int) -> None:
    source, potentials, neighbours = instance(3, n)
    tour = new_tour(np.arange(n))
    state = np.array([1], np.uint64)
    length, _ = search(source, potentials, neighbours, tour, reference.length(source, np.arange(n)), 0, 0, state)
    length, _ = search(source, potentials, neighbours, tour, length, 0, 300, state)
    assert length == reference.length(source, path_of(tour)) == reference.held_karp(source)
