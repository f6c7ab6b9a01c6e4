"""Cuts, then branch and bound with 1-trees: closes the gap of a few flips that the Held-Karp bound leaves.

Volgenant and Jonker, *A branch and bound algorithm for the symmetric traveling salesman problem based on the
1-tree relaxation* (EJOR 9, 1982), with edges removed and forced by their reduced costs at every node, and
the branching edge chosen by trial ascents among those that the ascent's trees use about half of the time.

Only edges that can be in a shorter path enter: under the root's potentials, an edge whose alpha exceeds the
gap cannot. What remains is a graph with a few edges per node, and every bound on it is exact.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.bound import MOMENTUM, dual_value, flips_of, spanning_tree
from fewflips.ordering.candidates import (
    FREE,
    IN,
    OUT,
    constrained_one_tree,
    fix_by_cost,
    forced_edges_missing,
    new_network,
    new_scratch,
    path_of_one_tree,
    propagate,
    surviving_edges,
)
from fewflips.ordering.cuts import CutPool, Cuts, price
from fewflips.ordering.metric import FRACTION_BITS, INFINITE, UNIT

STEP_DECAY = 0.7  # of the step factor, after some iterations without a better bound:
PATIENCE = (5, 20)  # a tenth of all iterations, within these limits
NODE_ITERATIONS = 60
TRIAL_ITERATIONS = 12
TRIALS = 6  # edges tried before one is branched on
CUT_ITERATIONS = 400  # fewer leave the trees' shares too vague to find cuts in
MOST_CUTS = 1000


class Dual(NamedTuple):
    """Multipliers of the degree constraints and of the cuts, in 2 ** -FRACTION_BITS flips."""

    potentials: NDArray[np.int64]  # (N,)
    multipliers: NDArray[np.int64]  # (C,), not negative


@compiled
def new_dual(potentials: NDArray[np.int64], multipliers: NDArray[np.int64]) -> Any:
    """A copy."""
    return Dual(potentials.copy(), multipliers.copy())


@compiled
def one_tree_value(net: Any, cuts: Any, status: NDArray[np.int8], dual: Any, one: Any) -> int:
    """The bound of a subproblem under some multipliers; INFINITE if it has no 1-tree."""
    constant = price(net, cuts, dual.multipliers, one.length)
    value = constrained_one_tree(net, status, dual.potentials, one)
    return value if value == INFINITE else value + constant


@compiled
def slope(cuts: Any, one: Any, used: NDArray[np.bool_], direction: NDArray[np.float64]) -> Any:
    """Add the subgradient of a 1-tree to the damped direction; returns the direction's squared length."""
    n = one.degree.size
    for i in range(n):
        direction[i] = one.degree[i] - 2 + MOMENTUM * direction[i]
    used[:] = False
    for slot in range(n + 2):
        if one.link[slot] >= 0:
            used[one.link[slot]] = True
    for c in range(cuts.right.size):
        short = cuts.right[c]
        for k in range(cuts.start[c], cuts.start[c + 1]):
            if used[cuts.edge[k]]:
                short -= cuts.sign[k]
        direction[n + c] = short + MOMENTUM * direction[n + c]
    return np.sum(direction * direction)


@compiled
def walk(dual: Any, direction: NDArray[np.float64], step: float, limit: int) -> None:
    """Move the multipliers along the direction; those of cuts stay at or above 0."""
    n = dual.potentials.size
    for i in range(n):
        moved = dual.potentials[i] + np.int64(np.rint(step * direction[i]))
        dual.potentials[i] = min(limit, max(-limit, moved))
    for c in range(dual.multipliers.size):
        moved = dual.multipliers[c] + np.int64(np.rint(step * direction[n + c]))
        dual.multipliers[c] = min(limit, max(0, moved))


@compiled
def tour_length(net: Any, one: Any) -> Any:
    """Length of a 1-tree that is a path, in 2 ** -FRACTION_BITS flips; INFINITE if it is none."""
    total = np.int64(0)
    for i in range(one.degree.size):
        if one.degree[i] != 2:
            return INFINITE
        if one.link[one.order[i]] >= 0:
            total += net.length[one.link[one.order[i]]]
    return total


