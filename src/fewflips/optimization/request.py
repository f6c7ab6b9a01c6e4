"""What a user asks an optimization for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.choice import Mode
from fewflips.optimization.registration import STEPS
from fewflips.optimization.step import Step
from fewflips.parallel.limit import Limit
from fewflips.streams.transition_cost import TransitionCost
from fewflips.visible import printable_name

if TYPE_CHECKING:
    from fewflips.gates.liberty.cells import CellLibrary
    from fewflips.simulation.run import EnergyOptions


@dataclass(frozen=True)
class Request:
    """What the user asked for, as it goes into the report.

    ``repeatable`` says whether a command line can ask for it: not for a step that was given as an object with arguments
    of its own, or that is not registered, nor for a cost or labels that were not in a file.
    """

    model: str
    accelerator: str
    mode: Mode | None
    steps: tuple[str, ...]
    inputs: str | None
    prove: bool
    seed: int
    extra: tuple[str, ...] = ()
    repeatable: bool = True
    cost: TransitionCost | None = None
    cost_source: str | None = None
    budget: ErrorBudget | None = None
    labels_source: str | None = None
    explain: bool = False
    limit_s: float | None = None


@dataclass(frozen=True)
class EnergyRequest:
    """That energy is to be simulated, and how.

    Parameters
    ----------
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    options : EnergyOptions or None
        Clock, time limit, sampling; defaults without it.
    """

    cells: str | Path | CellLibrary = "nangate45"
    options: EnergyOptions | None = None


def request_of(
    network: Network,
    accelerator: str | Path | Accelerator,
    mode: Mode | None,
    steps: Sequence[Step],
    inputs: str | Path | None,
    prove: bool,
    seed: int,
    energy: EnergyRequest | None,
    cost: TransitionCost | None = None,
    cost_file: str | Path | None = None,
    budget: ErrorBudget | None = None,
    labels_file: str | Path | None = None,
    explain: bool = False,
    limit: Limit | None = None,
) -> Request:
    """The arguments of an optimization as a record, names of files made printable."""
    machine = accelerator.name if isinstance(accelerator, Accelerator) else str(accelerator)
    return Request(
        model=printable_name(str(network.path)),
        accelerator=printable_name(machine),
        mode=mode,
        steps=tuple(printable_name(step.name) for step in steps),
        inputs=None if inputs is None else printable_name(str(inputs)),
        prove=prove,
        seed=seed,
        repeatable=all(step.name in STEPS and STEPS[step.name] == step for step in steps)
        and (cost is None or cost_file is not None)
        and (budget is None or budget.accuracy_points is None or labels_file is not None),
        cost=cost,
        cost_source=None if cost_file is None else printable_name(str(cost_file)),
        budget=budget,
        labels_source=None if labels_file is None else printable_name(str(labels_file)),
        explain=explain,
        limit_s=None if limit is None else limit.seconds,
        extra=() if energy is None else _energy_words(energy),
    )


def _energy_words(energy: EnergyRequest) -> tuple[str, ...]:
    """What of an energy request goes onto the command line that makes the report again."""
    source = energy.cells if isinstance(energy.cells, str | Path) else energy.cells.source
    words = ["--energy", "--cells", printable_name(str(source))]
    if energy.options is not None:
        words += ["--clock-mhz", f"{energy.options.clock_mhz:g}", "--time-limit", f"{energy.options.time_limit_s:g}"]
        words += ["--share", f"{energy.options.share:g}"] if energy.options.share is not None else []
    return tuple(words)
