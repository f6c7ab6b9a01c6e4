"""Lower bounds: minimum 1-trees under node potentials, raised by subgradient ascent.

A Hamiltonian path of N nodes is a tour of N + 1 nodes, the last one a dummy at distance 0 from all. Every
tour is a 1-tree: a spanning tree of the N real nodes and two edges of the dummy. Adding p[i] + p[j] to the
cost of each edge lengthens every path by the same 2 sum(p), so for any potentials p

    minimum 1-tree under p  -  2 sum(p)  <=  shortest path.

Held and Karp, *The traveling-salesman problem and minimum spanning trees* (Oper. Res. 18, 1970; Math.
Program. 1, 1971). Potentials are integers, in units of 2 ** -FRACTION_BITS flips, so the bound is exact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.metric import FRACTION_BITS, INFINITE, UNIT, distance, edge_cost

MOMENTUM = 0.9  # share of the last direction that is kept; measured better than 0, 0.4 and 0.7
STEP_DECAY = 0.6  # of the step factor, after some iterations without a better bound:
PATIENCE = (5, 30)  # a twentieth of all iterations, within these limits


class Tree(NamedTuple):
    """A spanning tree of the N real nodes; node `order[0]` is its root."""

    parent: NDArray[np.int32]  # (N,), -1 at the root
    order: NDArray[np.int32]  # (N,), parents before children
    cost: NDArray[np.int64]  # (N,), of the edge to the parent


class Neighbours(NamedTuple):
    """For each node, and in row N for the dummy, its best partners, best first."""

    node: NDArray[np.int32]  # (N + 1, k)
    cost: NDArray[np.int64]  # (N + 1, k), under the potentials


class Graph(NamedTuple):
    """Some edges of the complete graph: those of node i lie at start[i] ... stop[i] - 1, in both directions."""

    start: NDArray[np.int32]  # (N,)
    stop: NDArray[np.int32]  # (N,)
    node: NDArray[np.int32]
    length: NDArray[np.int64]  # without potentials


def flips_of(value: int) -> int:
    """The least whole number of flips that is not below `value` (in units of 2 ** -FRACTION_BITS flips)."""
    return max(0, -(-int(value) >> FRACTION_BITS))


@compiled
def spanning_tree(source: Any, potentials: NDArray[np.int64]) -> Any:
    """A minimum spanning tree of the complete graph, in O(N^2) (Prim 1957)."""
    n = potentials.size
    cost = np.full(n, INFINITE)
    parent = np.full(n, -1, np.int32)
    order = np.zeros(n, np.int32)
    rest = np.arange(1, n).astype(np.int32)
    left = n - 1
    joined = 0
    for step in range(1, n):
        nearest = INFINITE
        chosen = 0
        base = potentials[joined]
        for r in range(left):
            node = rest[r]
            reach = (distance(source, joined, node) << FRACTION_BITS) + potentials[node] + base
            if reach < cost[node]:
                cost[node] = reach
                parent[node] = joined
            if cost[node] < nearest:
                nearest = cost[node]
                chosen = r
        joined = rest[chosen]
        order[step] = joined
        left -= 1
        rest[chosen] = rest[left]
    cost[0] = 0
    return Tree(parent, order, cost)


@compiled
def two_smallest(values: NDArray[np.int64]) -> Any:
    """Positions of the smallest and the next value; the dummy's two edges end there."""
    first, second = (0, 1) if values[0] <= values[1] else (1, 0)
    for i in range(2, values.size):
        if values[i] < values[first]:
            first, second = i, first
        elif values[i] < values[second]:
            second = i
    return first, second


@compiled
def dual_value(potentials: NDArray[np.int64], tree: Any) -> int:
    """The bound that a minimum spanning tree of the complete graph certifies, in 2 ** -FRACTION_BITS flips."""
    first, second = two_smallest(potentials)
    return tree.cost.sum() + potentials[first] + potentials[second] - 2 * potentials.sum()


@compiled
def path_maxima(tree: Any, node: int, largest: NDArray[np.int64], mark: NDArray[np.int32]) -> None:
    """largest[j]: the most expensive tree edge between `node` and j (Helsgaun, EJOR 126, 2000, section 4.1).

    `mark` is scratch, never holding `node` on entry.
    """
    mark[node] = node
    largest[node] = -INFINITE
    below = node
    while tree.parent[below] >= 0:
        above = tree.parent[below]
        largest[above] = max(largest[below], tree.cost[below])
        mark[above] = node
        below = above
    for j in tree.order:
        if mark[j] != node:
            largest[j] = max(largest[tree.parent[j]], tree.cost[j])


