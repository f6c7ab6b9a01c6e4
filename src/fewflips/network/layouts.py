"""How an axis is made of channels: stretches of them, and blocks that move as a whole.

The heads of an attention are blocks: whole heads may change places, and channels within each. So are the channels that
share a scale, where scales belong to blocks of an axis. Blocks may hold blocks (heads that share keys).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Piece:
    """A stretch of an axis that holds one group's channels.

    The index within the stretch is (outer index x channels + channel) x inner + inner index.

    Parameters
    ----------
    group : int
        Channel group.
    outer, inner : int
        How often the channels repeat outside and inside: 1, 1 unless an axis was flattened.
    """

    group: int
    outer: int = 1
    inner: int = 1


@dataclass(frozen=True)
class Blocks:
    """Stretches of an axis, of one length, that move as a whole, and whose channels move within them.

    Parameters
    ----------
    group : int
        Group whose channels the stretches are.
    parts : tuple of layout
        What each stretch is made of.
    """

    group: int
    parts: tuple[Layout, ...]


Layout = tuple[Piece | Blocks, ...]


def groups_in(layout: Layout) -> Iterator[int]:
    """Groups of a layout, blocks before what is in them; one that occurs again is given again."""
    for piece in layout:
        yield piece.group
        if isinstance(piece, Blocks):
            for part in piece.parts:
                yield from groups_in(part)


def length_of(layout: Layout, sizes: Mapping[int, int]) -> int:
    """Length of an axis.

    Parameters
    ----------
    layout : layout
        What it is made of.
    sizes : mapping of int to int
        Channels of each group.
    """
    return sum(
        sum(length_of(part, sizes) for part in piece.parts)
        if isinstance(piece, Blocks)
        else piece.outer * sizes[piece.group] * piece.inner
        for piece in layout
    )


def placed(layout: Layout, sizes: Mapping[int, int], start: int = 0) -> Iterator[tuple[int, Piece | Blocks]]:
    """Each piece of a layout with its first index, blocks before what is in them."""
    for piece in layout:
        yield start, piece
        if isinstance(piece, Blocks):
            inside = start
            for part in piece.parts:
                yield from placed(part, sizes, inside)
                inside += length_of(part, sizes)
        start += length_of((piece,), sizes)


def indices(layout: Layout, sizes: Mapping[int, int], orders: Mapping[int, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Old index at each new one, along an axis.

    Parameters
    ----------
    layout : layout
        What the axis is made of.
    sizes : mapping of int to int
        Channels of each group.
    orders : mapping of int to ndarray of int64, shape (C,)
        The old channel at each new position, for the groups that move.

    Returns
    -------
    ndarray of int64, shape (length of the axis,)
        ``new = old[indices]``.
    """
    found, offset = [], 0
    for piece in layout:
        if isinstance(piece, Blocks):
            inside = []
            for part in piece.parts:
                inside.append(indices(part, sizes, orders) + offset)
                offset += len(inside[-1])
            found += [inside[block] for block in orders.get(piece.group, range(len(inside)))]
            continue
        channels = sizes[piece.group]
        block = np.arange(piece.outer * channels * piece.inner).reshape(piece.outer, channels, piece.inner)
        if piece.group in orders:
            block = block.take(orders[piece.group], axis=1)
        found.append(block.reshape(-1) + offset)
        offset += block.size
    return np.concatenate(found)


def inside_of(layout: Layout, inner: int) -> Layout:
    """A layout each of whose entries has become `inner` entries side by side."""
    if inner == 1:
        return layout
    return tuple(
        Blocks(piece.group, tuple(inside_of(part, inner) for part in piece.parts))
        if isinstance(piece, Blocks)
        else Piece(piece.group, piece.outer, piece.inner * inner)
        for piece in layout
    )


def laid_over(blocks: Layout, parts: Sequence[Layout], sizes: Mapping[int, int]) -> Layout:
    """Parts that move as the entries of an axis do, which may be made of several groups.

    Parameters
    ----------
    blocks : layout
        What the axis with one entry for each part is made of.
    parts : sequence of layout
        What each part is made of.
    sizes : mapping of int to int
        Channels of each group.

    Returns
    -------
    layout
        Of all parts, side by side.
    """
    result: list[Piece | Blocks] = []
    start = 0
    for piece in blocks:
        if isinstance(piece, Blocks):
            inside = []
            for part in piece.parts:
                stop = start + length_of(part, sizes)
                inside.append(laid_over(part, parts[start:stop], sizes))
                start = stop
            result.append(Blocks(piece.group, tuple(inside)))
            continue
        for _ in range(piece.outer):
            stop = start + sizes[piece.group] * piece.inner
            together = parts[start:stop]
            joined = (together[i : i + piece.inner] for i in range(0, len(together), piece.inner))
            result.append(Blocks(piece.group, tuple(tuple(one for part in few for one in part) for few in joined)))
            start = stop
    return tuple(result)
