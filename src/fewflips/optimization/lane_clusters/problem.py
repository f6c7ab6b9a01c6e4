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


class Place(NamedTuple):
    """A lane that each position of a block has in a segment."""

    segment: int
    rows: NDArray[np.int64]  # (C,), row of codes that each channel has there


class Problem:
    """Segments of all layers, numbered through, and the positions of the channels on their lanes.

    Parameters
    ----------
    uses : sequence of LaneUse
        Layers on whose lanes the channels lie, at least one.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.

    Attributes
    ----------
    uses : tuple of LaneUse
        The layers.
    steps : ndarray of int64
        Cost of a step by the bits that differ, or by both codes; empty for flips.
    segments : list of (int, ndarray of int64, ndarray of int64)
        Number of the use, lane indices and streaming indices of each segment.
    repeats : ndarray of int64, shape (S,)
        How often each segment streams.
    block : ndarray of int64, shape (C,)
        Block of each position.
    places : list of list of Place
        Lanes of the positions of each block.
    touched : list of ndarray of int64
        Segments in which each block has lanes.
    """

    def __init__(self, uses: Sequence[LaneUse], cost: TransitionCost | None = None) -> None:
        self.uses = tuple(uses)
        self.steps = _steps(cost)
        self.segments = [(number, *segment) for number, use in enumerate(uses) for segment in use.segments]
        self.repeats = np.array([uses[number].repeats for number, _, _ in self.segments])
        signatures: dict[tuple[tuple[int, int, int], ...], list[int]] = {}
        for position, signature in enumerate(self._signatures()):
            signatures.setdefault(signature, []).append(position)
        self.block = np.empty(self.channels, dtype=np.int64)
        for number, positions in enumerate(signatures.values()):
            self.block[positions] = number
        self.places = [
            [Place(segment, self.uses[use].lane_of[lane]) for use, lane, segment in signature]
            for signature in signatures
        ]
        self.touched = [np.unique([place.segment for place in places]).astype(np.int64) for places in self.places]

    @property
    def channels(self) -> int:
        """C."""
        return int(self.uses[0].lane_of.shape[1])

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.places)

    def _signatures(self) -> list[tuple[tuple[int, int, int], ...]]:
        """Use, number of the lane and segment of all lanes of each position."""
        of_lane: list[list[list[int]]] = [[[] for _ in use.codes] for use in self.uses]
        for segment, (number, lanes, _) in enumerate(self.segments):
            for lane in lanes:
                of_lane[number][lane].append(segment)
        return [
            tuple(
                (number, lane, segment)
                for number, use in enumerate(self.uses)
                for lane, index in enumerate(use.lane_of[:, position])
                for segment in of_lane[number][index]
            )
            for position in range(self.channels)
        ]


def _steps(cost: TransitionCost | None) -> NDArray[np.int64]:
    """Cost of a step by the bits that differ, or by both codes; empty for flips."""
    if cost is None or cost.is_flips:
        return np.zeros(0, dtype=np.int64)
    if cost.table is not None:
        return cost.table.reshape(-1).astype(np.int64)
    assert cost.bit_costs is not None
    differing = np.arange(1 << cost.bits)[:, np.newaxis] >> np.arange(cost.bits) & 1
    return (differing * cost.bit_costs).sum(axis=1).astype(np.int64)
