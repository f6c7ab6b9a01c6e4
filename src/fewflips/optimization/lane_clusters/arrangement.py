"""A state of the search: a channel at each position, a path for each segment, and what each channel costs where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.optimization.lane_clusters.kernels import costs_along, distances, nearest, packed_words, same_words
from fewflips.optimization.lane_clusters.problem import Problem
from fewflips.ordering.construct import greedy_path
from fewflips.ordering.exact import LARGEST, dynamic_program
from fewflips.ordering.local_search import new_tour, path_of, search
from fewflips.ordering.metric import path_length

NEIGHBOURS = 6
"""Partners of a word in the local search."""

Random = NDArray[np.uint64]
"""State of the random numbers of the local search, shape (1,)."""

Order = NDArray[np.int64]
"""Streaming indices of a segment in the order of its path."""


@dataclass(eq=False)
class Arrangement:
    """A state; arrays within its lists are replaced, never changed.

    Parameters
    ----------
    problem : Problem
        What is arranged.
    channel : ndarray of int64, shape (C,)
        The channel at each position.
    content : list of ndarray of int64, shape (J,)
        For each use, the row of codes that is on each lane index.
    orders : list of ndarray of int64
        The order of each segment.
    lengths : ndarray of int64, shape (S,)
        Cost of each segment's stream, once.
    price : ndarray of int64, shape (C, blocks)
        Cost of one inference of each channel at a position of each block, along the present orders.
    """

    problem: Problem
    channel: NDArray[np.int64]
    content: list[NDArray[np.int64]]
    orders: list[Order]
    lengths: NDArray[np.int64]
    price: NDArray[np.int64]

    @classmethod
    def of(cls, problem: Problem, channel: NDArray[np.int64], orders: Iterable[Order], random: Random) -> Arrangement:
        """Channels at their positions, and good orders.

        Parameters
        ----------
        problem : Problem
            What is arranged.
        channel : ndarray of int64, shape (C,)
            The channel at each position.
        orders : iterable of ndarray of int64
            Orders to begin with, of all segments; empty ones where there is none.
        random : ndarray of uint64, shape (1,)
            State of random numbers; advanced.

        Returns
        -------
        Arrangement
            The state.
        """
        state = cls(
            problem,
            np.arange(problem.channels),
            [np.arange(len(use.codes)) for use in problem.uses],
            list(orders),
            np.zeros(len(problem.segments), np.int64),
            np.zeros((problem.channels, problem.blocks), np.int64),
        )
        state.put(np.arange(problem.channels), channel)
        state.settle(np.arange(len(problem.segments)), random)
        return state

    @property
    def cost(self) -> int:
        """Cost of one inference."""
        return int((self.problem.repeats * self.lengths).sum())

    def copy(self) -> Arrangement:
        """A state of its own."""
        return Arrangement(
            self.problem,
            self.channel.copy(),
            [content.copy() for content in self.content],
            list(self.orders),
            self.lengths.copy(),
            self.price.copy(),
        )

    def put(self, positions: NDArray[np.int64], channels: NDArray[np.int64]) -> None:
        """Lay the rows of channels on the lanes of positions; orders, lengths and prices stay."""
        self.channel[positions] = channels
        for use, content in zip(self.problem.uses, self.content, strict=True):
            content[use.lane_of[:, positions]] = use.lane_of[:, channels]

    def settle(self, segments: NDArray[np.int64], random: Random, kicks: float = 0) -> None:
        """Better orders for some segments, whose lanes have changed."""
        for segment in segments:
            self.orders[segment], self.lengths[segment] = self.improved(segment, random, kicks)
        self.set_prices(segments)

    def improved(self, segment: int, random: Random, kicks: float = 0) -> tuple[Order, int]:
        """A short order of a segment's words, from the present one, and what it costs.

        Parameters
        ----------
        segment : int
            The segment.
        random : ndarray of uint64, shape (1,)
            State of random numbers; advanced.
        kicks : float
            Kicks of the local search, per word.

        Returns
        -------
        order : ndarray of int64
            Of the same words. Equal words follow one another.
        cost : int
            Of its stream, once; never more than that of the present order.
        """
        problem, known = self.problem, self.orders[segment]
        number, lanes, words = problem.segments[segment]
        use, rows = problem.uses[number], self.content[number][lanes]
        packed = packed_words(use.codes, rows, words, use.bits)
        same, first = same_words(packed)
        start = _in_numbers(known, words, same)
        source = packed[first] if not problem.steps.size else self._distances(segment, words[first])
        path = _short_path(source, start, round(kicks * len(words)), random)
        place = np.empty(len(first), np.int64)
        place[path] = np.arange(len(first))
        order = words[np.argsort(place[same], kind="stable")]
        cost = self.cost_along(segment, order)
        if len(known) and (present := self.cost_along(segment, known)) < cost:
            return known, present
        return order, cost

    def cost_along(self, segment: int, order: Order) -> int:
        """Cost of a segment's stream in an order."""
        number, lanes, _ = self.problem.segments[segment]
        use = self.problem.uses[number]
        rows = self.content[number][lanes]
        return int(costs_along(use.codes, rows, order, use.chains, self.problem.steps, use.bits).sum())

    def _distances(self, segment: int, words: NDArray[np.int64]) -> NDArray[np.int32]:
        number, lanes, _ = self.problem.segments[segment]
        use = self.problem.uses[number]
        found: NDArray[np.int32] = distances(
            use.codes, self.content[number][lanes], words, self.problem.steps, use.bits
        )
        return found

    def set_prices(self, segments: NDArray[np.int64]) -> None:
        """Price all channels again in the blocks that have lanes in segments whose orders have changed."""
        problem = self.problem
        tables: dict[int, NDArray[np.int64]] = {}
        changed = set(np.asarray(segments).tolist())
        for block, touched in enumerate(problem.touched):
            if changed.isdisjoint(touched.tolist()):
                continue
            total = np.zeros(problem.channels, np.int64)
            for segment, rows in problem.places[block]:
                if segment not in tables:
                    tables[segment] = problem.repeats[segment] * self._table(segment)
                total += tables[segment][rows]
            self.price[:, block] = total

    def _table(self, segment: int) -> NDArray[np.int64]:
        """What each row of codes costs along the order of a segment."""
        number, _, _ = self.problem.segments[segment]
        use = self.problem.uses[number]
        every = np.arange(len(use.codes))
        found: NDArray[np.int64] = costs_along(
            use.codes, every, self.orders[segment], use.chains, self.problem.steps, use.bits
        )
        return found


def _in_numbers(order: Order, words: NDArray[np.int64], same: NDArray[np.int64]) -> NDArray[np.int64]:
    """An order of words as one of the numbers of different words, each where it first occurs."""
    if not len(order):
        return order
    by_value = np.argsort(words)
    numbers = same[by_value[np.searchsorted(words, order, sorter=by_value)]]
    _, first = np.unique(numbers, return_index=True)
    return numbers[np.sort(first)]


def _short_path(source: NDArray[np.generic], start: NDArray[np.int64], kicks: int, random: Random) -> Order:
    """A short path by local search from the one given, or from the greedy one where that is shorter."""
    nodes = len(source)
    if nodes <= LARGEST:
        best: Order = dynamic_program(source)
        return best
    path = greedy_path(source)
    length = int(path_length(source, path))
    if len(start) and (known := int(path_length(source, start))) <= length:
        path, length = start, known
    tour, level, near = new_tour(path), np.zeros(nodes, np.int64), nearest(source, NEIGHBOURS)
    length, _ = search(source, level, near, tour, length, 0, 0, random)
    if kicks:
        search(source, level, near, tour, int(length), 0, kicks, random)
    found: Order = path_of(tour)
    return found
