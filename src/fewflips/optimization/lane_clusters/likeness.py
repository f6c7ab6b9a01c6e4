"""A first arrangement without any path: channels whose bits vary together share a block.

The cost of all words of a segment to one another is fixed by its lanes; a path takes the short steps. Steps are the
shorter, the more their lengths vary, and the variance of the distances of a segment is the sum, over all pairs of its
bits, of the squares of their covariances (up to a factor, for words drawn independently).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.optimization.lane_clusters.problem import LaneUse

MOST_PRODUCTS = 4e9
"""Multiplications for one use; of more, words are left out."""
LEAST_GAIN = 1e-6
"""Of an exchange, in shares of the largest likeness; less may be rounding."""
_BITS_AT_A_TIME = 2048


def likeness(uses: tuple[LaneUse, ...], channels: int, random: np.random.Generator) -> NDArray[np.float32]:
    """How much two channels vary together on the lanes that they have in one segment.

    Parameters
    ----------
    uses : tuple of LaneUse
        Layers on whose lanes the channels lie.
    channels : int
        C.
    random : Generator
        Chooses words where there are too many.

    Returns
    -------
    ndarray of float32, shape (C, C)
        Sum of squared covariances of their bits, times what a step of the layer counts for; zero on the diagonal.
    """
    total = np.zeros((channels, channels), dtype=np.float32)
    for use in uses:
        words = use.codes.shape[1]
        most = max(16, int(MOST_PRODUCTS / (len(use.lane_of) * (channels * use.bits) ** 2)))
        chosen = np.arange(words) if words <= most else np.sort(random.choice(words, most, replace=False))
        for lanes in use.lane_of:
            total += use.repeats * words * _squared_covariances(use.codes[lanes][:, chosen], use.bits)
    np.fill_diagonal(total, 0)
    return total / max(float(total.max()), 1e-30)


def _squared_covariances(codes: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.float32]:
    """Sums over all pairs of bits of two rows, shape (C, C)."""
    channels, words = codes.shape
    unpacked = (codes[:, np.newaxis, :] >> np.arange(bits, dtype=codes.dtype)[:, np.newaxis] & 1).astype(np.float32)
    varying = (unpacked - unpacked.mean(axis=2, keepdims=True)).reshape(channels * bits, words)
    found = np.empty((channels, channels), dtype=np.float32)
    at_a_time = max(1, _BITS_AT_A_TIME // bits)
    for first in range(0, channels, at_a_time):
        part = varying[first * bits : (first + at_a_time) * bits] @ varying.T / words
        found[first : first + at_a_time] = np.square(part).reshape(-1, bits, channels, bits).sum(axis=(1, 3))
    return found


@compiled
def best_exchange(
    like: NDArray[np.float32],
    within: NDArray[np.float64],
    block: NDArray[np.int64],
    channel: NDArray[np.int64],
    position: int,
) -> int:
    """The position of another block with whose channel an exchange brings most likeness together; -1 if none does."""
    here, mine = block[position], channel[position]
    most, found = LEAST_GAIN, -1
    for other in range(block.size):
        there, yours = block[other], channel[other]
        if there != here:
            gain = within[mine, there] - within[mine, here] + within[yours, here] - within[yours, there]
            gain -= 2 * like[mine, yours]
            if gain > most:
                most, found = gain, other
    return found


@compiled
def group_alike(like: NDArray[np.float32], block: NDArray[np.int64], channel: NDArray[np.int64], sweeps: int) -> None:
    """Exchange channels between blocks while like ones come together; each time the best partner of a position.

    Kernighan and Lin, *An efficient heuristic procedure for partitioning graphs* (Bell Syst. Tech. J. 49, 1970), with
    single exchanges.

    Parameters
    ----------
    like : ndarray of float32, shape (C, C)
        Likeness of two channels.
    block : ndarray of int64, shape (C,)
        Block of each position.
    channel : ndarray of int64, shape (C,)
        Channel at each position; changed in place.
    sweeps : int
        Most passes over all positions.
    """
    channels = block.size
    within = np.zeros((channels, block.max() + 1), np.float64)  # of a channel to those of a block
    for i in range(channels):
        for position in range(channels):
            within[i, block[position]] += like[i, channel[position]]
    for _ in range(sweeps):
        moved = False
        for position in range(channels):
            other = best_exchange(like, within, block, channel, position)
            if other < 0:
                continue
            moved = True
            here, there = block[position], block[other]
            mine, yours = channel[position], channel[other]
            channel[position], channel[other] = yours, mine
            for i in range(channels):
                apart = like[i, yours] - like[i, mine]
                within[i, here] += apart
                within[i, there] -= apart
        if not moved:
            break
