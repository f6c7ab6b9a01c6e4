"""Odd-cut inequalities, which raise the 1-tree bound above that of the 1-trees alone.

A tour crosses the border of a node set H an even number of times. So if it uses all edges of an odd part T
of the border, it uses at least one more:

    x(border - T) - x(T)  >=  1 - |T|

(the blossom inequalities of Edmonds, 1965, for the 2-matching problem; first used for tours by Dantzig,
Fulkerson, Johnson, 1954). Each gets a multiplier and is relaxed like the degree constraints.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.candidates import CandidateGraph

THRESHOLDS = (0.02, 0.1, 0.2, 0.3, 0.4)
VIOLATION = 0.1  # least violation of a cut that is added


class Cuts(NamedTuple):
    """Inequalities sum(sign[k] x[edge[k]]) >= right; those of cut c lie at start[c] ... start[c + 1] - 1."""

    start: NDArray[np.int32]  # (C + 1,)
    edge: NDArray[np.int32]
    sign: NDArray[np.int64]
    right: NDArray[np.int64]  # (C,)


class CutPool:
    """The cuts found so far, each once."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[NDArray[np.int32], NDArray[np.int64], int]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def separate(self, net: CandidateGraph, share: NDArray[np.float64]) -> int:
        """Add the cuts that `share` (of the trees that use each edge) violates; returns how many are new."""
        before = len(self)
        for threshold in THRESHOLDS:
            label = doubtful_components(net, share, threshold)
            start, edge, sign, right = odd_cuts(net, share, label)
            for c in range(right.size):
                part = slice(start[c], start[c + 1])
                key = edge[part].tobytes() + sign[part].tobytes()
                self._known.setdefault(key, (edge[part], sign[part], int(right[c])))
        return len(self) - before

    def all(self) -> Cuts:
        """The cuts as arrays."""
        cuts = list(self._known.values())
        return Cuts(
            np.cumsum([0] + [edge.size for edge, _, _ in cuts]).astype(np.int32),
            np.concatenate([np.empty(0, np.int32)] + [edge for edge, _, _ in cuts]),
            np.concatenate([np.empty(0, np.int64)] + [sign for _, sign, _ in cuts]),
            np.array([right for _, _, right in cuts], np.int64),
        )


@compiled
def doubtful_components(net: Any, share: NDArray[np.float64], threshold: float) -> NDArray[np.int32]:
    """Number of the component of each node, under the edges used neither (almost) never nor always."""
    nodes = net.start.size - 1
    label = np.full(nodes, -1, np.int32)
    stack = np.empty(nodes, np.int32)
    number = 0
    for root in range(nodes):
        if label[root] >= 0:
            continue
        label[root] = number
        stack[0] = root
        size = 1
        while size:
            size -= 1
            node = stack[size]
            for a in range(net.start[node], net.start[node + 1]):
                other = net.other[a]
                if label[other] < 0 and threshold < share[net.edge[a]] < 1 - threshold:
                    label[other] = number
                    stack[size] = other
                    size += 1
        number += 1
    return label


@compiled
def odd_parts(net: Any, share: NDArray[np.float64], label: NDArray[np.int32]) -> Any:
    """For each node set, the odd part of its border that is violated most.

    It holds the border edges used more than half of the time; if their number is even, the edge closest to a half
    changes sides. Returns the violation, the size of the part, the edge that changes sides (or -1),
    and the size of the border.
    """
    sets = label.max() + 1
    violation = np.ones(sets)
    part = np.zeros(sets, np.int64)
    least = np.full(sets, 2.0)
    changed = np.full(sets, -1)
    border = np.zeros(sets, np.int64)
    for e in range(net.u.size):
        if label[net.u[e]] == label[net.v[e]]:
            continue
        for s in (label[net.u[e]], label[net.v[e]]):
            violation[s] -= min(share[e], 1 - share[e])
            part[s] += share[e] > 0.5
            border[s] += 1
            if abs(1 - 2 * share[e]) < least[s]:
                least[s] = abs(1 - 2 * share[e])
                changed[s] = e
    for s in range(sets):
        if part[s] % 2 == 1 or border[s] == 0:
            changed[s] = -1
        else:
            violation[s] -= least[s]
            part[s] += 1 if share[changed[s]] <= 0.5 else -1
    return violation, part, changed, border


@compiled
def odd_cuts(net: Any, share: NDArray[np.float64], label: NDArray[np.int32]) -> Any:
    """The violated cuts of some disjoint node sets; a part of one edge adds nothing and is left out."""
    violation, part, changed, border = odd_parts(net, share, label)
    chosen = np.flatnonzero((part % 2 == 1) & (part >= 3) & (violation > VIOLATION))
    number = np.full(part.size, -1)
    number[chosen] = np.arange(chosen.size)
    start = np.zeros(chosen.size + 1, np.int32)
    start[1:] = np.cumsum(border[chosen])
    edge = np.empty(start[chosen.size], np.int32)
    sign = np.empty(start[chosen.size], np.int64)
    filled = start.copy()
    for e in range(net.u.size):
        if label[net.u[e]] == label[net.v[e]]:
            continue
        for s in (label[net.u[e]], label[net.v[e]]):
            if number[s] >= 0:
                k = filled[number[s]]
                edge[k] = e
                sign[k] = -1 if (share[e] > 0.5) != (e == changed[s]) else 1
                filled[number[s]] += 1
    return start, edge, sign, 1 - part[chosen]


@compiled
def price(net: Any, cuts: Any, multipliers: NDArray[np.int64], length: NDArray[np.int64]) -> Any:
    """Edge lengths under the multipliers, into `length`; returns the constant that the bound gains."""
    length[:] = net.length
    constant = np.int64(0)
    for c in range(multipliers.size):
        if multipliers[c] == 0:
            continue
        constant += multipliers[c] * cuts.right[c]
        for k in range(cuts.start[c], cuts.start[c + 1]):
            length[cuts.edge[k]] -= multipliers[c] * cuts.sign[k]
    return constant
