"""The solver: a short path, a lower bound, and whether the two meet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.ordering import exact
from fewflips.ordering.at_size import AT_SIZE, PathAtSize
from fewflips.ordering.bound import (
    Neighbours,
    Tree,
    ascend,
    dual_value,
    flips_of,
    nearest_neighbours,
    spanning_tree,
    sparse_graph,
)
from fewflips.ordering.branch import BranchAndBound
from fewflips.ordering.construct import greedy_path, natural
from fewflips.ordering.effort import Effort
from fewflips.ordering.local_search import new_tour, path_of, search
from fewflips.ordering.metric import (
    MATRIX_ROWS,
    check_words,
    path_length,
    rows_within_reach,
    source_of_distances,
    source_of_words,
    spread_bound,
)
from fewflips.streams.flips import stream_flips
from fewflips.streams.transition_cost import TransitionCost

CHUNK = 2000  # kicks between two checks for an interruption
IDLE_CUT_ROUNDS = 1  # rounds without a new cut that are followed by another one


class Interrupted(Exception):
    """The solver was asked to stop; never leaves this package."""


class _Enough(Exception):
    """The time for a search is up: what it has is its result."""


def never() -> bool:
    """No reason to stop."""
    return False


BoundBy = Literal["1-tree", "nearest neighbours", "different rows"]


@dataclass(frozen=True, eq=False)
class PathResult:
    """A Hamiltonian path and its certificate.

    Attributes
    ----------
    order : ndarray of int64, shape (N,)
        The nodes (rows) in the order of the path.
    flips : int
        Length of the path, in flips.
    lower_bound : int
        No path is shorter, in flips. Proven in exact integer arithmetic.
    natural_flips : int
        Length of the natural order 0, 1, ..., N - 1, in flips.
    bound_by : {"1-tree", "nearest neighbours", "different rows"}
        What proves the bound: the 1-tree of all pairs of rows (and cuts and branching on it), that of nearest rows
        where the former is too dear (:mod:`fewflips.ordering.near_bound`), or no more than that different rows differ.
    """

    order: NDArray[np.int64] = field(repr=False)
    flips: int
    lower_bound: int
    natural_flips: int
    bound_by: BoundBy = field(default="1-tree", kw_only=True)

    @property
    def proven(self) -> bool:
        """Whether the path is proven optimal: flips are integers, and none lies between bound and path."""
        return self.flips == self.lower_bound

    @property
    def gap(self) -> float:
        """The most by which the path may exceed the optimum, as a fraction of the bound; 0 if proven."""
        return 0.0 if self.proven else self.flips / max(self.lower_bound, 1) - 1


def shortest_path(distances: NDArray[np.integer], *, effort: Effort | None = None, seed: int = 0) -> PathResult:
    """A short Hamiltonian path under any distances, with a lower bound.

    Local search: Lin and Kernighan (1973), Helsgaun (2000). Bound: Held and Karp (1970, 1971). Branch and
    bound: Volgenant and Jonker (1982). See the modules of this package.

    Parameters
    ----------
    distances : ndarray of integers, shape (N, N)
        Symmetric, non-negative, zero on the diagonal; in flips. The triangle inequality is not needed.
    effort : Effort, optional
        Work limit; ``Effort.default()`` by default.
    seed : int
        Seed of the kicks. The same distances, effort and seed give the same result.

    Returns
    -------
    PathResult
        Instances of at most 10 nodes are solved exactly.

    Raises
    ------
    InputError
        If the matrix is not usable, or `seed` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> result = shortest_path(np.array([[0, 3, 1], [3, 0, 1], [1, 1, 0]]))
    >>> result.order.tolist(), result.flips, result.proven
    ([1, 2, 0], 2, True)
    """
    return solve(source_of_distances(distances), effort or Effort.default(), seed_sequence(seed))


def shortest_word_path(
    words: NDArray[np.unsignedinteger],
    *,
    cost: TransitionCost | None = None,
    effort: Effort | None = None,
    seed: int | np.random.SeedSequence = 0,
    interrupted: Callable[[], bool] = never,
    enough: Callable[[], bool] = never,
) -> PathResult:
    """A short order of word vectors: the path of fewest bit flips, with a lower bound.

    Equal rows are visited together, which is optimal in the Hamming metric and under any cost for which no detour is
    cheaper than the direct step; the solver sees each distinct row once. For other costs it sees all rows.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (N, L)
        One word vector per row. Up to 2048 different rows (8192 where the effort allows branching) use a table of
        N x N x 2 bytes; more are solved from lists of their nearest rows (:mod:`fewflips.ordering.at_size`), in memory
        that is linear in the rows. If even comparing all would take too long (beyond 32,000 rows of 1 KiB), or costs
        other than flips would have to be tabulated for more than 8192 rows, rows are ordered in blocks of similar ones,
        and the bound only counts rows that differ.
    cost : TransitionCost, optional
        Cost of a transition, in whose units the result is given; flips by default.
    effort : Effort, optional
        Work limit; ``Effort.default()`` by default.
    seed : int or SeedSequence
        Seed of the kicks.
    interrupted : callable
        Called at least every second or two; when it returns True, :class:`Interrupted` is raised.
    enough : callable
        Called as often; when it returns True, the best path and bound so far are the result.

    Returns
    -------
    PathResult

    Raises
    ------
    InputError
        If `words` is not a matrix of 8- or 16-bit integers with at least one row, a code is wider than those of
        `cost`, or `seed` is negative.
    """
    check_words(words)
    if cost is not None and not cost.is_flips:
        natural_cost = cost.along(words)  # checks the codes
        result = _solve_rows(words, cost.in_units, effort or Effort.default(), _entropy(seed), interrupted, enough)
        scaled = replace(result, flips=cost.unit * result.flips, lower_bound=cost.unit * result.lower_bound)
        return replace(scaled, natural_flips=natural_cost)
    return _solve_rows(words, None, effort or Effort.default(), _entropy(seed), interrupted, enough)


def _entropy(seed: int | np.random.SeedSequence) -> np.random.SeedSequence:
    return seed if isinstance(seed, np.random.SeedSequence) else seed_sequence(seed)


def _with_repeats(order: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Extend an order of the different rows to all rows, with equal ones next to each other."""
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    return np.argsort(position[group.reshape(-1)], kind="stable")


