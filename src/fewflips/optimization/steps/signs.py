"""Signs: which words of a schedule stream negated, and are subtracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fewflips.errors import AcceleratorError
from fewflips.optimization.signed_orders import plan_signs
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Setting, Start, Step


@dataclass(frozen=True)
class SignsStep(Step):
    """Choose orders and signs together, for hardware that follows a schedule and subtracts words that are flagged.

    Parameters
    ----------
    start : {"baseline", "stage before"}
        The network as stored, or as the step before left it: lanes stay, orders are where the search begins.
    """

    name = "signs"
    start: Start = "stage before"
    comes_after = ("schedule", "cluster", "round", "distill", "joint")
    waits = True

    def by_default(self, setting: Setting) -> bool:
        """Where the machine has sign flags."""
        return setting.accelerator.datapath.sign_flags

    def objection(self, setting: Setting, before: Sequence[Step]) -> str | None:
        """A machine without sign flags cannot subtract."""
        if setting.accelerator.datapath.sign_flags:
            return None
        return (
            f"expected a machine with sign flags (datapath: {{sign_flags: true}}), got {setting.accelerator.name}: "
            "leave the step out"
        )

    def apply(self, state: State, context: Context) -> Outcome:
        """See :meth:`Step.apply`; signs that the state has already are replaced."""
        objection = self.objection(Setting(state.accelerator), ())
        if objection is not None:
            raise AcceleratorError(f"step {self.name}: {objection}")
        plan = plan_signs(
            state.network,
            state.accelerator,
            state.orders,
            effort=context.effort,
            seed=context.seed,
            jobs=context.jobs,
            cost=context.cost,
            progress=context.progress,
            enough=context.limit,
        )
        return Outcome(
            replace(state, orders=plan.orders),
            Evidence.exact(
                "every product is computed as before; those of negated words have the opposite sign, and are "
                "subtracted, in integers"
            ),
            certificates=tuple(plan.certificates[layer.name] for layer in state.network.layers),
            by_cost=context.cost is not None,
        )
