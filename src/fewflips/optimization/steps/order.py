"""The schedule: an order of its own for every segment of every layer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fewflips.optimization.segment_orders import plan_schedule
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Setting, Start, Step


@dataclass(frozen=True)
class ScheduleStep(Step):
    """Order every segment for itself, for hardware that follows a schedule.

    Parameters
    ----------
    start : {"baseline", "stage before"}
        The network as stored, or as a step before has rewritten it.
    """

    name = "schedule"
    start: Start = "baseline"

    def by_default(self, setting: Setting) -> bool:
        """Always: the machine is taken to follow schedules, unless the user says otherwise."""
        return True

    def apply(self, state: State, context: Context) -> Outcome:
        """See :meth:`Step.apply`; orders that the state has already are replaced."""
        plan = plan_schedule(
            state.network,
            state.accelerator,
            effort=context.effort,
            seed=context.seed,
            jobs=context.jobs,
            cost=context.cost,
            progress=context.progress,
            limit=context.limit,
        )
        return Outcome(
            replace(state, orders=plan.orders),
            Evidence.exact("every product is computed as before; partial sums are added in another order, in integers"),
            certificates=tuple(plan.certificates[layer.name] for layer in state.network.layers),
            by_cost=context.cost is not None,
        )
