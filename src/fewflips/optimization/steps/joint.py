"""Orders for both operands at once, where activations follow the order of the weights."""

from __future__ import annotations

from dataclasses import replace

from fewflips.errors import InputError
from fewflips.optimization.joint_orders import plan_joint_orders
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Step


class JointStep(Step):
    """Order segments by the flips of weights and of sample activations, for hardware that follows a schedule.

    Layers whose activations do not change with the order keep the orders of the stage before.
    """

    name = "joint"
    comes_after = ("schedule", "cluster", "round", "distill")
    waits = True

    def apply(self, state: State, context: Context) -> Outcome:
        """See :meth:`Step.apply`."""
        if context.samples is None:
            raise InputError("step joint: expected sample inputs, whose activations it counts; give --inputs")
        if context.cost is not None:
            raise InputError("step joint: counts flips of both operands, and a cost is of weights: leave --cost out")
        plan = plan_joint_orders(
            state.network,
            state.accelerator,
            state.orders,
            context.samples,
            effort=context.effort,
            seed=context.seed,
            jobs=context.jobs,
            progress=context.progress,
        )
        return Outcome(
            replace(state, orders=plan.orders),
            Evidence.exact("every product is computed as before; partial sums are added in another order, in integers"),
        )
