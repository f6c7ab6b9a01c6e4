"""The few edges that may be in a shorter path, and minimum 1-trees in which some are decided."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.bound import INSIDE, OUTSIDE, path_maxima, sift_down, sift_up, two_smallest
from fewflips.ordering.metric import FRACTION_BITS, INFINITE, distance, edge_cost

MOST_EDGES = 40  # per node; with more, the gap is too wide for branching to close

FREE = 0
IN = 1
OUT = -1

FORCE = 1 << 58  # subtracted from the costs of forced edges where they are compared


class CandidateGraph(NamedTuple):
    """Edges of a sparse graph with arcs in both directions. Node n is the dummy."""

    start: NDArray[np.int32]  # (n + 2,), of each node's arcs
    other: NDArray[np.int32]  # (2 m,), far node of an arc
    edge: NDArray[np.int32]  # (2 m,), edge of an arc
    u: NDArray[np.int32]  # (m,)
    v: NDArray[np.int32]  # (m,), n for the dummy
    length: NDArray[np.int64]  # (m,), without potentials, in 2 ** -FRACTION_BITS flips


class Scratch(NamedTuple):
    """A 1-tree of a network, and the lengths under which it was found."""

    degree: NDArray[np.int64]  # (n,)
    parent: NDArray[np.int32]  # (n,)
    link: NDArray[np.int32]  # (n + 2,), edge to the parent; the dummy's two edges at n and n + 1
    cost: NDArray[np.int64]  # (n,), of the edge to the parent, less FORCE if forced
    heap: NDArray[np.int32]  # (n,)
    place: NDArray[np.int32]  # (n + 1,)
    order: NDArray[np.int32]  # (n,)
    length: NDArray[np.int64]  # (m,)


@compiled
def surviving_edges(source: Any, potentials: NDArray[np.int64], tree: Any, slack: int) -> Any:
    """Ends of the edges whose alpha is at most `slack`; the second end is N for the dummy. O(N^2).

    Empty if there would be more than MOST_EDGES per node.
    """
    n = potentials.size
    largest = np.empty(n, np.int64)
    mark = np.full(n, -1, np.int32)
    _, second = two_smallest(potentials)
    u = np.empty(MOST_EDGES * n, np.int32)
    v = np.empty(MOST_EDGES * n, np.int32)
    m = 0
    for i in range(n):
        path_maxima(tree, i, largest, mark)
        for j in range(i + 1, n + 1):
            base = largest[j] if j < n else potentials[second]
            if edge_cost(source, potentials, i, j) - base <= slack:
                if m == u.size:
                    return u[:0].copy(), v[:0].copy()
                u[m] = i
                v[m] = j
                m += 1
    return u[:m].copy(), v[:m].copy()


@compiled
def new_network(source: Any, u: NDArray[np.int32], v: NDArray[np.int32]) -> Any:
    """The network of some edges."""
    n = source.shape[0]
    m = u.size
    start = np.zeros(n + 2, np.int32)
    for e in range(m):
        start[u[e] + 1] += 1
        start[v[e] + 1] += 1
    start = np.cumsum(start).astype(np.int32)
    filled = start.copy()
    other = np.empty(2 * m, np.int32)
    edge = np.empty(2 * m, np.int32)
    length = np.empty(m, np.int64)
    for e in range(m):
        length[e] = distance(source, u[e], v[e]) << FRACTION_BITS if v[e] < n else 0
        for a, b in ((u[e], v[e]), (v[e], u[e])):
            other[filled[a]] = b
            edge[filled[a]] = e
            filled[a] += 1
    return CandidateGraph(start, other, edge, u, v, length)


@compiled
def new_scratch(net: Any) -> Any:
    """Room for the 1-trees of a network."""
    n = net.start.size - 2
    return Scratch(
        np.empty(n, np.int64),
        np.empty(n, np.int32),
        np.empty(n + 2, np.int32),
        np.empty(n, np.int64),
        np.empty(n, np.int32),
        np.empty(n + 1, np.int32),
        np.empty(n, np.int32),
        net.length.copy(),
    )


@compiled
def dummy_edges(net: Any, status: NDArray[np.int8], potentials: NDArray[np.int64], one: Any) -> Any:
    """Choose the dummy's two cheapest edges, forced ones first; returns their cost, INFINITE if there are none."""
    n = potentials.size
    first = second = INFINITE
    for a in range(net.start[n], net.start[n + 1]):
        e = net.edge[a]
        if status[e] == OUT:
            continue
        cost = one.length[e] + potentials[net.other[a]] - (FORCE if status[e] == IN else 0)
        if cost < first:
            second, one.link[n + 1] = first, one.link[n]
            first, one.link[n] = cost, e
        elif cost < second:
            second, one.link[n + 1] = cost, e
    if second == INFINITE:
        return INFINITE
    total = np.int64(0)
    for slot in range(n, n + 2):
        e = one.link[slot]
        one.degree[net.u[e]] += 1
        total += one.length[e] + potentials[net.u[e]]
    return total


