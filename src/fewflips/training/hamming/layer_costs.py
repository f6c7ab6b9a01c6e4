"""What flips and words of one layer cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.assignment.nearest_codes import WordCosts
from fewflips.errors import InputError
from fewflips.training.hamming.options import HammingOptions
from fewflips.training.hamming.transition_tables import flip_table, smoothed
from fewflips.training.hamming.weight_streams import WeightStream

DEPTHWISE_ONES = 2.0
"""In a depthwise layer activations change with every word, elsewhere once in a pass."""


@dataclass(frozen=True, eq=False)
class LayerCosts:
    """Costs in flips; V is the number of values, S = 2^bits that of words.

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
    stream: WeightStream, options: HammingOptions, transition_costs: NDArray[np.floating] | None
) -> LayerCosts:
    """Costs of a layer.

    Parameters
    ----------
    stream : WeightStream
        The layer.
    options : HammingOptions
        Weights of bits and of ones.
    transition_costs : ndarray, shape (V, V), optional
        Cost of each transition between values in rising order.

    Returns
    -------
    LayerCosts
        In flips, or in the unit of the transition costs divided by their mean share of a flip.

    Raises
    ------
    InputError
        If the transition costs have another shape, are negative or not finite.
    """
    bits, view = stream.word_bits, stream.view
    weights = np.ones(bits, dtype=np.float32)
    if options.bit_weights is not None:
        weights = np.array(options.bit_weights[-bits:] if bits <= 8 else options.bit_weights, dtype=np.float32)
        weights = np.pad(weights, (0, bits - len(weights)), mode="edge")
    table = None
    if transition_costs is not None:
        table = np.asarray(transition_costs, dtype=np.float64)
        values = len(stream.words)
        if table.shape != (values, values) or not np.isfinite(table).all() or (table < 0).any():
            raise InputError(
                f"layer {view.name} {view.shape}: expected finite transition costs, 0 or more, of shape "
                f"({values}, {values}) for codes {view.low} to {view.high}, got shape {table.shape}"
            )
    ones = options.ones * (DEPTHWISE_ONES if stream.is_depthwise else 1.0)
    return LayerCosts(view.low, stream.words, weights, ones, table)
