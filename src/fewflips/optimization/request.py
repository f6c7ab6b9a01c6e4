"""What a user asks an optimization for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from fewflips.errors import InputError
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.optimization.registration import STEPS, check_named, step_named
from fewflips.optimization.step import Start, Step
from fewflips.records.optimization import BASELINE
from fewflips.streams.transition_cost import TransitionCost
from fewflips.visible import printable_name

if TYPE_CHECKING:
    from fewflips.gates.liberty.cells import CellLibrary
    from fewflips.simulation.run import EnergyOptions


Mode = Literal["schedule", "drop-in", "both"]
"""Short for the steps of the same name, or for both of them, each of which starts from the network as stored."""


@dataclass(frozen=True)
class Request:
    """What the user asked for, as it goes into the report.

    ``repeatable`` says whether a command line can ask for it: not for a step that was given as an object with arguments
    of its own, or that is not registered, nor for a cost that was not in a file.
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


def chosen_steps(mode: Mode | None, steps: Sequence[str | Step] | None) -> tuple[Mode | None, tuple[Step, ...]]:
    """What a user's `mode` or `steps` stand for.

    Parameters
    ----------
    mode : {"schedule", "drop-in", "both"} or None
        The mode, if one was given.
    steps : sequence of str or Step, or None
        Names of steps, or steps, if some were given.

    Returns
    -------
    mode : {"schedule", "drop-in", "both"} or None
        The mode; "both" where neither was given, None where steps were.
    steps : tuple of Step
        At least one, of different names.

    Raises
    ------
    InputError
        If both were given, a name is not known or occurs twice, or a step does not say what it starts from.
    """
    if steps is None:
        mode = "both" if mode is None else mode
        if mode not in get_args(Mode):
            raise InputError(f"mode: expected one of {', '.join(get_args(Mode))}, got {mode!r}")
        return mode, tuple(step_named(name) for name in (("schedule", "drop-in") if mode == "both" else (mode,)))
    if mode is not None:
        raise InputError(f"steps: expected either a mode or steps, got mode {mode} and steps as well; leave one out")
    chosen = _steps(steps)
    names = [step.name for step in chosen]
    if not chosen:
        raise InputError("steps: expected one step or more, got none")
    if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
        raise InputError(f"steps: expected each step once, got {twice} {names.count(twice)} times")
    if BASELINE in names:
        raise InputError(f"steps: {BASELINE} is what the network as stored is called; expected another name")
    return None, chosen


def _steps(steps: Sequence[str | Step]) -> tuple[Step, ...]:
    """Steps from what a user gave, each with a name and a start that the pipeline knows."""
    if not isinstance(steps, str | Step | Sequence):
        raise InputError(f"steps: expected names of steps or steps, got {type(steps).__name__}")
    given = (steps,) if isinstance(steps, str | Step) else tuple(steps)
    for step in given:
        if isinstance(step, type) and issubclass(step, Step):
            raise InputError(f"steps: expected a name or a step, got the class {step.__name__}; give {step.__name__}()")
        if not isinstance(step, str | Step):
            raise InputError(f"steps: expected a name or a step, got {type(step).__name__}")
    chosen = tuple(step if isinstance(step, Step) else step_named(step) for step in given)
    for step in chosen:
        check_named(step)
        if step.start not in get_args(Start):
            raise InputError(
                f"step {step.name}: start: expected one of {', '.join(get_args(Start))}, got {step.start!r}"
            )
    return chosen


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
        and (cost is None or cost_file is not None),
        cost=cost,
        cost_source=None if cost_file is None else printable_name(str(cost_file)),
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
