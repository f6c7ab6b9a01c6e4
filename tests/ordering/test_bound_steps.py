"""The steps of the bound, each against exhaustive search or a plain definition."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from fewflips.ordering.bound import (
    INSIDE,
    MOMENTUM,
    PATIENCE,
    STEP_DECAY,
    Graph,
    ascend,
    cut_into_chains,
    dual_value,
    flips_of,
    minimum_one_tree,
    nearest_neighbours,
    new_one_tree,
    path_maxima,
    sift_down,
    sift_up,
    spanning_tree,
    sparse_graph,
    two_smallest,
)
from fewflips.ordering.metric import UNIT, source_of_distances
from fewflips.streams.flips import pack_rows
from tests.ordering import reference

SEEDS = range(6)


def instance(seed: int, nodes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Distances with many ties, and potentials of both signs."""
    generator = np.random.default_rng(seed)
    upper = np.triu(generator.integers(1, 9, size=(nodes, nodes)), 1)
    return upper + upper.T, generator.integers(-2 * UNIT, 2 * UNIT, size=nodes)


def costs(table: np.ndarray, potentials: np.ndarray) -> np.ndarray:
    """Of the edges between real nodes, in the units of potentials."""
    return table * UNIT + potentials[:, None] + potentials


def least_tree(weights: np.ndarray) -> int:
    """Cost of a minimum spanning tree; infinite entries are no edges."""
    shifted = np.where(np.isfinite(weights), weights - weights.min() + 1.0, 0.0)
    tree = minimum_spanning_tree(np.triu(shifted, 1)).tocoo()
    return int(sum(weights[i, j] for i, j in zip(tree.row, tree.col, strict=True)))


def complete_graph(table: np.ndarray) -> Graph:
    return graph_of(table, [(i, j) for i, j in combinations(range(len(table)), 2)])


def graph_of(table: np.ndarray, edges: list[tuple[int, int]]) -> Graph:
    near: list[list[int]] = [[] for _ in table]
    for i, j in edges:
        near[i].append(j)
        near[j].append(i)
    stop = np.cumsum([len(nodes) for nodes in near]).astype(np.int32)
    start = np.concatenate(([0], stop[:-1])).astype(np.int32)
    node = np.array([j for nodes in near for j in nodes], dtype=np.int32)
    length = np.array([table[i, j] * UNIT for i, nodes in enumerate(near) for j in nodes], dtype=np.int64)
    return Graph(start, stop, node, length)


