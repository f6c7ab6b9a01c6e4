"""A layer as phases of similar cycles, from which its units' energy is estimated.

Phases are the cycles of a segment, and the steps from segment to segment, where both operands may change. In each
phase there is one figure per bit for the flips per cycle. The curve of energy against flips is concave, so one mean
over the layer would overestimate the energy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.layout import pad_last
from fewflips.dataflows.segment import Segment
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.flips import bit_position_flips

_RANDOM_RATE = 0.5


HeldOperand = Literal["weights", "activations"]
"""The operand whose values matter; see :attr:`fewflips.dataflows.Dataflow.held_operand`."""


@dataclass(frozen=True, eq=False)
class Phase:
    """A group of similar cycles.

    Parameters
    ----------
    cycles : float
        Unit cycles in one inference, summed over the units.
    active_lanes : int
        Lanes that have operands.
    weight_rates, activation_rates : ndarray of float64, shapes (bits of the operand,)
        Flips per cycle of each bit in a lane that has operands, least significant first.
    adds_to_sum : bool
        Whether partial sums of earlier segments are added.
    """

    cycles: float
    active_lanes: int
    weight_rates: NDArray[np.float64] = field(repr=False)
    activation_rates: NDArray[np.float64] = field(repr=False)
    adds_to_sum: bool


@dataclass(frozen=True, eq=False)
class ActivationStatistics:
    """What is known of a layer's activations.

    Parameters
    ----------
    rates : ndarray of float64, shape (bits,)
        Flips of each bit from one activation of a lane to the next.
    ones : ndarray of float64, shape (bits + 1,), or None
        Share of words with 0, 1, ... ones.
    by_input : ndarray of float64, shape (G, K, bits), or None
        Flips of each bit from one output pixel to the next, separately for each input of each group, since some
        channels may be dead and others busy. Used if activations stream over output pixels.
    """

    rates: NDArray[np.float64] = field(repr=False)
    ones: NDArray[np.float64] | None = field(repr=False, default=None)
    by_input: NDArray[np.float64] | None = field(repr=False, default=None)


@dataclass(frozen=True, eq=False)
class PhaseSource:
    """What the phases of a layer are derived from.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        Lanes and order of each pass.
    array : Accelerator
        The machine.
    words : tuple of ndarray of uint8 or uint16, shapes (T, L)
        Words of the weight port over each segment, without idle lanes.
    weight_bits : int
        Width of a weight's code.
    activations : ActivationStatistics
        Statistics of this layer, or of the calibration.
    """

    layer: Layer
    segments: tuple[Segment, ...]
    array: Accelerator
    words: tuple[NDArray[np.unsignedinteger], ...] = field(repr=False)
    weight_bits: int
    activations: ActivationStatistics

    @property
    def still(self) -> NDArray[np.float64]:
        """Rates of activations that do not change."""
        return np.zeros_like(self.activations.rates)

    def streaming_rates(self, segment: Segment) -> Iterator[tuple[float, NDArray[np.float64]]]:
        """How activations flip, and for how many channels; separately per lane, each with its share of the channels."""
        by_input = self.activations.by_input
        if by_input is None:
            yield len(segment.order), self.activations.rates
            return
        groups, channels = np.unique(segment.order // (self.layer.n // self.layer.groups), return_counts=True)
        for group, count in zip(groups, channels, strict=True):
            if self.layer.is_depthwise:
                yield count, by_input[group, segment.lanes].mean(axis=0)
            else:
                for lane in segment.lanes:
                    yield count / len(segment.lanes), by_input[group, lane]

    def adds_to_sum(self, index: int, *, last_first: bool = False) -> bool:
        """Whether the segment before has computed a part of the same sums; `last_first`: that behind it."""
        channel = int(self.segments[index].order[0])
        before = self.segments[index + 1 :][:1] if last_first else self.segments[:index][-1:]
        return any(channel in segment.order for segment in before)


def random_nhd(weights: NDArray[np.unsignedinteger], segments: tuple[Segment, ...], bits: int) -> float:
    """NHD of a segment's weights in random order, as in partial sums of segments with other orders."""
    rates = []
    for bit in range(bits):
        ones = (weights >> bit) & 1
        shares = [ones[np.ix_(segment.order, segment.lanes)].mean(axis=0) for segment in segments]
        rates.append(float(np.mean([(2 * share * (1 - share)).mean() for share in shares])))
    return float(np.mean(rates))


def word_rates(words: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.float64]:
    """Flips of each bit per word transition; those of random words if there is only one word."""
    transitions = (len(words) - 1) * words.shape[1] if len(words) else 0
    if transitions <= 0:
        return np.full(bits, _RANDOM_RATE)
    return bit_position_flips(np.ascontiguousarray(words), bits) / transitions


def seam_rates(
    last: NDArray[np.unsignedinteger], first: NDArray[np.unsignedinteger], lanes: int, bits: int
) -> NDArray[np.float64]:
    """Flips of each bit from the end of a pass to the start of the next, per lane that the next one uses."""
    both = np.concatenate([pad_last(last, lanes), pad_last(first, lanes)])
    return bit_position_flips(both, bits) / first.shape[1]
