"""What a step of an optimization is: it takes a state, and gives another one with what it knows about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.execution.samples import Samples
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.channel_orders import ChannelPlan
from fewflips.optimization.segment_orders import Certificate
from fewflips.optimization.state import State
from fewflips.ordering import Effort
from fewflips.parallel.limit import Limit
from fewflips.progress import Progress
from fewflips.streams.transition_cost import TransitionCost

Start = Literal["baseline", "stage before"]
"""What a step starts from: the network as stored, or what the step before it left."""


@dataclass(frozen=True)
class Evidence:
    """How far the outputs after a step may be from those before it.

    Parameters
    ----------
    bound : float or None
        Largest absolute difference of an output value; None where the step changes nothing that is computed.
    unit : str
        Unit of the bound, in words; empty without one.
    method : str
        How the step knows, in a sentence.
    budget : ErrorBudget or None
        The error budget within which outputs are, in place of a bound of each value.
    """

    bound: float | None
    unit: str
    method: str
    budget: ErrorBudget | None = None

    @classmethod
    def exact(cls, method: str) -> Evidence:
        """The network computes the same.

        Parameters
        ----------
        method : str
            How the step knows, in a sentence.

        Returns
        -------
        Evidence
            The pipeline accepts it only where every product is still computed, and where every constant of a
            rewritten model is the original's with its channels in another order.
        """
        return cls(None, "", method)

    @classmethod
    def bounded(cls, bound: float, unit: str, method: str) -> Evidence:
        """Outputs differ by a bound at most.

        Parameters
        ----------
        bound : float
            Largest absolute difference of an output value, in the output's own unit.
        unit : str
            That unit in words, such as ``steps of the output's scale``.
        method : str
            How the step knows, in a sentence.

        Returns
        -------
        Evidence
            The pipeline accepts it only where the outputs on all inputs that it runs stay within the bound.
        """
        return cls(bound, unit, method)

    @classmethod
    def within(cls, budget: ErrorBudget, method: str) -> Evidence:
        """Outputs are within an error budget on the sample inputs.

        Parameters
        ----------
        budget : ErrorBudget
            The budget.
        method : str
            How the step knows, in a sentence.

        Returns
        -------
        Evidence
            The pipeline accepts it only where the budget holds on all sample inputs, against the network as stored.
        """
        if budget.sqnr_db is None:
            return cls(budget.accuracy_points, "points of accuracy on the labelled sample inputs", method, budget)
        percent = 100 * 10 ** (-budget.sqnr_db / 20)
        whose = "the logits'" if budget.in_logits else "their"
        return cls(percent, f"% of {whose} root mean square ({budget.sqnr_db:g} dB)", method, budget)


@dataclass(frozen=True, eq=False)
class Context:
    """What a step may use besides the state.

    Parameters
    ----------
    samples : Samples or None
        Sample inputs, where the user gave some.
    effort : Effort
        Work limit of solvers.
    seed : int
        Seed for every random choice.
    jobs : int
        Number of processors to use; -1 uses all.
    progress : callable or None
        Called as ``progress(phase, done, total)``.
    cost : TransitionCost or None
        Cost of a transition between the codes of weights, by which orders are to be chosen; None for flips. Codes of
        all layers that were read are as wide as those of the cost.
    budget : ErrorBudget or None
        How far outputs may be from the original's, where the user allows it.
    labels : ndarray of int64, shape (samples,), or None
        Class of each sample; given where the budget is in points of accuracy.
    limit : Limit
        Called now and then in a search; where it says True, the search ends with the best that it has.
    original : Network or None
        The network as stored, before all steps: error budgets hold against it. None for that of the first state.
    """

    samples: Samples | None
    effort: Effort
    seed: int
    jobs: int
    progress: Progress | None = None
    cost: TransitionCost | None = None
    budget: ErrorBudget | None = None
    labels: NDArray[np.int64] | None = field(default=None, repr=False)
    limit: Limit = field(default_factory=Limit, repr=False)
    original: Network | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Setting:
    """What steps are chosen for.

    Parameters
    ----------
    accelerator : Accelerator
        The machine.
    budget : ErrorBudget or None
        How far outputs may be from the original's, where the user allows it.
    """

    accelerator: Accelerator
    budget: ErrorBudget | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a step gives.

    Parameters
    ----------
    state : State
        The state after the step.
    evidence : Evidence
        How far outputs may have moved; the pipeline checks it.
    certificates : tuple of Certificate
        Lower bound of the weight flips of each layer, in the network's order; empty where the step knows none.
    by_cost : bool
        Whether certificates are in the unit of the context's cost, not in flips.
    channels : ChannelPlan or None
        Which channels moved where, if that is what the step did to the model.
    """

    state: State
    evidence: Evidence
    certificates: tuple[Certificate, ...] = field(default=(), repr=False)
    channels: ChannelPlan | None = field(default=None, repr=False)
    by_cost: bool = False


class Step(ABC):
    """One lever of an optimization.

    A subclass names itself, says what it starts from and whether it rewrites the model, and applies itself to a
    state. ``docs/steps.md`` shows how to add one.
    """

    name: ClassVar[str]
    """Key in the registry, and the name of the stage in the report."""
    start: Start = "stage before"
    """What the step starts from."""
    rewrites: ClassVar[bool] = False
    """Whether the step gives another model, whose outputs have to be compared with those of the one it was given."""
    needs_budget: ClassVar[bool] = False
    """Whether the step changes what is computed, and is given only where the user sets an error budget."""
    comes_after: ClassVar[tuple[str, ...]] = ()
    """Names of steps that, where they are applied as well, have to come before: they would undo what this one did."""
    waits: ClassVar[bool] = False
    """Whether the step, where it is named before one of those, is applied right after it; otherwise it is refused."""

    def by_default(self, setting: Setting) -> bool:
        """Whether the step is among those that are applied where the user names none.

        Parameters
        ----------
        setting : Setting
            The machine and the error budget.

        Returns
        -------
        bool
            False unless a subclass says otherwise.
        """
        return False

    def objection(self, setting: Setting, before: Sequence[Step]) -> str | None:
        """Why the step cannot be applied on a machine, or after other steps.

        Parameters
        ----------
        setting : Setting
            The machine and the error budget.
        before : sequence of Step
            The steps that are applied before, in their order.

        Returns
        -------
        str or None
            What was expected, what was got and what to do, as the end of an error's line; None where nothing is wrong.
        """
        return None

    @abstractmethod
    def apply(self, state: State, context: Context) -> Outcome:
        """Change a state.

        Parameters
        ----------
        state : State
            What the step starts from; it is not changed.
        context : Context
            Samples, work limits, seed, processors and progress.

        Returns
        -------
        Outcome
            The new state, and what is known about it. Layers keep their number, order and shapes.
        """
