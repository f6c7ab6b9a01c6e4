"""One layer whose weights are being rounded: its codes, its orders, its error and what its stream costs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fewflips.assignment.coupled_lanes import CoupledLayer, Values, descend
from fewflips.dataflows import Segment, dataflow_of
from fewflips.formats.number_formats import NumberFormat, encode
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.network.recoding import NewCodes, Recodable
from fewflips.optimization.rounding.calibration import Activations
from fewflips.streams.codes import weight_codes
from fewflips.streams.transition_cost import TransitionCost


@dataclass(frozen=True, eq=False)
class Words:
    """The values that a layer's weights may take, and the code of each on the wires.

    Parameters
    ----------
    low : int
        The smallest value: of the stored integer, or of that less its zero point.
    codes : ndarray of uint8 or uint16, shape (V,)
        Code of each value, in rising order.
    bits : int
        Width of a code.
    offsets : ndarray of int32, shape (N, 1)
        What a stored integer is more than its value.
    """

    low: int
    codes: NDArray[np.unsignedinteger] = field(repr=False)
    bits: int
    offsets: NDArray[np.int32] = field(repr=False)

    @classmethod
    def of(cls, layer: Layer, array: Accelerator) -> Words:
        """Words of a layer on a machine: no value that the format, the storage, or the layer's own range excludes."""
        storage, number_format = layer.weight_type, array.weights.format
        stored = layer.weights.astype(np.int32)
        low, high = storage.low, storage.high
        if storage.signed and not (stored == low).any():
            low += 1  # formats of symmetric weights leave it out
        bits = weight_codes(layer, array.weights).bits
        offsets = np.zeros((layer.n, 1), np.int32)
        if number_format is NumberFormat.UNSIGNED:
            low, high, offsets = low - storage.low, high - storage.low, offsets + storage.low
        elif number_format is not NumberFormat.AS_STORED:
            offsets = layer.weight_zero_points.astype(np.int32)[:, None]
            values = stored - offsets  # their range says how wide the code is, and stays
            low, high = int(values.min()), int(values.max())
        return cls(low, encode(np.arange(low, high + 1), number_format, bits), bits, offsets)

    def costs(self, cost: TransitionCost | None) -> NDArray[np.float32]:
        """Cost of the step between any two values; flips by default. Shape (V, V)."""
        if cost is None:
            return np.bitwise_count(self.codes[:, None] ^ self.codes).astype(np.float32)
        return cost.distances(self.codes[:, None]).astype(np.float32)


