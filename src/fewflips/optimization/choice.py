"""Which steps an optimization applies: those that the user names, or those that are applied by default."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

from fewflips.errors import FewflipsError, InputError
from fewflips.optimization.registration import check_named, step_named, step_names
from fewflips.optimization.step import Setting, Start, Step
from fewflips.records.optimization import BASELINE

Mode = Literal["schedule", "drop-in", "both"]
"""Short for the steps of the same name, or for both of them, each of which starts from the network as stored."""
_BOTH = ("schedule", "drop-in")


def chosen_steps(
    mode: Mode | None, steps: Sequence[str | Step] | None, without: Sequence[str], setting: Setting
) -> tuple[Mode | None, tuple[Step, ...]]:
    """What a user's `mode` or `steps` stand for.

    Parameters
    ----------
    mode : {"schedule", "drop-in", "both"} or None
        The mode, if one was given.
    steps : sequence of str or Step, or None
        Names of steps, or steps, if some were given.
    without : sequence of str
        Names of steps that are not to be applied, though they are by default.
    setting : Setting
        The machine and the error budget.

    Returns
    -------
    mode : {"schedule", "drop-in", "both"} or None
        The mode; "both" where neither was given and it is what is done by default, None where steps were.
    steps : tuple of Step
        At least one, of different names, in an order that makes sense: a step that waits for others comes after them,
        wherever it was named.

    Raises
    ------
    InputError
        If more than one of these was given, a name is not known or occurs twice, a step does not say what it starts
        from, or the steps make no sense in their order, on the machine, or with the error budget.
    """
    without = (without,) if isinstance(without, str) else tuple(without)
    if mode is not None and steps is not None:
        raise InputError(f"steps: expected either a mode or steps, got mode {mode} and steps as well; leave one out")
    if without and (mode is not None or steps is not None):
        other = "steps" if mode is None else "mode"
        raise InputError(f"without: expected alone, as it leaves out steps applied by default; got {other} as well")
    if mode is not None:
        chosen = _of_mode(mode, setting)
    elif steps is not None:
        chosen = _steps(steps)
    else:
        chosen = _default_without(without, setting)
        mode = "both" if tuple(step.name for step in chosen) == _BOTH else None
    _check_names(chosen)
    chosen = _after_those_that_undo(chosen)
    _check_places(chosen, setting)
    return mode, chosen


def default_steps(setting: Setting) -> tuple[Step, ...]:
    """Steps that are applied where the user names none.

    Parameters
    ----------
    setting : Setting
        The machine and the error budget.

    Returns
    -------
    tuple of Step
        In the order of their registration; what starts another model from the network as stored comes last, beside
        the others.
    """
    known = (_loaded(name) for name in step_names())
    chosen = [step for step in known if step is not None and step.by_default(setting)]
    return tuple(sorted(chosen, key=_starts_a_model))


def _loaded(name: str) -> Step | None:
    """A step; None for one of another package that cannot be loaded, which nobody has asked for."""
    try:
        return step_named(name)
    except FewflipsError:
        return None


def _of_mode(mode: Mode, setting: Setting) -> tuple[Step, ...]:
    if mode not in get_args(Mode):
        raise InputError(f"mode: expected one of {', '.join(get_args(Mode))}, got {mode!r}")
    if setting.budget is not None:
        raise InputError(
            f"mode: expected none beside an error budget, got {mode}: leave it out, or name the steps (--steps)"
        )
    return tuple(step_named(name) for name in (_BOTH if mode == "both" else (mode,)))


def _default_without(without: Sequence[str], setting: Setting) -> tuple[Step, ...]:
    default = default_steps(setting)
    names = [step.name for step in default]
    left_out = {step_named(name).name for name in without}
    for name in left_out:
        if name not in names:
            raise InputError(f"without: expected some of {', '.join(names)}, which are applied by default, got {name}")
    if left_out == set(names):
        raise InputError(f"without: expected one step or more to be left of {', '.join(names)}, got none")
    return tuple(step for step in default if step.name not in left_out)


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
    return tuple(step if isinstance(step, Step) else step_named(step) for step in given)


def _check_names(chosen: Sequence[Step]) -> None:
    for step in chosen:
        check_named(step)
        if step.start not in get_args(Start):
            raise InputError(
                f"step {step.name}: start: expected one of {', '.join(get_args(Start))}, got {step.start!r}"
            )
    names = [step.name for step in chosen]
    if not chosen:
        raise InputError("steps: expected one step or more, got none")
    if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
        raise InputError(f"steps: expected each step once, got {twice} {names.count(twice)} times")
    if BASELINE in names:
        raise InputError(f"steps: {BASELINE} is what the network as stored is called; expected another name")


def _after_those_that_undo(chosen: Sequence[Step]) -> tuple[Step, ...]:
    """Steps with those that wait right after the last of the steps that would undo them."""
    ordered = list(chosen)
    for step in (step for step in chosen if step.waits):
        place = ordered.index(step)
        undoing = [number for number, other in enumerate(ordered) if number > place and other.name in step.comes_after]
        if undoing:
            ordered.insert(undoing[-1], ordered.pop(place))
    return tuple(ordered)


def _check_places(chosen: Sequence[Step], setting: Setting) -> None:
    """Raise :class:`InputError` where a step makes no sense on the machine, with the budget, or where it stands."""
    names = [step.name for step in chosen]
    for number, step in enumerate(chosen):
        if step.needs_budget and setting.budget is None:
            raise InputError(
                f"step {step.name}: expected an error budget, as it changes what is computed; got none: give one "
                "(--error-budget sqnr:25dB, or 0.5% with --labels), or leave the step out"
            )
        undone = [name for name in names[number + 1 :] if name in step.comes_after]
        if undone:
            raise InputError(
                f"steps: expected {step.name} after {undone[0]}, which would undo what {step.name} did; got it before"
            )
        objection = step.objection(setting, tuple(chosen[:number]))
        if objection is not None:
            raise InputError(f"step {step.name}: {objection}")
    if setting.budget is not None and not any(step.needs_budget for step in chosen):
        raise InputError(
            f"error budget: expected a step that uses it, got {', '.join(names)}: name one, or leave out the budget"
        )
    _check_lines(chosen)


def _check_lines(chosen: Sequence[Step]) -> None:
    """Raise :class:`InputError` where steps that start from the network as stored throw away what others wrote."""
    lines: list[list[Step]] = []
    for step in chosen:
        if step.start == BASELINE or not lines:
            lines.append([])
        lines[-1].append(step)
    writers = [line for line in lines if any(step.rewrites for step in line)]
    if len(writers) > 1:
        first, second = (line[-1].name for line in writers[:2])
        raise InputError(
            f"steps: expected one model to write, got two, of {first} and of {second}, each made from the network as "
            "stored; leave one out"
        )
    for earlier, line in pairwise(lines):
        if _starts_a_model(line[0]) and len(line) > 1:
            raise InputError(
                f"steps: expected {line[0].name} first or last, as {line[1].name} would go on from its model and what "
                f"{earlier[-1].name} did would be lost; got it in between"
            )


def _starts_a_model(step: Step) -> bool:
    """Whether a step makes a model from the network as stored, beside what other steps did."""
    return step.rewrites and step.start == BASELINE
