"""Small layers for scheduled columns, and what their results are by plain integer arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.datapath.scheduled_column.contents import ColumnCodes
from fewflips.datapath.scheduled_column.design import ColumnDesign, column_design
from fewflips.datapath.scheduled_column.passes import Pass, column_passes
from fewflips.datapath.scheduled_column.testbench import ColumnBench, column_bench
from tests.datapath.units import value

UNSIGNED8 = Word(WordFormat.UNSIGNED, 8)
SIGNED8 = Word(WordFormat.TWOS_COMPLEMENT, 8)


@dataclass
class SmallLayer:
    """A random layer in random orders.

    `outputs` is how many channels a segment covers; a depthwise layer has as many groups as channels, and its segments
    cover them all. With `values`, weights are drawn from so many codes, so that words repeat on their lanes.
    With sign flags, words that have a negative stream negated with a probability of one half.
    """

    n: int
    k: int
    pixels: int
    lanes: int
    columns: int = 1
    groups: int = 1
    outputs: int | None = None
    tile_rows: int = 1
    own_activations: bool = False
    starts: bool = False
    weights: Word = UNSIGNED8
    activations: Word = UNSIGNED8
    unit: dict[str, object] = field(default_factory=dict)
    values: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        generator = np.random.default_rng(self.seed)
        self.group_of = np.arange(self.n) // (self.n // self.groups)
        self.weight_codes = _codes(generator, self.weights, (self.n, self.k))
        if self.values is not None:
            few = _codes(generator, self.weights, (self.values,))
            self.weight_codes = few[generator.integers(0, self.values, (self.n, self.k))]
        if self.unit.get("sign_flags") and self.weights.format is WordFormat.TWOS_COMPLEMENT:
            self.weight_codes[self.weight_codes == 1 << (self.weights.bits - 1)] = 0  # has no negative
        self.activation_codes = _codes(generator, self.activations, (self.groups, self.pixels, self.k))
        self.start_values = generator.integers(-1000, 1000, self.n) if self.starts else None
        covered = self.outputs or (self.n if self.own_activations else self.n // self.groups)
        self.segments = [
            (
                np.arange(lane, min(lane + self.lanes, self.k)),
                first + generator.permutation(min(covered, self.n - first)),
            )
            for first in range(0, self.n, covered)
            for lane in range(0, self.k, self.lanes)
        ]
        flips = np.random.default_rng(self.seed + 1)
        flagged = [flips.random(len(order)) < 0.5 for _, order in self.segments]
        self.negated = flagged if self.unit.get("sign_flags") else None

    @property
    def datapath(self) -> Datapath:
        words = {"weights": self.weights, "activations": self.activations, "accumulator_bits": 26}
        return Datapath("column", lanes=self.lanes, partial_sum_input=True, **words, **self.unit)

    def passes(self) -> tuple[Pass, ...]:
        groups = None if self.own_activations else self.group_of
        return column_passes(self.segments, self.n, self.k, groups, self.negated)

    def design(self) -> ColumnDesign:
        return column_design(
            self.datapath,
            self.passes(),
            self.n,
            self.pixels,
            columns=self.columns,
            tile_rows=self.tile_rows,
            own_activations=self.own_activations,
            starts=self.starts,
            loads=self.loads(),
        )

    def bench(self, design: ColumnDesign | None = None) -> ColumnBench:
        """A testbench on the smallest column that runs the layer, or on another one."""
        codes = ColumnCodes(self.lane_codes(), self.activation_codes, self.group_of, self.start_values, self.loads())
        return column_bench(design or self.design(), self.passes(), codes, self.expected())

    def lane_codes(self) -> np.ndarray:
        """The same as an array."""
        return np.array(self.lane_words(), dtype=self.weight_codes.dtype)

    def lane_words(self) -> list[list[int]]:
        """Codes on the lanes for one pixel, segment by segment, negated with Python's own integers."""
        flags = self.negated or [np.zeros(len(order)) for _, order in self.segments]
        return [
            [self._code(n, k, negated) for k in lanes] + [0] * (self.lanes - len(lanes))
            for (lanes, order), of_segment in zip(self.segments, flags, strict=True)
            for n, negated in zip(order, of_segment, strict=True)
        ]

    def _code(self, n: int, k: int, negated: bool) -> int:
        code, bits = int(self.weight_codes[n, k]), self.weights.bits
        if not negated:
            return code
        return code ^ 1 << (bits - 1) if self.weights.format is WordFormat.SIGN_MAGNITUDE else -code % (1 << bits)

    def visits(self) -> list[tuple[int, int]]:
        """Row of pixels and word of each cycle in which no word waits."""
        rows = -(-self.pixels // self.columns)
        ends = np.cumsum([0, *(len(one.channels) for one in self.passes())])
        return [
            (row, word)
            for tile in range(0, rows, self.tile_rows)
            for begin, end in pairwise(ends)
            for row in range(tile, min(tile + self.tile_rows, rows))
            for word in range(begin, end)
        ]

    def loads(self) -> np.ndarray | None:
        """Which words a lane has to fetch, for it holds another one whenever, or once, they come."""
        if not self.unit.get("hold_flags"):
            return None
        words = self.lane_words()
        found = np.zeros((len(words), self.lanes), dtype=np.bool_)
        held: list[int | None] = [None] * self.lanes
        for _, word in self.visits():
            found[word] |= [word == 0 or before != now for before, now in zip(held, words[word], strict=True)]
            held = list(words[word])
        return found

    def expected(self) -> np.ndarray:
        """Every product with Python's own integers, shape (M, N)."""
        results = np.zeros((self.pixels, self.n), dtype=np.int64)
        for n in range(self.n):
            for m in range(self.pixels):
                row = self.activation_codes[self.group_of[n], m].tolist()
                terms = zip(self.weight_codes[n].tolist(), row, strict=True)
                results[m, n] = sum(value(w, self.weights) * value(x, self.activations) for w, x in terms)
        return results + (0 if self.start_values is None else self.start_values)


def _codes(generator: np.random.Generator, word: Word, shape: tuple[int, ...]) -> np.ndarray:
    return generator.integers(0, 1 << word.bits, shape).astype(np.uint8 if word.bits <= 8 else np.uint16)
