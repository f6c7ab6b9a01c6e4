"""Steps by name."""

from __future__ import annotations

from typing import Any, TypeVar

from fewflips.errors import InputError
from fewflips.near_misses import did_you_mean
from fewflips.optimization.step import Step
from fewflips.registry import Registry

AnyStep = TypeVar("AnyStep", bound=type[Step])

STEPS: Registry[Any] = Registry(
    "fewflips.steps",
    {
        "schedule": "fewflips.optimization.steps.order:ScheduleStep",
        "cluster": "fewflips.optimization.steps.cluster:ClusterStep",
        "rescale": "fewflips.optimization.steps.rescale:RescaleStep",
        "round": "fewflips.optimization.steps.round:RoundStep",
        "distill": "fewflips.training.distillation.step:DistillStep",
        "joint": "fewflips.optimization.steps.joint:JointStep",
        "signs": "fewflips.optimization.steps.signs:SignsStep",
        "drop-in": "fewflips.optimization.steps.drop_in:DropInStep",
        "joint-drop-in": "fewflips.optimization.steps.joint_drop_in:JointDropInStep",
    },
)
"""By the name that ``optimize`` and ``--steps`` take, in the order in which they are applied by default."""

ALIASES = {"order": "schedule"}
"""Other names of steps."""


def step_named(name: str) -> Step:
    """A step by its name.

    Parameters
    ----------
    name : str
        A built-in step's, or one that was registered; ``order`` is another name of ``schedule``.

    Returns
    -------
    Step
        The same object each time.

    Raises
    ------
    InputError
        If there is no such step, or the package that announces it gives something else than a step.
    """
    name = name if name in STEPS else ALIASES.get(name, name)
    if name not in STEPS:
        raise InputError(
            f"steps: expected one of {', '.join(step_names())}, got {name!r}{did_you_mean(name, step_names())}"
        )
    step = STEPS[name]
    if not isinstance(step, Step):
        raise InputError(f"step {name}: expected a fewflips.Step, got {type(step).__name__}")
    return step


def check_named(step: Step | type[Step]) -> None:
    """Raise :class:`InputError` unless a step, or a class of steps, has a name."""
    name = getattr(step, "name", None)
    if not isinstance(name, str) or not name:
        kind = step if isinstance(step, type) else type(step)
        raise InputError(f"step {kind.__name__}: expected a class with a `name`, a word of its own, got {name!r}")


def step_names() -> tuple[str, ...]:
    """Names of all steps: those of the package first."""
    return STEPS.names


def register_step(step: AnyStep) -> AnyStep:
    """Make a step known, as a decorator of its class.

    Parameters
    ----------
    step : type
        A subclass of Step; its `name` is what ``optimize`` and ``--steps`` take.

    Returns
    -------
    type
        The class as it is.

    Raises
    ------
    FewflipsError
        If the class has no name, or fewflips itself has a step of that name.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from fewflips.optimization import Evidence, Outcome
    >>> @fewflips.register_step
    ... class Backwards(fewflips.Step):
    ...     name = "backwards"
    ...
    ...     def apply(self, state, context):
    ...         orders = {
    ...             layer: tuple(fewflips.Segment(one.lanes, one.order[::-1].copy()) for one in segments)
    ...             for layer, segments in state.orders.items()
    ...         }
    ...         return Outcome(replace(state, orders=orders), Evidence.exact("words stream in the opposite order"))
    >>> fewflips.optimize("shapes.onnx", "edge4", steps=["backwards"]).reduction
    1.0
    """
    check_named(step)
    return STEPS.register(step.name)(step)
