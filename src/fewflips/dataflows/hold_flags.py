"""Hold flags: which weights of a stream repeat on their lane, and so are neither fetched nor clocked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.streams.stream import Stream


@dataclass(frozen=True, eq=False)
class HoldFlags:
    """Fetches of a weight stream with a flag for each lane and cycle, in one inference.

    The flags lie in the buffer beside the weights and are read in every cycle, so a word has the same flag whenever it
    is read. The first word that a lane takes in each run through the stream is always fetched, since what the lane held
    before depends on the run. Where a pass is sent several times in a row, the first word of a lane is fetched unless
    it is that before the pass and that at its end.

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
    load = load_flags(stream)
    ends = np.append(stream.pass_starts[1:], len(load)) - 1
    seams = np.zeros(len(load) - 1, dtype=np.bool_)
    seams[ends[:-1]] = True
    changes = load[1:] != load[:-1]
    in_a_row = stream.times_in_all - stream.repeats  # times that a pass follows itself
    toggles = changes[~seams].sum(axis=0, dtype=np.int64) * stream.times_in_all
    toggles += changes[seams].sum(axis=0, dtype=np.int64) * stream.repeats
    toggles += (load[stream.pass_starts] != load[ends]).sum(axis=0, dtype=np.int64) * in_a_row
    toggles += (load[0] != load[-1]) * (stream.repeats - 1)
    return HoldFlags(
        flags=load.size * stream.times_in_all,
        loads=load.sum(axis=0, dtype=np.int64) * stream.times_in_all,
        toggles=toggles,
    )


def load_flags(stream: Stream) -> NDArray[np.bool_]:
    """The flag of each word: whether it is fetched.

    Parameters
    ----------
    stream : Stream
        As for :func:`hold_flags`.

    Returns
    -------
    ndarray of bool, shape (T, L)
        For each cycle of the stream and lane.
    """
    words, starts = stream.words, stream.pass_starts
    load = np.ones(words.shape, dtype=np.bool_)
    load[1:] = words[1:] != words[:-1]
    if stream.times_in_all > stream.repeats:
        ends = np.append(starts[1:], len(words)) - 1
        load[starts] |= words[starts] != words[ends]
    return load
