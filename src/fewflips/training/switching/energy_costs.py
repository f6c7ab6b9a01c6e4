"""Measured energies of one layer's words as costs that codes are chosen by, and that gradients follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.assignment.nearest_codes import WordCosts
from fewflips.errors import InputError
from fewflips.streams.transition_cost import TransitionCost
from fewflips.training.hamming.transition_tables import smoothed
from fewflips.training.hamming.weight_streams import WeightStream
from fewflips.training.switching.layer_energies import LayerEnergies

LARGEST_COST = 1000
"""Cost of the dearest step where orders are solved, in integers."""
_PJ_PER_FJ = 1e-3


@dataclass(frozen=True, eq=False)
class EnergyCosts:
    """Costs of words and steps of a layer, in units of what a flip between random words stands for.

    V is the number of values, S that of codes.

    Parameters
    ----------
    stream : WeightStream
        The layer.
    energies : LayerEnergies
        What was measured.
    """

    stream: WeightStream
    energies: LayerEnergies = field(repr=False)

    @cached_property
    def unit_fj(self) -> float:
        """One unit: random words cost half a unit for each of their bits.

        Raises
        ------
        InputError
            If all words cost the same.
        """
        mean_fj = float(self.table_fj.mean()) + float(self.words_fj.mean())
        if mean_fj <= 0:
            raise InputError(
                f"layer {self.stream.view.name} {self.stream.view.shape}: expected weights whose values make a "
                "difference to the machine's energy, got none; leave the layer out (exclude)"
            )
        return mean_fj / (self.stream.word_bits / 2)

    @cached_property
    def least_fj(self) -> float:
        """What the cheapest held value costs."""
        held = self.energies.held_fj
        return 0.0 if held is None else float(held[self.stream.words].min())

    @cached_property
    def words_fj(self) -> NDArray[np.float64]:
        """What holding each value costs beyond the cheapest one, shape (V,)."""
        held = self.energies.held_fj
        words = self.stream.words
        return np.zeros(len(words)) if held is None else held[words] - self.least_fj

    @cached_property
    def table_fj(self) -> NDArray[np.float64]:
        """What the step from each value to each other costs, shape (V, V)."""
        steps, words = self.energies.steps_fj, self.stream.words
        return np.zeros((len(words), len(words))) if steps is None else steps[np.ix_(words, words)]

    @property
    def words(self) -> NDArray[np.unsignedinteger]:
        """Code of each value, shape (V,)."""
        return self.stream.words

    @property
    def weight_pj(self) -> float:
        """What one unit on average over all bits of the layer is worth in one inference."""
        return self.energies.repeats * self.unit_fj * self.stream.size * self.stream.word_bits * _PJ_PER_FJ

    @property
    def fixed_pj(self) -> float:
        """What the layer takes in one inference, whatever its weights, and if all had the cheapest value."""
        return (self.energies.repeats * self.stream.size * self.least_fj + self.energies.fixed_fj) * _PJ_PER_FJ

    @cached_property
    def order_cost(self) -> TransitionCost | None:
        """Steps as integers, which orders are solved by; None where weights do not follow one another."""
        steps = self.energies.steps_fj
        if steps is None or not steps.any():
            return None
        return TransitionCost.from_table(np.rint(steps / steps.max() * LARGEST_COST).astype(np.int64))

    @property
    def kind(self) -> tuple[Any, ...]:
        """Equal for layers of one network whose tables are equal."""
        return (self.stream.view.low, self.stream.words.tobytes(), self.table_fj.tobytes(), self.words_fj.tobytes())

    def of_words(self, price: float) -> WordCosts:
        """Costs at the price of a unit, for :func:`~fewflips.assignment.nearest_codes.nearest_codes`."""
        words, bits = self.stream.words, self.stream.word_bits
        values = np.full(1 << bits, np.nan, dtype=np.float32)
        values[words] = np.arange(self.stream.view.low, self.stream.view.low + len(words))
        held = np.zeros(1 << bits, dtype=np.float32)
        held[words] = self.words_fj * (price / self.unit_fj)
        between = None
        if self.energies.steps_fj is not None:
            between = (self.energies.steps_fj * (price / self.unit_fj)).astype(np.float32)
        return WordCosts(values, np.zeros(bits, dtype=np.float32), held, between)

    def smoothed_table(self, width: float, device: torch.device) -> Tensor:
        """Steps between values in units, averaged by a Gaussian: float32, shape (V, V)."""
        return torch.from_numpy(smoothed(self.table_fj / self.unit_fj, width)).to(device, torch.float32)

    def smoothed_words(self, width: float, device: torch.device) -> Tensor:
        """Held values in units, averaged by a Gaussian: float32, shape (V,)."""
        repeated = np.repeat(self.words_fj[:, None] / self.unit_fj, len(self.words_fj), axis=1)
        return torch.from_numpy(smoothed(repeated, width)[:, 0].copy()).to(device, torch.float32)


def held_cost(latent: Tensor, costs: Tensor, low: int) -> Tensor:
    """Cost of codes themselves, exact where they are whole numbers, linear in between.

    Parameters
    ----------
    latent : Tensor of float32, any shape
        Codes; clipped to the range of values.
    costs : Tensor of float32, shape (V,)
        Cost of each value in rising order.
    low : int
        The first value.

    Returns
    -------
    Tensor of float32, shape ()
        The sum, differentiable with respect to `latent`.

    Examples
    --------
    >>> held_cost(torch.tensor([0.0, 0.25]), torch.tensor([3.0, 0.0, 4.0]), low=-1).item()
    1.0
    """
    places = (latent - low).clamp(0, len(costs) - 1)
    floor = places.detach().floor().clamp_(max=len(costs) - 2)
    cell = floor.nan_to_num(0.0).to(torch.int64)  # the cost of NaN is NaN
    return torch.lerp(costs[cell], costs[cell + 1], places - floor).sum()
