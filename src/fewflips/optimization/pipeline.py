"""The steps of an optimization, one after another: what each gives is checked, and its flips are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fewflips.dataflows.orders import natural_orders
from fewflips.errors import RuntimeFailure, VerificationError
from fewflips.execution.samples import Samples
from fewflips.measurement.counting import LayerCount, count_network
from fewflips.network import Network
from fewflips.optimization.channel_orders import ChannelPlan
from fewflips.optimization.checks import check_outcome
from fewflips.optimization.segment_orders import Certificate
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Step
from fewflips.optimization.weight_costs import network_costs
from fewflips.progress import Progress
from fewflips.records.optimization import BASELINE, Check
from fewflips.schedule.file import same_orders
from fewflips.streams.transition_cost import TransitionCost
from fewflips.verification.schedule_check import check_schedule


@dataclass(frozen=True, eq=False)
class Stage:
    """A state on the way, and what is known about it.

    Parameters
    ----------
    name : str
        The step's.
    start : str or None
        Name of the stage that the step started from; None for the baseline.
    state : State
        What the step left.
    evidence : Evidence
        How far outputs may be from those of the stage that it started from.
    new_orders, new_model : bool
        Whether the stage has orders for a schedule, and whether its step rewrote the model.
    certificates : tuple of Certificate
        Lower bound of each layer, in the network's order; empty where none is known.
    channels : ChannelPlan or None
        Which channels moved, if the step moved some.
    model_check, order_check : Check or None
        How the rewritten model and the orders were checked.
    by_cost : bool
        Whether certificates are in the unit of the cost that orders were chosen by.
    counts : dict of str to LayerCount
        Flips of each layer, in the network's order; empty until they are counted.
    costs : dict of str to int
        Cost of each layer's weights within passes, likewise; empty where orders are chosen by flips.
    """

    name: str
    start: str | None
    state: State = field(repr=False)
    evidence: Evidence
    new_orders: bool = False
    new_model: bool = False
    certificates: tuple[Certificate, ...] = field(default=(), repr=False)
    channels: ChannelPlan | None = field(default=None, repr=False)
    model_check: Check | None = field(default=None, repr=False)
    order_check: Check | None = field(default=None, repr=False)
    by_cost: bool = False
    counts: dict[str, LayerCount] = field(default_factory=dict, repr=False)
    costs: dict[str, int] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, eq=False)
class Run:
    """The stages of an optimization, and what could not be done.

    Parameters
    ----------
    stages : tuple of Stage
        The baseline, then one for each step that was applied.
    left_out : tuple of str
        Names of the steps that were not, since they rewrite the model and the original cannot be run.
    refusal : RuntimeFailure or None
        Why it cannot.
    not_begun : tuple of str
        Names of the steps that were not applied, since the limit was reached before they began.
    """

    stages: tuple[Stage, ...]
    left_out: tuple[str, ...] = ()
    refusal: RuntimeFailure | None = None
    not_begun: tuple[str, ...] = ()

    @property
    def baseline(self) -> Stage:
        """The network as stored."""
        return self.stages[0]

    @property
    def rewritten(self) -> Stage | None:
        """The stage whose model is written: the last one that has a new one."""
        return next((stage for stage in reversed(self.stages) if stage.new_model), None)

    @property
    def scheduled(self) -> Stage | None:
        """The stage whose orders are written: the last one with orders for the original or for the written model."""
        written = [stage.state.network for stage in (self.baseline, self.rewritten) if stage is not None]
        return next(
            (
                stage
                for stage in reversed(self.stages)
                if stage.new_orders and any(stage.state.network is network for network in written)
            ),
            None,
        )

    @property
    def main(self) -> Stage:
        """The stage whose figures come first in reports."""
        return self.scheduled or self.rewritten or self.stages[-1]


def run_steps(state: State, steps: Sequence[Step], context: Context, refusal: RuntimeFailure | None = None) -> Run:
    """Apply steps one after another, and refuse what one of them gives unless it passes its check.

    The first step is always applied, however little it finds within the limit.

    Parameters
    ----------
    state : State
        The network as stored, in natural order.
    steps : sequence of Step
        Steps of different names.
    context : Context
        Samples, work limits, seed, processors and progress.
    refusal : RuntimeFailure, optional
        Why the runtime cannot run the original, where that is known already.

    Returns
    -------
    Run
        Its stages are not counted yet, and orders not executed (:func:`count_stages`, :func:`execute_orders`).

    Raises
    ------
    VerificationError
        If a step gives something else than it says.
    RuntimeFailure
        If the original cannot be run, and nothing would be left without the steps that rewrite it.
    """
    context = replace(context, original=state.network)
    stages = [Stage(BASELINE, None, state, Evidence.exact("the network as stored, in natural order"))]
    left_out: list[str] = []
    for number, step in enumerate(steps):
        if number and context.limit():
            return Run(tuple(stages), tuple(left_out), refusal, tuple(late.name for late in steps[number:]))
        before = stages[0] if step.start == BASELINE else stages[-1]
        if refusal is None or not step.rewrites:
            try:
                stages.append(_stage(step, before, context))
                continue
            except RuntimeFailure as failure:
                refusal = _of_the_original(failure, state.network)
        if not _dispensable(steps, number):
            raise refusal
        left_out.append(step.name)
    return Run(tuple(stages), tuple(left_out), refusal)


def count_stages(run: Run, samples: Samples | None, progress: Progress | None = None) -> Run:
    """Count the flips of every stage, with one run of each model for all stages that have it.

    Parameters
    ----------
    run : Run
        Stages without counts.
    samples : Samples or None
        Sample inputs; activations are left out without them.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Run
        The same stages, counted.
    """
    counted: dict[str, dict[str, LayerCount]] = {}
    for stages in stages_by_network(run.stages):
        first = stages[0].state
        variants = [stage.state.orders for stage in stages]
        counts = count_network(first.network, first.accelerator, variants, samples, progress)
        counted.update({stage.name: count for stage, count in zip(stages, counts, strict=True)})
    return replace(run, stages=tuple(replace(stage, counts=counted[stage.name]) for stage in run.stages))


def price_stages(run: Run, cost: TransitionCost) -> Run:
    """What the weights of every stage cost as they stream.

    Parameters
    ----------
    run : Run
        Stages without costs.
    cost : TransitionCost
        Cost of a transition.

    Returns
    -------
    Run
        The same stages, with costs.
    """

    def priced(stage: Stage) -> Stage:
        state = stage.state
        return replace(stage, costs=network_costs(state.network, state.accelerator, state.orders, cost))

    return replace(run, stages=tuple(priced(stage) for stage in run.stages))


def execute_orders(run: Run, samples: Samples | None, seed: int, progress: Progress | None = None) -> Run:
    """Execute the orders of every stage that has new ones in integers, and compare with the plain product.

    Parameters
    ----------
    run : Run
        Stages whose orders were not executed yet.
    samples : Samples or None
        The first sample's real activations are used, beside random ones.
    seed : int
        Seed of the random activations.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Run
        The same stages with their checks.

    Raises
    ------
    VerificationError
        If any sum differs.
    """

    def executed(stage: Stage) -> Stage:
        state = stage.state
        check = check_schedule(state.network, state.accelerator, state.orders, samples, seed, progress)
        return replace(stage, order_check=check)

    return replace(run, stages=tuple(executed(stage) if stage.new_orders else stage for stage in run.stages))


def stages_by_network(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Stages in groups of the same network, in the order in which the networks first occur."""
    groups: dict[int, list[Stage]] = {}
    for stage in stages:
        groups.setdefault(id(stage.state.network), []).append(stage)
    return list(groups.values())


