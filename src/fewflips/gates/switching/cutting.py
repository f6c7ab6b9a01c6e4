"""Cuts sequences into windows of nearly equal length, so that many can be simulated side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.gates.operands import Windows


def cut_windows(sequence_cycles: NDArray[np.int64], lanes: int) -> Windows:
    """Windows that together cover every transition of all sequences once.

    Parameters
    ----------
    sequence_cycles : ndarray of int64, shape (S,)
        Cycles of each sequence; a sequence of n cycles has n - 1 transitions.
    lanes : int
        Number of windows wanted. There are fewer than ``lanes + S``, as none crosses the end of a sequence.

    Returns
    -------
    Windows
        In ascending order.

    Examples
    --------
    >>> windows = cut_windows(np.array([6, 3]), lanes=4)
    >>> windows.sequence.tolist(), windows.first.tolist(), windows.transitions.tolist()
    ([0, 0, 0, 1], [1, 3, 5, 1], [2, 2, 1, 2])
    """
    cycles = np.asarray(sequence_cycles, dtype=np.int64)
    whole = np.arange(len(cycles))
    transitions = np.maximum(cycles - 1, 0)
    used = transitions > 0
    return pieces(Windows(whole[used], np.ones(used.sum(), dtype=np.int64), transitions[used]), lanes)


def pieces(windows: Windows, lanes: int) -> Windows:
    """Cut windows further if that makes the lengths more equal.

    Parameters
    ----------
    windows : Windows
        What to cover.
    lanes : int
        Number of pieces wanted; there are fewer than this plus the number of windows.

    Returns
    -------
    Windows
        Windows that cover the same transitions.
    """
    total = int(windows.transitions.sum())
    longest = max(1, -(-total // max(lanes, 1)))
    counts = -(-windows.transitions // longest)
    owner = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    share, extra = np.divmod(windows.transitions, counts)
    first = windows.first[owner] + number * share[owner] + np.minimum(number, extra[owner])
    return Windows(windows.sequence[owner], first, share[owner] + (number < extra[owner]))


def check_windows(windows: Windows, sequence_cycles: NDArray[np.int64]) -> None:
    """Check that windows lie within their sequences.

    Raises
    ------
    InputError
        If one does not; the message names the first.
    """
    count = len(windows.sequence)
    if windows.first.shape != (count,) or windows.transitions.shape != (count,) or count == 0:
        raise InputError(
            f"windows: expected as many sequences as first transitions and lengths, at least one, got {count}, "
            f"{len(windows.first)} and {len(windows.transitions)}"
        )
    sequences = len(sequence_cycles)
    if windows.sequence.min() < 0 or windows.sequence.max() >= sequences:
        raise InputError(f"windows: expected sequences 0 to {sequences - 1}, got {int(windows.sequence.max())}")
    last = windows.first + windows.transitions - 1
    outside = (windows.first < 1) | (windows.transitions < 1) | (last > sequence_cycles[windows.sequence] - 1)
    if outside.any():
        bad = int(outside.argmax())
        raise InputError(
            f"window {bad}: expected transitions within 1 to {int(sequence_cycles[windows.sequence[bad]]) - 1} of "
            f"sequence {int(windows.sequence[bad])}, got {int(windows.first[bad])} to {int(last[bad])}"
        )
