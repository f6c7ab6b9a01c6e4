"""Phases of an output-stationary array."""

from __future__ import annotations

from collections.abc import Iterator

from fewflips.dataflows.phases import Phase, PhaseSource, word_rates


def phases(source: PhaseSource) -> Iterator[Phase]:
    """Both operands stream, one word per cycle in each unit."""
    layer = source.layer
    for words in source.words:
        cycles = layer.m * words.size
        yield Phase(cycles, 1, word_rates(words, source.weight_bits), source.activations.rates, False)
