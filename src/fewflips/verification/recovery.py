"""Recovers channel orders from the constants of a file whose channels were moved.

A channel is identified by its entries in all constants that it touches: rows of weights, a bias, a scale, columns of
the next layer's weights. Groups are processed in the order in which the network computes them, so that the channels on
a constant's other axes are already known; along axes not known yet, entries count in any order. Channels that agree in
everything are interchangeable. A few differing entries (damage, or tampering) do not hide the order: channels without
an exact counterpart are matched to the one with the fewest differences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from math import prod

import numpy as np
from numpy.typing import NDArray

from fewflips.network.channels import ChannelGroups, TiedAxis
from fewflips.network.contents import ConstantPart, as_bytes
from fewflips.network.layouts import Blocks, Piece, groups_in, length_of, placed
from fewflips.verification.channel_moves import axes_by_tensor, undone

SWEEPS = 4
"""Number of rounds in which all groups are matched, from the second on knowing all other groups' orders."""

MOST_UNMATCHED = 256
"""Limit of channels without an equal counterpart for which the nearest one is sought; with more, the files hold
different weights, which no order explains."""

_MIXING = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""Shifts and factors of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""

Pairs = Sequence[tuple[ConstantPart, ConstantPart]]
Orders = dict[int, NDArray[np.int64]]


def recover_orders(groups: ChannelGroups, pairs: Pairs) -> Orders:
    """Find the order of every free group of channels that best explains the constants.

    Parameters
    ----------
    groups : ChannelGroups
        Groups of the original.
    pairs : sequence of (ConstantPart, ConstantPart)
        Each constant of the original, and its counterpart.

    Returns
    -------
    dict of int to ndarray of int64, shape (C,)
        For each free group, the original's channel at each new position.
    """
    uses = _uses(groups, pairs)
    orders: Orders = {}
    for sweep in range(SWEEPS):
        before = {group: order.copy() for group, order in orders.items()}
        for group in groups.free:
            if uses[group]:
                known = set(groups.frozen) | set(orders) - {group}
                orders[group] = _Matching(group, groups, uses[group], orders, known).order()
        if sweep and all(np.array_equal(before[group], order) for group, order in orders.items()):
            break
    return orders


Use = tuple[ConstantPart, ConstantPart, TiedAxis, list[TiedAxis]]
"""A constant of the original, its counterpart, the axis that holds a group's channels, and all axes that move."""


def _uses(groups: ChannelGroups, pairs: Pairs) -> dict[int, list[Use]]:
    axes = axes_by_tensor(groups)
    result: defaultdict[int, list[Use]] = defaultdict(list)
    for part, other in pairs:
        tied_axes = axes.get(part.tensor, [])
        for tied in tied_axes:
            if part.own_axis(tied.axis) is None:
                continue
            for group in set(groups_in(tied.layout)):
                result[group].append((part, other, tied, tied_axes))
    return result


