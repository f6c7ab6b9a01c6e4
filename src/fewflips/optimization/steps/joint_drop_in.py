"""The drop-in file by both operands: its channels in an order with fewer flips of weights and activations together."""

from __future__ import annotations

from dataclasses import dataclass

from fewflips.errors import InputError
from fewflips.network import rewrite
from fewflips.optimization.joint_channels import follows_order, plan_joint_channels
from fewflips.optimization.model_files import write_model
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Start, Step


@dataclass(frozen=True)
class JointDropInStep(Step):
    """Give every group of tied channels one order, by weights and sample activations, absorbed into the constants.

    Parameters
    ----------
    start : {"baseline", "stage before"}
        The network as stored, or as a step before has rewritten it.
    """

    name = "joint-drop-in"
    start: Start = "baseline"
    rewrites = True

    def apply(self, state: State, context: Context) -> Outcome:
        """See :meth:`Step.apply`; the rewritten model streams in natural order."""
        network, array = state.network, state.accelerator
        if context.samples is None:
            raise InputError(f"step {self.name}: expected sample inputs, whose activations it counts; give --inputs")
        if not any(follows_order(layer, array) for layer in network.layers):
            raise InputError(
                f"step {self.name}: expected layers whose activations stream in the order of their weights, got none "
                f"on {array.name}: take the step drop-in"
            )
        plan = plan_joint_channels(
            network,
            array,
            context.samples,
            effort=context.effort,
            seed=context.seed,
            jobs=context.jobs,
            cost=context.cost,
            progress=context.progress,
        )
        permutations = plan.groups.permutations(plan.orders)
        rewritten, files = write_model(network.file_format, lambda path: rewrite(network, permutations, path))
        return Outcome(
            State.stored(rewritten, array, files),
            Evidence.exact("channels of tied layers are in another order, and every constant moved with them"),
            channels=plan,
        )
