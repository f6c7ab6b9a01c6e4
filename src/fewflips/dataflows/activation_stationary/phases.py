"""Phases of an activation-stationary array."""

from __future__ import annotations

from collections.abc import Iterator

from fewflips.dataflows.phases import Phase, PhaseSource, seam_rates, word_rates


def phases(source: PhaseSource) -> Iterator[Phase]:
    """The cycles within each segment, and the step from each to the next."""
    layer, segments = source.layer, source.segments
    words = source.words
    moving = source.activations.rates if layer.is_depthwise else source.still
    for index, segment in enumerate(segments):
        lanes, adds = len(segment.lanes), source.adds_to_sum(index)
        within = word_rates(words[index], source.weight_bits)
        yield Phase(layer.m * (len(segment.order) - 1), lanes, within, moving, adds)
        seam = seam_rates(words[index - 1][-1:], words[index][:1], source.array.lanes, source.weight_bits)
        yield Phase(layer.m, lanes, seam, source.activations.rates, adds)
