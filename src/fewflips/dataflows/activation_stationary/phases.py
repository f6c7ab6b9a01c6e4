"""Phases of an activation-stationary array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from fewflips.dataflows.phases import Phase, PhaseSource, seam_rates, word_rates


def phases(source: PhaseSource) -> Iterator[Phase]:
    """The cycles within each segment, the step from each to the next, and that to itself for the next row of pixels."""
    if source.array.turns:
        yield from _phases_with_turns(source)
        return
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


def _phases_with_turns(source: PhaseSource) -> Iterator[Phase]:
    """The same with serpentine replay: weights stay where a pass follows itself, and at the first pass of all."""
    layer, segments, words, bits = source.layer, source.segments, source.words, source.weight_bits
    moving, rates = source.activations.rates if layer.is_depthwise else source.still, source.activations.rates
    steps = _steps_between_passes(source)
    for index, segment in enumerate(segments):
        lanes, within = len(segment.lanes), word_rates(words[index], bits)
        for last_first in (False, True):
            adds = source.adds_to_sum(index, last_first=last_first)
            passes = steps.passes[last_first]
            yield Phase(passes * (len(segment.order) - 1), lanes, within, moving, adds)
            before = index + 1 if last_first else index - 1
            entered = 0
            if 0 <= before < len(segments):
                for (left_backwards, entered_backwards), count in steps.entered[last_first].items():
                    left, first = words[before][:: -1 if left_backwards else 1], words[index]
                    first = first[:: -1 if entered_backwards else 1]
                    seam = seam_rates(left[-1:], first[:1], source.array.lanes, bits)
                    yield Phase(count, lanes, seam, rates, adds)
                    entered += count
            yield Phase(passes - entered, lanes, np.zeros(bits), rates, adds)


class _Steps:
    """How often a column comes to a segment, by whether it takes segments from the last to the first.

    Attributes
    ----------
    passes : dict of bool to int
        Passes of each segment.
    entered : dict of bool to Counter
        Those that follow another segment: how many, by whether each of the two runs backwards.
    """

    def __init__(self) -> None:
        self.passes = {False: 0, True: 0}
        self.entered: dict[bool, Counter[tuple[bool, bool]]] = {False: Counter(), True: Counter()}


def _steps_between_passes(source: PhaseSource) -> _Steps:
    columns, pixels = source.array.columns, source.array.tiling.pixels
    steps = _Steps()
    for column in range(min(columns, source.layer.m)):
        rows = -(-(source.layer.m - column) // columns)
        for tile, first in enumerate(range(0, rows, pixels)):
            count = min(pixels, rows - first)
            steps.passes[tile % 2 == 1] += count
            steps.entered[tile % 2 == 1][(first + count) % 2 == 0, first % 2 == 1] += 1
    return steps
