"""The drop-in file: the model with its channels in an order with fewer flips, for any hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewflips.measurement.counting import count_weight_port
from fewflips.network import rewrite
from fewflips.network.layer import Layer
from fewflips.optimization.channel_orders import drop_in_certificates, plan_channels
from fewflips.optimization.model_files import write_model
from fewflips.optimization.segment_orders import Certificate
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Setting, Start, Step
from fewflips.optimization.weight_costs import weight_cost
from fewflips.ordering import Effort
from fewflips.streams.codes import weight_codes
from fewflips.streams.transition_cost import TransitionCost


@dataclass(frozen=True)
class DropInStep(Step):
    """Give every group of tied channels one order, absorbed into the model's constants.

    Parameters
    ----------
    start : {"baseline", "stage before"}
        The network as stored, or as a step before has rewritten it.
    """

    name = "drop-in"
    start: Start = "baseline"
    rewrites = True

    def by_default(self, setting: Setting) -> bool:
        """Beside the other steps, unless those write a model of their own within an error budget."""
        return setting.budget is None

    def objection(self, setting: Setting, before: Sequence[Step]) -> str | None:
        """The rewritten model streams in natural order: orders for the model before are lost."""
        lost = [step.name for step in before if not step.rewrites]
        if self.start == "baseline" or not lost:
            return None
        return f"expected before {lost[-1]}, whose orders the rewritten model would lose; got it after"

    def apply(self, state: State, context: Context) -> Outcome:
        """See :meth:`Step.apply`; the rewritten model streams in natural order."""
        network = state.network
        plan = plan_channels(
            network,
            state.accelerator,
            effort=context.effort,
            seed=context.seed,
            jobs=context.jobs,
            cost=context.cost,
            progress=context.progress,
            limit=context.limit,
        )
        permutations = plan.groups.permutations(plan.orders)
        rewritten, files = write_model(network.file_format, lambda path: rewrite(network, permutations, path))
        after = State.stored(rewritten, state.accelerator, files)
        return Outcome(
            after,
            Evidence.exact("channels of tied layers are in another order, and every constant moved with them"),
            certificates=_certificates(state, after, context),
            channels=plan,
            by_cost=context.cost is not None,
        )


def _certificates(before: State, after: State, context: Context) -> tuple[Certificate, ...]:
    """Lower bounds of each layer under one order for all its segments."""
    flips = {
        layer.name: _flips_within(moved, after, context.cost)
        for layer, moved in zip(before.network.layers, after.network.layers, strict=True)
    }
    certificates = drop_in_certificates(
        before.network,
        before.accelerator,
        flips,
        effort=context.effort if context.effort == Effort.prove() else Effort.quick(),
        seed=context.seed,
        jobs=context.jobs,
        cost=context.cost,
        progress=context.progress,
        limit=context.limit,
    )
    return tuple(certificates[layer.name] for layer in before.network.layers)


def _flips_within(layer: Layer, state: State, cost: TransitionCost | None) -> int:
    """Flips of a layer's codes within passes, or their cost."""
    array, segments = state.accelerator, state.orders[layer.name]
    if cost is None:
        return count_weight_port(layer, array, segments).decoded.within
    return weight_cost(layer, array, weight_codes(layer, array.weights), segments, cost)
