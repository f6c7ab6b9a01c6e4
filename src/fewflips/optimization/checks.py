"""Checks of what a step gives: that every product is still computed, and that outputs are where it says."""

from __future__ import annotations

import numpy as np

from fewflips.dataflows import dataflow_of
from fewflips.errors import InputError, VerificationError
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.rounding.outputs import Reference
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Outcome, Step
from fewflips.records.optimization import Check
from fewflips.records.schedule import Axes
from fewflips.schedule.executor import check_coverage
from fewflips.schedule.signs import check_signs
from fewflips.verification.checks import comparison_check
from fewflips.verification.equivalence import check_drop_in
from fewflips.verification.outputs import compare_outputs
from fewflips.verification.structure import check_structure, compare_structure


def check_outcome(step: Step, before: State, outcome: Outcome, context: Context) -> Check | None:
    """Refuse what a step gives unless it is whole, and compare a rewritten model with the one that it was made from.

    Parameters
    ----------
    step : Step
        Its name goes into errors.
    before : State
        What the step was given.
    outcome : Outcome
        What it gave.
    context : Context
        Sample inputs and seed of the comparison.

    Returns
    -------
    Check or None
        How the rewritten model was checked; None where the step gave the same model.

    Raises
    ------
    VerificationError
        If a product is left out or computed twice, or the model does not compute what the evidence says.
    RuntimeFailure
        If a runtime refuses a model.
    """
    if not isinstance(outcome, Outcome):
        raise VerificationError(f"step {step.name}: expected an Outcome, got {type(outcome).__name__}")
    after = outcome.state
    if after.accelerator != before.accelerator:
        raise VerificationError(f"step {step.name}: expected the machine that it was given, got another one")
    if _shapes(after) != _shapes(before):
        raise VerificationError(f"step {step.name}: expected layers of the shapes that it was given, got others")
    if after.network is not before.network or after.orders is not before.orders:
        _check_orders(step.name, after)
    if after.network is before.network:
        return None
    if not step.rewrites or after.files is None or after.files is before.files:
        raise VerificationError(
            f"step {step.name}: gives another network; expected a step that says `rewrites = True` and gives the files "
            "of its model (fewflips.optimization.write_model)"
        )
    if outcome.evidence.budget is not None:
        return _check_budget(step.name, before, after, outcome.evidence.budget, context)
    if outcome.evidence.bound is None:
        return _check_exact(before, outcome, context)
    return _check_bounded(step.name, before, after, outcome.evidence.bound, context)


def _check_orders(name: str, state: State) -> None:
    """Every product of every layer exactly once, on lanes that the machine has, with signs that it can give."""
    flow = dataflow_of(state.accelerator)
    axes = Axes(lanes=flow.lanes_axis, order=flow.order_axis)
    for layer in state.network.layers:
        if layer.name not in state.orders:
            raise VerificationError(f"step {name}: {layer}: expected an order of its segments, got none")
        segments = state.orders[layer.name]
        try:
            check_coverage(layer, segments, axes)
            check_signs(layer, segments, state.accelerator)
        except InputError as error:
            raise VerificationError(f"step {name}: {error}; it was not written") from error
        room = flow.lanes_in(layer, state.accelerator)
        widest = max((len(segment.lanes) for segment in segments), default=0)
        if widest > room:
            raise VerificationError(
                f"step {name}: {layer}: a segment has {widest} lanes, {state.accelerator.name} has room for {room}"
            )


def _check_exact(before: State, outcome: Outcome, context: Context) -> Check:
    """Constant by constant, with the channels' orders undone; then outputs."""
    network, rewritten = before.network, outcome.state.network
    moved = outcome.channels.orders if outcome.channels is not None else None
    structure = compare_structure(network, rewritten, moved)
    check_structure(network, rewritten.path, structure)
    comparison = compare_outputs(
        network, rewritten, structure, context.samples, seed=context.seed, progress=context.progress
    )
    check_drop_in(network, rewritten.path, comparison)
    return comparison_check(comparison, structure).model_copy(update={"passed": True})


def _check_bounded(name: str, before: State, after: State, bound: float, context: Context) -> Check:
    """Outputs of both models on the same inputs, within the step's bound."""
    structure = None
    if before.network.file_format == after.network.file_format:
        structure = compare_structure(before.network, after.network)
    comparison = compare_outputs(
        before.network, after.network, structure, context.samples, seed=context.seed, progress=context.progress
    )
    if not comparison.largest_difference <= bound:
        raise VerificationError(
            f"step {name}: expected outputs that differ by {bound:g} at most, as its evidence says; got "
            f"{comparison.describe()}; it was not written"
        )
    return comparison_check(comparison, structure).model_copy(update={"passed": True})


def _check_budget(name: str, before: State, after: State, budget: ErrorBudget, context: Context) -> Check:
    """Outputs of the network as stored and of the new model on all sample inputs, within the budget."""
    if context.budget != budget or context.samples is None:
        raise VerificationError(f"step {name}: expected evidence for the budget that it was given, got {budget}")
    reference = Reference.of(context.original or before.network, context.samples, context.labels, context.budget)
    error, outputs = reference.error_of(after.network)
    if not error.within(budget):
        raise VerificationError(
            f"step {name}: expected outputs within the budget {budget}, got {error} on {len(outputs)} sample inputs; "
            "it was not written"
        )
    equal = float((outputs == reference.outputs).mean())
    return Check(
        passed=True,
        method=f"outputs of both models in their own runtime on {len(outputs)} sample inputs: {error}, within {budget}",
        sample_inputs=len(outputs),
        random_inputs=0,
        values=outputs.size,
        equal_share=equal,
        largest_difference=float(np.abs(outputs - reference.outputs).max()),
        bit_exact=equal == 1.0,
    )


def _shapes(state: State) -> list[tuple[int, int, int, int]]:
    return [(layer.m, layer.n, layer.k, layer.groups) for layer in state.network.layers]
