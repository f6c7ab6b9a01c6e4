"""The best machine of a space for a network in an order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scripts.reproduction.progress import StepReport, say

from fewflips.api.explore import ExploreOptions, explore
from fewflips.errors import InputError
from fewflips.exploration.search import SearchOptions
from fewflips.exploration.space import Space
from fewflips.machine import Accelerator
from fewflips.records.exploration import DetailedMachine, Measure

from .networks import Candidate

Order = Literal["natural", "schedule"]
ORDERS: tuple[Order, ...] = ("natural", "schedule")
PLAIN = ("edge4", "edge8", "edge16", "os16", "tpu16")
"""Built-in machines, on which everything is simulated as well."""
NARROW_LANES = 4
"""Most lanes of the machines whose datapath alone is compared."""


@dataclass(frozen=True)
class Searches:
    """How machines are searched.

    Parameters
    ----------
    space : Space
        What may vary, without orders.
    share, largest_share : float
        Share of the cycles that is simulated first, and at the most.
    store : Path
        Where results are kept.
    jobs : int
        Processors.
    """

    space: Space
    share: float
    largest_share: float
    store: Path
    jobs: int

    def best(
        self, candidate: Candidate, order: Order, objective: Measure, most_lanes: int | None = None
    ) -> Accelerator:
        """The machine on which a network costs least.

        Parameters
        ----------
        candidate : Candidate
            The network.
        order : {"natural", "schedule"}
            The order in which it streams.
        objective : str
            What is to be least.
        most_lanes : int, optional
            Most lanes of the machine.

        Returns
        -------
        Accelerator
            With buffers; its name says what it was chosen for.
        """
        vary = dict(self.space.vary) | {"orders": [order]}
        if most_lanes is not None:
            vary["array"] = {name: keys for name, keys in self._arrays().items() if keys["lanes"] <= most_lanes}
        space = self.space.model_copy(update={"vary": vary, "objectives": (objective,)})
        say(f"searching machines for {candidate.network}, {candidate.training}, {order}: {objective}")
        options = ExploreOptions(
            search=SearchOptions(method="exhaustive", share=self.share, largest_share=self.largest_share),
            store=self.store,
            jobs=self.jobs,
        )
        inputs = [] if candidate.inputs is None else [candidate.inputs]
        found = explore([candidate.path], space, inputs=inputs, options=options, progress=StepReport()).report.front[0]
        return _named(found, candidate, order, objective, most_lanes)

    def _arrays(self) -> dict[str, dict[str, int]]:
        arrays = self.space.vary.get("array")
        if not isinstance(arrays, dict):
            raise InputError(f"space {self.space.name}: expected `array` with named values, each with its lanes")
        return arrays


def _named(
    found: DetailedMachine, candidate: Candidate, order: Order, objective: Measure, most_lanes: int | None
) -> Accelerator:
    machine = found.modes[0]
    choices = ", ".join(f"{name} {choice}" for name, choice in found.choices.items() if name != "orders")
    limit = f", at most {most_lanes} lanes" if most_lanes is not None else ""
    return machine.model_copy(
        update={
            "name": f"best {objective.removesuffix('_pj')}{limit}: {candidate.network}, {candidate.training}, {order}",
            "description": f"Chosen for {candidate.network} ({candidate.training}, {order}): {choices}.",
        }
    )
