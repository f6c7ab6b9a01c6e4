"""The codes nearest to latent weights that cost few flips: an exact proximal step of the Hamming distance.

Along its lane each weight has two neighbours, the words before and after it. The codes of a lane that minimize

    sum of curvature * (code - latent)^2  +  sum of transition costs  +  sum of word costs

are a shortest path through a trellis of 2^bits states a cycle, which the Viterbi algorithm (Forney, Proc. IEEE 61,
1973) finds exactly. Where the transition cost is a sum over flipped bits, the minimum over all predecessors falls
apart into one step a bit (as distance transforms fall apart into one step an axis: Felzenszwalb and Huttenlocher,
Theory of Computing 8, 2012), so that a cycle takes bits * 2^bits operations in place of 4^bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.kernels.compiled import compiled
from fewflips.parallel.tasks import run_all
from fewflips.streams.transition_cost import TransitionCost

LANES = 16
"""Lanes that are solved side by side: one vector of float32 in AVX-512, two in AVX2."""

_UNREACHABLE = np.float32(1e30)
"""Cost of a word that stands for no code."""


@dataclass(frozen=True, eq=False)
class WordCosts:
    """What words and their succession cost, in the unit of the squared distance.

    S is 2^bits, the number of words. :meth:`priced` makes them of a
    :class:`~fewflips.streams.transition_cost.TransitionCost`.

    Parameters
    ----------
    values : ndarray of float32, shape (S,)
        The code that each word stands for; NaN where it stands for none.
    bit_costs : ndarray of float32, shape (bits,)
        Cost of a flip of each bit, least significant first.
    word_costs : ndarray of float32, shape (S,)
        Cost of each word itself.
    transition_costs : ndarray of float32, shape (S, S), optional
        Cost of each transition, from row to column, in place of the costs of bits; it need not be symmetric.
    """

    values: NDArray[np.float32] = field(repr=False)
    bit_costs: NDArray[np.float32]
    word_costs: NDArray[np.float32] = field(repr=False)
    transition_costs: NDArray[np.float32] | None = field(default=None, repr=False)

    @classmethod
    def priced(
        cls,
        values: NDArray[np.floating],
        cost: TransitionCost,
        price: float = 1.0,
        word_costs: NDArray[np.floating] | None = None,
    ) -> Self:
        """A transition cost at a price.

        Parameters
        ----------
        values : ndarray of float, shape (S,)
            The code that each word stands for; NaN where it stands for none.
        cost : TransitionCost
            Of the step from one word to the next, for as many bits.
        price : float
            What one unit of `cost` is worth in squared distance; 0 or more.
        word_costs : ndarray of float, shape (S,), optional
            Cost of each word itself, in squared distance; nothing if left out.

        Returns
        -------
        WordCosts
            For :func:`nearest_codes`. Sums are float32: exact as long as they stay below 2^24.

        Raises
        ------
        InputError
            If the shapes do not fit, or the price is negative or not finite.

        Examples
        --------
        >>> values = np.array([0, 1, np.nan, -1])  # two's complement of 2 bits, symmetric
        >>> costs = WordCosts.priced(values, TransitionCost.per_bit([1, 3]), price=0.1)
        >>> latent = np.array([[0.6], [-0.7], [0.6]], dtype=np.float32)
        >>> nearest_codes(latent, np.ones_like(latent), costs).ravel().tolist()
        [1, -1, 1]
        >>> dear = WordCosts.priced(values, TransitionCost.per_bit([1, 10]), price=0.1)
        >>> nearest_codes(latent, np.ones_like(latent), dear).ravel().tolist()
        [1, 0, 1]
        """
        words = np.zeros(1 << cost.bits) if word_costs is None else word_costs
        if values.shape != (1 << cost.bits,) or words.shape != values.shape:
            raise InputError(
                f"assignment: expected values and costs of {1 << cost.bits} words for costs of {cost.bits} bits, got "
                f"shapes {values.shape} and {words.shape}"
            )
        if not 0 <= price < np.inf:
            raise InputError(f"assignment: expected a price of 0 or more, got {price}")
        bits = np.zeros(cost.bits, np.float32) if cost.bit_costs is None else cost.bit_costs.astype(np.float32)
        table = None if cost.table is None else cost.table.astype(np.float32) * np.float32(price)
        return cls(values.astype(np.float32), bits * np.float32(price), words.astype(np.float32), table)


def nearest_codes(
    latent: NDArray[np.float32], curvature: NDArray[np.float32], costs: WordCosts, *, jobs: int = 1
) -> NDArray[np.int16]:
    """The codes that minimize distance and costs together, exactly, lane by lane.

    Parameters
    ----------
    latent : ndarray of float32, shape (T, L)
        Codes before rounding, in streaming order; one lane a column.
    curvature : ndarray of float32, shape (T, L)
        Weight of each squared distance; 0 or more.
    costs : WordCosts
        What flips and words cost.
    jobs : int
        Blocks of lanes solved at a time, in threads; the result does not depend on it.

    Returns
    -------
    ndarray of int16, shape (T, L)
        The codes.

    Raises
    ------
    InputError
        If a latent code is not finite, or the shapes do not fit.
    """
    if latent.ndim != 2 or latent.shape != curvature.shape or latent.shape[0] < 1:
        raise InputError(
            f"assignment: expected latent codes and curvatures of one shape (T, L), got {latent.shape} and "
            f"{curvature.shape}"
        )
    if not np.isfinite(latent).all():
        raise InputError("assignment: expected finite weights, got NaN or infinity; lower the learning rate")
    unused = np.isnan(costs.values)
    values = np.where(unused, 0, costs.values).astype(np.float32)
    word_costs = np.where(unused, _UNREACHABLE, costs.word_costs).astype(np.float32)
    blocks, weights = _in_blocks(latent), _in_blocks(curvature)
    states = np.empty(blocks.shape, dtype=np.int32)
    solve, between = _solve_bits, costs.bit_costs
    if costs.transition_costs is not None:
        solve, between = _solve_table, costs.transition_costs
    run_all(
        lambda block: solve(blocks[block], weights[block], values, word_costs, between, states[block]),
        range(len(blocks)),
        jobs=jobs,
        in_this_process=True,
    )
    codes = values[states].astype(np.int16)
    length, lanes = latent.shape
    return codes.transpose(1, 0, 2).reshape(length, -1)[:, :lanes]


def _in_blocks(lanes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, L) to (blocks, T, LANES), filled up with zeros."""
    length, count = lanes.shape
    blocks = -(-count // LANES)
    padded = np.zeros((length, blocks * LANES), dtype=np.float32)
    padded[:, :count] = lanes
    return np.ascontiguousarray(padded.reshape(length, blocks, LANES).transpose(1, 0, 2))


@compiled
def _start(latent, curvature, values, word_costs, total):  # type: ignore[no-untyped-def]
    for s in range(values.size):
        for lane in range(LANES):
            away = latent[lane] - values[s]
            total[s, lane] = away * away * curvature[lane] + word_costs[s]


@compiled
def _add(best, latent, curvature, values, word_costs, total):  # type: ignore[no-untyped-def]
    for s in range(values.size):
        for lane in range(LANES):
            away = latent[lane] - values[s]
            total[s, lane] = best[s, lane] + away * away * curvature[lane] + word_costs[s]


@compiled
def _relax_bits(best, bit_costs):  # type: ignore[no-untyped-def]
    """Each state's least cost plus transition, over all states; one pass a bit, in place."""
    flat = best.reshape(best.size)  # slices of one dimension are what the compiler turns into vector instructions
    for bit in range(bit_costs.size):
        cost, length = bit_costs[bit], (1 << bit) * LANES
        for base in range(0, flat.size, 2 * length):
            clear, set_ = flat[base : base + length], flat[base + length : base + 2 * length]
            for k in range(length):
                low, high = clear[k], set_[k]
                up, down = low + cost, high + cost
                clear[k] = down if down < low else low
                set_[k] = up if up < high else high


@compiled
def _relax_table(total, transition_costs, best):  # type: ignore[no-untyped-def]
    for s in range(total.shape[0]):
        for lane in range(LANES):
            best[s, lane] = total[0, lane] + transition_costs[0, s]
        for before in range(1, total.shape[0]):
            cost = transition_costs[before, s]
            for lane in range(LANES):
                other = total[before, lane] + cost
                best[s, lane] = other if other < best[s, lane] else best[s, lane]


@compiled
def _last_states(total, states):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        best = 0
        for s in range(1, total.shape[0]):
            if total[s, lane] < total[best, lane]:
                best = s
        states[lane] = best


@compiled
def _solve_bits(latent, curvature, values, word_costs, bit_costs, states):  # type: ignore[no-untyped-def]
    """Viterbi over words whose transitions cost so much a flipped bit, for one block of lanes."""
    length = latent.shape[0]
    flip_costs = np.zeros(values.size, dtype=np.float32)  # of the bits set in a difference
    for s in range(values.size):
        for bit in range(bit_costs.size):
            if (s >> bit) & 1:
                flip_costs[s] += bit_costs[bit]
    total = np.empty((length, values.size, LANES), dtype=np.float32)
    best = np.empty((values.size, LANES), dtype=np.float32)
    _start(latent[0], curvature[0], values, word_costs, total[0])
    for t in range(1, length):
        best[:] = total[t - 1]
        _relax_bits(best, bit_costs)
        _add(best, latent[t], curvature[t], values, word_costs, total[t])
    _last_states(total[length - 1], states[length - 1])
    least = np.empty(LANES, dtype=np.float32)
    for t in range(length - 2, -1, -1):
        _state_before(total[t], flip_costs, states[t + 1], states[t], least)


@compiled
def _state_before(total, flip_costs, after, before, least):  # type: ignore[no-untyped-def]
    """The state from which each lane's next one is reached at the least cost: the same one, where that is as good."""
    for lane in range(LANES):
        before[lane] = after[lane]
        least[lane] = total[after[lane], lane]
    for s in range(total.shape[0]):
        state = np.int32(s)
        for lane in range(LANES):
            cost = total[s, lane] + flip_costs[after[lane] ^ state]
            better = cost < least[lane]
            least[lane] = cost if better else least[lane]
            before[lane] = state if better else before[lane]


@compiled
def _solve_table(latent, curvature, values, word_costs, transition_costs, states):  # type: ignore[no-untyped-def]
    """Viterbi over words with any transition costs, for one block of lanes."""
    length = latent.shape[0]
    total = np.empty((length, values.size, LANES), dtype=np.float32)
    best = np.empty((values.size, LANES), dtype=np.float32)
    _start(latent[0], curvature[0], values, word_costs, total[0])
    for t in range(1, length):
        _relax_table(total[t - 1], transition_costs, best)
        _add(best, latent[t], curvature[t], values, word_costs, total[t])
    _last_states(total[length - 1], states[length - 1])
    for t in range(length - 2, -1, -1):
        for lane in range(LANES):
            after = states[t + 1, lane]
            state = after
            least = total[t, after, lane] + transition_costs[after, after]
            for s in range(values.size):
                cost = total[t, s, lane] + transition_costs[s, after]
                if cost < least:
                    least, state = cost, s
            states[t, lane] = state