class _Matching:
    """Channels of one group in both files."""

    def __init__(self, group: int, groups: ChannelGroups, uses: list[Use], orders: Orders, known: Set[int]) -> None:
        self._group = group
        self._groups = groups
        exact: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] = ([], [])
        loose: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] = ([], [])
        inside = self._inside(uses)
        rest = {key: order for key, order in orders.items() if key != group and key not in inside}
        for part, other, tied, tied_axes in uses:
            free = self._free_axes(part, tied, tied_axes, known)
            tables = loose if free or inside else exact
            for rows, values in zip(tables, (part.values, undone(other, tied_axes, groups, rest)), strict=True):
                rows.extend(self._rows(part, values, tied, free, bool(inside)))
        self._exact = [_joined(rows, groups.sizes[group]) for rows in exact]
        self._loose = [_joined(rows, groups.sizes[group]) for rows in loose]

    def order(self) -> NDArray[np.int64]:
        """The original's channel at each new position."""
        new_to_old = np.full(self._groups.sizes[self._group], -1, dtype=np.int64)
        both = [np.concatenate(tables, axis=1) for tables in zip(self._exact, self._loose, strict=True)]
        for tables in (both, self._exact, self._loose):
            if tables[0].shape[1]:
                _match_equal(tables[0], tables[1], new_to_old)
        _match_nearest(both[0], both[1], new_to_old)
        return new_to_old

    def _inside(self, uses: list[Use]) -> set[int]:
        """Groups within the group's channels, where these are blocks: their order is theirs in whichever block."""
        pieces = (piece for _, _, tied, _ in uses for _, piece in placed(tied.layout, self._groups.sizes))
        blocks = [piece for piece in pieces if isinstance(piece, Blocks) and piece.group == self._group]
        return {group for piece in blocks for part in piece.parts for group in groups_in(part)}

    def _free_axes(self, part: ConstantPart, tied: TiedAxis, tied_axes: list[TiedAxis], known: Set[int]) -> list[int]:
        """Axes of a part whose channels are not known yet."""
        others = [one for one in tied_axes if one is not tied and part.own_axis(one.axis) not in (None, tied.axis)]
        unknown = [one for one in others if any(group not in known for group in groups_in(one.layout))]
        return [one.axis for one in unknown]

    def _rows(
        self, part: ConstantPart, values: NDArray[np.generic], tied: TiedAxis, free: list[int], in_blocks: bool
    ) -> Iterator[NDArray[np.uint8]]:
        """The entries of each channel in a constant, shape (C, bytes); in any order along free axes and in blocks."""
        axis = part.own_axis(tied.axis)
        if axis is None:
            return
        table = np.moveaxis(as_bytes(values), axis, 0)
        places = [2] * in_blocks + [3 + other - (other > axis) for other in free]
        for start, outer, inner, channels in self._pieces(tied):
            block = table[start : start + outer * channels * inner]
            block = np.moveaxis(block.reshape(outer, channels, inner, *block.shape[1:]), 1, 0)
            if places:
                block = np.moveaxis(block, places, range(1, 1 + len(places)))
                entries = prod(block.shape[1 : 1 + len(places)])
                yield _in_any_order(np.ascontiguousarray(block).reshape(channels, entries, -1))
            else:
                yield np.ascontiguousarray(block).reshape(channels, -1)

    def _pieces(self, tied: TiedAxis) -> Iterator[tuple[int, int, int, int]]:
        sizes = self._groups.sizes
        for start, piece in placed(tied.layout, sizes):
            if piece.group == self._group and isinstance(piece, Blocks):
                yield start, 1, length_of(piece.parts[0], sizes), sizes[piece.group]
            elif piece.group == self._group and isinstance(piece, Piece):
                yield start, piece.outer, piece.inner, sizes[piece.group]


def _joined(rows: list[NDArray[np.uint8]], channels: int) -> NDArray[np.uint8]:
    return np.concatenate(rows, axis=1) if rows else np.empty((channels, 0), dtype=np.uint8)


def _in_any_order(entries: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An order-independent digest, shape (C, 16), of each channel's entries, shape (C, entries, bytes).

    Each entry is hashed to 128 bits (a random linear form, mixed as in SplitMix64), and the hashes are added.
    """
    factors = np.random.default_rng(0).integers(1, 1 << 63, size=(entries.shape[2], 2), dtype=np.uint64) | np.uint64(1)
    digests = np.empty((len(entries), 2), dtype=np.uint64)
    for channel, rows in enumerate(entries):
        hashes = rows.astype(np.uint64) @ factors
        for shift, factor in _MIXING:
            hashes ^= hashes >> np.uint64(shift)
            hashes *= np.uint64(factor)
        digests[channel] = (hashes ^ (hashes >> np.uint64(31))).sum(axis=0, dtype=np.uint64)
    return digests.view(np.uint8)


def _match_equal(old: NDArray[np.uint8], new: NDArray[np.uint8], new_to_old: NDArray[np.int64]) -> None:
    """Match channels without a counterpart by equal rows; several with the same row in their order."""
    free = np.setdiff1d(np.arange(len(old)), new_to_old)
    waiting: defaultdict[bytes, list[int]] = defaultdict(list)
    for channel in free[::-1]:
        waiting[old[channel].tobytes()].append(int(channel))
    for position in np.flatnonzero(new_to_old < 0):
        candidates = waiting.get(new[position].tobytes())
        if candidates:
            new_to_old[position] = candidates.pop()


def _match_nearest(old: NDArray[np.uint8], new: NDArray[np.uint8], new_to_old: NDArray[np.int64]) -> None:
    """Match the remaining channels, pairs with the fewest differing bytes first."""
    free = np.setdiff1d(np.arange(len(old)), new_to_old)
    positions = np.flatnonzero(new_to_old < 0)
    if len(free) > MOST_UNMATCHED:
        new_to_old[positions] = free
        return
    if not free.size:
        return
    distances = np.stack([(old[free] != new[position]).sum(axis=1) for position in positions])
    for flat in np.argsort(distances, axis=None, kind="stable"):
        row, column = divmod(int(flat), len(free))
        if new_to_old[positions[row]] < 0 and free[column] >= 0:
            new_to_old[positions[row]] = free[column]
            free[column] = -1
