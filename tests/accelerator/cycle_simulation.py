"""The loop nests, cycle by cycle, in plain Python.

Each function walks the loops as ``docs/dataflows.md`` draws them and yields, for every cycle of a port, the
pass that it belongs to and the word on each lane; it also computes Y. Nothing of the package is used, so that
it can be held against the package's streams.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np


@dataclass
class Trace:
    """What the ports saw: (pass label, words) for every cycle, and the product."""

    y: np.ndarray
    weights: list = field(default_factory=list)
    activations: list = field(default_factory=list)

    def flips(self, port: str) -> tuple[int, int]:
        """(within passes, at seams), over the whole inference."""
        cycles, within, seams = getattr(self, port), 0, 0
        for (label, words), (next_label, next_words) in pairwise(cycles):
            changed = sum((int(a) ^ int(b)).bit_count() for a, b in zip(words, next_words, strict=True))
            if label == next_label:
                within += changed
            else:
                seams += changed
        return within, seams


def _word(values, width):
    return [int(value) & 0xFF for value in values] + [0] * (width - len(values))


def _to_and_fro(items, back):
    return list(items)[::-1] if back else list(items)


def activation_stationary(x, w, segments, lanes, columns, depthwise, rows=1, turns=False):
    """x: (G, M, K), w: (N, K); segments: (k indices, n order), tile after tile; `rows` of pixels share a tile."""
    (groups, m_total, _), (n_total, _) = x.shape, w.shape
    per_group = n_total // groups
    trace = Trace(np.zeros((m_total, n_total), dtype=np.int64))
    for number, tile in enumerate(range(0, m_total, rows * columns)):
        for s in _to_and_fro(range(len(segments)), turns and number % 2):
            ks, order = segments[s]
            for row in range(tile, min(tile + rows * columns, m_total), columns):
                pixels = range(row, min(row + columns, m_total))
                for step, n in enumerate(_to_and_fro(order, turns and row // columns % 2)):
                    group = n // per_group
                    if depthwise or step == 0:
                        registers = []
                        for column in range(columns):
                            inside = column < len(pixels)
                            values = [x[group, pixels[column], k] for k in ks] if inside else []
                            registers += _word(values, lanes)
                        trace.activations.append(((row, s) if depthwise else "tiles", registers))
                    trace.weights.append(((row, s), _word([w[n, k] for k in ks], lanes)))
                    for m in pixels:
                        trace.y[m, n] += sum(int(x[group, m, k]) * int(w[n, k]) for k in ks)
    return trace


def weight_stationary(x, w, segments, lanes, columns, depthwise, turns=False):
    (groups, m_total, _), (n_total, _) = x.shape, w.shape
    per_group = n_total // groups
    columns = 1 if depthwise else columns
    trace = Trace(np.zeros((m_total, n_total), dtype=np.int64))
    for s, (ks, order) in enumerate(segments):
        for start in range(0, len(order), columns):
            tile = order[start : start + columns]
            registers = []
            for column in range(columns):
                registers += _word([w[tile[column], k] for k in ks] if column < len(tile) else [], lanes)
            trace.weights.append((s, registers))
            group = tile[0] // per_group
            for m in _to_and_fro(range(m_total), turns and start // columns % 2):
                trace.activations.append(((s, start), _word([x[group, m, k] for k in ks], lanes)))
                for n in tile:
                    trace.y[m, n] += sum(int(x[group, m, k]) * int(w[n, k]) for k in ks)
    return trace


def output_stationary(x, w, segments, lanes, columns, depthwise, turns=False):
    """segments: (n indices, k order)."""
    (groups, m_total, _), (n_total, _) = x.shape, w.shape
    per_group = n_total // groups
    columns = 1 if depthwise else columns
    trace = Trace(np.zeros((m_total, n_total), dtype=np.int64))
    for tile in range(0, m_total, lanes):
        pixels = range(tile, min(tile + lanes, m_total))
        back = turns and tile // lanes % 2
        for s in _to_and_fro(range(len(segments)), back):
            ns, order = segments[s]
            group = ns[0] // per_group
            for k in _to_and_fro(order, back):
                trace.weights.append(((tile, s), _word([w[n, k] for n in ns], columns)))
                trace.activations.append(((tile, s), _word([x[group, m, k] for m in pixels], lanes)))
                for m in pixels:
                    for n in ns:
                        trace.y[m, n] += int(x[group, m, k]) * int(w[n, k])
    return trace


SIMULATIONS = {
    "activation-stationary": activation_stationary,
    "weight-stationary": weight_stationary,
    "output-stationary": output_stationary,
}