def _solve_rows(
    words: NDArray[np.unsignedinteger],
    cost: TransitionCost | None,
    effort: Effort,
    seed: np.random.SeedSequence,
    interrupted: Callable[[], bool],
    enough: Callable[[], bool],
) -> PathResult:
    """A path of all rows; equal ones lie side by side unless a detour may be cheaper than staying."""
    rows, group = words, np.arange(len(words))
    if cost is None or cost.is_metric:
        rows, group = np.unique(words, axis=0, return_inverse=True)
    result = _solve_in_reach(rows, cost, effort, seed, interrupted, enough)
    return replace(result, order=_with_repeats(result.order, group), natural_flips=_length(words, cost))


def _solve_in_reach(
    rows: NDArray[np.unsignedinteger],
    cost: TransitionCost | None,
    effort: Effort,
    seed: np.random.SeedSequence,
    interrupted: Callable[[], bool],
    enough: Callable[[], bool],
) -> PathResult:
    """A path of rows, sorted if they are; in blocks if there are too many to compare all with all."""
    reach = rows_within_reach(rows, cost)
    branching = bool(effort.branch_nodes) and len(rows) <= MATRIX_ROWS
    if reach == len(rows) > AT_SIZE and (cost is None or cost.is_flips) and not branching:
        return _solve_at_size(rows, effort, seed, interrupted, enough)
    if reach == len(rows):
        return solve(source_of_words(rows, cost), effort, seed, interrupted, enough)
    parts = []
    for start in range(0, len(rows), reach):
        entropy = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, start))
        block = solve(source_of_words(rows[start : start + reach], cost), effort, entropy, interrupted, enough)
        parts.append(start + block.order)
    order = np.concatenate(parts)
    bound = spread_bound(rows, cost=cost)
    return PathResult(order, _length(rows[order], cost), bound, _length(rows, cost), bound_by="different rows")


def _solve_at_size(
    rows: NDArray[np.unsignedinteger],
    effort: Effort,
    seed: np.random.SeedSequence,
    interrupted: Callable[[], bool],
    enough: Callable[[], bool],
) -> PathResult:
    """A path of many different rows, with the bound by nearest neighbours."""
    state = seed.generate_state(1, np.uint64).astype(np.uint64)
    run = PathAtSize(rows, effort, state, partial(_look_up, interrupted, enough))
    natural_flips = run.length
    with suppress(_Enough):
        run.improve()
    return PathResult(run.path, run.length, run.bound, natural_flips, bound_by="nearest neighbours")


def _look_up(interrupted: Callable[[], bool], enough: Callable[[], bool]) -> None:
    if interrupted():
        raise Interrupted
    if enough():
        raise _Enough


def _length(words: NDArray[np.unsignedinteger], cost: TransitionCost | None) -> int:
    return stream_flips(words) if cost is None else cost.along(words)


def seed_sequence(*numbers: int) -> np.random.SeedSequence:
    """The source of random numbers for a user's seed and an instance's index.

    Raises
    ------
    InputError
        If a number is negative.
    """
    if min(numbers) < 0:
        raise InputError(f"seed: expected a non-negative integer, got {min(numbers)}")
    return np.random.SeedSequence(numbers)


