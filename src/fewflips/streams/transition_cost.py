"""The cost of the step from one code to the next: flips, flips weighted by bit, or any table of integers.

Orders (`fewflips.ordering`), codes (`fewflips.assignment`), training (`fewflips.training`) and calibrated energies
(`fewflips.estimation.transition_costs`) share this object. Costs are integers, so that orders, bounds and certificates
are as exact for them as for flips.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.formats.number_formats import MAX_BITS
from fewflips.streams.flips import pairwise_distances, stream_flips

_MOST_TABLE_BITS = 9
_LARGEST_COST = 1 << 15
"""Limit for one lane: sums over some thousand lanes fit in 32 bits."""


@dataclass(frozen=True, eq=False)
class TransitionCost:
    """Costs of transitions between two codes on a lane, summed over lanes and transitions.

    Made by :meth:`flips`, :meth:`per_bit` or :meth:`from_table`. Two objects with the same costs are equal.

    Parameters
    ----------
    bits : int
        Width of a code.
    bit_costs : ndarray of int64, shape (bits,), or None
        Cost of a flip of each bit, least significant first; None if the costs are a table.
    table : ndarray of int64, shape (2 ** bits, 2 ** bits), or None
        Cost of the step between any two codes, in either direction; None if it follows from `bit_costs`.
    """

    bits: int
    bit_costs: NDArray[np.int64] | None = field(repr=False)
    table: NDArray[np.int64] | None = field(repr=False, default=None)

    @classmethod
    def flips(cls, bits: int) -> TransitionCost:
        """Every flip costs 1: the Hamming distance.

        Parameters
        ----------
        bits : int
            Width of a code.

        Returns
        -------
        TransitionCost
            The cost for codes of that many bits.
        """
        return cls.per_bit([1] * bits)

    @classmethod
    def per_bit(cls, costs: Any) -> TransitionCost:
        """A flip of each bit has its own cost.

        Parameters
        ----------
        costs : sequence of int
            One per bit, least significant first, 0 to 32768.

        Returns
        -------
        TransitionCost
            The cost for codes of that many bits.

        Raises
        ------
        InputError
            If there are none or more than 16, or one is not an integer in range.

        Examples
        --------
        >>> TransitionCost.per_bit([1, 10]).along(np.array([[0b00], [0b11]], dtype=np.uint8))
        11
        """
        found = _integers(costs, "costs of bits")
        if found.ndim != 1 or not 1 <= found.size <= MAX_BITS:
            raise InputError(f"costs of bits: expected 1 to {MAX_BITS} integers, got shape {found.shape}")
        return cls(found.size, found)

    @classmethod
    def from_table(cls, table: Any) -> TransitionCost:
        """Any costs between two codes, such as energies in a unit small enough to be integers.

        Parameters
        ----------
        table : array of integers, shape (2 ** bits, 2 ** bits)
            Symmetric, zero on the diagonal, 0 to 32768; for codes of at most 8 bits.

        Returns
        -------
        TransitionCost
            The cost given by the table.

        Raises
        ------
        InputError
            If the table has another shape or values.

        Examples
        --------
        >>> cost = TransitionCost.from_table([[0, 7], [7, 0]])
        >>> cost.along(np.array([[0, 1], [1, 1], [0, 1]], dtype=np.uint8))
        14
        """
        found = _integers(table, "table of costs")
        bits = max(1, found.shape[0].bit_length() - 1) if found.ndim == 2 else 0
        if found.shape != (1 << bits, 1 << bits) or bits > _MOST_TABLE_BITS:
            raise InputError(
                f"table of costs: expected 2 to {1 << _MOST_TABLE_BITS} rows and columns, a power of two, got shape "
                f"{found.shape}"
            )
        if found.diagonal().any() or not np.array_equal(found, found.T):
            raise InputError("table of costs: expected a symmetric one with zeros on its diagonal")
        return cls(bits, None, found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TransitionCost) and self._contents == other._contents

    def __hash__(self) -> int:
        return hash(self._contents)

    @cached_property
    def _contents(self) -> tuple[int, bytes | None, bytes | None]:
        bit_costs, table = self.bit_costs, self.table
        return (
            self.bits,
            None if bit_costs is None else bit_costs.tobytes(),
            None if table is None else table.tobytes(),
        )

    @cached_property
    def mean_per_flip(self) -> float:
        """Cost of the step between two codes, on average over all pairs, divided by the mean number of its flips.

        Examples
        --------
        >>> TransitionCost.per_bit([1, 4, 4]).mean_per_flip
        3.0
        """
        if self.bit_costs is not None:
            return float(self.bit_costs.mean())
        assert self.table is not None
        return float(self.table.mean()) / (self.bits / 2)

    @cached_property
    def unit(self) -> int:
        """Greatest common divisor of all costs: every stream costs a multiple of it; 1 if nothing costs anything.

        Examples
        --------
        >>> TransitionCost.per_bit([4, 6]).unit
        2
        """
        return int(np.gcd.reduce(self._costs)) or 1

    @cached_property
    def in_units(self) -> TransitionCost:
        """The same cost, counted in multiples of `unit`.

        Examples
        --------
        >>> TransitionCost.per_bit([10, 10]).in_units == TransitionCost.flips(2)
        True
        """
        if self.table is not None:
            return TransitionCost.from_table(self.table // self.unit)
        return TransitionCost.per_bit(self._costs // self.unit)

    @cached_property
    def is_flips(self) -> bool:
        """Whether the cost is the Hamming distance."""
        return self.bit_costs is not None and bool((self.bit_costs == 1).all())

    @cached_property
    def largest_step(self) -> int:
        """Cost of the dearest step between two codes on a lane.

        Examples
        --------
        >>> TransitionCost.per_bit([3, 5]).largest_step
        8
        """
        return int(self._costs.sum() if self.table is None else self._costs.max())

    @cached_property
    def is_metric(self) -> bool:
        """Whether no detour over a third code is cheaper than the direct step."""
        if self.table is None:
            return True
        return all(
            bool((self.table <= self.table[:, [code]] + self.table[[code]]).all()) for code in range(len(self.table))
        )

    def spread(self, words: NDArray[np.unsignedinteger], chains: int = 1) -> int:
        """A lower bound that needs no comparison of all rows: rows that differ at a cost are apart by the least cost.

        Codes between which there are steps without cost, over other codes even, count as equal.

        Parameters
        ----------
        words : ndarray of uint8 or uint16, shape (N, L)
            One word vector per row.
        chains : int
            Number of paths that visit the rows, at least 1.

        Returns
        -------
        int
            No `chains` paths that together visit every row cost less.

        Raises
        ------
        InputError
            If a code is wider than `bits`.

        Examples
        --------
        >>> words = np.array([[0b00], [0b01], [0b10]], dtype=np.uint8)
        >>> TransitionCost.per_bit([3, 5]).spread(words), TransitionCost.per_bit([0, 5]).spread(words)
        (6, 5)
        """
        self._check(words)
        priced = self._costs[self._costs > 0]
        if not priced.size:
            return 0
        return max(0, len(np.unique(self._classes[words], axis=0)) - chains) * int(priced.min())

    @cached_property
    def _costs(self) -> NDArray[np.int64]:
        """Costs of the flips of single bits, or of all steps; some may be zero."""
        if self.bit_costs is not None:
            return self.bit_costs
        assert self.table is not None
        return self.table.reshape(-1)

    @cached_property
    def _classes(self) -> NDArray[np.uint16]:
        """For each code, the smallest one that it reaches without cost, step by step; shape (2 ** bits,)."""
        codes = np.arange(1 << self.bits, dtype=np.int64)
        if self.bit_costs is not None:
            return (codes & sum(1 << bit for bit, cost in enumerate(self.bit_costs) if cost)).astype(np.uint16)
        assert self.table is not None
        free, found = self.table == 0, codes
        while True:
            reached = np.where(free, found, len(codes)).min(axis=1)
            if np.array_equal(reached, found):
                return found.astype(np.uint16)
            found = reached

    def along(self, words: NDArray[np.unsignedinteger]) -> int:
        """Cost of a stream.

        Parameters
        ----------
        words : ndarray of uint8 or uint16, shape (T, L)
            The word on each of L lanes in each of T cycles.

        Returns
        -------
        int
            Sum over lanes and consecutive cycles.

        Raises
        ------
        InputError
            If a code is wider than `bits`.
        """
        self._check(words)
        if self.is_flips:
            return stream_flips(words)
        if self.table is not None:
            return int(self.table[words[:-1], words[1:]].sum())
        assert self.bit_costs is not None
        changed = words[1:] ^ words[:-1]
        return sum(int(cost) * int(((changed >> bit) & 1).sum()) for bit, cost in enumerate(self.bit_costs))

    def distances(self, words: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
        """Costs of the steps between all pairs of rows.

        Parameters
        ----------
        words : ndarray of uint8 or uint16, shape (N, L)
            One word vector per row.

        Returns
        -------
        ndarray of int64, shape (N, N)
            Symmetric, zero on the diagonal.

        Raises
        ------
        InputError
            If a code is wider than `bits`.
        """
        self._check(words)
        if self.is_flips:
            return pairwise_distances(words).astype(np.int64)
        total = np.zeros((len(words), len(words)), np.int64)
        if self.table is not None:
            for lane in words.T:
                total += self.table[lane[:, None], lane]
            return total
        assert self.bit_costs is not None
        for bit, cost in enumerate(self.bit_costs):
            if cost:
                total += cost * pairwise_distances(np.ascontiguousarray((words >> bit) & 1))
        return total

    def _check(self, words: NDArray[np.unsignedinteger]) -> None:
        if words.size and int(words.max()) >> self.bits:
            raise InputError(f"words: expected codes of {self.bits} bits, got {int(words.max())}")


def _integers(values: Any, what: str) -> NDArray[np.int64]:
    try:
        found = np.asarray(values)
    except ValueError:
        raise InputError(f"{what}: expected rows of the same length, all of integers") from None
    if found.size and (found.dtype.kind not in "ui" or found.min() < 0 or found.max() > _LARGEST_COST):
        raise InputError(
            f"{what}: expected integers from 0 to {_LARGEST_COST}, got {found.dtype}; scale and round them"
        )
    kept = found.astype(np.int64)
    kept.flags.writeable = False
    return kept
