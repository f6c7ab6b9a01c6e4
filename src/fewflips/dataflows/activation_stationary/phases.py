"""Phases of an activation-stationary array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fewflips.dataflows.phases import Phase, PhaseSource, seam_rates, word_rates


def phases(source: PhaseSource) -> Iterator[Phase]:
    """The cycles within each segment, the step from each to the next, and that to itself for the next row of pixels."""
    layer, segments = source.layer, source.segments
    words = source.words
    moving = source.activations.rates if layer.is_depthwise else source.still
    begun = _passes_of_new_tiles(source)
    for index, segment in enumerate(segments):
        lanes, adds = len(segment.lanes), source.adds_to_sum(index)
        within = word_rates(words[index], source.weight_bits)
        yield Phase(layer.m * (len(segment.order) - 1), lanes, within, moving, adds)
        for before, passes in ((words[index - 1], begun), (words[index], layer.m - begun)):
            seam = seam_rates(before[-1:], words[index][:1], source.array.lanes, source.weight_bits)
            yield Phase(passes, lanes, seam, source.activations.rates, adds)


def _passes_of_new_tiles(source: PhaseSource) -> int:
    """Passes of a segment that are a column's first in a tile of pixels, summed over the columns."""
    columns = source.array.columns
    rows = np.maximum(-(-(source.layer.m - np.arange(columns)) // columns), 0)
    return int((-(-rows // source.array.tiling.pixels)).sum())
