"""Rounding: weights move by a few steps so that neighbours in the stream agree, within an error budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.errors import InputError
from fewflips.execution.activations import measurable_layers
from fewflips.execution.samples import Samples
from fewflips.network.load import recodable
from fewflips.optimization.rounding.calibration import MOST_COLUMNS, observed_activations
from fewflips.optimization.rounding.layer import RoundedLayer
from fewflips.optimization.rounding.outputs import Reference
from fewflips.optimization.rounding.search import Rounded, RoundingSearch
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Setting, Start, Step

_HELD_OUT = 4
"""Every fourth sample is kept out of the calibration, where there are as many."""


@dataclass(frozen=True)
class RoundStep(Step):
    """Move weights to codes with fewer flips, as far as an error budget allows, and solve the orders again.

    Parameters
    ----------
    start : {"baseline", "stage before"}
        The network as stored, or as a step before has left it: a drop-in file keeps its one order, other orders are
        solved again for the new codes.
    """

    name = "round"
    start: Start = "stage before"
    rewrites = True
    needs_budget = True
    comes_after = ("schedule", "cluster", "drop-in")

    def by_default(self, setting: Setting) -> bool:
        """Where there is an error budget, and weights stream over output channels."""
        return setting.budget is not None and self.objection(setting, ()) is None

    def objection(self, setting: Setting, before: Sequence[Step]) -> str | None:
        """Lanes have to be reduction indices, so that the error of one makes up for that of another."""
        flow = dataflow_of(setting.accelerator)
        if flow.order_axis == "n" and flow.weights_stream:
            return None
        return (
            f"expected a machine whose weights stream over output channels (activation-stationary), got "
            f"{setting.accelerator.name}, which is {flow.name}; leave the step out"
        )

    def apply(self, state: State, context: Context) -> Outcome:
        """See :meth:`Step.apply`; the budget holds on all sample inputs, of which some are kept out of the search.

        Raises
        ------
        InputError
            If there is no budget, there are no samples, or no layer can be rounded.
        """
        if context.budget is None or context.samples is None:
            raise InputError("step round: expected an error budget and sample inputs, got none; give both")
        samples = context.samples
        calibration, held_out = parts_of(len(samples.feeds))
        reference = Reference.of(context.original or state.network, samples, context.labels, context.budget)
        search = RoundingSearch(
            state.network,
            rounded_layers(state, context, reference.only(calibration).samples),
            reference,
            context.budget,
            cost=context.cost,
            reorders=not is_drop_in(state),
            seed=context.seed,
            jobs=context.jobs,
            limit=context.limit,
            progress=context.progress,
        )
        search.measure_sensitivities(calibration)
        found = search.find()
        if not found.error.within(context.budget):
            raise InputError(
                f"step round: expected a budget that the model meets as its runtime computes it, got {context.budget}, "
                f"and {found.error} with all weights as they are"
            )
        after = replace(state, network=found.network, files=found.files, orders=orders_of(state, found))
        method = method_of(found, reference, calibration, held_out)
        return Outcome(after, Evidence.within(context.budget, method))


def parts_of(count: int) -> tuple[list[int], list[int]]:
    """Samples that the search calibrates on, and those that are kept out."""
    held_out = list(range(_HELD_OUT - 1, count, _HELD_OUT))
    return [number for number in range(count) if number not in held_out], held_out


def is_drop_in(state: State) -> bool:
    """Whether the machine streams the model in natural order, as an earlier step has rewritten it."""
    if state.files is None:
        return False
    flow = dataflow_of(state.accelerator)
    return all(
        (segment.order == natural.order).all()
        for layer in state.network.layers
        for segment, natural in zip(state.orders[layer.name], flow.segments(layer, state.accelerator), strict=False)
    )


def rounded_layers(state: State, context: Context, calibration: Samples) -> list[RoundedLayer]:
    """Layers whose weights can be replaced and whose activations are known."""
    places = recodable(state.network)
    layers = [
        layer
        for layer in measurable_layers(state.network)
        if layer.name in places and layer.k <= MOST_COLUMNS and layer.n > 1
    ]
    if not layers:
        raise InputError(
            "rounding: expected a layer with integer activations whose weights belong to it alone, got none; leave the "
            "step out"
        )
    seen = observed_activations(state.network, layers, calibration, context.seed, context.progress)
    return [
        RoundedLayer(
            layer, state.accelerator, state.orders[layer.name], seen[layer.name], places[layer.name], context.cost
        )
        for layer in layers
    ]


def orders_of(state: State, found: Rounded) -> LayerOrders:
    """Orders of all layers of the new network."""
    return {name: found.orders.get(name, segments) for name, segments in state.orders.items()}


def method_of(found: Rounded, reference: Reference, calibration: Sequence[int], held_out: Sequence[int]) -> str:
    """How the error was measured, in words."""
    words = f"measured in the model's own runtime: {found.error} on {len(reference.outputs)} sample inputs"
    if not held_out:
        return f"{words}, all of which the search was calibrated on"
    parts = (reference.only(part).error_in(found.outputs[list(part)]) for part in (calibration, held_out))
    used, unseen = (str(error) for error in parts)
    return f"{words} ({used} on {len(calibration)} for calibration, {unseen} on {len(held_out)} kept out of it)"
