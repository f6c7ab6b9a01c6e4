"""Channels that moved between two files, and constants with these moves undone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fewflips.network.channels import ChannelGroups, TiedAxis
from fewflips.network.contents import ConstantPart
from fewflips.network.layouts import Blocks, Layout, groups_in

Orders = Mapping[int, NDArray[np.int64]]


def axes_by_tensor(groups: ChannelGroups) -> dict[str, list[TiedAxis]]:
    """The axes of each constant along which channels move."""
    result: defaultdict[str, list[TiedAxis]] = defaultdict(list)
    for tied in groups.axes:
        result[tied.tensor].append(tied)
    return dict(result)


def undone(
    part: ConstantPart, axes: list[TiedAxis] | tuple[TiedAxis, ...], groups: ChannelGroups, orders: Orders
) -> NDArray[np.generic]:
    """A part of the other file's constant, with its channel orders undone."""
    values = part.values
    for tied in axes:
        own = part.own_axis(tied.axis)
        if own is not None and any(group in orders for group in groups_in(tied.layout)):
            values = values.take(new_positions(tied.layout, groups, orders), axis=own)
    return values


def new_positions(layout: Layout, groups: ChannelGroups, orders: Orders) -> NDArray[np.int64]:
    """Position in the other file of each of the original's entries of an axis, shape (length of the axis,)."""
    positions: list[NDArray[np.int64]] = []
    offset = 0
    for piece in layout:
        if isinstance(piece, Blocks):
            inside = np.stack([new_positions(part, groups, orders) for part in piece.parts])
            place = np.argsort(orders[piece.group]) if piece.group in orders else np.arange(len(inside))
            positions.append((offset + place[:, np.newaxis] * inside.shape[1] + inside).reshape(-1))
            offset += inside.size
            continue
        channels = groups.sizes[piece.group]
        new_channel = np.arange(channels)
        if piece.group in orders:
            new_channel = np.empty(channels, dtype=np.int64)
            new_channel[orders[piece.group]] = np.arange(channels)
        outer, channel, inner = np.indices((piece.outer, channels, piece.inner)).reshape(3, -1)
        positions.append(offset + (outer * channels + new_channel[channel]) * piece.inner + inner)
        offset += piece.outer * channels * piece.inner
    return np.concatenate(positions)
