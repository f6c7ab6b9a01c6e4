"""A search of a space while it goes on: its options, its time, and what was found so far."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from fewflips.errors import InputError
from fewflips.exploration.candidates import Candidate, Machines
from fewflips.exploration.costs import MachineCost
from fewflips.exploration.evaluate import Fidelity, MachineEvaluator
from fewflips.exploration.front import Box, box
from fewflips.exploration.tasks import UnitFigures

Method = Literal["exhaustive", "optuna"]


class OutOfTime(Exception):
    """The time limit has passed."""


@dataclass(frozen=True)
class SearchOptions:
    """How a space is searched.

    Parameters
    ----------
    method : {"exhaustive", "optuna"} or None
        None: exhaustive if that takes at most `simulations` simulations.
    simulations : int
        Simulations of the whole workload, each of one unit in one order, that an optimizer may make.
    share : float
        Share of the cycles that is simulated first; short layers are simulated completely.
    largest_share : float
        Share for machines of the front whose intervals overlap.
    seed : int
        Of orders, samples and the optimizer.
    time_limit_s : float or None
        Time after which nothing new is begun.
    """

    method: Method | None = None
    simulations: int = 256
    share: float = 1e-4
    largest_share: float = 0.1
    seed: int = 0
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= self.largest_share <= 1:
            raise InputError(
                f"share of cycles: expected 0 < share <= largest share <= 1, got {self.share:g}, {self.largest_share:g}"
            )
        if self.simulations < 1:
            raise InputError(f"simulations: expected at least 1, got {self.simulations}")
        if self.time_limit_s is not None and not self.time_limit_s > 0:
            raise InputError(f"time limit: expected more than 0 seconds, got {self.time_limit_s:g}")


@dataclass
class Found:
    """What a search has found so far.

    Parameters
    ----------
    method : {"exhaustive", "optuna"}
        How the space was searched.
    estimates, gate_level : dict of int to MachineCost
        Costs by the machine's number.
    contradictions : dict of int to str
        Why machines cannot be, by their number.
    outside : set of int
        Numbers of machines whose unit alone is outside the constraints, so that they were not simulated.
    complete : bool
        Whether the search came to its end.
    """

    method: Method = "exhaustive"
    estimates: dict[int, MachineCost] = field(default_factory=dict)
    gate_level: dict[int, MachineCost] = field(default_factory=dict)
    contradictions: dict[int, str] = field(default_factory=dict)
    outside: set[int] = field(default_factory=set)
    complete: bool = False

    @property
    def costs(self) -> dict[int, MachineCost]:
        """The best that is known of each machine, by its number."""
        return dict(sorted({**self.estimates, **self.gate_level}.items()))

    @property
    def estimate_error(self) -> float | None:
        """Largest relative error of an estimated datapath energy; None if none was compared with gate level."""
        errors = [
            abs(self.estimates[number].measures.datapath_pj / cost.measures.datapath_pj - 1)
            for number, cost in self.gate_level.items()
            if number in self.estimates and cost.measures.datapath_pj
        ]
        return max(errors, default=None)


class Search:
    """A search of one space.

    Parameters
    ----------
    machines : Machines
        The space.
    evaluator : MachineEvaluator
        Evaluates machines; its `on_result` becomes :meth:`stop_in_time`.
    options : SearchOptions
        How to search.
    """

    def __init__(self, machines: Machines, evaluator: MachineEvaluator, options: SearchOptions) -> None:
        self.machines, self.evaluator, self.options, self.found = machines, evaluator, options, Found()
        self._begin = time.monotonic()
        evaluator.on_result = self.stop_in_time

    def stop_in_time(self) -> None:
        """Raise :class:`OutOfTime` after the time limit."""
        limit = self.options.time_limit_s
        if limit is not None and time.monotonic() - self._begin > limit:
            raise OutOfTime

    def allowed(self, cost: MachineCost) -> bool:
        """Whether a machine is within the constraints."""
        return all(
            limit.allows(getattr(cost.measures, name)) for name, limit in self.machines.space.constraints.items()
        )

    def excess(self, cost: MachineCost) -> tuple[float, ...]:
        """By how much a machine misses each constraint, relative to the limit."""
        return tuple(
            limit.excess(getattr(cost.measures, name)) for name, limit in self.machines.space.constraints.items()
        )

    def boxes(self, margin: float = 0.0) -> dict[int, Box]:
        """Objectives of all allowed machines; those of estimates are wider by a margin."""
        margins = {"estimate": margin, "gate-level": 0.0}
        return {
            number: box(cost.measures, self.machines.space.objectives, margins[cost.precision], cost.group)
            for number, cost in self.found.costs.items()
            if self.allowed(cost)
        }

    def estimate(self, candidates: Sequence[Candidate]) -> dict[int, MachineCost]:
        """Estimates of machines, which are noted as found."""
        within = self._within_by_unit(candidates)
        made = self.evaluate(within, Fidelity("estimate", self.options.share), self.found.estimates)
        return {candidate.index: made[candidate.index] for candidate in within if candidate.index in made}

    def evaluate(
        self, candidates: Sequence[Candidate], fidelity: Fidelity, into: dict[int, MachineCost]
    ) -> dict[int, MachineCost]:
        """Costs of machines, which are noted even if something ends the work.

        Parameters
        ----------
        candidates : sequence of Candidate
            The machines.
        fidelity : Fidelity
            How closely to look.
        into : dict of int to MachineCost
            Where to note them.

        Returns
        -------
        dict of int to MachineCost
            `into`.
        """
        try:
            self.evaluator.compute(candidates, fidelity)
        finally:  # what was finished counts, whatever ended the rest
            into.update(self.evaluator.known(candidates, fidelity))
        return into

    def _within_by_unit(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Machines whose units alone do not put them outside the constraints."""
        figures = self.evaluator.units(candidates)
        built = [candidate for candidate in candidates if candidate.index in figures]
        within = [candidate for candidate in built if self._unit_allowed(candidate, figures[candidate.index])]
        self.found.outside.update(one.index for one in built if not self._unit_allowed(one, figures[one.index]))
        return within

    def _unit_allowed(self, candidate: Candidate, unit: UnitFigures) -> bool:
        values = {
            "critical_path_ns": unit.critical_path_ns,
            "slack_ns": 1e3 / candidate.clock_mhz - unit.critical_path_ns,
        }
        return all(
            limit.allows(values[name]) for name, limit in self.machines.space.constraints.items() if name in values
        )


def best_for_networks(costs: Sequence[MachineCost]) -> list[int]:
    """Number of the machine on which each network alone takes the least energy; empty without machines."""
    if not costs:
        return []
    return [
        min(costs, key=lambda cost: (cost.networks[place].whole_pj, cost.candidate.index)).candidate.index
        for place in range(len(costs[0].networks))
    ]
