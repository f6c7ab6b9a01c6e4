"""The record of a search: machines, front, the best for each network, what each choice is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fewflips.errors import InputError
from fewflips.exploration.ablation import ablation
from fewflips.exploration.candidates import Candidate
from fewflips.exploration.costs import MachineCost
from fewflips.exploration.evaluate import Fidelity, MachineEvaluator
from fewflips.exploration.front import ENERGIES, certain_front, pareto_front
from fewflips.exploration.search import OutOfTime, Search
from fewflips.records.exploration import (
    AblationEntry,
    Against,
    BestForNetwork,
    ContradictionCount,
    DetailedMachine,
    ExploredMachine,
    Measure,
)


@dataclass(frozen=True)
class SearchOutcome:
    """What a search found, as records.

    Parameters
    ----------
    machines : tuple of ExploredMachine
        All that were evaluated, by number.
    front : tuple of DetailedMachine
        By the first objective.
    best_per_network : tuple of BestForNetwork
        For each network.
    ablation : tuple of AblationEntry
        What each choice of the best machine is worth.
    against : Against or None
        The comparison with a baseline, if one was given.
    contradictions : tuple of ContradictionCount
        Machines that cannot be, by reason.
    complete : bool
        Whether nothing was cut short.
    """

    machines: tuple[ExploredMachine, ...]
    front: tuple[DetailedMachine, ...]
    best_per_network: tuple[BestForNetwork, ...]
    ablation: tuple[AblationEntry, ...]
    against: Against | None
    contradictions: tuple[ContradictionCount, ...]
    complete: bool


def outcome(search: Search, given: Candidate | None = None, source: str = "") -> SearchOutcome:
    """Sum up a search.

    Parameters
    ----------
    search : Search
        A search that has ended, at its end or before.
    given : Candidate, optional
        A machine to compare the best one with.
    source : str
        What the user calls it.

    Returns
    -------
    SearchOutcome
        As records.

    Raises
    ------
    InputError
        If the given machine cannot be evaluated.
    """
    found, objectives = search.found, search.machines.space.objectives
    boxes = search.boxes()
    on_front, certain = pareto_front(boxes), certain_front(boxes)
    front = sorted(on_front, key=lambda number: (boxes[number].middle, number))
    costs = found.costs
    best = costs[front[0]] if front else None
    complete = found.complete
    entries: tuple[AblationEntry, ...] = ()
    against = None
    if best is not None and complete:
        try:
            entries = ablation(search, best.candidate)
            against = None if given is None else _against(search.evaluator, search, best, given, source)
        except OutOfTime:
            complete = False
    costs = found.costs
    allowed = [cost for cost in costs.values() if search.allowed(cost)]
    return SearchOutcome(
        machines=tuple(
            ExploredMachine(**_fields(cost, search, number in on_front, number in certain))
            for number, cost in costs.items()
        ),
        front=tuple(_detailed(costs[number], search, True, number in certain) for number in front),
        best_per_network=_best_per_network(allowed, objectives),
        ablation=entries,
        against=against,
        contradictions=_contradictions(found.contradictions),
        complete=complete,
    )


def _fields(cost: MachineCost, search: Search, on_front: bool, separated: bool) -> dict[str, Any]:
    candidate = cost.candidate
    return {
        "index": candidate.index,
        "choices": candidate.labels,
        "orders": candidate.orders,
        "cells": candidate.cells,
        "clock_mhz": candidate.clock_mhz,
        "measures": cost.measures,
        "precision": cost.precision,
        "share": cost.share,
        "allowed": search.allowed(cost),
        "on_front": on_front,
        "separated": on_front and separated,
    }


def _detailed(cost: MachineCost, search: Search, on_front: bool, separated: bool) -> DetailedMachine:
    fields = _fields(cost, search, on_front, separated)
    return DetailedMachine(**fields, modes=cost.candidate.modes, networks=cost.networks)


def _best_per_network(costs: Sequence[MachineCost], objectives: Sequence[Measure]) -> tuple[BestForNetwork, ...]:
    """The machine on which each network alone takes least of the first objective that is an energy (whole, if none)."""
    if not costs:
        return ()
    objective: Measure = next((name for name in objectives if name in ENERGIES), "whole_pj")
    best = []
    for place, network in enumerate(costs[0].networks):
        value, index = min((getattr(cost.networks[place], objective), cost.candidate.index) for cost in costs)
        best.append(BestForNetwork(network=network.network, index=index, objective=objective, value=value))
    return tuple(best)


def _against(evaluator: MachineEvaluator, search: Search, best: MachineCost, given: Candidate, source: str) -> Against:
    fidelity = Fidelity("gate-level", search.options.share)
    evaluator.compute([given], fidelity)
    known = evaluator.known([given], fidelity)
    if given.index not in known:
        raise InputError(f"{source}: {evaluator.refused.get(given.index, 'cannot be evaluated')}")
    cost = known[given.index]
    times: dict[Measure, float] = {
        name: getattr(cost.measures, name) / value
        for name in search.machines.space.objectives
        if (value := getattr(best.measures, name))
    }
    return Against(
        source=source, baseline=_detailed(cost, search, False, False), best=best.candidate.index, times=times
    )


def _contradictions(reasons: dict[int, str]) -> tuple[ContradictionCount, ...]:
    by_reason: dict[str, list[int]] = {}
    for number, reason in sorted(reasons.items()):
        by_reason.setdefault(reason, []).append(number)
    return tuple(
        ContradictionCount(reason=reason, machines=len(numbers), example=numbers[0])
        for reason, numbers in sorted(by_reason.items(), key=lambda item: -len(item[1]))
    )
