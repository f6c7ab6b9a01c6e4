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

from fewflips.errors import ToolError
from fewflips.optimization.lane_clusters.arrangement import Arrangement, Random
from fewflips.optimization.lane_clusters.effort import ClusterEffort
from fewflips.optimization.lane_clusters.likeness import group_alike, likeness
from fewflips.optimization.lane_clusters.problem import LaneUse, Problem
from fewflips.streams.transition_cost import TransitionCost

Paths = Sequence[Sequence[NDArray[np.int64]]]
"""For each use and segment, its streaming indices in the order of its path."""

SURCHARGE_FALLS = 0.75
"""What the surcharge is multiplied by after an assignment that does not pay."""
LEAST_SURCHARGE = 0.1
"""Share of the first surcharge at which assignments end."""
PARTNERS = 8
"""One of so many channels is priced as a partner of an exchange."""
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
        self._problem = Problem(uses, cost)
        self._effort = effort
        self._stop = stop
        self._generator = np.random.default_rng(seed)
        self._random: Random = np.array(seed.generate_state(1, np.uint64), np.uint64)
        self._every = np.arange(len(self._problem.segments))
        known = [order for orders in paths or () for order in orders]
        self._natural = self._arranged(np.arange(self._problem.channels), known)

    def run(self) -> Clusters:
        """The best arrangement that is found."""
        best = self._natural
        for number in range(self._effort.starts if self._problem.blocks > 1 else 0):
            if self._stop():
                break
            state = self._assigned(self._start(number))
            if number == 0 or state.cost < best.cost:
                best = state
        if self._problem.blocks > 1:
            best = self._exchanged(best.copy())
        if not self._stop():
            best = best.copy()
            best.settle(self._every, self._random, self._effort.kicks)
        if best.cost >= self._natural.cost:
            best = self._natural
        return Clusters(best.channel, self._paths(best), self._natural.cost, best.cost)

    def _start(self, number: int) -> Arrangement:
        channels = self._problem.channels
        if number == 0:
            return self._natural
        if number > 1:
            return self._arranged(self._generator.permutation(channels))
        order = np.arange(channels)
        group_alike(likeness(self._problem.uses, channels, self._generator), self._problem.block, order, SWEEPS)
        return self._arranged(order)

    def _arranged(self, channel: NDArray[np.int64], orders: Sequence[NDArray[np.int64]] = ()) -> Arrangement:
        none = [np.zeros(0, np.int64)] * len(self._every)
        return Arrangement.of(self._problem, channel, orders or none, self._random)

    def _paths(self, state: Arrangement) -> tuple[tuple[NDArray[np.int64], ...], ...]:
        orders = iter(state.orders)
        return tuple(tuple(next(orders) for _ in use.segments) for use in self._problem.uses)

    def _assigned(self, state: Arrangement) -> Arrangement:
        """Assignments along the present paths, whose surcharge falls."""
        lanes = float(np.mean([len(lanes) for _, lanes, _ in self._problem.segments]))
        first = surcharge = lanes**-0.5
        for _ in range(self._effort.assignments):
            if surcharge < LEAST_SURCHARGE * first or self._stop():
                break
            other = self._reassigned(state, surcharge)
            if other is not None and other.cost < state.cost:
                state = other
            else:
                surcharge *= SURCHARGE_FALLS
        return state

    def _reassigned(self, state: Arrangement, surcharge: float) -> Arrangement | None:
        """The best arrangement along the present paths, with paths of its own; None if it is the present one."""
        problem = self._problem
        order = assigned(problem, state, surcharge)
        moved = np.flatnonzero(order != state.channel)
        if not len(moved):
            return None
        other = state.copy()
        other.put(moved, order[moved])
        changed = np.unique(np.concatenate([problem.touched[block] for block in np.unique(problem.block[moved])]))
        other.settle(changed, self._random)
        return other

    def _exchanged(self, state: Arrangement) -> Arrangement:
        """Exchanges, as many as the work limit has room for; the best state on the way."""
        problem, effort = self._problem, self._effort
        words = np.array([len(words) for _, _, words in problem.segments])
        of_block = np.array([words[touched].sum() for touched in problem.touched])
        each = 2 * float(of_block[problem.block].mean())
        trials = int(min(effort.exchanges * problem.channels, effort.most_words / each))
        heat = effort.heat * state.cost / problem.channels
        best = state.copy()
        for trial in range(trials):
            if self._stop():
                break
            if self._exchange(state, heat * COOLED ** (trial / trials)) and state.cost < best.cost:
                best = state.copy()
        return best

    def _exchange(self, state: Arrangement, heat: float) -> bool:
        """Exchange two channels, order their segments again, and keep what costs less, or a little more."""
        problem, position = self._problem, int(self._generator.integers(self._problem.channels))
        other = self._partner(state, position)
        if other is None:
            return False
        pair = np.array([position, other])
        before = state.channel[pair]
        state.put(pair, before[::-1])
        changed = np.union1d(*(problem.touched[block] for block in problem.block[pair]))
        found = [state.improved(segment, self._random) for segment in changed]
        lengths = np.array([length for _, length in found])
        change = int((problem.repeats[changed] * (lengths - state.lengths[changed])).sum())
        if change > 0 and (heat == 0 or self._generator.random() >= np.exp(-change / heat)):
            state.put(pair, before)
            return False
        for segment, (order, length) in zip(changed, found, strict=True):
            state.orders[segment], state.lengths[segment] = order, length
        state.set_prices(changed)
        return True

    def _partner(self, state: Arrangement, position: int) -> int | None:
        """Of some positions of other blocks, the one whose exchange costs least along the present paths."""
        problem, price = self._problem, state.price
        others = self._generator.integers(problem.channels, size=max(PARTNERS, problem.channels // PARTNERS))
        here, mine = problem.block[position], state.channel[position]
        others = others[problem.block[others] != here]
        if not len(others):
            return None
        there, yours = problem.block[others], state.channel[others]
        change = price[mine, there] - price[mine, here] + price[yours, here] - price[yours, there]
        return int(others[change.argmin()])


def _best_assignment(price: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Channels, and the position of each, for the least sum of prices, shape (channels, positions)."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ToolError(
            "step cluster: the assignment of channels needs SciPy, which is not installed: "
            "pip install 'fewflips[assignment]', or leave the step out"
        ) from error
    channels, positions = linear_sum_assignment(price)
    return channels, positions


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
    channels, positions = _best_assignment(price[:, problem.block])
    there = problem.block[positions]  # of each channel
    here = np.empty(problem.channels, np.int64)
    here[state.channel] = problem.block
    order = np.where(there[state.channel] == here[state.channel], state.channel, -1)
    for block in range(problem.blocks):
        free = np.flatnonzero((problem.block == block) & (order < 0))
        order[free] = np.setdiff1d(channels[there == block], state.channel[problem.block == block])
    return order
