"""Rescaling: activations get scales and zero points with fewer bits set on the wires, within an error budget."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fewflips.errors import InputError
from fewflips.network.load import rescalable
from fewflips.optimization.budget import MOST_DB, ErrorBudget
from fewflips.optimization.rescaling.search import RangeSearch, Rescaled
from fewflips.optimization.rescaling.tensors import candidates, seen_tensors
from fewflips.optimization.rounding.outputs import Reference
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Start, Step

PROBES = 16
"""Sample inputs on which the error of one tensor after the other is measured."""


@dataclass(frozen=True)
class RescaleStep(Step):
    """Give activations other scales and zero points, as far as an error budget allows; weights and orders stay.

    Parameters
    ----------
    start : {"baseline", "stage before"}
        The network as stored, or as a step before has left it.
    share : float
        Part of the budget that is spent, above 0 and up to 1: of the square error, or of the points of accuracy. The
        rest is left for the steps that follow.
    """

    name = "rescale"
    start: Start = "stage before"
    share: float = 1.0
    rewrites = True
    needs_budget = True
    comes_after = ("schedule", "cluster", "drop-in")

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"step rescale: expected a share of the budget above 0 and up to 1, got {self.share:g}")

    def apply(self, state: State, context: Context) -> Outcome:
        """See :meth:`Step.apply`; the budget holds on all sample inputs.

        Raises
        ------
        InputError
            If there is no budget, or there are no samples.
        """
        if context.budget is None or context.samples is None:
            raise InputError("step rescale: expected an error budget and sample inputs, got none; give both")
        places = rescalable(state.network)
        seen = seen_tensors(state.network, places, context.samples, context.progress) if places else []
        choices = {one.place.tensor: candidates(one, state.accelerator.activations) for one in seen}
        choices = {tensor: choice for tensor, choice in choices.items() if len(choice) > 1}
        if not choices:
            return _unchanged(state, "no activation between layers has a range of its own with fewer bits set")
        reference = Reference.of(context.original or state.network, context.samples, context.labels, context.budget)
        search = RangeSearch(
            state.network,
            choices,
            reference,
            _part(context.budget, self.share),
            limit=context.limit,
            progress=context.progress,
        )
        found = search.find(range(min(PROBES, len(reference.outputs))))
        if found is None:
            return _unchanged(state, "no other range of an activation is within the budget")
        method = _method(found, reference, len(seen))
        return Outcome(
            replace(state, network=found.network, files=found.files), Evidence.within(context.budget, method)
        )


def _unchanged(state: State, why: str) -> Outcome:
    return Outcome(state, Evidence.exact(f"the model is as it was: {why}"))


def _part(budget: ErrorBudget, share: float) -> ErrorBudget:
    """A part of a budget, in the square of the error or in points."""
    if budget.sqnr_db is not None:
        return replace(budget, sqnr_db=min(budget.sqnr_db - 10 * math.log10(share), MOST_DB))
    assert budget.accuracy_points is not None
    return ErrorBudget(accuracy_points=budget.accuracy_points * share)


def _method(found: Rescaled, reference: Reference, tensors: int) -> str:
    coarser = sum(new.factor > 1 for new in found.ranges.values())
    return (
        f"measured in the model's own runtime: {found.error} on {len(reference.outputs)} sample inputs; "
        f"{len(found.ranges)} of {tensors} activations have another range, {coarser} of them with larger steps"
    )
