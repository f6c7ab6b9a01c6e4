"""What the arithmetic units of an array do for a layer, as flips per cycle: what energies are predicted from.

A layer is cut into phases, in each of which the flips per cycle are one figure a bit: the cycles of a segment, and
the steps from segment to segment, where both operands may change. The curve of energy against flips is concave, so
that one mean over the layer would overestimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.accelerator import Accelerator, Segment
from fewflips.accelerator.dataflows.base import pad_last
from fewflips.calibration.observed import ObservedActivations
from fewflips.calibration.synthetic import ones_shares
from fewflips.flips import bit_position_flips
from fewflips.network.layer import Layer
from fewflips.network_energy.dataflows import UNIT_WORK
from fewflips.streams import FlipCount

_RANDOM_RATE = 0.5

HeldOperand = Literal["weights", "activations"]
"""The operand whose values matter; see :func:`held_operand`."""


@dataclass(frozen=True, eq=False)
class Phase:
    """Cycles of like kind.

    Parameters
    ----------
    cycles : float
        Unit cycles in one inference, summed over the units.
    active_lanes : int
        Lanes that have operands.
    weight_rates, activation_rates : ndarray of float64, shapes (bits of the operand,)
        Flips per cycle of each bit in a lane that has operands, least significant first.
    adds_to_sum : bool
        Whether partial sums of earlier segments come in.
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
        Flips of each bit from one output pixel to the next, for each input of each group apart: some channels may
        be dead and others busy. Used where activations stream over output pixels.
    """

    rates: NDArray[np.float64] = field(repr=False)
    ones: NDArray[np.float64] | None = field(repr=False, default=None)
    by_input: NDArray[np.float64] | None = field(repr=False, default=None)


@dataclass(frozen=True, eq=False)
class LayerActivity:
    """Phases of a layer, and what its units share.

    Parameters
    ----------
    phases : tuple of Phase
        In the order of the segments.
    weight_share, activation_share : float
        Part of an operand register that is a unit's own.
    held_ones : ndarray of float64, or None
        Share of words of the held operand with 0, 1, ... ones; None: as in the calibration.
    sum_nhd : float or None
        NHD of the words that earlier segments added to the sums; None: as in the calibration.
    """

    phases: tuple[Phase, ...] = field(repr=False)
    weight_share: float
    activation_share: float
    held_ones: NDArray[np.float64] | None = field(repr=False)
    sum_nhd: float | None = None

    @property
    def weight_nhd(self) -> float:
        """Mean flips per cycle and bit of the weights over all lanes in use."""
        lanes = sum(phase.cycles * phase.active_lanes for phase in self.phases)
        flips = sum(phase.cycles * phase.active_lanes * float(phase.weight_rates.mean()) for phase in self.phases)
        return flips / lanes if lanes else 0.0


def layer_activity(
    layer: Layer,
    segments: tuple[Segment, ...],
    array: Accelerator,
    weights: NDArray[np.unsignedinteger],
    weight_bits: int,
    activations: ActivationStatistics,
) -> LayerActivity:
    """Phases of a layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        Lanes and order of each pass.
    array : Accelerator
        The machine.
    weights : ndarray of uint8 or uint16, shape (N, K)
        Codes.
    weight_bits : int
        Width of a code.
    activations : ActivationStatistics
        Of this layer, or of the calibration.

    Returns
    -------
    LayerActivity
        Cycles add up to the unit cycles of the layer.
    """
    work = UNIT_WORK[array.dataflow](layer, segments, array)
    source = _Source(layer, segments, array, weights, weight_bits, activations)
    held_ones = activations.ones
    if held_operand(array) == "weights":
        held_ones = ones_shares(weights, weight_bits)
    return LayerActivity(
        phases=tuple(phase for phase in _PHASES[array.dataflow](source) if phase.cycles > 0),
        weight_share=work.weight_share,
        activation_share=work.activation_share,
        held_ones=held_ones,
        sum_nhd=_random_nhd(weights, segments, weight_bits) if array.dataflow == "activation-stationary" else None,
    )


def held_operand(array: Accelerator) -> HeldOperand:
    """The operand whose values decide how much of the other one's flips gets through the multipliers."""
    return "weights" if array.dataflow == "weight-stationary" else "activations"


