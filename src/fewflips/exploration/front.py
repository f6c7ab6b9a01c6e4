"""Pareto fronts of machines whose energies are known up to an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fewflips.records.exploration import Measure, Measures

ENERGIES: frozenset[Measure] = frozenset({"whole_pj", "datapath_pj"})
"""Measures that have an interval; the others are exact."""


@dataclass(frozen=True)
class Box:
    """Where a machine lies in the space of objectives.

    Parameters
    ----------
    low, high : tuple of float
        Smallest and largest value of each objective.
    group : str
        Machines of the same group were simulated together: their errors are the same, so that the middles of their
        intervals tell which is better. Empty for a machine by itself.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    group: str = ""

    @property
    def middle(self) -> tuple[float, ...]:
        """The value in the middle of each interval."""
        return tuple((low + high) / 2 for low, high in zip(self.low, self.high, strict=True))


def box(measures: Measures, objectives: Sequence[Measure], margin: float = 0.0, group: str = "") -> Box:
    """Intervals of a machine's objectives.

    Parameters
    ----------
    measures : Measures
        What it costs.
    objectives : sequence of str
        Measures to be minimized.
    margin : float
        Relative error of energies beyond their interval.
    group : str
        See :class:`Box`.

    Returns
    -------
    Box
        Of width 0 where a measure is exact.
    """
    low, high = [], []
    for name in objectives:
        value: float = getattr(measures, name)
        half = measures.half_width_pj + margin * value if name in ENERGIES else 0.0
        low.append(value - half)
        high.append(value + half)
    return Box(tuple(low), tuple(high), group)


def dominates(better: Sequence[float], worse: Sequence[float]) -> bool:
    """Whether one point is at least as good as another in everything, and better in something.

    Examples
    --------
    >>> dominates((1, 2), (1, 3)), dominates((1, 2), (1, 2)), dominates((1, 2), (0, 3))
    (True, False, False)
    """
    pairs = list(zip(better, worse, strict=True))
    return all(one <= other for one, other in pairs) and any(one < other for one, other in pairs)


def pareto_front(boxes: Mapping[int, Box]) -> set[int]:
    """Machines that no other dominates, by the middles of their intervals.

    Of machines that are equal in every objective all are on the front.

    Examples
    --------
    >>> flat = {0: (1.0, 5.0), 1: (2.0, 2.0), 2: (3.0, 3.0)}
    >>> sorted(pareto_front({number: Box(point, point) for number, point in flat.items()}))
    [0, 1]
    """
    return _undominated({number: (one.middle, one.middle) for number, one in boxes.items()})


def possible_front(boxes: Mapping[int, Box]) -> set[int]:
    """Machines that may be on the front: none is better than them wherever in their intervals both lie."""
    return _undominated({number: (boxes[number].high, boxes[number].low) for number in _best_of_groups(boxes)})


def certain_front(boxes: Mapping[int, Box]) -> set[int]:
    """Machines that are on the front wherever in their intervals they and all others lie.

    It is enough to compare those that may be on the front: whatever beats a machine is beaten by, or is, one of them.
    """
    possible = {number: boxes[number] for number in possible_front(boxes)}

    def may_beat(other: Box, one: Box) -> bool:
        return not (one.group and one.group == other.group) and dominates(other.low, one.high)

    return {
        number
        for number, one in possible.items()
        if not any(may_beat(other, one) for key, other in possible.items() if key != number)
    }


def _best_of_groups(boxes: Mapping[int, Box]) -> set[int]:
    """Machines that no other one of their group dominates."""
    groups: dict[str, dict[int, tuple[tuple[float, ...], tuple[float, ...]]]] = {}
    for number, one in boxes.items():
        name = one.group or f"machine {number}"
        groups.setdefault(name, {})[number] = (one.middle, one.middle)
    return {number for members in groups.values() for number in _undominated(members)}


def _undominated(points: Mapping[int, tuple[tuple[float, ...], tuple[float, ...]]]) -> set[int]:
    """Numbers whose second point no other's first point dominates.

    A point that dominates comes before what it dominates in lexicographic order of the first points, and it is enough
    to compare with those that are not dominated themselves.
    """
    kept: list[tuple[float, ...]] = []
    for point in sorted({first for first, _ in points.values()}):
        if not any(dominates(other, point) for other in kept):
            kept.append(point)
    return {number for number, (_, second) in points.items() if not any(dominates(other, second) for other in kept)}
