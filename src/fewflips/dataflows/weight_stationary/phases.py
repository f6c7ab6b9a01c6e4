"""Phases of a weight-stationary array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fewflips.dataflows.phases import Phase, PhaseSource, word_rates


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
        for channels, rates in source.streaming_rates(segment):
            yield Phase(channels * (layer.m - 1), lanes, still, rates, adds)
            yield Phase(channels, lanes, loads.mean(axis=0), rates, adds)