@compiled
def ascend_node(
    net: Any,
    cuts: Any,
    status: NDArray[np.int8],
    dual: Any,
    goal: int,
    iterations: int,
    share: NDArray[np.float64],
    one: Any,
) -> Any:
    """Raise the bound of a subproblem until it exceeds `goal`, in place of `dual`.

    `share` becomes the part of the second half's trees that used each edge. Returns the best value (INFINITE if
    the subproblem is closed), and whether `one` holds a path of at most `goal`.
    """
    limit = 4 * max(UNIT, net.length.max())
    here = new_dual(dual.potentials, dual.multipliers)
    best_value = -INFINITE
    direction = np.zeros(here.potentials.size + here.multipliers.size)
    used = np.zeros(net.u.size, np.bool_)
    patience = min(PATIENCE[1], max(PATIENCE[0], iterations // 10))
    factor = 1.0
    waited = 0
    counted = 0
    share[:] = 0.0
    for iteration in range(iterations):
        value = one_tree_value(net, cuts, status, here, one)
        if value > goal or (iteration == 0 and forced_edges_missing(status, one)):
            return INFINITE, False
        if tour_length(net, one) <= goal:
            return best_value, True
        waited += 1
        if value > best_value:
            best_value = value
            dual.potentials[:] = here.potentials
            dual.multipliers[:] = here.multipliers
            waited = 0
        if waited == patience:
            factor *= STEP_DECAY
            waited = 0
        norm = slope(cuts, one, used, direction)
        if 2 * iteration >= iterations:
            counted += 1
            share += used
        if norm == 0.0:
            break
        walk(here, direction, factor * (goal + UNIT - value) / norm, limit)
    share /= max(counted, 1)
    return best_value, False


@dataclass(order=True)
class _Node:
    """A subproblem: the best bound known, and the edges decided."""

    value: int
    number: int
    status: NDArray[np.int8] = field(compare=False)
    dual: Dual = field(compare=False)


class BranchAndBound:
    """Search for a path shorter than a given one, best bound first.

    Parameters
    ----------
    source : ndarray
        (N, N) distances of uint16 or int32, or (N, W) packed rows of uint64.
    potentials : ndarray of int64, shape (N,)
        Of a good bound, in 2 ** -FRACTION_BITS flips.
    path : ndarray of int64, shape (N,)
        The path to beat.
    length : int
        Its length, in flips.

    Attributes
    ----------
    path, length
        The shortest path known.
    """

    def __init__(
        self, source: NDArray[Any], potentials: NDArray[np.int64], path: NDArray[np.int64], length: int
    ) -> None:
        self.path = path
        self.length = length
        tree = spanning_tree(source, potentials)
        value = int(dual_value(potentials, tree))
        ends = surviving_edges(source, potentials, tree, self._goal - value)
        self._net = new_network(source, *ends)
        self._one = new_scratch(self._net)
        self._share = np.zeros(self._net.u.size)
        self._pool = CutPool()
        self._cuts: Cuts = self._pool.all()
        dual = Dual(potentials.copy(), np.zeros(0, np.int64))
        self._open = [_Node(value, 0, np.zeros(self._net.u.size, np.int8), dual)]
        self._numbers = 0

    @property
    def _goal(self) -> int:
        """The value above which a subproblem holds no shorter path."""
        return (self.length - 1) << FRACTION_BITS

    @property
    def bound(self) -> int:
        """Proven lower bound, in flips; equal to `length` when the search is complete."""
        return min(self.length, flips_of(self._open[0].value)) if self._open else self.length

    @property
    def too_wide(self) -> bool:
        """Whether too many edges may be in a shorter path for the search to be set up."""
        return self._net.u.size == 0

    @property
    def closed(self) -> bool:
        """Whether the search is complete."""
        return self.bound >= self.length

    def improve(self, path: NDArray[np.int64], length: int) -> None:
        """Take over a path that another search found, no longer than the one known."""
        self.path = path
        self.length = length

    def cut(self) -> bool:
        """Raise the root's bound and look for cuts, once; False if no new one is found."""
        root = self._open[0]
        if not self._raise(root, CUT_ITERATIONS) or not self._fix(root):
            self._open.clear()
            return False
        if len(self._pool) > MOST_CUTS or not self._pool.separate(self._net, self._share):
            return False
        self._cuts = self._pool.all()
        multipliers = np.zeros(len(self._pool), np.int64)
        multipliers[: root.dual.multipliers.size] = root.dual.multipliers
        root.dual = Dual(root.dual.potentials, multipliers)
        return True

    def explore(self) -> None:
        """Close the open subproblem of least bound, or split it in two."""
        node = heapq.heappop(self._open)
        if not self._raise(node, NODE_ITERATIONS):
            return
        while self._fix(node):
            children = self._split(node)
            if len(children) != 1:
                for child in children:
                    heapq.heappush(self._open, child)
                return
            node = children[0]

    def _raise(self, node: _Node, iterations: int) -> bool:
        """Raise a subproblem's bound in place; False if it is closed."""
        found = True
        while found:
            value, found = ascend_node(
                self._net, self._cuts, node.status, node.dual, self._goal, iterations, self._share, self._one
            )
            node.value = max(node.value, int(value))
            if found:
                self.path = path_of_one_tree(self._net, self._one)
                self.length = int(tour_length(self._net, self._one)) >> FRACTION_BITS
        return bool(node.value < INFINITE)

    def _fix(self, node: _Node) -> bool:
        """Decide edges by their reduced costs, in place; False if that closes the subproblem."""
        value = one_tree_value(self._net, self._cuts, node.status, node.dual, self._one)
        if value > self._goal:
            return False
        fix_by_cost(self._net, node.status, node.dual.potentials, self._goal - value, self._one)
        return bool(propagate(self._net, node.status))

    def _split(self, node: _Node) -> list[_Node]:
        """The open children of the best edge tried; as soon as an edge has fewer than two, these."""
        undecided = self._undecided(node)
        if not undecided.size:
            self._raise(node, 1)  # at most one path is left; it is taken if it is shorter
            return []
        best_gain = -INFINITE
        best: list[_Node] = []
        for edge in undecided:
            children = [child for child in (self._child(node, edge, IN), self._child(node, edge, OUT)) if child]
            if len(children) < 2:
                return children
            gain = min(child.value for child in children)
            if gain > best_gain:
                best_gain = gain
                best = children
        return best

    def _undecided(self, node: _Node) -> NDArray[np.int64]:
        """Free edges that the ascent's trees used about half of the time."""
        free = np.flatnonzero(node.status == FREE)
        doubt = np.abs(self._share[free] - 0.5)
        return free[np.argsort(doubt, kind="stable")[:TRIALS]]

    def _child(self, node: _Node, edge: int, decision: int) -> _Node | None:
        """`node` with one more edge decided, after a short ascent; None if that closes it."""
        status = node.status.copy()
        status[edge] = decision
        if not propagate(self._net, status):
            return None
        self._numbers += 1
        child = _Node(node.value, self._numbers, status, new_dual(*node.dual))
        share, self._share = self._share, np.empty_like(self._share)
        is_open = self._raise(child, TRIAL_ITERATIONS)
        self._share = share
        return child if is_open else None
