"""The problem: which channels lie on the lanes of which segment, and in which order each segment's words stream.

A group's channels have *positions*. Each position has lanes in the segments of every layer that takes the group as its
input (or gives it, where output channels are on the lanes): one for each kernel position. Positions whose lanes lie in
the same segments are alike, and form a *block*; which channels are in a block matters, their order within it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.streams.transition_cost import TransitionCost


@dataclass(frozen=True, eq=False)
class LaneUse:
    """A layer on whose lanes a group's channels lie.

    Parameters
    ----------
    repeats : int
        How often its weights stream in one inference.
    bits : int
        Width of a code.
    codes : ndarray of uint8 or uint16, shape (J, T)
        What streams on each of J lane indices, for each of T streaming indices.
    lane_of : ndarray of int64, shape (E, C)
        Lane indices of each of C channels, in natural order; E of them for each.
    segments : tuple of (ndarray of int64, ndarray of int64)
        Lane indices, and streaming indices, of each segment.
    chains : int
        How many pieces each segment's path is cut into (:meth:`~fewflips.dataflows.protocol.Dataflow.chains`).
    """

    repeats: int
    bits: int
    codes: NDArray[np.unsignedinteger] = field(repr=False)
    lane_of: NDArray[np.int64] = field(repr=False)
    segments: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...] = field(repr=False)
    chains: int = 1


class Problem(NamedTuple):
    """Arrays of a problem, as the kernels take them.

    Segments of all uses are numbered through, and so are their lanes (`lane`: an index into `content`) and words
    (`word`: an index into a row of codes). A state of the search has, for each lane index, the row of codes that is on
    it, and for each segment a path through its words.
    """

    codes: NDArray[np.unsignedinteger]  # rows of all uses, one after the other
    steps: NDArray[np.int64]  # cost by a ^ b, or by (a, b), or empty for flips
    bits: NDArray[np.int64]  # (S,), width of a code
    row: NDArray[np.int64]  # (total of J,), place in `codes` of each row
    use_row: NDArray[np.int64]  # (S,), first row of the segment's use
    use_rows: NDArray[np.int64]  # (S,), J
    lane_start: NDArray[np.int64]  # (S + 1,)
    lane: NDArray[np.int64]  # row that is on the lane in natural order
    word_start: NDArray[np.int64]  # (S + 1,)
    word: NDArray[np.int64]
    chains: NDArray[np.int64]  # (S,)
    repeats: NDArray[np.int64]  # (S,)
    table_start: NDArray[np.int64]  # (S + 1,), where the costs of a segment's rows are kept
    block: NDArray[np.int64]  # (C,), of each position
    place_start: NDArray[np.int64]  # (blocks + 1,), lanes of a block's positions:
    place_segment: NDArray[np.int64]  # the segment
    place_lane: NDArray[np.int64]  # the first row of `channel_row` for this use and kernel position
    channel_row: NDArray[np.int64]  # (total of E, C), row of each channel
    segments_start: NDArray[np.int64]  # (blocks + 1,), different segments of a block
    segments: NDArray[np.int64]

    @property
    def channels(self) -> int:
        """C."""
        return len(self.block)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.segments_start) - 1


def problem_of(uses: Sequence[LaneUse], cost: TransitionCost | None = None) -> Problem:
    """Lay a problem out.

    Parameters
    ----------
    uses : sequence of LaneUse
        Layers on whose lanes the channels lie, at least one.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.

    Returns
    -------
    Problem
        With the channels of all uses in natural order.
    """
    rows = np.cumsum([0, *(len(use.codes) for use in uses)])
    places = _places(uses)
    signatures, block = np.unique(places, axis=1, return_inverse=True)
    channel_row = np.concatenate([use.lane_of + first for use, first in zip(uses, rows, strict=False)])
    pairs = [_pairs(column) for column in signatures.T]
    touched = [np.unique(segment) for segment, _ in pairs]
    parts = [(use, first, *segment) for use, first in zip(uses, rows, strict=False) for segment in use.segments]
    return Problem(
        codes=np.concatenate([use.codes.reshape(-1) for use in uses]),
        steps=_steps(cost),
        bits=np.array([use.bits for use, *_ in parts]),
        row=_row_places(uses),
        use_row=np.array([first for _, first, _, _ in parts]),
        use_rows=np.array([len(use.codes) for use, *_ in parts]),
        lane_start=_starts([len(lanes) for _, _, lanes, _ in parts]),
        lane=np.concatenate([lanes + first for _, first, lanes, _ in parts]),
        word_start=_starts([len(order) for *_, order in parts]),
        word=np.concatenate([order for *_, order in parts]),
        chains=np.array([use.chains for use, *_ in parts]),
        repeats=np.array([use.repeats for use, *_ in parts]),
        table_start=_starts([len(use.codes) for use, *_ in parts]),
        block=block.reshape(-1).astype(np.int64),
        place_start=_starts([len(segment) for segment, _ in pairs]),
        place_segment=np.concatenate([segment for segment, _ in pairs]),
        place_lane=np.concatenate([lane for _, lane in pairs]),
        channel_row=np.ascontiguousarray(channel_row),
        segments_start=_starts([len(segments) for segments in touched]),
        segments=np.concatenate(touched),
    )


def _places(uses: Sequence[LaneUse]) -> NDArray[np.int64]:
    """For each use, kernel position and tile of outputs (rows), the segment of each position, shape (., C); -1: none.

    The row of `channel_row` is in the upper half of each number.
    """
    found, first_segment, first_lane = [], 0, 0
    for use in uses:
        layers: list[NDArray[np.int64]] = []
        filled = np.zeros(len(use.codes), dtype=np.int64)
        for number, (lanes, _) in enumerate(use.segments, first_segment):
            while len(layers) <= filled[lanes].max():
                layers.append(np.full(len(use.codes), -1, dtype=np.int64))
            for depth in np.unique(filled[lanes]):
                here = lanes[filled[lanes] == depth]
                layers[depth][here] = number
            filled[lanes] += 1
        above = (np.arange(len(use.lane_of)) + first_lane)[:, np.newaxis] << 32
        found += [np.where(layer[use.lane_of] < 0, -1, layer[use.lane_of] + above) for layer in layers]
        first_segment += len(use.segments)
        first_lane += len(use.lane_of)
    return np.concatenate(found)


def _pairs(signature: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Segments and rows of `channel_row` of a block."""
    known = signature[signature >= 0]
    return known & 0xFFFFFFFF, known >> 32


def _row_places(uses: Sequence[LaneUse]) -> NDArray[np.int64]:
    parts, first = [], 0
    for use in uses:
        rows, words = use.codes.shape
        parts.append(first + words * np.arange(rows))
        first += use.codes.size
    return np.concatenate(parts)


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *lengths]).astype(np.int64)


def _steps(cost: TransitionCost | None) -> NDArray[np.int64]:
    """Cost of a step by the bits that differ, or by both codes; empty for flips."""
    if cost is None or cost.is_flips:
        return np.zeros(0, dtype=np.int64)
    if cost.table is not None:
        return cost.table.reshape(-1).astype(np.int64)
    assert cost.bit_costs is not None
    differing = np.arange(1 << cost.bits)[:, np.newaxis] >> np.arange(cost.bits) & 1
    return (differing * cost.bit_costs).sum(axis=1).astype(np.int64)
