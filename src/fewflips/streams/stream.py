"""Operand streams: what one port of the array sees, cycle by cycle, and how often it repeats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Stream:
    """The words that one operand port sees in one inference.

    A pass is a run of cycles over which the same lanes are used for the same purpose (one segment in
    activation-stationary streaming). Each pass is sent `pass_repeats` times in a row, then the next one
    follows; the whole sequence is sent `repeats` times, the last time with `last_pass_repeats` of each pass.

    Parameters
    ----------
    port : {"weights", "activations"}
        The operand.
    words : ndarray of uint8 or uint16, shape (T, L)
        Code on each lane in each cycle; idle lanes hold zero.
    pass_starts : ndarray of int64, shape (P,)
        First cycle of each pass; the first entry is 0.
    bits : int
        Width of a word.
    repeats : int
        How often the whole sequence is sent in one inference.
    pass_repeats : int
        How often each pass is sent before the next.
    hops : int
        Registers that one word toggles on its way through the array.
    last_pass_repeats : int or None
        How often each pass is sent before the next when the sequence is sent for the last time: fewer where the last
        tile of output pixels is smaller. None: as often as before.
    serpentine : bool
        Whether each pass runs backwards every other time that it is sent, and the sequence of passes every other time
        that the sequence is sent, so that a pass that follows itself begins with the word that it ended with.
    """

    port: Literal["weights", "activations"]
    words: NDArray[np.unsignedinteger] = field(repr=False)
    pass_starts: NDArray[np.int64] = field(repr=False)
    bits: int
    repeats: int = 1
    pass_repeats: int = 1
    hops: int = 1
    last_pass_repeats: int | None = None
    serpentine: bool = False

    @property
    def times_in_last(self) -> int:
        """How often each pass is sent when the sequence is sent for the last time."""
        return self.pass_repeats if self.last_pass_repeats is None else self.last_pass_repeats

    @property
    def times_in_all(self) -> int:
        """How often each pass is sent in one inference."""
        return (self.repeats - 1) * self.pass_repeats + self.times_in_last

    def sendings(self) -> Iterator[tuple[int, bool]]:
        """Passes as one inference sends them.

        Yields
        ------
        tuple of (int, bool)
            Number of the pass, and whether it runs backwards.

        Examples
        --------
        >>> words = np.array([[1], [2], [3]], dtype=np.uint8)
        >>> stream = Stream("weights", words, np.array([0, 2]), 2, repeats=2, serpentine=True)
        >>> list(stream.sendings())
        [(0, False), (1, False), (1, True), (0, True)]
        """
        passes = range(len(self.pass_starts))
        sent = 0
        for time in range(self.repeats):
            times = self.pass_repeats if time < self.repeats - 1 else self.times_in_last
            for number in reversed(passes) if self.serpentine and time % 2 else passes:
                for again in range(times):
                    yield number, self.serpentine and (sent + again) % 2 == 1
            sent += times
