"""The activity of an array's arithmetic units in a layer, as flips per cycle, from which energies are predicted.

A layer is cut into phases: the cycles of a segment, and the steps from segment to segment, where both operands may
change. In each phase there is one figure per bit for the flips per cycle. The curve of energy against flips is concave,
so one mean over the layer would overestimate the energy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.phases import ActivationStatistics, Phase, PhaseSource, random_nhd
from fewflips.dataflows.sign_flags import streamed_codes
from fewflips.dataflows.unit_words import stored_word
from fewflips.machine import Accelerator
from fewflips.measurement.observed import ObservedActivations
from fewflips.network.layer import Layer
from fewflips.streams.counting import FlipCount, ones_shares


@dataclass(frozen=True, eq=False)
class LayerActivity:
    """Phases of a layer, and what its units share.

    Parameters
    ----------
    phases : tuple of Phase
        In the order of the segments.
    weight_share, activation_share : float
        A unit's share of an operand register.
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
        Statistics of this layer, or of the calibration.

    Returns
    -------
    LayerActivity
        Cycles add up to the unit cycles of the layer.
    """
    flow = dataflow_of(array)
    work = flow.unit_work(layer, segments, array)
    word = stored_word(layer.weight_type, array.weights, weight_bits)
    words = tuple(streamed_codes(flow.segment_words(weights, segment), segment, word) for segment in segments)
    source = PhaseSource(layer, segments, array, words, weight_bits, activations)
    held_ones = activations.ones
    if flow.held_operand == "weights":
        held_ones = ones_shares(weights, weight_bits)
    return LayerActivity(
        phases=tuple(phase for phase in flow.phases(source) if phase.cycles > 0),
        weight_share=work.weight_share,
        activation_share=work.activation_share,
        held_ones=held_ones,
        sum_nhd=random_nhd(weights, segments, weight_bits) if flow.sums_change_with_order else None,
    )


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
        Flips of the activation port; idle lanes of its words are zero.
    bits : int
        Width of the unit's words; the layer's may be narrower.
    observed : ObservedActivations, optional
        Further observations of the activations.

    Returns
    -------
    ActivationStatistics
        At the unit's width.
    """
    if dataflow_of(array).lanes_axis == "k":
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