def _stage(step: Step, before: Stage, context: Context) -> Stage:
    outcome = step.apply(before.state, context)
    check = check_outcome(step, before.state, outcome, context)
    return Stage(
        step.name,
        before.name,
        outcome.state,
        outcome.evidence,
        new_orders=_has_new_orders(before.state, outcome),
        new_model=outcome.state.network is not before.state.network,
        certificates=outcome.certificates,
        channels=outcome.channels,
        model_check=check,
        by_cost=outcome.by_cost,
    )


def _has_new_orders(before: State, outcome: Outcome) -> bool:
    """Whether a schedule can be written: orders that the step chose, or took over to a model that it rewrote."""
    after = outcome.state
    if after.network is before.network:
        return after.orders is not before.orders
    return not same_orders(after.orders, natural_orders(after.network, after.accelerator))


def _of_the_original(failure: RuntimeFailure, original: Network) -> RuntimeFailure:
    """The failure, if it is the original's; one of a copy is a reason not to write the copy."""
    if failure.model != original.path:
        raise VerificationError(f"{failure}; it runs {original.path}, so the copy was not written") from failure
    return failure


def _dispensable(steps: Sequence[Step], number: int) -> bool:
    """Whether something is left without a step, and nothing builds on it."""
    after = steps[number + 1] if number + 1 < len(steps) else None
    return not all(step.rewrites for step in steps) and (after is None or after.start == BASELINE)
