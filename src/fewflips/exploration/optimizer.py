"""Searches a space that is too large to be simulated: Optuna chooses machines, by the estimates of those before."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any

from fewflips.dataflows import dataflow_of
from fewflips.errors import ToolError
from fewflips.exploration.candidates import Candidate, Contradiction, Dimension
from fewflips.exploration.search import Search

_BATCH = 16
"""Machines that are asked for before they are evaluated together."""
_MOST_SIBLINGS = 64
"""Machines with the same toggles that are evaluated along with one that was asked for."""
_MOST_ASKED = 20
"""How many machines are asked for at most, for each simulation."""
_EXCESS = "excess"


class Optimizer:
    """Asks Optuna's multi-objective sampler (tree-structured Parzen estimators) for machines, and tells their costs.

    Machines that differ in nothing that toggles cost no simulation of their own and are evaluated along.

    Parameters
    ----------
    search : Search
        The search that this is part of.

    Raises
    ------
    ToolError
        If Optuna is not installed.
    """

    def __init__(self, search: Search) -> None:
        try:
            import optuna
        except ImportError as error:
            raise ToolError(
                f"a space of {search.machines.count} machines needs Optuna, which is not installed: "
                "pip install 'fewflips[explore]', or narrow the space"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._search, self._machines, self._optuna = search, search.machines, optuna
        constraints = self._constraints if self._machines.space.constraints else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Optuna calls experimental
            sampler = optuna.samplers.TPESampler(
                seed=search.options.seed, n_startup_trials=2 * _BATCH, constraints_func=constraints
            )
            self._study = optuna.create_study(
                directions=["minimize"] * len(self._machines.space.objectives), sampler=sampler
            )
        self._distributions: dict[str, Any] = {
            str(place): optuna.distributions.CategoricalDistribution(list(range(len(dimension.choices))))
            for place, dimension in enumerate(self._machines.dimensions)
        }

    def run(self) -> dict[int, Candidate]:
        """Evaluate machines until the simulations are used up, or nothing new is asked for.

        Returns
        -------
        dict of int to Candidate
            All that were evaluated, by number.
        """
        candidates: dict[int, Candidate] = {}
        circuits: set[str] = set()
        options = self._search.options
        asked = 0
        while len(circuits) < options.simulations and asked < _MOST_ASKED * options.simulations:
            trials = [self._study.ask(self._distributions) for _ in range(_BATCH)]
            asked += len(trials)
            batch = [self._candidate(trial) for trial in trials]
            wanted = {one.index: one for asked_for in batch if asked_for for one in self._along(asked_for)}
            new = [one for index, one in wanted.items() if index not in candidates]
            self._search.estimate(new)
            candidates.update((one.index, one) for one in new)
            circuits.update(name for one in new for name in self._search.evaluator.circuits(one))
            for trial, one in zip(trials, batch, strict=True):
                self._tell(trial, one)
            if len(candidates) >= self._machines.count:
                break
        return candidates

    def _candidate(self, trial: Any) -> Candidate | None:
        digits = [trial.params[str(place)] for place in range(len(self._machines.dimensions))]
        try:
            return self._machines.candidate(digits)
        except Contradiction as contradiction:
            self._search.found.contradictions[self._machines.index_of(digits)] = str(contradiction)
            return None

    def _along(self, asked: Candidate) -> Iterator[Candidate]:
        """A machine, and others with the same toggles."""
        yield asked
        ranges = [
            range(len(dimension.choices)) if _only_charged(dimension, asked) else (digit,)
            for dimension, digit in zip(self._machines.dimensions, asked.digits, strict=True)
        ]
        for digits in islice(product(*ranges), _MOST_SIBLINGS):
            if digits != asked.digits:
                try:
                    yield self._machines.candidate(digits)
                except Contradiction as contradiction:
                    self._search.found.contradictions[self._machines.index_of(digits)] = str(contradiction)

    def _tell(self, trial: Any, candidate: Candidate | None) -> None:
        cost = self._search.found.estimates.get(candidate.index) if candidate is not None else None
        if cost is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            return
        trial.set_user_attr(_EXCESS, self._search.excess(cost))
        objectives = self._machines.space.objectives
        self._study.tell(trial, [getattr(cost.measures, name) for name in objectives])

    @staticmethod
    def _constraints(trial: Any) -> Sequence[float]:
        found: Sequence[float] = trial.user_attrs[_EXCESS]
        return found


def _only_charged(dimension: Dimension, machine: Candidate) -> bool:
    """Whether a dimension changes nothing that toggles, or only which pixels meet in a column."""
    keys = {key.split(".")[0] for choice in dimension.choices for key in choice.settings}
    charged = {"buffers", "clock_mhz", "name", "description"}
    if all(dataflow_of(mode).columns_share_pixels for mode in machine.modes):
        charged.add("columns")
    return keys <= charged
