"""The search: whole assignments along the present paths, then exchanges with the paths made anew, from several starts.

Along fixed paths, what a channel costs at a position depends on nothing but the position's block. The best arrangement
is then an assignment problem, which is solved exactly (Crouse, *On implementing 2D rectangular assignment algorithms*,
IEEE Trans. Aerosp. Electron. Syst. 52, 2016). But a path favours the channels that it was made for, so that few would
ever leave: what a channel costs where it is gets a surcharge, which falls whenever an assignment does not pay once its
paths are made anew. Exchanges of two channels, chosen by the same prices and judged by new paths, come last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fewflips.optimization.lane_clusters.effort import ClusterEffort
from fewflips.optimization.lane_clusters.kernels import Arrangement, exchange, put, settle
from fewflips.optimization.lane_clusters.likeness import group_alike, likeness
from fewflips.optimization.lane_clusters.problem import LaneUse, Problem, problem_of
from fewflips.streams.transition_cost import TransitionCost

Paths = Sequence[Sequence[NDArray[np.int64]]]
"""For each use and segment, its streaming indices in the order of its path."""

SURCHARGE_FALLS = 0.75
"""What the surcharge is multiplied by after an assignment that does not pay."""
LEAST_SURCHARGE = 0.1
"""Share of the first surcharge at which assignments end."""
PARTNERS = 8
"""One of so many channels is priced as a partner of an exchange."""
EXCHANGES_AT_A_TIME = 64
"""Between two looks at the limit."""
COOLED = 0.01
"""Share of the first temperature that is left at the end."""
SWEEPS = 20
"""Of the grouping of like channels."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which channel is at which position, and the paths of all segments.

    Parameters
    ----------
    order : ndarray of int64, shape (C,)
        The channel at each position.
    paths : tuple of tuple of ndarray of int64
        For each use and segment, its streaming indices in the order of its path.
    natural : int
        Cost of one inference with all channels in their own positions.
    cost : int
        Cost of one inference; never more than `natural`.
    """

    order: NDArray[np.int64] = field(repr=False)
    paths: tuple[tuple[NDArray[np.int64], ...], ...] = field(repr=False)
    natural: int
    cost: int


def cluster_channels(
    uses: Sequence[LaneUse],
    *,
    paths: Paths | None = None,
    cost: TransitionCost | None = None,
    effort: ClusterEffort | None = None,
    seed: int | np.random.SeedSequence = 0,
    stop: Callable[[], bool] = lambda: False,
) -> Clusters:
    """Choose which channels share a segment, together with the segments' orders.

    Parameters
    ----------
    uses : sequence of LaneUse
        Layers on whose lanes the channels of one group lie, at least one.
    paths : sequence of sequence of ndarray of int64, optional
        Orders of the segments in the natural arrangement. By default they are made.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.
    effort : ClusterEffort, optional
        Work limit.
    seed : int or SeedSequence
        Of all random choices: the same arguments give the same result.
    stop : callable
        Asked now and then; True ends the search with the best that it has.

    Returns
    -------
    Clusters
        The natural arrangement, where none was found that costs less.
    """
    entropy = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return _Search(uses, paths, cost, effort or ClusterEffort.default(), entropy, stop).run()


class _Search:
    """The state of one search."""

    def __init__(
        self,
        uses: Sequence[LaneUse],
        paths: Paths | None,
        cost: TransitionCost | None,
        effort: ClusterEffort,
        seed: np.random.SeedSequence,
        stop: Callable[[], bool],
    ) -> None:
        self._uses = tuple(uses)
        self._problem = problem_of(uses, cost)
        self._effort = effort
        self._stop = stop
        self._generator = np.random.default_rng(seed)
        self._random = seed.generate_state(1, np.uint64)
        self._natural = self._arranged(np.arange(self._problem.channels), paths)

    def run(self) -> Clusters:
        """The best arrangement that is found."""
        best = _copy(self._natural)
        for number in range(self._effort.starts if self._problem.blocks > 1 else 0):
            if self._stop():
                break
            state = self._start(number)
            self._assign(state)
            if number == 0 or self._cost(state) < self._cost(best):
                best = state
        self._exchange(best)
        self._polish(best)
        if self._cost(best) >= self._cost(self._natural):
            best = self._natural
        return Clusters(best.channel, self._paths(best), self._cost(self._natural), self._cost(best))

    def _start(self, number: int) -> Arrangement:
        channels = self._problem.channels
        if number == 0:
            return _copy(self._natural)
        if number > 1:
            return self._arranged(self._generator.permutation(channels))
        order = np.arange(channels)
        group_alike(likeness(self._uses, channels, self._generator), self._problem.block, order, SWEEPS)
        return self._arranged(order)

    def _arranged(self, channel: NDArray[np.int64], paths: Paths | None = None) -> Arrangement:
        """Channels at their positions, with the paths given or new ones."""
        problem = self._problem
        segments = len(problem.repeats)
        state = Arrangement(
            channel=np.arange(problem.channels),
            content=np.arange(len(problem.row)),
            path=np.full(len(problem.word), -1) if paths is None else self._places(paths),
            length=np.zeros(segments, np.int64),
            table=np.zeros(problem.table_start[-1], np.int64),
            price=np.zeros((problem.channels, problem.blocks), np.int64),
        )
        for position, moved in enumerate(channel):
            put(problem, state, position, moved)
        settle(problem, state, np.ones(segments, np.bool_), 0, self._random)
        return state

    def _places(self, paths: Paths) -> NDArray[np.int64]:
        """Paths as the kernels take them: places among the words of each segment."""
        parts = []
        for use, orders in zip(self._uses, paths, strict=True):
            for (_, words), order in zip(use.segments, orders, strict=True):
                by_value = np.argsort(words)
                parts.append(by_value[np.searchsorted(words, order, sorter=by_value)])
        return np.concatenate(parts)

    def _paths(self, state: Arrangement) -> tuple[tuple[NDArray[np.int64], ...], ...]:
        problem, number, found = self._problem, 0, []
        for use in self._uses:
            orders = []
            for _, words in use.segments:
                path = state.path[problem.word_start[number] : problem.word_start[number + 1]]
                orders.append(words[path])
                number += 1
            found.append(tuple(orders))
        return tuple(found)

    def _cost(self, state: Arrangement) -> int:
        return int((self._problem.repeats * state.length).sum())

    def _assign(self, state: Arrangement) -> None:
        """Assignments along the present paths, whose surcharge falls; changes the state to the best one."""
        lanes = float(np.diff(self._problem.lane_start).mean())
        first = surcharge = lanes**-0.5
        for _ in range(self._effort.assignments):
            if surcharge < LEAST_SURCHARGE * first or self._stop():
                break
            other = self._reassigned(state, surcharge)
            if other is not None and self._cost(other) < self._cost(state):
                _take(state, other)
            else:
                surcharge *= SURCHARGE_FALLS

    def _reassigned(self, state: Arrangement, surcharge: float) -> Arrangement | None:
        """The best arrangement along the present paths, with paths of its own; None if it is the present one."""
        problem = self._problem
        order = assigned(problem, state, surcharge)
        moved = np.flatnonzero(problem.block[np.argsort(order)] != problem.block[np.argsort(state.channel)])
        if not len(moved):
            return None
        other = _copy(state)
        for position, channel in enumerate(order):
            put(problem, other, position, channel)
        changed = np.zeros(len(problem.repeats), np.bool_)
        for block in np.unique(problem.block[np.argsort(order)[moved]]):
            changed[problem.segments[problem.segments_start[block] : problem.segments_start[block + 1]]] = True
        settle(problem, other, changed, 0, self._random)
        return other

    def _exchange(self, state: Arrangement) -> None:
        """Exchanges, as many as the work limit has room for."""
        problem, effort = self._problem, self._effort
        if problem.blocks < 2:
            return
        words = np.diff(problem.word_start)
        of_block = [
            words[problem.segments[start:stop]].sum()
            for start, stop in zip(problem.segments_start, problem.segments_start[1:], strict=False)
        ]
        each = 2 * float(np.mean(np.array(of_block)[problem.block]))
        trials = int(min(effort.exchanges * problem.channels, effort.most_words / each))
        heat = effort.heat * self._cost(state) / problem.channels
        cooling = COOLED ** (1 / max(trials, 1))
        best = _copy(state)
        for done in range(0, trials, EXCHANGES_AT_A_TIME):
            if self._stop():
                break
            count = min(EXCHANGES_AT_A_TIME, trials - done)
            tried = max(PARTNERS, problem.channels // PARTNERS)
            exchange(problem, state, count, tried, heat * cooling**done, cooling, self._random)
            if self._cost(state) < self._cost(best):
                best = _copy(state)
        _take(state, best)

    def _polish(self, state: Arrangement) -> None:
        """Longer searches of all paths."""
        words = float(np.diff(self._problem.word_start).mean())
        kicks = round(self._effort.kicks * words)
        if kicks and not self._stop():
            settle(self._problem, state, np.ones(len(self._problem.repeats), np.bool_), kicks, self._random)


def assigned(problem: Problem, state: Arrangement, surcharge: float = 0) -> NDArray[np.int64]:
    """The best arrangement along the present paths.

    Parameters
    ----------
    problem : Problem
        Which rows lie where.
    state : Arrangement
        Paths, and what each channel costs along them.
    surcharge : float
        Share that is added to what a channel costs in the block that it is in.

    Returns
    -------
    ndarray of int64, shape (C,)
        The channel at each position. Channels that stay in their block stay at their position.
    """
    price = state.price.astype(np.float64)
    price[state.channel, problem.block] *= 1 + surcharge
    channels, positions = linear_sum_assignment(price[:, problem.block])
    there = problem.block[positions]  # of each channel
    here = np.empty(problem.channels, np.int64)
    here[state.channel] = problem.block
    order = np.where(there[state.channel] == here[state.channel], state.channel, -1)
    for block in range(problem.blocks):
        free = np.flatnonzero((problem.block == block) & (order < 0))
        order[free] = np.setdiff1d(channels[there == block], state.channel[problem.block == block])
    return order


def _copy(state: Arrangement) -> Arrangement:
    return Arrangement(*(part.copy() for part in state))


def _take(state: Arrangement, other: Arrangement) -> None:
    """Give a state the contents of another one."""
    for mine, yours in zip(state, other, strict=True):
        mine[:] = yours
