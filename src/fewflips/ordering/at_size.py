"""The solver for segments of thousands of words: time about linear in the words, but for one fast scan of all pairs.

Nearest rows exactly, a greedy path of their edges, an ascent on their graph, nearest rows again under the potentials
that it found, the bound that these certify, then local search with kicks. Memory is linear in the rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fewflips.ordering.bound import Neighbours, Tree, ascend, flips_of, sparse_graph
from fewflips.ordering.effort import Effort
from fewflips.ordering.fragments import greedy_edges_path
from fewflips.ordering.local_search import new_tour, path_of, search
from fewflips.ordering.metric import path_length
from fewflips.ordering.near_bound import near_dual_value
from fewflips.ordering.nearest import NearLists, nearest_rows, varying_bits
from fewflips.ordering.stretch_kicks import kicked
from fewflips.streams.flips import pack_rows

AT_SIZE = 2048
"""More different rows than these are solved here: several times as fast, for orders that are hardly longer."""
ASCENT_SHARE = 3  # of the iterations that smaller instances get, one in so many; steps grow dear, gains do not
KICK_ROWS = 8192  # kicks no longer grow with the rows beyond these: each rewrites ever longer stretches of the tour
CHUNK = 2000  # kicks between two checks for an interruption


class PathAtSize:
    """A path that grows shorter, and a bound that is proven by nearest neighbours.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (N, L)
        Different rows, at least 8.
    effort : Effort
        Work limit.
    state : ndarray of uint64, shape (1,)
        Of the random numbers.
    look_up : callable
        Called at least every second or two; may raise, and the path and bound so far stay valid.

    Attributes
    ----------
    path : ndarray of int64, shape (N,)
        The best path so far.
    length, bound : int
        Its length and the lower bound so far, in flips.
    """

    def __init__(
        self,
        words: NDArray[np.unsignedinteger],
        effort: Effort,
        state: NDArray[np.uint64],
        look_up: Callable[[], None],
    ) -> None:
        self._rows = varying_bits(words)
        self._effort, self._state, self._look_up = effort, state, look_up
        self._potentials = np.zeros(len(words), np.int64)
        self.path = np.arange(len(words), dtype=np.int64)
        self.length = int(path_length(pack_rows(words), self.path))
        self.bound = len(words) - 1

    def improve(self) -> None:
        """Construct, bound, search, in that order."""
        self._look_up()
        lists = self._nearest()
        self._construct(lists)
        self._certify(lists)
        lists = self._ascend(lists)
        self._certify(lists)
        self._search(lists)

    def _nearest(self) -> NearLists:
        return nearest_rows(self._rows, self._potentials, self._effort.neighbours, self._look_up)

    def _construct(self, lists: NearLists) -> None:
        path = greedy_edges_path(self._rows, lists.node, lists.cost)
        length = int(path_length(self._rows, path))
        if length < self.length:
            self.path, self.length = path, length

    def _certify(self, lists: NearLists) -> None:
        self.bound = max(self.bound, flips_of(near_dual_value(lists.node, lists.cost, self._potentials)))

    def _ascend(self, lists: NearLists) -> NearLists:
        """Potentials from the graph of the lists and of the path, which connects it; nearest rows under them."""
        before = np.full(len(self.path), -1, np.int32)
        before[self.path[1:]] = self.path[:-1]
        chain = Tree(before, self.path.astype(np.int32), np.zeros(len(self.path), np.int64))
        graph = sparse_graph(self._rows, self._neighbours(lists), chain)
        iterations = max(1, self._effort.ascent_iterations // ASCENT_SHARE)
        self._potentials = ascend(graph, self._potentials, self.length, iterations)
        self._look_up()
        return self._nearest()

    def _neighbours(self, lists: NearLists) -> Neighbours:
        """With a last row for the dummy: the nodes of least potential."""
        cheapest = np.argsort(self._potentials, kind="stable")[: lists.node.shape[1]]
        node = np.vstack([lists.node, cheapest.astype(np.int32)])
        return Neighbours(node, np.vstack([lists.cost, self._potentials[cheapest]]))

    def _search(self, lists: NearLists) -> None:
        neighbours, tour = self._neighbours(lists), new_tour(self.path)
        arguments = (self._rows, self._potentials, neighbours, tour)
        length, _ = search(*arguments, self.length, self.bound, 0, self._state)
        self.path, self.length = path_of(tour), int(length)
        left = kicks_at_size(self._effort, len(self.path))
        while left > 0 and self.length > self.bound:
            self._look_up()
            self.length = int(kicked(*arguments, self.length, self.bound, min(left, CHUNK), self._state))
            self.path = path_of(tour)
            left -= CHUNK


def kicks_at_size(effort: Effort, rows: int) -> int:
    """Kicks of an instance: as many a row as smaller ones get in all rounds, until their number no longer grows.

    Examples
    --------
    >>> kicks_at_size(Effort.default(), 4096), kicks_at_size(Effort.default(), 32000)
    (2048, 4096)
    """
    return round(effort.rounds * effort.kicks_per_node * min(rows, KICK_ROWS))
