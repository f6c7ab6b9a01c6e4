"""Kicks within a short stretch of the path, for paths of many nodes.

Two neighbouring stretches of some ten nodes change places (a double bridge whose fourth segment is the rest of the
tour), and the search repairs what is near: Applegate, Cook, Rohe, *Chained Lin-Kernighan for large traveling salesman
problems* (INFORMS J. Comput. 15, 2003), section 3.2, "segment". Unlike the walks of
:mod:`fewflips.ordering.local_search`, they rewrite few places of the tour however long it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.local_search import descend, draw, flips_between, new_move, new_queue, push, rewrite, undo

REACH = 30  # nodes in each of the two stretches, at most; fewer of a tour that is not three times as long


@compiled
def swap_stretches(source: Any, tour: Any, queue: Any, state: NDArray[np.uint64]) -> Any:
    """Exchange two adjacent stretches; queues their ends, returns the added flips."""
    n = tour.node.size
    reach = min(REACH, (n - 1) // 3)
    start = draw(state, n)
    one = 1 + draw(state, reach)
    other = 1 + draw(state, reach)
    for i in range(other):
        tour.stretch[i] = tour.node[(start + one + i) % n]
    for i in range(one):
        tour.stretch[other + i] = tour.node[(start + i) % n]
    added = np.int64(0)
    for end in (start, start + one, start + one + other):
        added -= flips_between(source, tour.node[(end - 1) % n], tour.node[end % n])
        push(queue, tour.node[(end - 1) % n])
        push(queue, tour.node[end % n])
    rewrite(tour, start, one + other)
    for end in (start, start + other, start + one + other):
        added += flips_between(source, tour.node[(end - 1) % n], tour.node[end % n])
    return added


@compiled
def kicked(
    source: Any,
    potentials: NDArray[np.int64],
    neighbours: Any,
    tour: Any,
    length: int,
    target: int,
    kicks: int,
    state: NDArray[np.uint64],
) -> int:
    """Kick and repair the tour, in place, `kicks` times or until its length is `target`; returns its new length.

    Parameters are those of :func:`fewflips.ordering.local_search.search`.
    """
    queue = new_queue(tour.node.size)
    move = new_move()
    for _ in range(kicks):
        if length <= target:
            break
        change = swap_stretches(source, tour, queue, state)
        change -= descend(source, potentials, neighbours, tour, queue, move)
        if change <= 0:
            length += change
            tour.top[0] = 0
        else:
            undo(tour)
    return length
