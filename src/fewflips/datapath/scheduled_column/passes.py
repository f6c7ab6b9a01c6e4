"""What the controller walks through for one pixel: passes over runs of weight words.

A segment of a schedule is one pass, if it is the first or the last to visit either all of its channels or none of them,
and its channels read the same activations. Otherwise it is cut into several passes, in the order of its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError

SegmentIndices = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Reduction indices on the lanes, and output channels in the order in which they stream."""


@dataclass(frozen=True, eq=False)
class Pass:
    """A run of weight words that share their lanes.

    Parameters
    ----------
    lanes : ndarray of int64, shape (L,)
        Reduction indices.
    channels : ndarray of int64, shape (T,)
        Output channel of each word.
    base : int
        The channel whose partial sum has address 0.
    first : bool
        Whether sums start here, from zero or from their preloaded values.
    last : bool
        Whether sums are complete afterwards.
    negated : ndarray of bool, shape (T,), or None
        Words whose products are subtracted, as they stream negated; None where none are.
    """

    lanes: NDArray[np.int64] = field(repr=False)
    channels: NDArray[np.int64] = field(repr=False)
    base: int
    first: bool
    last: bool
    negated: NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def sign_flags(self) -> NDArray[np.bool_]:
        """`negated` as an array, all False where it is None."""
        return np.zeros(len(self.channels), dtype=np.bool_) if self.negated is None else self.negated

    @property
    def addresses(self) -> NDArray[np.int64]:
        """Address of the partial sum of each word."""
        return self.channels - self.base


def column_passes(
    segments: Sequence[SegmentIndices],
    n: int,
    k: int,
    groups: NDArray[np.int64] | None,
    negated: Sequence[NDArray[np.bool_] | None] | None = None,
) -> tuple[Pass, ...]:
    """The passes of a layer's segments.

    Addresses of partial sums begin at 0 again as soon as all sums are complete, so that tiles of output channels, and
    groups, share a small memory.

    Parameters
    ----------
    segments : sequence of (ndarray of int64, ndarray of int64)
        Lanes and order of each segment; each index of a channel and lane is visited once.
    n, k : int
        Output channels, and products of each.
    groups : ndarray of int64, shape (N,), or None
        Channels with the same number read the same activations; None if each word has activations of its own.
    negated : sequence of (ndarray of bool, or None), optional
        For each segment, which of its words stream negated.

    Returns
    -------
    tuple of Pass
        At least one.

    Raises
    ------
    InputError
        If the segments do not visit each channel `k` times.

    Examples
    --------
    >>> halves = [(np.arange(2), np.array([1, 0, 2])), (np.arange(2, 4), np.array([2, 1, 0]))]
    >>> [(one.addresses.tolist(), one.first, one.last) for one in column_passes(halves, n=3, k=4, groups=None)]
    [([1, 0, 2], True, False), ([2, 1, 0], False, True)]
    """
    visits = np.zeros(n, dtype=np.int64)
    done: list[Pass] = []
    together: list[Pass] = []  # until no sum is left incomplete
    for (lanes, order), flags in zip(segments, negated or [None] * len(segments), strict=True):
        if not len(lanes) or not len(order) or order.min() < 0 or order.max() >= n:
            raise InputError(f"column: a segment has no lanes, no order, or a channel beyond the layer's {n}")
        first = visits[order] == 0
        visits[order] += len(lanes)
        last = visits[order] == k
        of_group = np.zeros(len(order)) if groups is None else groups[order]
        together += _cut(Pass(lanes, order, 0, first=False, last=False, negated=flags), first, last, of_group)
        if bool(((visits == 0) | (visits == k)).all()):
            done += _with_base(together)
            together = []
    if not bool((visits == k).all()):
        raise InputError(f"column: expected segments that visit each channel {k} times, got {visits.min()} at least")
    return tuple(done)


def _cut(whole: Pass, first: NDArray[np.bool_], last: NDArray[np.bool_], groups: NDArray[np.generic]) -> list[Pass]:
    """Passes of one segment, whose base is not yet known; flags and groups are those of its words."""
    changes = (np.diff(first) != 0) | (np.diff(last) != 0) | (np.diff(groups) != 0)
    cuts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(whole.channels)]
    return [
        replace(
            whole,
            channels=whole.channels[begin:end],
            first=bool(first[begin]),
            last=bool(last[begin]),
            negated=None if whole.negated is None else whole.negated[begin:end],
        )
        for begin, end in pairwise(cuts)
    ]


def _with_base(passes: list[Pass]) -> list[Pass]:
    base = min(int(one.channels.min()) for one in passes)
    return [replace(one, base=base) for one in passes]
