"""Counts the flips of a stream."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.streams.flips import bit_position_flips, row_flips, stream_flips
from fewflips.streams.stream import Stream


@dataclass(frozen=True)
class FlipCount:
    """Flips of one operand port, counted exactly.

    Parameters
    ----------
    within : int
        Flips between consecutive cycles of a pass, summed over all passes, each counted once.
    seams : int
        Flips between the end of a pass and the start of the one that follows it, in one inference.
    bit_positions : tuple of int
        `within` by bit position, least significant first.
    transitions : int
        Word transitions (lane x cycle pairs) behind `within`.
    bits : int
        Width of a word.
    repeats : int
        How often each pass occurs in one inference.
    hops : int
        Registers that one word toggles on its way.
    """

    within: int
    seams: int
    bit_positions: tuple[int, ...]
    transitions: int
    bits: int
    repeats: int
    hops: int

    @property
    def total(self) -> int:
        """Flips in one inference at one register: all passes as often as they occur, and all seams."""
        return self.within * self.repeats + self.seams

    @property
    def nhd(self) -> float:
        """Normalized Hamming distance within passes: 0.5 for random words."""
        return self.within / (self.transitions * self.bits) if self.transitions else 0.0


def count_flips(stream: Stream) -> FlipCount:
    """Count the flips of a stream.

    Parameters
    ----------
    stream : Stream
        What a port sees.

    Returns
    -------
    FlipCount
        Flips within passes and, separately, at the seams.
    """
    words, starts = stream.words, stream.pass_starts
    ends = np.append(starts[1:], len(words)) - 1
    between = row_flips(words, starts[1:])
    positions = bit_position_flips(words, stream.bits) if len(words) else np.zeros(stream.bits, dtype=np.int64)
    if len(starts) > 1:
        positions = positions - _bit_positions_at(words, starts[1:], stream.bits)
    return FlipCount(
        within=stream_flips(words) - between,
        seams=_turning_seams(stream, ends) if stream.serpentine else _forward_seams(stream, ends, between),
        bit_positions=tuple(int(flips) for flips in positions),
        transitions=(len(words) - len(starts)) * words.shape[1],
        bits=stream.bits,
        repeats=stream.times_in_all,
        hops=stream.hops,
    )


def _forward_seams(stream: Stream, ends: NDArray[np.int64], between: int) -> int:
    """Where every pass begins with its first word; `between` are the flips from each pass to the next."""
    words, starts = stream.words, stream.pass_starts
    again = stream.times_in_all - stream.repeats
    pass_wraps = _pair_flips(words, ends, starts) if again else 0
    stream_wrap = _pair_flips(words, ends[-1:], starts[:1]) if stream.repeats > 1 else 0
    return stream.repeats * between + again * pass_wraps + (stream.repeats - 1) * stream_wrap


def _turning_seams(stream: Stream, ends: NDArray[np.int64]) -> int:
    """Of a serpentine stream, where a pass that follows itself begins with the word that it ended with."""
    kinds: Counter[tuple[bool, bool, bool]] = Counter()
    sent = 0
    for time in range(stream.repeats):
        times = stream.pass_repeats if time < stream.repeats - 1 else stream.times_in_last
        kinds[time % 2 == 1, (sent + times) % 2 == 0, sent % 2 == 1] += 1
        sent += times
    seams = 0
    for (last_first, left_backwards, entered_backwards), count in kinds.items():
        leave = stream.pass_starts if left_backwards else ends
        enter = ends if entered_backwards else stream.pass_starts
        left, entered = (leave[1:], enter[:-1]) if last_first else (leave[:-1], enter[1:])
        seams += count * _pair_flips(stream.words, left, entered)
    return seams


def add_counts(counts: list[FlipCount]) -> FlipCount:
    """Combine the counts of several samples of the same port into one for their mean.

    Parameters
    ----------
    counts : list of FlipCount
        One count per sample, all of the same stream shape and so with the same repeats, bits and hops.

    Returns
    -------
    FlipCount
        The mean, with flips rounded to the nearest integer.
    """
    first, samples = counts[0], len(counts)
    sums = np.array([count.bit_positions for count in counts], dtype=np.int64).sum(axis=0)
    rounded = np.rint(np.cumsum(sums) / samples).astype(np.int64)  # so that the positions sum to the whole
    return FlipCount(
        within=int(rounded[-1]),
        seams=round(sum(count.seams for count in counts) / samples),
        bit_positions=tuple(int(flips) for flips in np.diff(rounded, prepend=0)),
        transitions=first.transitions,
        bits=first.bits,
        repeats=first.repeats,
        hops=first.hops,
    )


def _pair_flips(words: NDArray[np.unsignedinteger], left: NDArray[np.int64], right: NDArray[np.int64]) -> int:
    return int(np.bitwise_count(words[left] ^ words[right]).sum(dtype=np.int64))


def _bit_positions_at(words: NDArray[np.unsignedinteger], rows: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    changed = words[rows - 1] ^ words[rows]
    return np.array([((changed >> bit) & 1).sum(dtype=np.int64) for bit in range(bits)], dtype=np.int64)


def ones_shares(words: NDArray[np.integer], bits: int) -> NDArray[np.float64]:
    """Share of words with 0, 1, ... ones.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, any shape
        Codes.
    bits : int
        Width of a code.

    Returns
    -------
    ndarray of float64, shape (bits + 1,)
        Adds up to 1; zeros where there are no words.

    Examples
    --------
    >>> ones_shares(np.array([0b00, 0b01, 0b10, 0b11], dtype=np.uint8), 2).tolist()
    [0.25, 0.5, 0.25]
    """
    counts = np.bincount(np.bitwise_count(words).reshape(-1), minlength=bits + 1)
    return counts / max(words.size, 1)
