"""Short paths through words that may each be negated: which comes when, and with which sign.

Every node has two versions, the word and its negative, and a path takes one of them. For a given order the best signs
are a shortest path through two states a node (Viterbi, "Error bounds for convolutional codes", IEEE Transactions on
Information Theory 13(2), 1967). For given signs the best order is a Hamiltonian path. Both are sought in turn,
beginning with an order that is short by the least distance of any versions of two nodes. No path is shorter than the
shortest under that least distance, whose lower bound is therefore one of all orders and signs. Where the step between
two words costs as much as that between their negatives, as in sign and magnitude, only relative signs matter: then
signs make the path as short as its least distance, and bound and path may meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.kernels.compiled import compiled
from fewflips.ordering.effort import Effort
from fewflips.ordering.instances import Solve, solve_all
from fewflips.ordering.metric import source_of_distances
from fewflips.ordering.path import PathResult, solve
from fewflips.streams.flips import pairwise_distances
from fewflips.streams.transition_cost import TransitionCost

MOST_ROWS = 2048
"""Words beyond which orders stay as they are: distances of all versions are tabulated, 8 bytes each."""
ROUNDS = 6
"""How often orders are sought for given signs, at the most."""
_NEVER = 1 << 40
"""Above every cost; stands for the step to a negative that there is not."""


@dataclass(frozen=True, eq=False)
class SignedWords:
    """Words and their negatives.

    Parameters
    ----------
    words, negatives : ndarray of uint8 or uint16, shape (N, L)
        Codes, in the order to begin with.
    negatable : ndarray of bool, shape (N,)
        Which words have a negative.
    """

    words: NDArray[np.unsignedinteger] = field(repr=False)
    negatives: NDArray[np.unsignedinteger] = field(repr=False)
    negatable: NDArray[np.bool_] = field(repr=False)

    def streamed(self, order: NDArray[np.int64], negated: NDArray[np.bool_]) -> NDArray[np.unsignedinteger]:
        """Words in an order, with signs by place, shape (N, L)."""
        return np.where(negated[:, None], self.negatives[order], self.words[order])


@dataclass(frozen=True, eq=False)
class SignedPath(PathResult):
    """A path and the signs along it.

    Attributes
    ----------
    negated : ndarray of bool, shape (N,)
        For each place of the path, whether the word there is negated.
    """

    negated: NDArray[np.bool_] = field(repr=False, kw_only=True)


def best_signs(
    signed: SignedWords, order: NDArray[np.int64], flag: int, cost: TransitionCost | None = None
) -> tuple[NDArray[np.bool_], int]:
    """The signs of least cost along an order.

    Parameters
    ----------
    signed : SignedWords
        The words.
    order : ndarray of int64, shape (N,)
        Which comes when.
    flag : int
        Cost of a change of sign between neighbours.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.

    Returns
    -------
    negated : ndarray of bool, shape (N,)
        By place.
    cost : int
        Of words and flags along the path. No other signs cost less.
    """
    versions = signed.words[order], signed.negatives[order]
    steps = np.empty((len(order) - 1, 2, 2), dtype=np.int64)
    for before in (0, 1):
        for after in (0, 1):
            steps[:, before, after] = _steps(versions[before][:-1], versions[after][1:], cost)
    steps[:, [0, 1], [1, 0]] += flag
    negated, least = _two_state_path(steps, signed.negatable[order])
    return negated, int(least)


def shortest_signed_path(
    signed: SignedWords,
    flag: int,
    *,
    cost: TransitionCost | None = None,
    effort: Effort | None = None,
    seed: np.random.SeedSequence,
    interrupted: Callable[[], bool] = lambda: False,
    enough: Callable[[], bool] = lambda: False,
) -> SignedPath:
    """A short order of words together with their signs, and a lower bound of all orders and signs.

    Parameters
    ----------
    signed : SignedWords
        At least one word. Beyond :data:`MOST_ROWS` words the order stays, only signs are sought, and the bound is 0.
    flag : int
        Cost of a change of sign between neighbours.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.
    effort : Effort, optional
        Work limit of each search for an order; ``Effort.default()`` by default.
    seed : SeedSequence
        Of the kicks.
    interrupted : callable
        As for :func:`~fewflips.ordering.path.shortest_word_path`.
    enough : callable
        Called between two searches for an order; when it returns True, the best path so far is the result.

    Returns
    -------
    SignedPath
        Never costs more than the order to begin with, without negatives. `natural_flips` is the cost of that.

    Raises
    ------
    InputError
        If shapes differ.
    """
    words = signed.words
    if signed.negatives.shape != words.shape or signed.negatable.shape != words.shape[:1] or not len(words):
        raise InputError(f"signed words: expected as many negatives as words, got {signed.negatives.shape}")
    search = _Search(signed, flag, cost, effort or Effort.default(), seed, interrupted, enough)
    search.accept(np.arange(len(words)))
    bound = 0
    if len(words) <= MOST_ROWS and not enough():
        least = solve(source_of_distances(search.least()), search.effort, seed, interrupted)
        bound = least.lower_bound
        search.improve(least.order, bound)
    straight = int(_steps(words[:-1], words[1:], cost).sum())
    return SignedPath(search.order, search.length, bound, straight, negated=search.negated)


def sign_segments(
    segments: Sequence[SignedWords],
    flag: int,
    *,
    cost: TransitionCost | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> list[SignedPath]:
    """Orders and signs of the words of each segment, independently.

    Segments run in threads, large ones first. Each is taken from the sequence twice.

    Parameters
    ----------
    segments : sequence of SignedWords
        The words of each.
    flag : int
        Cost of a change of sign between neighbours.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.
    effort : Effort, optional
        Work limit of each search for an order; ``Effort.default()`` by default.
    seed : int
        Each segment's own seed is derived from it and the segment's index.
    jobs : int
        Threads, as joblib counts them (-1: one per core). The result does not depend on it.
    progress : callable, optional
        Called in the caller's thread with the index of each finished segment.
    enough : callable
        Once it returns True, segments keep what they have; those not begun get only signs for their order.

    Returns
    -------
    list of SignedPath
        In the order of `segments`.

    Raises
    ------
    InputError
        If shapes differ, `seed` is negative, or `jobs` is 0.
    """
    lengths = [len(segments[index].words) for index in range(len(segments))]
    results: dict[int, SignedPath] = {}

    def work(index: int) -> Solve:
        return partial(shortest_signed_path, segments[index], flag, cost=cost, effort=effort, enough=enough)

    def finished(index: int, result: PathResult) -> None:
        assert isinstance(result, SignedPath)
        results[index] = result
        if progress is not None:
            progress(index)

    largest_first = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    solve_all(work, largest_first, seed, jobs, finished)
    return [results[index] for index in range(len(lengths))]


class _Search:
    """The shortest path found so far, and the distances of all versions."""

    def __init__(
        self,
        signed: SignedWords,
        flag: int,
        cost: TransitionCost | None,
        effort: Effort,
        seed: np.random.SeedSequence,
        interrupted: Callable[[], bool],
        enough: Callable[[], bool],
    ) -> None:
        self.effort = effort
        self._signed, self._flag, self._cost = signed, flag, cost
        self._seed, self._interrupted, self._enough = seed, interrupted, enough
        self.order = np.arange(0)
        self.negated = np.zeros(0, dtype=np.bool_)
        self.length = _NEVER

    def accept(self, order: NDArray[np.int64]) -> bool:
        """Take an order with its best signs if that is shorter than what there is."""
        negated, length = best_signs(self._signed, order, self._flag, self._cost)
        if length >= self.length:
            return False
        self.order, self.negated, self.length = order, negated, length
        return True

    def improve(self, order: NDArray[np.int64], bound: int) -> None:
        """Seek signs for another order, and orders for its signs in turn; keep what is shorter in the end."""
        kept = self.order, self.negated, self.length
        self.length = _NEVER
        helps = self.accept(order)
        for _ in range(ROUNDS):
            if not helps or self.length <= bound or self._enough():
                break
            source = source_of_distances(self._given_signs())
            helps = self.accept(solve(source, self.effort, self._seed, self._interrupted, start=self.order).order)
        if kept[2] <= self.length:
            self.order, self.negated, self.length = kept

    def least(self) -> NDArray[np.int64]:
        """The least distance of any versions of two nodes, shape (N, N)."""
        signed, count = self._signed, len(self._signed.words)
        every = self._distances(np.concatenate([signed.words, signed.negatives]))
        every[count:, :count] += self._flag
        every[:count, count:] += self._flag
        missing = count + np.flatnonzero(~signed.negatable)
        every[missing] = _NEVER
        every[:, missing] = _NEVER
        found = np.minimum(
            np.minimum(every[:count, :count], every[count:, count:]),
            np.minimum(every[:count, count:], every[count:, :count]),
        )
        np.fill_diagonal(found, 0)
        return found

    def _given_signs(self) -> NDArray[np.int64]:
        """Distances of the nodes with the signs of the path, shape (N, N)."""
        negated = np.empty_like(self.negated)
        negated[self.order] = self.negated
        found = self._distances(self._signed.streamed(np.arange(len(negated)), negated))
        return found + self._flag * (negated[:, None] != negated)

    def _distances(self, words: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
        return pairwise_distances(words).astype(np.int64) if self._cost is None else self._cost.distances(words)


def _steps(
    before: NDArray[np.unsignedinteger], after: NDArray[np.unsignedinteger], cost: TransitionCost | None
) -> NDArray[np.int64]:
    """Cost of each step from a row to that of the same number, shape (rows,)."""
    if cost is None:
        return np.bitwise_count(before ^ after).sum(axis=1, dtype=np.int64)
    if cost.table is not None:
        return np.asarray(cost.table[before, after].sum(axis=1, dtype=np.int64))
    assert cost.bit_costs is not None
    changed = before ^ after
    return np.asarray(
        sum(int(one) * ((changed >> bit) & 1).sum(axis=1, dtype=np.int64) for bit, one in enumerate(cost.bit_costs))
    )


@compiled
def _two_state_path(steps: NDArray[np.int64], may_be_second: NDArray[np.bool_]) -> Any:
    """The states of least cost along a chain; `steps[t, a, b]` is the cost from a at place t to b at place t + 1."""
    places = may_be_second.size
    came_from = np.zeros((places, 2), dtype=np.int8)
    first = np.int64(0)
    second = np.int64(0) if may_be_second[0] else np.int64(_NEVER)
    for place in range(1, places):
        step = steps[place - 1]
        stay, back = first + step[0, 0], second + step[1, 0]
        leave, remain = first + step[0, 1], second + step[1, 1]
        came_from[place, 0] = back < stay
        came_from[place, 1] = remain < leave
        first = min(stay, back)
        second = min(leave, remain) if may_be_second[place] else np.int64(_NEVER)
    states = np.zeros(places, dtype=np.bool_)
    states[places - 1] = second < first
    for place in range(places - 1, 0, -1):
        states[place - 1] = came_from[place, 1 if states[place] else 0] == 1
    return states, min(first, second)
