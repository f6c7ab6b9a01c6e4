"""Distillation as a step: weights are trained for cheap codes against the original's outputs, within an error budget.

PyTorch is imported when the step is applied, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from fewflips.errors import InputError, ToolError
from fewflips.optimization.rounding.outputs import Reference
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Setting, Start, Step
from fewflips.optimization.steps.round import (
    RoundStep,
    is_drop_in,
    method_of,
    orders_of,
    parts_of,
    rounded_layers,
)
from fewflips.training.distillation.effort import DistillEffort

FEWEST_SAMPLES = 8
"""With fewer, what fits them says little about other inputs."""


@dataclass(frozen=True)
class DistillStep(Step):
    """Train weights for some hundred steps so that cheaper codes give the original's outputs on unlabelled inputs.

    Parameters
    ----------
    start : {"baseline", "stage before"}
        The network as stored, or as a step before has left it, whose codes are the first ones.
    effort : DistillEffort
        Work limits and step sizes.
    """

    name = "distill"
    start: Start = "stage before"
    effort: DistillEffort = field(default_factory=DistillEffort)
    rewrites = True
    needs_budget = True
    comes_after = ("schedule", "cluster", "round", "drop-in")

    def objection(self, setting: Setting, before: Sequence[Step]) -> str | None:
        """The same machines as those of rounding, whose assignment it uses."""
        return RoundStep().objection(setting, before)

    def apply(self, state: State, context: Context) -> Outcome:
        """See :meth:`Step.apply`; the budget holds on all sample inputs, of which some are kept out of the training.

        Raises
        ------
        ToolError
            If PyTorch is not installed.
        InputError
            If there is no budget, there are too few samples, an operator is not known, or the state is not within the
            budget.
        """
        if context.budget is None or context.samples is None:
            raise InputError("step distill: expected an error budget and sample inputs, got none; give both")
        if len(context.samples.feeds) < FEWEST_SAMPLES:
            raise InputError(
                f"step distill: expected {FEWEST_SAMPLES} sample inputs or more to train on, got "
                f"{len(context.samples.feeds)}; give more, or leave the step out"
            )
        if find_spec("torch") is None:
            raise ToolError(
                "step distill: needs PyTorch, which is not installed: pip install 'fewflips[train]', or leave the step "
                "out"
            )
        if context.budget.in_logits:
            raise InputError(
                f"step distill: expected a budget of the outputs (sqnr:<decibels>dB) or in points, got "
                f"{context.budget}: take one of those, or leave the step out"
            )
        from fewflips.training.distillation.search import distilled

        original = context.original or state.network
        calibration, held_out = parts_of(len(context.samples.feeds))
        reference = Reference.of(original, context.samples, context.labels)
        layers = rounded_layers(state, context, reference.only(calibration).samples)
        found = distilled(
            state.network,
            original,
            layers,
            reference,
            calibration,
            context,
            reorders=not is_drop_in(state),
            effort=self.effort,
        )
        if not found.error.within(context.budget):
            raise InputError(
                f"step distill: expected a model within the budget {context.budget} to begin with, got {found.error}; "
                "put round before it, or give a wider budget"
            )
        after = replace(state, network=found.network, files=found.files, orders=orders_of(state, found))
        return Outcome(after, Evidence.within(context.budget, method_of(found, reference, calibration, held_out)))