@compiled
def constrained_one_tree(net: Any, status: NDArray[np.int8], potentials: NDArray[np.int64], one: Any) -> Any:
    """A minimum 1-tree under one.length with all IN and no OUT edges; returns its value, INFINITE if none."""
    n = potentials.size
    one.cost[:] = INFINITE
    one.place[:] = OUTSIDE
    one.place[n] = INSIDE
    one.degree[:] = 0
    joined = 0
    one.parent[0] = -1
    one.link[0] = -1
    one.order[0] = 0
    size = 0
    total = dummy_edges(net, status, potentials, one)
    if total == INFINITE:
        return INFINITE
    total -= 2 * potentials.sum()
    for step in range(1, n):
        one.place[joined] = INSIDE
        base = potentials[joined]
        for a in range(net.start[joined], net.start[joined + 1]):
            node = net.other[a]
            e = net.edge[a]
            if one.place[node] == INSIDE or status[e] == OUT:
                continue
            reach = one.length[e] + potentials[node] + base
            if status[e] == IN:
                reach -= FORCE
            if reach < one.cost[node]:
                one.cost[node] = reach
                one.parent[node] = joined
                one.link[node] = e
                slot = one.place[node]
                if slot == OUTSIDE:
                    slot = size
                    size += 1
                sift_up(one, slot, node)
        if size == 0:
            return INFINITE
        joined = one.heap[0]
        size -= 1
        if size:
            sift_down(one, size, one.heap[size])
        one.order[step] = joined
        total += one.length[one.link[joined]] + potentials[joined] + potentials[one.parent[joined]]
        one.degree[joined] += 1
        one.degree[one.parent[joined]] += 1
    return total


@compiled
def forced_edges_missing(status: NDArray[np.int8], one: Any) -> bool:
    """Whether some IN edge is not in the 1-tree: then the IN edges hold a cycle."""
    n = one.parent.size
    missing = np.sum(status == IN)
    for slot in range(1, n):
        missing -= status[one.link[one.order[slot]]] == IN
    for slot in range(n, n + 2):
        missing -= status[one.link[slot]] == IN
    return missing > 0


@compiled
def propagate(net: Any, status: NDArray[np.int8]) -> bool:
    """Apply "two edges at each node" until nothing changes; False if that is impossible."""
    changed = True
    while changed:
        changed = False
        for node in range(net.start.size - 1):
            forced = 0
            usable = 0
            for a in range(net.start[node], net.start[node + 1]):
                forced += status[net.edge[a]] == IN
                usable += status[net.edge[a]] != OUT
            if forced > 2 or usable < 2:
                return False
            if usable == forced or (forced < 2 and usable > 2):
                continue
            changed = True
            for a in range(net.start[node], net.start[node + 1]):
                if status[net.edge[a]] == FREE:
                    status[net.edge[a]] = OUT if forced == 2 else IN
    return True


@compiled
def fix_by_cost(net: Any, status: NDArray[np.int8], potentials: NDArray[np.int64], slack: int, one: Any) -> int:
    """Remove the edges whose use adds more than `slack`, force those whose absence does; returns how many.

    `one` holds the minimum 1-tree of `potentials`.
    """
    n = potentials.size
    depth = np.zeros(n, np.int32)
    for k in range(1, n):
        depth[one.order[k]] = depth[one.parent[one.order[k]]] + 1
    replacement = np.full(n, INFINITE)
    fixed = fix_dummy_edges(net, status, potentials, slack, one)
    for e in range(net.u.size):
        a, b = net.u[e], net.v[e]
        if status[e] != FREE or b == n or one.link[a] == e or one.link[b] == e:
            continue
        cost = one.length[e] + potentials[a] + potentials[b]
        largest = -INFINITE
        while a != b:
            if depth[a] < depth[b]:
                a, b = b, a
            largest = max(largest, one.cost[a])
            replacement[a] = min(replacement[a], cost)
            a = one.parent[a]
        if cost - largest > slack:
            status[e] = OUT
            fixed += 1
    for k in range(1, n):
        node = one.order[k]
        e = one.link[node]
        if status[e] == FREE and replacement[node] - one.cost[node] > slack:
            status[e] = IN
            fixed += 1
    return fixed


@compiled
def fix_dummy_edges(net: Any, status: NDArray[np.int8], potentials: NDArray[np.int64], slack: int, one: Any) -> int:
    """The same for the dummy's edges: the third cheapest replaces the more expensive of the two."""
    n = potentials.size
    third = INFINITE
    dearest = -INFINITE
    fixed = 0
    for a in range(net.start[n], net.start[n + 1]):
        e = net.edge[a]
        cost = one.length[e] + potentials[net.other[a]]
        if status[e] != FREE:
            continue
        if e == one.link[n] or e == one.link[n + 1]:
            dearest = max(dearest, cost)
        else:
            third = min(third, cost)
    for a in range(net.start[n], net.start[n + 1]):
        e = net.edge[a]
        cost = one.length[e] + potentials[net.other[a]]
        if status[e] != FREE:
            continue
        if e == one.link[n] or e == one.link[n + 1]:
            if third - cost > slack:
                status[e] = IN
                fixed += 1
        elif cost - dearest > slack:
            status[e] = OUT
            fixed += 1
    return fixed


@compiled
def path_of_one_tree(net: Any, one: Any) -> NDArray[np.int64]:
    """The path of a 1-tree whose degrees are all 2."""
    n = one.parent.size
    adjacent = np.full((n, 2), -1, np.int64)
    for k in range(1, n):
        child = one.order[k]
        for a, b in ((child, one.parent[child]), (one.parent[child], child)):
            adjacent[a, 0 if adjacent[a, 0] < 0 else 1] = b
    path = np.empty(n, np.int64)
    before = -1
    node = net.u[one.link[n]]
    for k in range(n):
        path[k] = node
        following = adjacent[node, 0] if adjacent[node, 0] != before else adjacent[node, 1]
        before, node = node, following
    return path
