"""Lower bound for several chains that share the rows: the best that a machine with parallel chains can reach."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.kernels.compiled import compiled
from fewflips.ordering.bound import ascend, flips_of, nearest_neighbours, spanning_tree, sparse_graph
from fewflips.ordering.effort import Effort
from fewflips.ordering.metric import check_words, rows_within_reach, source_of_words, spread_bound
from fewflips.streams.transition_cost import TransitionCost


@compiled
def cover_value(potentials: NDArray[np.int64], tree: Any, chains: int) -> Any:
    """The bound of a minimum spanning tree of the complete graph, in 2 ** -FRACTION_BITS flips."""
    n = potentials.size
    kept = np.sort(tree.cost[tree.order[1:]])[: n - chains]
    ends = np.sort(potentials)
    total = kept.sum() - 2 * potentials.sum()
    for k in range(2 * chains):
        total += ends[k // 2]
    return total


def path_cover_bound(
    words: NDArray[np.unsignedinteger],
    chains: int,
    flips: int,
    *,
    cost: TransitionCost | None = None,
    effort: Effort | None = None,
) -> int:
    """No `chains` paths that together visit every row once have fewer flips, or cost less.

    The 1-tree bound of Held and Karp with a dummy node that is visited once per chain: a minimum forest of
    N - `chains` edges, and 2 `chains` edges of the dummy, at most two to a node.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (N, L)
        One word vector per row.
    chains : int
        Number of paths, at least 1; a path of one row is allowed.
    flips : int
        Flips of some such chains, or their cost: the target of the ascent. It does not affect validity.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.
    effort : Effort, optional
        Rounds, iterations and neighbours of the ascent; ``Effort.default()`` by default.

    Returns
    -------
    int
        Proven lower bound, in flips or in the unit of `cost`. Of rows too many to compare, it only counts those that
        differ.

    Raises
    ------
    InputError
        If `words` is not a matrix of 8- or 16-bit integers with at least one row, `chains` is less than 1, or a code
        is wider than those of `cost`.

    Examples
    --------
    >>> import numpy as np
    >>> path_cover_bound(np.array([[0b000], [0b001], [0b110], [0b111]], dtype=np.uint8), 2, 2)
    2
    """
    check_words(words)
    if chains < 1:
        raise InputError(f"chains: expected at least 1, got {chains}")
    if chains >= len(words):
        return 0
    if cost is not None and not cost.is_flips:
        return cost.unit * _bound(words, chains, -(-flips // cost.unit), cost.in_units, effort or Effort.default())
    return _bound(words, chains, flips, None, effort or Effort.default())


def _bound(
    words: NDArray[np.unsignedinteger], chains: int, flips: int, cost: TransitionCost | None, effort: Effort
) -> int:
    if rows_within_reach(words, cost) < len(words):  # too many to compare
        return spread_bound(words, chains, cost)
    source = source_of_words(words, cost)
    potentials = np.zeros(len(words), np.int64)
    tree = spanning_tree(source, potentials)
    best = cover_value(potentials, tree, chains)
    for _ in range(effort.rounds):
        graph = sparse_graph(source, nearest_neighbours(source, potentials, tree, effort.neighbours), tree)
        potentials = ascend(graph, potentials, flips, effort.ascent_iterations, chains)
        tree = spanning_tree(source, potentials)
        best = max(best, cover_value(potentials, tree, chains))
    return flips_of(best)
