"""What one sign for all words of a channel wins: `python -m benchmarks.channel_signs [--every N] [--machine NAME]`.

Protocol: every N-th layer of the bundled baseline whose reduction takes at most MOST segments, weights in two's
complement. A channel's words have the same sign in all segments, so that no flag is needed; each segment has an order
of its own. Signs begin as those that the joint search finds for one of the segments; then orders are solved for the
signs, and signs descend for the orders, in turn. For comparison: a sign for each word, with changes of sign for free.
Flips of weights within passes, in millions of one inference, layers with as many segments together.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.bundled import bundled_pair
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.sign_flags import negatable, negated_codes
from fewflips.dataflows.unit_words import stored_word
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import load
from fewflips.network.layer import Layer
from fewflips.ordering import shortest_word_path
from fewflips.ordering.signed import SignedWords, shortest_signed_path
from fewflips.streams.codes import weight_codes

MOST = 5
ROUNDS = 3
SWEEPS = 40


def descended(
    segments: list[SignedWords], orders: list[NDArray[np.int64]], negated: NDArray[np.bool_], seed: int
) -> NDArray[np.bool_]:
    """Signs that no change of a single channel's improves, or after a number of sweeps."""
    count = len(negated)
    neighbours: list[list[tuple[int, NDArray[np.int64]]]] = [[] for _ in range(count)]
    for words, order in zip(segments, orders, strict=True):
        versions = (words.words[order], words.negatives[order])
        costs = np.array(
            [[np.bitwise_count(a[:-1] ^ b[1:]).sum(axis=1, dtype=np.int64) for b in versions] for a in versions]
        )
        for place, (before, after) in enumerate(pairwise(order)):
            neighbours[before].append((int(after), costs[:, :, place]))
            neighbours[after].append((int(before), costs[:, :, place].T))
    signs, random = negated.astype(int), np.random.default_rng(seed)
    free = np.all([words.negatable for words in segments], axis=0)
    for _ in range(SWEEPS):
        changed = False
        for channel in random.permutation(np.flatnonzero(free)):
            now = signs[channel]
            gain = sum(
                int(cost[1 - now, signs[other]] - cost[now, signs[other]]) for other, cost in neighbours[channel]
            )
            if gain < 0:
                signs[channel], changed = 1 - now, True
        if not changed:
            break
    return signs.astype(np.bool_)


def tied(segments: list[SignedWords], negated: NDArray[np.bool_]) -> int:
    """Fewest flips found with one sign a channel, beginning with some signs."""
    least = 1 << 62
    for number in range(ROUNDS):
        streams = [np.where(negated[:, None], words.negatives, words.words) for words in segments]
        paths = [shortest_word_path(stream) for stream in streams]
        flips = sum(path.flips for path in paths)
        if flips >= least:
            break
        least = flips
        negated = descended(segments, [path.order for path in paths], negated, number)
    return least


def counted(layer: Layer, array: Accelerator) -> dict[str, int]:
    """Flips of a layer in natural order, scheduled, with one sign a channel, and with one a word."""
    codes, bits = weight_codes(layer, array.weights)
    word, flow = stored_word(layer.weight_type, array.weights, bits), dataflow_of(array)
    segments, starts = [], []
    found: Counter[str] = Counter()
    for segment in flow.segments(layer, array):
        words = flow.segment_words(codes, segment)
        path = shortest_word_path(words)
        found["natural"] += path.natural_flips
        found["schedule"] += path.flips
        segments.append(SignedWords(words, negated_codes(words, word), negatable(words, word)))
        sorted_words = SignedWords(
            *(part[path.order] for part in (words, segments[-1].negatives, segments[-1].negatable))
        )
        free = shortest_signed_path(sorted_words, 0, seed=np.random.SeedSequence(0))
        found["a sign for each word"] += free.flips
        starts.append(np.zeros(len(words), dtype=np.bool_))
        starts[-1][path.order[free.order]] = free.negated
    found["a sign for each channel"] = min(found["schedule"], *(tied(segments, start) for start in starts))
    return dict(found)


def main() -> None:
    """Count, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machine", default="edge16")
    parser.add_argument("--every", type=int, default=1, help="take every N-th layer")
    add_json_option(parser)
    arguments = parser.parse_args()
    array, sums = load_accelerator(arguments.machine), {}
    with bundled_pair() as pair:
        for layer in load(pair.baseline).layers[:: arguments.every]:
            segments = dataflow_of(array).segments(layer, array)
            if len(segments) <= MOST and len({tuple(sorted(one.order.tolist())) for one in segments}) == 1:
                of_layer = sums.setdefault(f"{len(segments)} segments", Counter())
                repeats = dataflow_of(array).weight_repeats(layer, array)
                of_layer.update({name: repeats * flips for name, flips in counted(layer, array).items()})
    rows: dict[str, Row] = {}
    for name, flips in sorted(sums.items()):
        row: Row = {f"{order}_mflips": count / 1e6 for order, count in flips.items()}
        for order in ("a sign for each channel", "a sign for each word"):
            row[f"{order}_fewer_percent"] = 100 * (1 - flips[order] / flips["schedule"])
        rows[name] = row
    table = Table("layers of", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4g}" for value in row.values()))
    Console(width=200).print(table)
    write_record(arguments.json, "channel_signs", rows, seed=0)


if __name__ == "__main__":
    main()
