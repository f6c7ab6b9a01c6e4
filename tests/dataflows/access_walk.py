"""What an array reads and writes, by walking its loop nest code by code and looking into its registers.

Each function returns, for each memory, how many codes were asked for at a time: a list of runs. Weights and indices of
all of a pass are one run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

Pairs = list[tuple[list[int], list[int]]]
"""Lanes and order of each segment."""


@dataclass
class Walked:
    runs: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    most_unfinished: int = 0
    distinct: dict[str, set[object]] = field(default_factory=lambda: defaultdict(set))
    """Codes that were asked for at least once, which a memory of any size has to fetch."""

    def add(self, memory: str, codes: int) -> None:
        if codes:
            self.runs[memory][codes] += 1


class Registers:
    """Contents of some registers, each with a name."""

    def __init__(self, seen: set[object] | None = None) -> None:
        self._content: dict[object, object] = {}
        self._seen = set() if seen is None else seen

    def load(self, words: dict[object, object]) -> int:
        """Put a word into each named register, empty the others; how many had to be read."""
        missing = sum(self._content.get(name) != word for name, word in words.items())
        self._content = dict(words)
        self._seen.update(words.values())
        return missing


class Sums:
    """Partial sums of every output, and which products each still lacks."""

    def __init__(self, walked: Walked, k: int) -> None:
        self._walked, self._k = walked, k
        self._missing: dict[tuple[int, int], set[int]] = {}

    def add(self, outputs: list[tuple[int, int]], ks: list[int], neighbours: bool) -> None:
        """Add products of some k to several outputs at once, each given as (pixel, channel)."""
        moved = defaultdict(list)
        for output in outputs:
            if output in self._missing:
                moved["partial sums read"].append(output)
            missing = self._missing.setdefault(output, set(range(self._k)))
            assert missing.issuperset(ks)
            missing.difference_update(ks)
            moved["partial sums written" if missing else "results"].append(output)
        for memory, those in moved.items():
            for run in _neighbours(those) if neighbours else [len(those)]:
                self._walked.add(memory, run)

    def look(self) -> None:
        """Count the outputs that are begun and not complete."""
        unfinished = sum(bool(missing) for missing in self._missing.values())
        self._walked.most_unfinished = max(self._walked.most_unfinished, unfinished)


def _neighbours(outputs: list[tuple[int, int]]) -> list[int]:
    """Lengths of runs of neighbouring channels."""
    lengths: list[int] = []
    before = None
    for _, channel in sorted(outputs):
        if before is not None and channel == before + 1:
            lengths[-1] += 1
        else:
            lengths.append(1)
        before = channel
    return lengths


def index_bits(order: list[int]) -> int:
    """A table entry tells apart as many places as the order has."""
    bits = 0
    while 1 << bits < len(order):
        bits += 1
    return bits * len(order)


def _cut(items: list[int], size: int) -> list[list[int]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def _to_and_fro(items: list, back: bool) -> list:
    return items[::-1] if back else items


def activation_stationary(
    m: int, k: int, per_group: int, pairs: Pairs, columns: int, *, pixels: int = 1, turns: bool = False
) -> Walked:
    walked = Walked()
    sums = Sums(walked, k)
    weights = Registers(walked.distinct["weights"])
    activations = [Registers(walked.distinct["activations"]) for _ in range(columns)]
    place = Registers()
    rows = _cut(list(range(m)), columns)
    for first in range(0, len(rows), pixels):
        for ks, order in _to_and_fro(pairs, turns and first // pixels % 2 == 1):
            for number, row in enumerate(rows[first : first + pixels], first):
                of_pass = indices = 0
                for n in _to_and_fro(order, turns and number % 2 == 1):
                    indices += place.load({"place": (len(order), n, tuple(ks))})
                    of_pass += weights.load({lane: (n, one) for lane, one in enumerate(ks)})
                    for column, pixel in enumerate(row):
                        held = {lane: (n // per_group, pixel, one) for lane, one in enumerate(ks)}
                        walked.add("activations", activations[column].load(held))
                    sums.add([(pixel, n) for pixel in row], ks, neighbours=False)
                walked.add("weights", of_pass)
                walked.add("indices", index_bits(order) // len(order) * (indices if turns else len(order)))
            sums.look()
    return walked


def weight_stationary(
    m: int, k: int, per_group: int, pairs: Pairs, columns: int, *, depthwise: bool = False, turns: bool = False
) -> Walked:
    walked = Walked()
    sums = Sums(walked, k)
    weights, activations = (Registers(walked.distinct[name]) for name in ("weights", "activations"))
    for ks, order in pairs:
        of_pass = 0
        for number, tile in enumerate(_cut(order, 1 if depthwise else columns)):
            of_pass += weights.load(
                {(column, lane): (n, one) for column, n in enumerate(tile) for lane, one in enumerate(ks)}
            )
            for pixel in _to_and_fro(list(range(m)), turns and number % 2 == 1):
                held = {lane: (tile[0] // per_group, pixel, one) for lane, one in enumerate(ks)}
                walked.add("activations", activations.load(held))
                sums.add([(pixel, n) for n in tile], ks, neighbours=True)
        walked.add("weights", of_pass)
        walked.add("indices", index_bits(order))
        sums.look()
    return walked


def output_stationary(m: int, k: int, per_group: int, pairs: Pairs, lanes: int, *, turns: bool = False) -> Walked:
    walked = Walked()
    weights, activations = (Registers(walked.distinct[name]) for name in ("weights", "activations"))
    place = Registers()
    for number, tile in enumerate(_cut(list(range(m)), lanes)):
        back = turns and number % 2 == 1
        for channels, order in _to_and_fro(pairs, back):
            of_pass = indices = 0
            for one in _to_and_fro(order, back):
                indices += place.load({"place": (one, tuple(channels))})
                of_pass += weights.load({column: (n, one) for column, n in enumerate(channels)})
                held = {lane: (channels[0] // per_group, pixel, one) for lane, pixel in enumerate(tile)}
                walked.add("activations", activations.load(held))
            walked.add("weights", of_pass)
            walked.add("indices", index_bits(order) // len(order) * (indices if turns else len(order)))
            for _ in channels:
                walked.add("results", len(tile))
    return walked
