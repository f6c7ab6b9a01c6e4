"""What flips and words of one layer cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.assignment.nearest_codes import WordCosts
from fewflips.errors import InputError
from fewflips.streams.transition_cost import TransitionCost
from fewflips.training.hamming.options import HammingOptions
from fewflips.training.hamming.transition_tables import flip_table, smoothed
from fewflips.training.hamming.weight_streams import WeightStream

DEPTHWISE_ONES = 2.0
"""In a depthwise layer activations change with every word, elsewhere once in a pass."""


class TabulatedCosts(Protocol):
    """Costs of which a table between values can be made."""

    @property
    def words(self) -> NDArray[np.unsignedinteger]:
        """Code of each value, shape (V,)."""

    @property
    def kind(self) -> tuple[Any, ...]:
        """Equal for layers of one network whose costs are equal."""

    def smoothed_table(self, width: float, device: torch.device) -> Tensor:
        """Costs of transitions between values, averaged by a Gaussian: float32, shape (V, V)."""


@dataclass(frozen=True, eq=False)
class LayerCosts:
    """Costs in flips of mean cost; V is the number of values, S = 2^bits that of words.

    Parameters
    ----------
    low : int
        Smallest value.
    words : ndarray of uint8 or uint16, shape (V,)
        Code of each value.
    bit_costs : ndarray of float32, shape (bits,)
        Of a flip of each bit, least significant first.
    ones : float
        Of each bit that is 1.
    table : ndarray of float64, shape (V, V), or None
        Of each transition between values, in place of those of bits.
    """

    low: int
    words: NDArray[np.unsignedinteger] = field(repr=False)
    bit_costs: NDArray[np.float32]
    ones: float
    table: NDArray[np.float64] | None = field(repr=False)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Equal for layers of one network whose costs are equal."""
        return self.low, self.ones, self.words.tobytes(), self.bit_costs.tobytes()

    def of_words(self, price: float) -> WordCosts:
        """Costs at a price of a flip, for :func:`~fewflips.assignment.nearest_codes.nearest_codes`."""
        bits = len(self.bit_costs)
        values = np.full(1 << bits, np.nan, dtype=np.float32)
        values[self.words] = np.arange(self.low, self.low + len(self.words))
        ones = np.bitwise_count(np.arange(1 << bits)).astype(np.float32)
        transitions = None
        if self.table is not None:
            transitions = np.zeros((1 << bits, 1 << bits), dtype=np.float32)
            transitions[np.ix_(self.words, self.words)] = self.table * price
        return WordCosts(values, self.bit_costs * np.float32(price), ones * np.float32(price * self.ones), transitions)

    def smoothed_table(self, width: float, device: torch.device) -> Tensor:
        """Costs of transitions between values, averaged by a Gaussian: float32, shape (V, V)."""
        table = flip_table(self.words, self.bit_costs, self.ones)
        if self.table is not None:
            table = self.table + flip_table(self.words, 0 * self.bit_costs, self.ones)
        return torch.from_numpy(smoothed(table, width)).to(device, torch.float32)


def layer_costs(
    stream: WeightStream,
    options: HammingOptions,
    transition_costs: NDArray[np.floating] | None = None,
    cost: TransitionCost | None = None,
) -> LayerCosts:
    """Costs of a layer.

    Parameters
    ----------
    stream : WeightStream
        The layer.
    options : HammingOptions
        Weights of bits and of ones.
    transition_costs : ndarray, shape (V, V), optional
        Cost of each transition between values in rising order, in flips.
    cost : TransitionCost, optional
        Of the step from one word to the next, in any unit.

    Returns
    -------
    LayerCosts
        Under a `cost`, that divided by what a flip costs on average
        (:attr:`~fewflips.streams.transition_cost.TransitionCost.mean_per_flip`), so that `ones` and prices keep their
        meaning.

    Raises
    ------
    InputError
        If the transition costs have another shape, are negative or not finite, or the cost is of another width or
        nothing at all.
    """
    table = None
    if cost is not None:
        weights, table = _of_cost(stream, cost)
    else:
        weights = _bit_weights(stream.word_bits, options)
    if transition_costs is not None:
        table = _checked(stream, transition_costs)
    ones = options.ones * (DEPTHWISE_ONES if stream.is_depthwise else 1.0)
    return LayerCosts(stream.view.low, stream.words, weights, ones, table)


def _bit_weights(bits: int, options: HammingOptions) -> NDArray[np.float32]:
    if options.bit_weights is None:
        return np.ones(bits, dtype=np.float32)
    weights = np.array(options.bit_weights[-bits:] if bits <= 8 else options.bit_weights, dtype=np.float32)
    return np.pad(weights, (0, bits - len(weights)), mode="edge")


def _of_cost(stream: WeightStream, cost: TransitionCost) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Costs of bits, and in their place a table between values where the cost is one."""
    view, unit = stream.view, cost.mean_per_flip
    if cost.bits != stream.word_bits:
        raise InputError(
            f"layer {view.name} {view.shape}: expected a cost of {stream.word_bits} bits, as its words have, got one "
            f"of {cost.bits}; leave the layer out (exclude) or take another cost"
        )
    if unit == 0:
        raise InputError(f"layer {view.name} {view.shape}: expected a cost of transitions, got 0 for all of them")
    if cost.table is not None:
        return np.zeros(cost.bits, dtype=np.float32), cost.table[np.ix_(stream.words, stream.words)] / unit
    assert cost.bit_costs is not None
    return (cost.bit_costs / unit).astype(np.float32), None


def _checked(stream: WeightStream, transition_costs: NDArray[np.floating]) -> NDArray[np.float64]:
    view, values = stream.view, len(stream.words)
    table = np.asarray(transition_costs, dtype=np.float64)
    if table.shape != (values, values) or not np.isfinite(table).all() or (table < 0).any():
        raise InputError(
            f"layer {view.name} {view.shape}: expected finite transition costs, 0 or more, of shape "
            f"({values}, {values}) for codes {view.low} to {view.high}, got shape {table.shape}"
        )
    return table