@compiled
def nearest_neighbours(source: Any, potentials: NDArray[np.int64], tree: Any, k: int) -> Any:
    """The k partners of each node of least alpha, ties by cost (Helsgaun, EJOR 126, 2000).

    The alpha of an edge is what it adds to the minimum 1-tree when it is forced in. O(N^2).
    """
    n = potentials.size
    k = min(k, n)
    node = np.empty((n + 1, k), np.int32)
    cost = np.empty((n + 1, k), np.int64)
    alpha = np.empty(k, np.int64)
    largest = np.empty(n, np.int64)
    mark = np.full(n, -1, np.int32)
    _, second = two_smallest(potentials)
    for i in range(n):
        path_maxima(tree, i, largest, mark)
        filled = 0
        for j in range(n + 1):
            if j == i:
                continue
            reach = edge_cost(source, potentials, i, j)
            extra = reach - largest[j] if j < n else max(potentials[i] - potentials[second], 0)
            if filled == k:
                if extra > alpha[k - 1] or (extra == alpha[k - 1] and reach >= cost[i, k - 1]):
                    continue
                filled -= 1
            slot = filled
            while slot and (alpha[slot - 1] > extra or (alpha[slot - 1] == extra and cost[i, slot - 1] > reach)):
                alpha[slot], cost[i, slot], node[i, slot] = alpha[slot - 1], cost[i, slot - 1], node[i, slot - 1]
                slot -= 1
            alpha[slot], cost[i, slot], node[i, slot] = extra, reach, j
            filled += 1
    cheapest = np.argsort(potentials)
    for slot in range(k):
        node[n, slot] = cheapest[slot]
        cost[n, slot] = potentials[cheapest[slot]]
    return Neighbours(node, cost)


@compiled
def sparse_graph(source: Any, neighbours: Any, tree: Any) -> Any:
    """The edges of a spanning tree and of neighbour lists, each once; connected because the tree is."""
    n, k = neighbours.node.shape
    n -= 1
    room = np.zeros(n + 1, np.int32)
    for i in range(n):
        for slot in range(k + 1):
            j = neighbours.node[i, slot] if slot < k else tree.parent[i]
            if 0 <= j < n:
                room[i + 1] += 1
                room[j + 1] += 1
    start = np.cumsum(room).astype(np.int32)
    stop = start[:n].copy()
    node = np.empty(start[n], np.int32)
    length = np.zeros(start[n], np.int64)
    for i in range(n):
        for slot in range(k + 1):
            j = neighbours.node[i, slot] if slot < k else tree.parent[i]
            if j < 0 or j == n or np.any(node[start[i] : stop[i]] == j):
                continue
            away = distance(source, i, j) << FRACTION_BITS
            node[stop[i]], length[stop[i]] = j, away
            node[stop[j]], length[stop[j]] = i, away
            stop[i] += 1
            stop[j] += 1
    return Graph(start[:n].copy(), stop, node, length)


class OneTree(NamedTuple):
    """A minimum 1-tree of a sparse graph, and the scratch to compute it."""

    degree: NDArray[np.int64]  # (N,), counting the dummy's two edges
    parent: NDArray[np.int32]  # (N,)
    cost: NDArray[np.int64]  # (N,), of the edge to the parent
    heap: NDArray[np.int32]  # (N,)
    place: NDArray[np.int32]  # (N,), in the heap; OUTSIDE or INSIDE the tree


OUTSIDE = -1
INSIDE = -2


@compiled
def new_one_tree(n: int) -> Any:
    """Room for the 1-trees of n nodes."""
    return OneTree(
        np.empty(n, np.int64),
        np.empty(n, np.int32),
        np.empty(n, np.int64),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
    )


@compiled
def sift_up(one: Any, slot: int, node: int) -> None:
    """Put `node` into the heap at `slot` or above it."""
    cost = one.cost[node]
    while slot > 0:
        above = (slot - 1) >> 1
        other = one.heap[above]
        if one.cost[other] <= cost:
            break
        one.heap[slot] = other
        one.place[other] = slot
        slot = above
    one.heap[slot] = node
    one.place[node] = slot


