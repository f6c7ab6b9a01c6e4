"""Clusters: channels renumbered so that those share a segment whose orders get shorter, with a schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.machine import Accelerator
from fewflips.network import rewrite
from fewflips.network.layer import Layer
from fewflips.optimization.channel_clusters import plan_clusters
from fewflips.optimization.channel_orders import ChannelPlan
from fewflips.optimization.lane_clusters import ClusterEffort
from fewflips.optimization.model_files import write_model
from fewflips.optimization.segment_orders import Certificate, plan_schedule
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Step
from fewflips.streams.codes import weight_codes
from fewflips.streams.flips import stream_flips

CostOf = Callable[[NDArray[np.unsignedinteger]], int]
"""What a stream costs, shape (T, L)."""


@dataclass(frozen=True)
class ClusterStep(Step):
    """Choose which channels share a segment, renumber them in the model, and order every segment.

    Parameters
    ----------
    effort : ClusterEffort or None
        Work limit of the search; by default the one that goes with the limit of the orders.
    """

    name = "cluster"
    rewrites = True
    comes_after = ("schedule",)
    effort: ClusterEffort | None = None

    def apply(self, state: State, context: Context) -> Outcome:
        """See :meth:`Step.apply`; the search begins with the orders that the state has."""
        network, array = state.network, state.accelerator
        plan = plan_clusters(
            network,
            array,
            state.orders,
            effort=self.effort or ClusterEffort.beside(context.effort),
            seed=context.seed,
            jobs=context.jobs,
            cost=context.cost,
            stop=context.limit,
            progress=context.progress,
        )
        if not plan.moved:
            return Outcome(state, Evidence.exact("no channel moves, as no cluster that was found costs less"))
        permutations = plan.groups.permutations(plan.moved)
        rewritten, files = write_model(network.file_format, lambda path: rewrite(network, permutations, path))
        after, certificates = _ordered(replace(State.stored(rewritten, array, files), orders=plan.orders), context)
        return Outcome(
            after,
            Evidence.exact("channels of tied layers are in another order, and every constant moved with them"),
            certificates=certificates,
            channels=ChannelPlan(plan.groups, plan.moved, {}),
            by_cost=context.cost is not None,
        )


def _ordered(state: State, context: Context) -> tuple[State, tuple[Certificate, ...]]:
    """Solve all segments again; of each, the cheaper order stays."""
    solved = plan_schedule(
        state.network,
        state.accelerator,
        effort=context.effort,
        seed=context.seed,
        jobs=context.jobs,
        cost=context.cost,
        progress=context.progress,
        limit=context.limit,
    )
    cost_of: CostOf = stream_flips if context.cost is None else context.cost.along
    orders = {
        layer.name: _cheaper(layer, state.accelerator, solved.orders[layer.name], state.orders[layer.name], cost_of)
        for layer in state.network.layers
    }
    return replace(state, orders=orders), tuple(solved.certificates[layer.name] for layer in state.network.layers)


def _cheaper(
    layer: Layer, array: Accelerator, one: tuple[Segment, ...], other: tuple[Segment, ...], cost_of: CostOf
) -> tuple[Segment, ...]:
    """Of two orders of each segment, the one whose stream costs less."""
    codes = weight_codes(layer, array.weights)

    def cost(segment: Segment) -> int:
        return cost_of(dataflow_of(array).weight_stream(layer, *codes, (segment,), array).words)

    return tuple(min(pair, key=cost) for pair in zip(one, other, strict=True))