class RoundedLayer:
    """A layer whose codes and orders change.

    Parameters
    ----------
    layer : Layer
        The original.
    array : Accelerator
        The machine.
    segments : tuple of Segment
        Orders to begin with.
    activations : Activations
        Of the calibration inputs.
    place : Recodable
        What of the layer can be replaced.
    cost : TransitionCost or None
        Of a transition; flips by default.

    Attributes
    ----------
    layer : Layer
        The original.
    place : Recodable
        What of it can be replaced.
    sensitivity : float
        What a unit of :attr:`error` does to the square of the network's outputs' error.
    """

    def __init__(
        self,
        layer: Layer,
        array: Accelerator,
        segments: tuple[Segment, ...],
        activations: Activations,
        place: Recodable,
        cost: TransitionCost | None,
    ) -> None:
        self.layer, self.segments, self.sensitivity = layer, segments, 1.0
        self._words = Words.of(layer, array)
        self.place, self._mean = place, activations.mean
        self._bias: NDArray[np.floating | np.integer] | None = place.bias
        self._original = layer.weights.astype(np.int32) - self._words.offsets
        self._repeats = dataflow_of(array).weight_repeats(layer, array)
        scales = None if layer.right.scales is None else layer.right.scales.along(0, layer.right.shape)
        importance = np.ones(layer.n) if scales is None else (scales / scales.max()).astype(float) ** 2
        self._problem = CoupledLayer(
            self._original.astype(np.float32),
            activations.covariance(centred=place.bias is not None),
            np.maximum(importance, 1e-6).astype(np.float32),
            Values(self._words.low, self._words.costs(cost)),
        )
        self.codes = self._original.astype(np.int16)
        self._gradient = np.zeros_like(self._problem.weights)

    @property
    def error(self) -> float:
        """Mean square of the output's error, summed over channels, in units of the layer's own."""
        return self._problem.error(self.codes)

    def cost(self) -> float:
        """What the weight stream costs within passes in one inference, in units of the transition cost."""
        costs, places = self._problem.values.transition_costs, self.codes - self._words.low
        total = 0.0
        for segment in self.segments:
            rows = places[np.ix_(segment.order, segment.lanes)]
            total += float(costs[rows[:-1], rows[1:]].sum(dtype=np.float64))
        return total * self._repeats

    def descend(self, price: float) -> None:
        """Move all codes to cheaper ones.

        Parameters
        ----------
        price : float
            What a unit of cost is worth in square error of the network's outputs.
        """
        own = price * self._repeats / self.sensitivity
        for segment in self.segments:
            descend(self._problem, self.codes, self._gradient, segment.lanes, segment.order, own)

    @property
    def norm(self) -> float:
        """Root mean square of the length of a row of activations, in steps of their scale."""
        spread = np.trace(self._problem.covariance, axis1=1, axis2=2) + np.square(self._mean).sum(axis=1)
        return float(np.sqrt(spread.mean()))

    def aim(self, weights: NDArray[np.floating], bias: NDArray[np.floating | np.integer] | None) -> None:
        """Measure errors from other weights than the original's; codes stay.

        Parameters
        ----------
        weights : ndarray of float, shape (N, K)
            In place of the integers that the file stores.
        bias : ndarray of float or int, shape (N,), or None
            In place of the file's, where that can be replaced.
        """
        self._bias = bias
        self._problem = replace(self._problem, weights=(weights - self._words.offsets).astype(np.float32))
        self._gradient = self._problem.gradient(self.codes)

    def disturb(self, steps: int, seed: int, share: float = 1.0) -> None:
        """Give a share of the codes random errors of up to some steps, to see what they do to the network's outputs."""
        random = np.random.default_rng(seed)
        noise = random.integers(-steps, steps + 1, self.codes.shape)
        noise[random.random(self.codes.shape) >= share] = 0
        low, high = self._words.low, self._words.low + self._problem.values.count - 1
        self.restore(((self._original + noise).clip(low, high).astype(np.int16), self.segments))

    def saved(self) -> tuple[NDArray[np.int16], tuple[Segment, ...]]:
        """Present codes and orders, for :meth:`restore`."""
        return self.codes.copy(), self.segments

    def restore(self, state: tuple[NDArray[np.int16], tuple[Segment, ...]]) -> None:
        """Go back to codes and orders."""
        codes, self.segments = state
        self.codes = codes.copy()
        self._gradient = self._problem.gradient(self.codes)

    def segment_words(self) -> list[NDArray[np.unsignedinteger]]:
        """Words of each segment on the wires, in its present order."""
        words = self._words.codes[self.codes - self._words.low]
        return [words[np.ix_(segment.order, segment.lanes)] for segment in self.segments]

    def new_codes(self) -> NewCodes:
        """What is to be written: the codes, and the bias less the mean error that they make."""
        weights = self.codes + self._words.offsets
        if self._bias is None:
            return NewCodes(weights)
        change = (self.codes - self._problem.weights).reshape(len(self._mean), -1, self.layer.k)
        shift = np.einsum("gnk,gk->gn", change, self._mean).reshape(-1) * self.place.bias_steps
        limits = np.iinfo(np.int32)
        return NewCodes(weights, np.rint(self._bias - shift).clip(limits.min, limits.max).astype(np.int64))