def activation_statistics(
    layer: Layer,
    segments: tuple[Segment, ...],
    array: Accelerator,
    count: FlipCount,
    bits: int,
    observed: ObservedActivations | None = None,
) -> ActivationStatistics:
    """Flips of a layer's activations per lane in use, from the flips of its port.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        Its passes.
    array : Accelerator
        The machine.
    count : FlipCount
        Of the activation port; idle lanes of its words are zero.
    bits : int
        Width of the unit's words; the layer's may be narrower.
    observed : ObservedActivations, optional
        What else is known of them.

    Returns
    -------
    ActivationStatistics
        At the unit's width.
    """
    if array.flow.lanes_axis == "k":
        used = float(np.mean([len(segment.lanes) for segment in segments])) / array.lanes
    else:
        used = layer.m / (-(-layer.m // array.lanes) * array.lanes)
    words = max(count.transitions * used, 1.0)
    rates = np.minimum(np.array(count.bit_positions, dtype=np.float64) / words, 1.0)
    ones, by_input = (observed.ones, observed.by_input) if observed else (None, None)
    return ActivationStatistics(
        rates=np.pad(rates, (0, bits - len(rates))),
        ones=None if ones is None else np.pad(ones, (0, bits + 1 - len(ones))),
        by_input=None if by_input is None else np.pad(by_input, ((0, 0), (0, 0), (0, bits - by_input.shape[2]))),
    )


@dataclass(frozen=True, eq=False)
class _Source:
    """What the phases of a layer are made from."""

    layer: Layer
    segments: tuple[Segment, ...]
    array: Accelerator
    weights: NDArray[np.unsignedinteger]
    weight_bits: int
    activations: ActivationStatistics

    @property
    def still(self) -> NDArray[np.float64]:
        """Rates of activations that do not change."""
        return np.zeros_like(self.activations.rates)

    def words(self, segment: Segment) -> NDArray[np.unsignedinteger]:
        """Words of the weight port over a segment, without idle lanes."""
        return self.array.flow.segment_words(self.weights, segment)

    def streaming_rates(self, segment: Segment) -> Iterator[tuple[float, NDArray[np.float64]]]:
        """How activations flip, and for how many channels; lanes apart, each for its share of the channels."""
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

    def adds_to_sum(self, index: int) -> bool:
        """Whether an earlier segment has computed a part of the same sums."""
        channel = int(self.segments[index].order[0])
        return any(channel in segment.order for segment in self.segments[:index][-1:])


def _activation_stationary(source: _Source) -> Iterator[Phase]:
    layer, segments = source.layer, source.segments
    words = [source.words(segment) for segment in segments]
    moving = source.activations.rates if layer.is_depthwise else source.still
    for index, segment in enumerate(segments):
        lanes, adds = len(segment.lanes), source.adds_to_sum(index)
        within = _rates(words[index], source.weight_bits)
        yield Phase(layer.m * (len(segment.order) - 1), lanes, within, moving, adds)
        seam = _seam_rates(words[index - 1][-1:], words[index][:1], source.array.lanes, source.weight_bits)
        yield Phase(layer.m, lanes, seam, source.activations.rates, adds)


def _weight_stationary(source: _Source) -> Iterator[Phase]:
    layer = source.layer
    columns = 1 if layer.is_depthwise else source.array.columns
    still = np.zeros(source.weight_bits)
    for index, segment in enumerate(source.segments):
        words = source.words(segment)
        lanes, adds = len(segment.lanes), source.adds_to_sum(index)
        loads = np.concatenate([_rates(words[column::columns], source.weight_bits)[None] for column in range(columns)])
        for channels, rates in source.streaming_rates(segment):
            yield Phase(channels * (layer.m - 1), lanes, still, rates, adds)
            yield Phase(channels, lanes, loads.mean(axis=0), rates, adds)


def _output_stationary(source: _Source) -> Iterator[Phase]:
    layer = source.layer
    for segment in source.segments:
        words = source.words(segment)
        cycles = layer.m * words.size
        yield Phase(cycles, 1, _rates(words, source.weight_bits), source.activations.rates, False)


_PHASES: Mapping[str, Callable[[_Source], Iterator[Phase]]] = {
    "activation-stationary": _activation_stationary,
    "weight-stationary": _weight_stationary,
    "output-stationary": _output_stationary,
}


def _random_nhd(weights: NDArray[np.unsignedinteger], segments: tuple[Segment, ...], bits: int) -> float:
    """NHD of a segment's weights in random order: what partial sums of segments in other orders are made of."""
    rates = []
    for bit in range(bits):
        ones = (weights >> bit) & 1
        shares = [ones[np.ix_(segment.order, segment.lanes)].mean(axis=0) for segment in segments]
        rates.append(float(np.mean([(2 * share * (1 - share)).mean() for share in shares])))
    return float(np.mean(rates))


def _rates(words: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.float64]:
    """Flips of each bit per word transition; those of random words where there is but one word."""
    transitions = (len(words) - 1) * words.shape[1] if len(words) else 0
    if transitions <= 0:
        return np.full(bits, _RANDOM_RATE)
    return bit_position_flips(np.ascontiguousarray(words), bits) / transitions


def _seam_rates(
    last: NDArray[np.unsignedinteger], first: NDArray[np.unsignedinteger], lanes: int, bits: int
) -> NDArray[np.float64]:
    """Flips of each bit from the end of a pass to the start of the next, per lane that the next one uses."""
    both = np.concatenate([pad_last(last, lanes), pad_last(first, lanes)])
    return bit_position_flips(both, bits) / first.shape[1]