@compiled
def sift_down(one: Any, size: int, node: int) -> None:
    """Put `node` into a heap of `size` entries whose first place is free."""
    cost = one.cost[node]
    slot = 0
    while True:
        below = 2 * slot + 1
        if below >= size:
            break
        if below + 1 < size and one.cost[one.heap[below + 1]] < one.cost[one.heap[below]]:
            below += 1
        other = one.heap[below]
        if one.cost[other] >= cost:
            break
        one.heap[slot] = other
        one.place[other] = slot
        slot = below
    one.heap[slot] = node
    one.place[node] = slot


@compiled
def minimum_one_tree(graph: Any, potentials: NDArray[np.int64], one: Any) -> int:
    """Fill `one` with a minimum 1-tree of a connected sparse graph; returns its value as a bound.

    The value bounds the paths of this graph only. O(E log N).
    """
    n = potentials.size
    one.cost[:] = INFINITE
    one.place[:] = OUTSIDE
    one.degree[:] = 0
    joined = 0
    one.parent[0] = -1
    size = 0
    total = -2 * potentials.sum()
    for _ in range(n - 1):
        one.place[joined] = INSIDE
        base = potentials[joined]
        for a in range(graph.start[joined], graph.stop[joined]):
            node = graph.node[a]
            if one.place[node] == INSIDE:
                continue
            reach = graph.length[a] + potentials[node] + base
            if reach < one.cost[node]:
                one.cost[node] = reach
                one.parent[node] = joined
                slot = one.place[node]
                if slot == OUTSIDE:
                    slot = size
                    size += 1
                sift_up(one, slot, node)
        joined = one.heap[0]
        size -= 1
        if size:
            sift_down(one, size, one.heap[size])
        total += one.cost[joined]
        one.degree[joined] += 1
        one.degree[one.parent[joined]] += 1
    first, second = two_smallest(potentials)
    one.degree[first] += 1
    one.degree[second] += 1
    return total + potentials[first] + potentials[second]


@compiled
def cut_into_chains(one: Any, potentials: NDArray[np.int64], chains: int) -> Any:
    """Turn a 1-tree into the minimum relaxation of a cover by `chains` paths; returns what its value gains.

    The dummy is visited once per chain: `chains` - 1 more of its edges on each side, at most two to a node, and
    as many of the most expensive tree edges fewer (forests are a matroid, so no other forest is cheaper).
    """
    change = np.int64(0)
    one.cost[0] = -INFINITE
    for node in np.argsort(-one.cost)[: chains - 1]:
        change -= one.cost[node]
        one.degree[node] -= 1
        one.degree[one.parent[node]] -= 1
    first, second = two_smallest(potentials)
    one.degree[first] -= 1
    one.degree[second] -= 1
    change -= potentials[first] + potentials[second]
    cheapest = np.argsort(potentials)
    for k in range(2 * chains):
        change += potentials[cheapest[k // 2]]
        one.degree[cheapest[k // 2]] += 1
    return change


@compiled
def ascend(
    graph: Any, potentials: NDArray[np.int64], target: int, iterations: int, chains: int = 1
) -> NDArray[np.int64]:
    """Potentials with a higher bound, by subgradient steps on a sparse graph.

    Step length as in Held, Wolfe, Crowder, *Validation of subgradient optimization* (Math. Program. 6,
    1974), with `target` (flips) as the estimate of the optimum; direction damped as in Volgenant and Jonker,
    *A branch and bound algorithm for the symmetric TSP* (EJOR 9, 1982). Potentials are rounded to integers
    and kept within four times the longest edge, so that no sum overflows.
    """
    n = potentials.size
    limit = 4 * max(UNIT, graph.length.max())
    goal = target << FRACTION_BITS
    here = potentials.copy()
    best = potentials.copy()
    best_value = -INFINITE
    direction = np.zeros(n)
    one = new_one_tree(n)
    factor = 1.0
    waited = 0
    patience = min(PATIENCE[1], max(PATIENCE[0], iterations // 20))
    for _ in range(iterations):
        value = minimum_one_tree(graph, here, one)
        if chains > 1:
            value += cut_into_chains(one, here, chains)
        waited += 1
        if value > best_value:
            best_value = value
            best = here.copy()
            waited = 0
        if waited == patience:
            factor *= STEP_DECAY
            waited = 0
        norm = 0.0
        for i in range(n):
            direction[i] = one.degree[i] - 2 + MOMENTUM * direction[i]
            norm += direction[i] * direction[i]
        if norm == 0.0 or value > goal - UNIT:
            break
        step = factor * (goal - value) / norm
        for i in range(n):
            here[i] = min(limit, max(-limit, here[i] + np.int64(np.rint(step * direction[i]))))
    return best