def plain_ascent(
    table: np.ndarray, potentials: np.ndarray, target: int, iterations: int, chains: int = 1
) -> tuple[np.ndarray, int]:
    """The docstring of `ascend`, in NumPy, where every 1-tree is unique; also how many steps were taken."""
    n = len(table)
    limit = 4 * max(UNIT, table.max() * UNIT)
    here, best, best_value = potentials.astype(np.int64), potentials.astype(np.int64), -np.inf
    direction, factor, waited, steps = np.zeros(n), 1.0, 0, 0
    patience = min(PATIENCE[1], max(PATIENCE[0], iterations // 20))
    for _ in range(iterations):
        value, degree = relaxation(table, here, chains)
        waited += 1
        if value > best_value:
            best, best_value, waited = here.copy(), value, 0
        if waited == patience:
            factor, waited = factor * STEP_DECAY, 0
        direction = degree - 2 + MOMENTUM * direction
        norm = sum(float(entry) * float(entry) for entry in direction)
        if norm == 0 or value > target * UNIT - UNIT:
            break
        step = factor * (target * UNIT - value) / norm
        here = np.clip(here + np.rint(step * direction).astype(np.int64), -limit, limit)
        steps += 1
    return best, steps


def relaxation(table: np.ndarray, potentials: np.ndarray, chains: int) -> tuple[int, np.ndarray]:
    """The minimum forest of N - chains edges and the dummy's cheapest edges, by Kruskal, and the degrees."""
    n = len(table)
    cost = costs(table, potentials)
    edges = sorted(combinations(range(n), 2), key=lambda edge: cost[edge])
    part = list(range(n))
    degree = np.zeros(n, np.int64)
    value = -2 * int(potentials.sum())
    taken = 0
    for i, j in edges:
        if part[i] != part[j] and taken < n - chains:
            part = [part[i] if label == part[j] else label for label in part]
            degree[[i, j]] += 1
            value += int(cost[i, j])
            taken += 1
    cheapest = np.argsort(potentials)
    ends = cheapest[:2] if chains == 1 else np.repeat(cheapest[:chains], 2)
    for end in ends:
        degree[end] += 1
        value += int(potentials[end])
    return value, degree


@pytest.mark.parametrize("value", [-UNIT - 1, -1, 0, 1, UNIT - 1, UNIT, UNIT + 1, 7 * UNIT])
def test_flips_of_is_the_next_whole_number(value: int) -> None:
    assert flips_of(value) == max(0, int(np.ceil(value / UNIT)))


@pytest.mark.parametrize("seed", SEEDS)
def test_spanning_tree_is_a_least_one(seed: int) -> None:
    table, potentials = instance(seed)
    tree = spanning_tree(source_of_distances(table), potentials)
    cost = costs(table, potentials)
    assert tree.cost.sum() == least_tree(cost)
    assert sorted(tree.order) == list(range(len(table)))
    assert tree.parent[tree.order[0]] == -1
    for place, node in enumerate(tree.order[1:], start=1):
        assert tree.parent[node] in tree.order[:place]
        assert tree.cost[node] == cost[node, tree.parent[node]]


def test_spanning_tree_of_packed_rows() -> None:
    words = np.random.default_rng(0).integers(0, 256, size=(9, 3), dtype=np.uint8)
    tree = spanning_tree(pack_rows(words), np.zeros(9, np.int64))
    assert tree.cost.sum() == least_tree(costs(reference.hamming(words) + np.eye(9), np.zeros(9)))


@pytest.mark.parametrize("nodes", [1, 2])
def test_trees_of_one_and_two_nodes(nodes: int) -> None:
    table = 3 * (1 - np.eye(nodes, dtype=np.int64))
    tree = spanning_tree(source_of_distances(table), np.zeros(nodes, np.int64))
    assert tree.parent.tolist() == [-1, 0][:nodes]
    assert tree.cost.tolist() == [0, 3 * UNIT][:nodes]


@pytest.mark.parametrize("values", [(1, 2), (2, 1), (1, 1), (3, 1, 2), (1, 3, 2), (2, 1, 1), (1, 1, 0), (5, 4, 4, 3)])
def test_two_smallest(values: tuple[int, ...]) -> None:
    first, second = two_smallest(np.array(values))
    assert first != second
    assert [values[first], values[second]] == sorted(values)[:2]
    if len(values) == 2 and values[0] == values[1]:
        assert (first, second) == (0, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_dual_value_is_tree_and_two_edges_of_the_dummy(seed: int) -> None:
    table, potentials = instance(seed)
    tree = spanning_tree(source_of_distances(table), potentials)
    expected = relaxation(table, potentials, 1)[0]
    assert dual_value(potentials, tree) == expected
    assert flips_of(expected) <= reference.brute_force(table)


def alpha(table: np.ndarray, potentials: np.ndarray, i: int, j: int) -> int:
    """What forcing an edge adds to the minimum 1-tree, by the definition; the dummy is node n."""
    n = len(table)
    if j == n:
        least = sum(sorted(potentials)[:2])
        others = [potentials[k] for k in range(n) if k != i]
        return int(potentials[i] + min(others) - least)
    cost = costs(table, potentials).astype(float)
    before = least_tree(cost)
    forced = cost.copy()
    forced[i, j] = forced[j, i] = cost.min() - 10 * UNIT
    return int(least_tree(forced) - forced[i, j] + cost[i, j] - before)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lowered", [0, 10 * UNIT])
def test_path_maxima_are_the_costliest_edges_between(seed: int, lowered: int) -> None:
    """Also where every edge costs less than nothing."""
    table, potentials = instance(seed)
    potentials = potentials - lowered
    tree = spanning_tree(source_of_distances(table), potentials)
    cost = costs(table, potentials)
    mark, largest = np.full(7, -1, np.int32), np.zeros(7, np.int64)
    for i in range(7):
        path_maxima(tree, i, largest, mark)
        for j in range(7):
            if i != j:
                assert cost[i, j] - largest[j] == alpha(table, potentials, i, j)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("unit", [1, UNIT])
def test_neighbours_are_those_of_least_alpha(seed: int, k: int, unit: int) -> None:
    """Where potentials are whole flips, many partners have the same alpha, and some of these the same cost."""
    table, potentials = instance(seed)
    potentials -= potentials % unit
    source = source_of_distances(table)
    found = nearest_neighbours(source, potentials, spanning_tree(source, potentials), k)
    cost = np.vstack([np.hstack([costs(table, potentials), potentials[:, None]]), [*potentials, 0]])
    width = min(k, 7)
    assert found.node.shape == found.cost.shape == (8, width)
    for i in range(7):
        ranked = sorted((alpha(table, potentials, i, j), int(cost[i, j])) for j in range(8) if j != i)
        chosen = [(alpha(table, potentials, i, j), int(cost[i, j])) for j in found.node[i]]
        assert len(set(found.node[i])) == width
        assert chosen == ranked[:width]
        assert found.cost[i].tolist() == [value for _, value in chosen]
    assert found.cost[7].tolist() == sorted(potentials)[:width]
    assert [potentials[j] for j in found.node[7]] == found.cost[7].tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_sparse_graph_has_each_edge_once_at_both_ends(seed: int) -> None:
    table, potentials = instance(seed, nodes=9)
    source = source_of_distances(table)
    tree = spanning_tree(source, potentials)
    neighbours = nearest_neighbours(source, potentials, tree, 3)
    graph = sparse_graph(source, neighbours, tree)
    wanted = {(i, int(j)) for i in range(9) for j in [*neighbours.node[i], tree.parent[i]] if 0 <= j < 9}
    wanted |= {(j, i) for i, j in wanted}
    found = [(i, int(graph.node[a])) for i in range(9) for a in range(graph.start[i], graph.stop[i])]
    assert sorted(found) == sorted(wanted)
    for i in range(9):
        for a in range(graph.start[i], graph.stop[i]):
            assert graph.length[a] == table[i, graph.node[a]] * UNIT
    matrix = np.zeros((9, 9))
    matrix[tuple(zip(*found, strict=True))] = 1
    assert connected_components(matrix)[0] == 1


def test_sparse_graph_without_neighbours_among_the_nodes_is_the_tree() -> None:
    # Two nodes far below all others in potential: the dummy is the best partner of everyone.
    table = np.full((4, 4), 9) - 9 * np.eye(4, dtype=np.int64)
    source = source_of_distances(table)
    potentials = np.zeros(4, np.int64)
    tree = spanning_tree(source, potentials)
    neighbours = nearest_neighbours(source, potentials, tree, 1)
    graph = sparse_graph(source, neighbours, tree)
    assert (neighbours.node[:4] == 4).all()
    assert (graph.stop - graph.start).sum() == 2 * 3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("nodes", [2, 3, 8])
def test_one_tree_of_the_complete_graph(seed: int, nodes: int) -> None:
    table, potentials = distinct_instance(seed, nodes)
    one = new_one_tree(nodes)
    value, degree = relaxation(table, potentials, 1)
    for _ in range(2):  # what the last one left behind does not matter
        assert minimum_one_tree(complete_graph(table), potentials, one) == value
        assert one.degree.tolist() == degree.tolist()
        assert (one.place[one.parent[1:]] == INSIDE).all()
        assert one.parent[0] == -1
        cost = costs(table, potentials)
        assert [one.cost[i] == cost[i, one.parent[i]] for i in range(1, nodes)] == [True] * (nodes - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_tree_of_a_sparse_graph(seed: int) -> None:
    table, potentials = instance(seed, nodes=9)
    generator = np.random.default_rng(seed)
    edges = {(i, i + 1) for i in range(8)} | {(0, 8)}
    edges |= {(int(i), int(j)) for i, j in np.sort(generator.integers(0, 9, size=(8, 2))) if i != j}
    cost = costs(table, potentials).astype(float)
    masked = np.full((9, 9), np.inf)
    for i, j in edges:
        masked[i, j] = masked[j, i] = cost[i, j]
    expected = least_tree(masked) + sum(sorted(potentials)[:2]) - 2 * potentials.sum()
    assert minimum_one_tree(graph_of(table, sorted(edges)), potentials, new_one_tree(9)) == expected


def test_the_heap_keeps_the_cheapest_on_top() -> None:
    generator = np.random.default_rng(0)
    one = new_one_tree(40)
    one.cost[:] = generator.integers(0, 25, size=40)
    size = 0
    for node in generator.permutation(40):
        size += 1
        sift_up(one, size - 1, node)
        assert one.cost[one.heap[0]] == one.cost[one.heap[:size]].min()
        assert [one.place[one.heap[slot]] for slot in range(size)] == list(range(size))
    taken = []
    while size:
        taken.append(one.cost[one.heap[0]])
        size -= 1
        if size:
            sift_down(one, size, one.heap[size])
            assert [one.place[one.heap[slot]] for slot in range(size)] == list(range(size))
            assert all(one.cost[one.heap[(slot - 1) // 2]] <= one.cost[one.heap[slot]] for slot in range(1, size))
    assert taken == sorted(one.cost)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_heap_keeps_the_cheapest_on_top_while_nodes_come_and_go(seed: int) -> None:
    generator = np.random.default_rng(seed)
    one = new_one_tree(60)
    one.cost[:] = generator.integers(0, 25, size=60)
    size, waiting = 0, list(generator.permutation(60))
    while waiting:
        if size and generator.random() < 0.4:
            size -= 1
            if size:
                sift_down(one, size, one.heap[size])
        else:
            size += 1
            sift_up(one, size - 1, waiting.pop())
        assert all(one.cost[one.heap[(slot - 1) // 2]] <= one.cost[one.heap[slot]] for slot in range(1, size))


def distinct_instance(seed: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and potentials without ties, so that there is one minimum only."""
    generator = np.random.default_rng(seed)
    upper = np.zeros((nodes, nodes), dtype=np.int64)
    upper[np.triu_indices(nodes, 1)] = generator.permutation(nodes * nodes)[: nodes * (nodes - 1) // 2] + 1
    return upper + upper.T, generator.permutation(np.arange(nodes) * 97 - 200)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("chains", [2, 3, 5, 7])
def test_chains_relax_as_a_forest_and_the_dummys_edges(seed: int, chains: int) -> None:
    table, potentials = distinct_instance(seed, 8)
    one = new_one_tree(8)
    value = minimum_one_tree(complete_graph(table), potentials, one)
    value += cut_into_chains(one, potentials, chains)
    expected, degree = relaxation(table, potentials, chains)
    assert value == expected
    assert one.degree.tolist() == degree.tolist()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("chains", [1, 2, 3])
@pytest.mark.parametrize("iterations", [1, 2, 40, 130])
def test_ascent_takes_the_steps_of_its_description(seed: int, chains: int, iterations: int) -> None:
    table, potentials = distinct_instance(seed, 8)
    target = reference.length(table, np.arange(8))
    found = ascend(complete_graph(table), potentials, target, iterations, chains)
    expected, steps = plain_ascent(table, potentials, target, iterations, chains)
    assert found.tolist() == expected.tolist()
    assert steps > 0
    before, after = (relaxation(table, at, chains)[0] for at in (potentials, found))
    assert before <= after


@pytest.mark.parametrize("longest", [0, 1, 3])
def test_potentials_stay_within_four_times_the_longest_edge(longest: int) -> None:
    # A star, whose centre is worth more with every step towards a target that cannot be reached.
    star = longest * (1 - np.eye(6, dtype=np.int64))
    star[0, 1:] = star[1:, 0] = 0
    found = ascend(complete_graph(star), np.zeros(6, np.int64), 10**6, 1)
    assert found.tolist() == [0] * 6  # the best of one iteration is where it started
    found = ascend(complete_graph(star), np.zeros(6, np.int64), 10**6, 2)
    assert abs(found).max() in (0, 4 * UNIT * max(1, longest))


def test_ascent_stops_within_a_flip_of_its_target() -> None:
    table, potentials = distinct_instance(0, 8)
    value = relaxation(table, potentials, 1)[0]
    for target, moves in ((value // UNIT, False), (value // UNIT + 1, False), (value // UNIT + 2, True)):
        found: Any = ascend(complete_graph(table), potentials, target, 50)
        assert (found.tolist() != potentials.tolist()) == moves


def test_ascent_stops_at_a_path() -> None:
    line = np.abs(np.arange(5)[:, None] - np.arange(5))
    potentials = np.array([-2, -1, 0, 0, -2])
    found = ascend(complete_graph(line), potentials, 100, 50)
    assert found.tolist() == potentials.tolist()


def test_ascent_ends_where_the_one_tree_is_a_path() -> None:
    """No direction is left to go, however far the target is: the bound is the optimum."""
    places = np.array([0, 9, 2, 5, 7])  # the dummy joins the first two, the ends of the line
    table = np.abs(places[:, None] - places)
    with np.errstate(all="raise"):
        found = ascend(complete_graph(table), np.zeros(5, np.int64), 100, 30)
    assert found.tolist() == [0] * 5