def solve(
    source: NDArray[Any],
    effort: Effort,
    seed: np.random.SeedSequence,
    interrupted: Callable[[], bool] = never,
    enough: Callable[[], bool] = never,
    start: NDArray[np.int64] | None = None,
) -> PathResult:
    """A path of the nodes of a `source` (see :mod:`fewflips.ordering.metric`) and its certificate.

    The search begins with `start`, if there is one and it is shorter than a greedy path.
    """
    nodes = source.shape[0]
    straight = int(path_length(source, natural(nodes)))
    if nodes <= exact.LARGEST:
        path = exact.dynamic_program(source)
        length = int(path_length(source, path))
        return PathResult(path, length, length, straight)
    run = _Run(source, effort, seed, interrupted, enough, start)
    with suppress(_Enough):
        run.improve()
    return PathResult(run.path, run.length, run.bound, straight)


class _Run:
    """The state of one solution."""

    def __init__(
        self,
        source: NDArray[Any],
        effort: Effort,
        seed: np.random.SeedSequence,
        interrupted: Callable[[], bool],
        enough: Callable[[], bool],
        start: NDArray[np.int64] | None,
    ) -> None:
        self._source = source
        self._effort = effort
        self._interrupted = interrupted
        self._enough = enough
        self._random = seed.generate_state(1, np.uint64)
        self.path = greedy_path(source)
        self.length = int(path_length(source, self.path))
        if start is not None and path_length(source, start) < self.length:
            self.path, self.length = start, int(path_length(source, start))
        self.bound = 0
        self._potentials = np.zeros(source.shape[0], np.int64)
        self._certify(self._potentials)

    @property
    def closed(self) -> bool:
        """Whether path and bound meet."""
        return self.bound >= self.length

    def improve(self) -> None:
        """Search and bound in turn, then branch, until path and bound meet or the work limit is reached."""
        self._look_up()
        self.descend()
        for _ in range(self._effort.rounds):
            self.raise_bound()
            self.descend()
            self.kick()
            if self.closed:
                break
        if not self.closed and (self._effort.cut_rounds or self._effort.branch_nodes):
            self.branch()

    def _certify(self, potentials: NDArray[np.int64]) -> None:
        """Evaluate the bound on the complete graph; keep the potentials of the best one."""
        self._tree: Tree = spanning_tree(self._source, potentials)
        self._value = int(dual_value(potentials, self._tree))
        self.bound = max(self.bound, flips_of(self._value))
        self._potentials = potentials
        self._neighbours: Neighbours = nearest_neighbours(self._source, potentials, self._tree, self._effort.neighbours)

    def raise_bound(self) -> None:
        """Ascend on the sparse graph of the current neighbours, then certify."""
        graph = sparse_graph(self._source, self._neighbours, self._tree)
        self._certify(ascend(graph, self._potentials, self.length, self._effort.ascent_iterations))
        self._look_up()

    def descend(self) -> None:
        """Local search without kicks."""
        self._search(0)

    def kick(self) -> None:
        """Iterated local search, until the path meets the bound or the work limit is reached."""
        left = self._effort.kicks(self._source.shape[0])
        while left > 0 and not self.closed:
            self._search(min(left, CHUNK))
            left -= CHUNK
            self._look_up()

    def _search(self, kicks: int) -> None:
        tour = new_tour(self.path)
        length, _ = search(
            self._source,
            self._potentials,
            self._neighbours,
            tour,
            self.length,
            self.bound,
            kicks,
            self._random,
        )
        self.length = int(length)
        self.path = path_of(tour)

    def branch(self) -> None:
        """Cuts, another search if they leave a gap, then branch and bound."""
        tree = BranchAndBound(self._source, self._potentials, self.path, self.length)
        if tree.too_wide:
            return
        try:
            self._branch(tree)
        finally:
            self._agree(tree)

    def _branch(self, tree: BranchAndBound) -> None:
        idle = 0
        for _ in range(self._effort.cut_rounds):
            if tree.closed or idle > IDLE_CUT_ROUNDS:
                break
            idle = 0 if tree.cut() else idle + 1
            self._look_up()
        self._agree(tree)
        self.kick()
        tree.improve(self.path, self.length)
        for _ in range(self._effort.branch_nodes):
            if tree.closed:
                break
            tree.explore()
            self._look_up()

    def _agree(self, tree: BranchAndBound) -> None:
        if tree.length < self.length:
            self.path, self.length = tree.path, tree.length
        self.bound = max(self.bound, tree.bound)

    def _look_up(self) -> None:
        _look_up(self._interrupted, self._enough)
