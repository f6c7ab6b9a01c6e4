"""Training latent weights while their cheapest codes are assigned anew, at a price that rises as errors allow.

It begins where :mod:`fewflips.optimization.rounding.search` ends: one price of a unit of cost for all layers spends the
budget where a unit costs least. From there on, some steps of training move latent weights so that the outputs of the
assigned codes get closer to the original's; at the same error, the next assignment then takes a higher price. Each
assignment is written and run in the model's own runtime, and the cheapest one within the budget is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from fewflips.errors import InputError
from fewflips.network import Network
from fewflips.optimization.rounding.layer import RoundedLayer
from fewflips.optimization.rounding.outputs import Reference
from fewflips.optimization.rounding.search import Rounded, RoundingSearch
from fewflips.optimization.step import Context
from fewflips.ordering import Effort
from fewflips.parallel.processors import processors
from fewflips.training.distillation.effort import DistillEffort
from fewflips.training.distillation.lessons import Lessons
from fewflips.training.distillation.program import Program
from fewflips.training.distillation.replay import program_of
from fewflips.training.distillation.trained_layer import TrainedLayer

_REORDER = 3
"""Assignments from one search for orders to the next."""

_FALL = 0.9
"""What becomes of the price where an assignment is beyond the budget."""

_BISECTIONS = 4
"""Prices that are tried after training."""

_COMPARED = 8
"""Inputs on which the replay is compared with the runtime."""

_LEAST_DB = 10.0
"""Ratio of signal to difference from which on the replay passes: single steps of rounding may grow on their way."""

_BETAS = (0.9, 0.99)
"""Adam's decay rates: a few hundred steps do not fill a longer memory."""


def distilled(
    network: Network,
    original: Network,
    layers: Sequence[RoundedLayer],
    reference: Reference,
    calibration: Sequence[int],
    context: Context,
    *,
    reorders: bool,
    effort: DistillEffort,
) -> Rounded:
    """Train the weights of a network for cheaper codes within an error budget.

    Parameters
    ----------
    network, original : Network
        The network to begin with, and the one whose outputs are to be kept.
    layers : sequence of RoundedLayer
        The layers of `network` whose codes may change.
    reference : Reference
        The original's outputs on all samples.
    calibration : sequence of int
        Samples to train on.
    context : Context
        With a budget.
    reorders : bool
        Whether orders may be solved again.
    effort : DistillEffort
        Work limits and step sizes.

    Returns
    -------
    Rounded
        The cheapest network that was found within the budget; the one to begin with where none is cheaper, be it within
        the budget or not.

    Raises
    ------
    InputError
        If an operator is not known.
    """
    with _threads(context.jobs):
        search = _Distillation(network, original, layers, reference, calibration, context, reorders, effort)
        return search.find()


class _Distillation(RoundingSearch):
    """One distillation."""

    def __init__(
        self,
        network: Network,
        original: Network,
        layers: Sequence[RoundedLayer],
        reference: Reference,
        calibration: Sequence[int],
        context: Context,
        reorders: bool,
        effort: DistillEffort,
    ) -> None:
        assert context.budget is not None
        super().__init__(
            network,
            layers,
            reference,
            context.budget,
            cost=context.cost,
            reorders=reorders,
            seed=context.seed,
            jobs=context.jobs,
            limit=context.limit,
            progress=context.progress,
        )
        program = program_of(network)
        same = program if original is network else program_of(original)
        _check_replay(same, original, reference.only(calibration[:_COMPARED]))
        self._lessons = Lessons(same, program, reference.only(calibration).samples.feeds, context.seed)
        self._trained = [TrainedLayer(layer, program.products[layer.layer.name]) for layer in layers]
        self._calibration, self._effort = list(calibration), effort

    def find(self) -> Rounded:
        """Round, then train and assign in turn; see :func:`distilled`."""
        self.measure_sensitivities(self._calibration)
        best = super().find()
        if not best.error.within(self._budget):
            return best
        for layer in self._trained:
            layer.begin()
        price, optimizer = best.price or self._price_of_the_budget(), self._optimizer()
        rounds = max(self._effort.steps // self._effort.between, 1)
        for number in range(rounds):
            self._train(optimizer, number, rounds)
            if self._limit():
                return best
            found = self._assigned(price, reorder=number % _REORDER == 0)
            met = found.error.within(self._budget)
            best = found if met and found.cost < best.cost else best
            price *= self._effort.rise if met else _FALL
        return self._last_prices(best, price)

    def _last_prices(self, best: Rounded, price: float) -> Rounded:
        """The best of some prices for the weights as they are trained now."""
        low, high = 0.0, 0.0
        for number in range(_BISECTIONS):
            if self._limit():
                break
            found = self._assigned(price, reorder=number == 0)
            if found.error.within(self._budget):
                low = price
                best = found if found.cost < best.cost else best
            else:
                high = price
            price = math.sqrt(low * high) if low and high else low * self._effort.rise or high / self._effort.rise
        return best

    def _price_of_the_budget(self) -> float:
        """At which all of the stream's cost is worth as much error as the budget allows."""
        allowed = 10 ** (-self._budget.sqnr_db / 10) if self._budget.sqnr_db is not None else 1e-2
        return allowed / max(sum(layer.cost() for layer in self._layers), 1.0)

    def _assigned(self, price: float, *, reorder: bool) -> Rounded:
        """Codes at a price, written and run."""
        for layer in self._trained:
            layer.assign(price)
        if reorder and self._reorders:
            self._solve_orders(Effort.quick())
            for layer in self._trained:
                layer.assign(price)
        return self._tried(price)

    def _optimizer(self) -> torch.optim.Optimizer:
        weights = [layer.latent for layer in self._trained]
        biases = [layer.bias for layer in self._trained if layer.bias is not None]
        groups = [{"params": weights}] + ([{"params": biases}] if biases else [])
        return torch.optim.Adam(groups, lr=self._effort.rate, betas=_BETAS)

    def _train(self, optimizer: torch.optim.Optimizer, number: int, rounds: int) -> None:
        """The training between two assignments."""
        for step in range(self._effort.between):
            if self._limit():
                return
            done = (number + step / self._effort.between) / rounds
            for group in optimizer.param_groups:
                group["lr"] = self._effort.rate * (0.5 + 0.5 * math.cos(math.pi * done))
            optimizer.zero_grad()
            codes = {layer.rounded.layer.name: layer.codes() for layer in self._trained}
            self._lessons.loss(codes, self._effort.batch).backward()
            optimizer.step()
            self._show("distilling", number * self._effort.between + step + 1, rounds * self._effort.between)


def _check_replay(program: Program, network: Network, reference: Reference) -> None:
    """Raise :class:`InputError` where PyTorch computes something else than the runtime did."""
    try:
        with torch.no_grad():
            outputs = program.run(program.batch(reference.samples.feeds)).numpy().astype(np.float64)
    except RuntimeError as error:
        raise InputError(f"step distill: PyTorch cannot replay {network.path}: {error}; leave the step out") from error
    if outputs.shape != reference.outputs.shape or reference.error_in(outputs).sqnr_db < _LEAST_DB:
        raise InputError(
            f"step distill: expected PyTorch to give the outputs of {network.path} as its runtime does, got others; "
            "leave the step out"
        )


@contextmanager
def _threads(jobs: int) -> Iterator[None]:
    """As many threads of PyTorch as processors are to be used, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(processors(jobs))
    try:
        yield
    finally:
        torch.set_num_threads(before)
