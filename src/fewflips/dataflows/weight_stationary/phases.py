"""Phases of a weight-stationary array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fewflips.dataflows.accesses import groups_along
from fewflips.dataflows.phases import Phase, PhaseSource, word_rates
from fewflips.dataflows.segment import Segment


def phases(source: PhaseSource) -> Iterator[Phase]:
    """Activations stream past each tile of weights; then the next tile is loaded."""
    layer = source.layer
    columns = 1 if layer.is_depthwise else source.array.columns
    still = np.zeros(source.weight_bits)
    for index, segment in enumerate(source.segments):
        words = source.words[index]
        lanes, adds = len(segment.lanes), source.adds_to_sum(index)
        loads = np.concatenate(
            [word_rates(words[column::columns], source.weight_bits)[None] for column in range(columns)]
        )
        stay = _share_of_turns(source, segment, columns)
        for channels, rates in source.streaming_rates(segment):
            yield Phase(channels * (layer.m - 1), lanes, still, rates, adds)
            yield Phase(channels * (1 - stay), lanes, loads.mean(axis=0), rates, adds)
            yield Phase(channels * stay, lanes, loads.mean(axis=0), source.still, adds)


def _share_of_turns(source: PhaseSource, segment: Segment, columns: int) -> float:
    """Share of a segment's channels before whose first pixel the same one was there: pixels turn between two tiles."""
    if not source.array.turns:
        return 0.0
    groups = groups_along(segment, source.layer)[::columns]
    channels = np.minimum(columns, len(segment.order) - columns * np.arange(len(groups)))
    return float(channels[1:][np.diff(groups) == 0].sum() / len(segment.order))
