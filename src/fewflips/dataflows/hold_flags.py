"""Hold flags: which weights of a stream repeat on their lane, and so are neither fetched nor clocked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.accesses import Traffic, WorkingSet, runs_of, whole_tensor
from fewflips.dataflows.segment import Segment
from fewflips.streams.stream import Stream


@dataclass(frozen=True, eq=False)
class HoldFlags:
    """Fetches of a weight stream with a flag for each lane and cycle, in one inference.

    The flags lie in the buffer beside the weights and are read in every cycle. The first word that a lane takes in each
    run through the stream is always fetched: what the lane held before depends on the run.

    Parameters
    ----------
    flags : int
        Flags read, one bit for each lane and cycle.
    loads : ndarray of int64, shape (L,)
        Words of each lane that are fetched and clocked into its register.
    toggles : ndarray of int64, shape (L,)
        Toggles of each lane's flag.
    """

    flags: int
    loads: NDArray[np.int64] = field(repr=False)
    toggles: NDArray[np.int64] = field(repr=False)

    @property
    def fetched(self) -> int:
        """Words that are read from the buffer."""
        return int(self.loads.sum())

    @property
    def held(self) -> int:
        """Words that repeat on their lane, and stay in its register."""
        return self.flags - self.fetched


def hold_flags(stream: Stream) -> HoldFlags:
    """Count what hold flags leave to be fetched.

    Parameters
    ----------
    stream : Stream
        Weights in the order in which lanes take them; passes follow one another as in hardware, each sent once a run.

    Returns
    -------
    HoldFlags
        Fetches, loads and toggles.

    Examples
    --------
    >>> words = np.array([[5, 7], [5, 7], [5, 8]], dtype=np.uint8)
    >>> found = hold_flags(Stream("weights", words, np.zeros(1, np.int64), 8, repeats=10))
    >>> found.flags, found.loads.tolist(), found.held
    (60, [10, 20], 30)
    """
    load = np.ones(stream.words.shape, dtype=np.bool_)
    load[1:] = stream.words[1:] != stream.words[:-1]
    within = (load[1:] != load[:-1]).sum(axis=0, dtype=np.int64)
    return HoldFlags(
        flags=load.size * stream.repeats,
        loads=load.sum(axis=0, dtype=np.int64) * stream.repeats,
        toggles=within * stream.repeats + (load[0] != load[-1]) * (stream.repeats - 1),
    )


def held_traffic(stream: Stream, segments: tuple[Segment, ...]) -> Traffic:
    """Reads of weights from a buffer that holds, for each pass, its flags and the words that do not repeat.

    Parameters
    ----------
    stream : Stream
        Weights in the order in which lanes take them.
    segments : tuple of Segment
        What each pass takes; lanes beyond theirs are idle, and fetch nothing.

    Returns
    -------
    Traffic
        In bits. A word at the start of a pass is stored unless the lane held it before each time.
    """
    words, lanes = stream.words, stream.words.shape[1]
    changed = np.ones(words.shape, dtype=np.bool_)
    changed[1:] = words[1:] != words[:-1]
    stops = np.append(stream.pass_starts[1:], len(words))
    passes = []
    for segment, start, stop in zip(segments, stream.pass_starts, stops, strict=True):
        stored = changed[start:stop].copy()
        if stream.times_in_all > stream.repeats:
            stored[0] |= words[start] != words[stop - 1]
        passes.append(int(stored[:, : len(segment.lanes)].sum()) * stream.bits + int(stop - start) * lanes)
    return Traffic(
        code_bits=1,
        read=runs_of((stream.times_in_all, bits) for bits in passes),
        working_sets=(
            WorkingSet(max(passes), runs_of((stream.repeats, bits) for bits in passes)),
            whole_tensor(sum(passes)),
        ),
    )
