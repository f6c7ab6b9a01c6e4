"""What an array reads and writes in one inference of a layer, counted from its loop nest.

Accesses are counted in *runs*: codes at consecutive addresses, for which a memory takes as many words as they fill.
Each run begins at a word of its own, and no code is cut by the end of a word.

- Weights and orders of a schedule are laid out in the order in which they are used, so that all of a pass over a
  segment is one run: a word of the memory that holds the weights of several cycles is read once.
- Of activations, results and partial sums, a run is what the array moves at a time at consecutive addresses: the lanes
  of one column, or neighbouring output pixels or channels.

Nothing is read for idle lanes and columns. What a register still holds from the word before is not read again. The
first segment of an output reads no partial sum, and the last one writes a result in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.segment import Segment
from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D


@dataclass(frozen=True, order=True)
class Runs:
    """Runs of the same length.

    Parameters
    ----------
    count : int
        How many.
    codes : int
        Codes of each.
    """

    count: int
    codes: int


def runs_of(counts: Iterable[tuple[int, int]]) -> tuple[Runs, ...]:
    """Runs from (count, codes), those of the same length together, empty ones left out.

    Examples
    --------
    >>> runs_of([(2, 4), (0, 3), (1, 4), (5, 0)])
    (Runs(count=3, codes=4),)
    """
    found: Counter[int] = Counter()
    for count, codes in counts:
        found[codes] += count
    return tuple(Runs(count, codes) for codes, count in sorted(found.items()) if count and codes)


@dataclass(frozen=True)
class WorkingSet:
    """What a memory has to hold so that those behind it are asked less often.

    Parameters
    ----------
    codes : int
        Codes that it holds at a time.
    read : tuple of Runs
        What is then still read from the memory behind.
    """

    codes: int
    read: tuple[Runs, ...]


def whole_tensor(codes: int) -> WorkingSet:
    """A tensor that is read once, from its first code to its last."""
    return WorkingSet(codes, runs_of([(1, codes)]))


@dataclass(frozen=True)
class Traffic:
    """Reads and writes of one operand.

    Parameters
    ----------
    code_bits : int
        Bits of a code.
    read, written : tuple of Runs
        By the array.
    live : int
        Codes that are needed again and have no other place, at the most at one time: partial sums.
    working_sets : tuple of WorkingSet
        What a memory may hold of it, if it is large enough, so that those behind are asked less often; the last is the
        whole tensor.
    """

    code_bits: int = 1
    read: tuple[Runs, ...] = ()
    written: tuple[Runs, ...] = ()
    live: int = 0
    working_sets: tuple[WorkingSet, ...] = ()

    @property
    def codes_read(self) -> int:
        """Codes that the array reads."""
        return _codes(self.read)

    @property
    def codes_written(self) -> int:
        """Codes that the array writes."""
        return _codes(self.written)

    @property
    def bits_read(self) -> int:
        """Bits that the array reads."""
        return self.codes_read * self.code_bits

    @property
    def bits_written(self) -> int:
        """Bits that the array writes."""
        return self.codes_written * self.code_bits

    @property
    def whole_bits(self) -> int:
        """Bits of the whole tensor."""
        return self.working_sets[-1].codes * self.code_bits if self.working_sets else 0

    def words(self, runs: tuple[Runs, ...], word_bits: int) -> int:
        """Words of a memory that some runs take.

        Parameters
        ----------
        runs : tuple of Runs
            Of this operand.
        word_bits : int
            Width of the memory.

        Returns
        -------
        int
            Each run begins at a word of its own; a code is cut only if it is wider than a word.

        Examples
        --------
        >>> sums = Traffic(code_bits=26)
        >>> sums.words((Runs(10, 5),), 64), sums.words((Runs(10, 5),), 16)
        (30, 100)
        """
        codes_of_word = word_bits // self.code_bits
        words_of_code = -(-self.code_bits // word_bits)
        return sum(
            run.count * (-(-run.codes // codes_of_word) if codes_of_word else run.codes * words_of_code) for run in runs
        )

    def read_behind(self, capacity_bits: int) -> tuple[Runs, ...]:
        """What is read from the memories behind one of a given size: a working set is read once if it fits."""
        fitting = [found.read for found in self.working_sets if found.codes * self.code_bits <= capacity_bits]
        return min([self.read, *fitting], key=_codes)


def _codes(runs: tuple[Runs, ...]) -> int:
    return sum(run.count * run.codes for run in runs)


@dataclass(frozen=True)
class Accesses:
    """What an array reads and writes in one inference of a layer.

    Parameters
    ----------
    weights, activations : Traffic
        Operands.
    results : Traffic
        Complete sums, requantized to the width of activations.
    partial_sums : Traffic
        Sums that leave the array before they are complete.
    index_table : Traffic
        Orders of a schedule, in bits: they differ in width from segment to segment.
    register_files : Traffic
        Partial sums that stay in the columns' register files.
    """

    weights: Traffic
    activations: Traffic
    results: Traffic
    partial_sums: Traffic = field(default_factory=Traffic)
    index_table: Traffic = field(default_factory=Traffic)
    register_files: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True)
class CodeWidths:
    """Bits of a code in the memories.

    Parameters
    ----------
    weights, activations : int
        As the layer's codes are stored; results are as wide as activations.
    partial_sums : int
        Width of the accumulators.
    """

    weights: int
    activations: int
    partial_sums: int


def same_segments(first: tuple[Segment, ...], second: tuple[Segment, ...]) -> bool:
    """Whether two layers' segments are the same, in the same orders, whatever their signs."""
    return len(first) == len(second) and all(
        np.array_equal(one.lanes, other.lanes) and np.array_equal(one.order, other.order)
        for one, other in zip(first, second, strict=True)
    )


def index_traffic(segments: tuple[Segment, ...], repeats: int) -> Traffic:
    """Orders of a schedule that are read a number of times, a run for each segment."""
    table = sum(segment.index_bits for segment in segments)
    return Traffic(
        code_bits=1,
        read=runs_of((repeats, segment.index_bits) for segment in segments),
        working_sets=(whole_tensor(table),),
    )


def groups_along(segment: Segment, layer: Layer) -> NDArray[np.int64]:
    """Groups of a segment's output channels in their order, int64, shape (T,)."""
    return segment.order // (layer.n // layer.groups)


def unfinished_sums(layer: Layer, segments: tuple[Segment, ...]) -> int:
    """Output channels whose sums are begun and not complete, at the most between two segments."""
    first = np.full(layer.n, len(segments), dtype=np.int64)
    last = np.full(layer.n, -1, dtype=np.int64)
    for index, segment in enumerate(segments):
        first[segment.order] = np.minimum(first[segment.order], index)
        last[segment.order] = index
    begun = np.bincount(first, minlength=len(segments) + 1)
    ended = np.bincount(last, minlength=len(segments) + 1)
    return int(np.max(np.cumsum(begun - ended), initial=0))


def distinct_activations(layer: Layer) -> int:
    """Codes of the input tensor that a layer reads, padding and the rim of a convolution without padding left out.

    A convolution with a stride of s reads, for each output pixel, as many new pixels as the stride covers, or as the
    kernel has if it is smaller than the stride.
    """
    lowering = layer.lowering
    channels = layer.groups * layer.k // lowering.kernel_positions
    if not isinstance(lowering, Convolution2D):
        return layer.m * layer.groups * layer.k
    pixels = 1
    for kernel, stride in zip(lowering.kernel, lowering.strides, strict=True):
        pixels *= min(kernel, stride)
    return layer.m * channels * pixels
