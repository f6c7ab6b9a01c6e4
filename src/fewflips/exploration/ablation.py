"""What each choice of the best machine is worth: the same machine with one other choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fewflips.exploration.candidates import Candidate, Contradiction, Machines
from fewflips.exploration.costs import MachineCost
from fewflips.exploration.search import Search
from fewflips.records.exploration import AblationEntry, Measure

_PERCENT = 100.0


def ablation(search: Search, best: Candidate) -> tuple[AblationEntry, ...]:
    """Compare the best machine with those that differ from it in one choice.

    Estimates are compared with estimates, so that all have the same cycles sampled.

    Parameters
    ----------
    search : Search
        A search that has ended; machines that it did not meet are estimated.
    best : Candidate
        The best machine.

    Returns
    -------
    tuple of AblationEntry
        For each dimension with several choices, each other choice.
    """
    machines = search.machines
    others: dict[tuple[int, int], Candidate | str] = {}
    for place, digit in _other_choices(machines, best):
        digits = [*best.digits[:place], digit, *best.digits[place + 1 :]]
        try:
            others[place, digit] = machines.candidate(digits)
        except Contradiction as contradiction:
            others[place, digit] = str(contradiction)
    wanted = [one for one in (best, *others.values()) if isinstance(one, Candidate)]
    search.estimate([one for one in wanted if one.index not in search.found.estimates])
    return tuple(_entry(search, best, place, digit, other) for (place, digit), other in others.items())


def changes(objectives: Sequence[Measure], before: MachineCost, after: MachineCost) -> dict[Measure, float]:
    """Change of each objective in percent; without those that are 0 before."""
    return {
        name: _PERCENT * (getattr(after.measures, name) / start - 1)
        for name in objectives
        if (start := getattr(before.measures, name))
    }


def _other_choices(machines: Machines, best: Candidate) -> Iterator[tuple[int, int]]:
    for place, dimension in enumerate(machines.dimensions):
        for digit in range(len(dimension.choices)):
            if digit != best.digits[place]:
                yield place, digit


def _entry(search: Search, best: Candidate, place: int, digit: int, other: Candidate | str) -> AblationEntry:
    dimension, objectives = search.machines.dimensions[place], search.machines.space.objectives
    here, there = dimension.choices[best.digits[place]].label, dimension.choices[digit].label
    reason = other if isinstance(other, str) else search.evaluator.refused.get(other.index, "")
    if isinstance(other, str) or other.index not in search.found.estimates:
        return AblationEntry(
            dimension=dimension.name,
            best=here,
            other=there,
            index=None,
            change_percent={},
            precision=None,
            reason=reason or "its unit alone is outside the constraints",
        )
    before, after = search.found.estimates[best.index], search.found.estimates[other.index]
    return AblationEntry(
        dimension=dimension.name,
        best=here,
        other=there,
        index=other.index,
        change_percent=changes(objectives, before, after),
        precision=after.precision,
    )
