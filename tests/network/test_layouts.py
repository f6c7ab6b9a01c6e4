"""Blocks that move as a whole, against permutations that are written down entry by entry."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.network.channels import ChannelGroups
from fewflips.network.layouts import Blocks, Piece, groups_in, indices, inside_of, laid_over, length_of, placed
from fewflips.verification.channel_moves import new_positions

SIZES = {0: 3, 1: 2, 2: 2, 3: 2, 4: 2}
HEADS = (Blocks(0, ((Piece(1),), (Piece(2),), (Piece(3),))),)


def test_heads_move_and_channels_move_within_them():
    orders = {0: np.array([2, 0, 1]), 2: np.array([1, 0])}
    assert indices(HEADS, SIZES, orders).tolist() == [4, 5, 0, 1, 3, 2]


def test_pieces_know_where_they_are():
    layout = (Piece(4, inner=3), *HEADS)
    assert length_of(layout, SIZES) == 12
    assert [(start, piece.group) for start, piece in placed(layout, SIZES)] == [(0, 4), (6, 0), (6, 1), (8, 2), (10, 3)]
    assert list(groups_in(layout)) == [4, 0, 1, 2, 3]


def test_entries_become_several_side_by_side():
    orders = {0: np.array([1, 2, 0]), 1: np.array([1, 0])}
    wide = indices(inside_of(HEADS, 2), SIZES, orders).reshape(-1, 2)
    assert (wide[:, 0] == 2 * indices(HEADS, SIZES, orders)).all()
    assert (wide[:, 1] == wide[:, 0] + 1).all()


@pytest.mark.parametrize(
    "blocks",
    [
        (Piece(4),),
        (Piece(1, outer=2),),
        (Piece(1, inner=2),),
        (Piece(1), Piece(2)),
        (Blocks(1, ((Piece(2),), (Piece(3),))),),
    ],
)
def test_parts_are_laid_over_any_layout(blocks):
    sizes = {1: 2, 2: 2, 3: 2, 4: 4}
    rng = np.random.default_rng(0)
    orders = {group: rng.permutation(size) for group, size in sizes.items()}
    parts = [(Piece(group),) for group in (10, 11, 12, 13)]
    whole = laid_over(blocks, parts, sizes | dict.fromkeys((10, 11, 12, 13), 5))
    order_of_parts = indices(blocks, sizes, orders)
    expected = np.arange(20).reshape(4, 5)[order_of_parts].reshape(-1)
    assert indices(whole, sizes | dict.fromkeys((10, 11, 12, 13), 5), orders).tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_moving_and_undoing_are_written_twice_and_agree(seed):
    sizes = {0: 2, 1: 3, 2: 3, 3: 4, 4: 4, 5: 4, 6: 2}
    layout = (
        Blocks(0, ((Blocks(1, ((Piece(3),), (Piece(4),), (Piece(5),))),), (Blocks(2, ((Piece(6, outer=2),),) * 3),))),
        Piece(6, inner=2),
    )
    rng = np.random.default_rng(seed)
    orders = {group: rng.permutation(size) for group, size in sizes.items() if rng.random() < 0.8}
    groups = ChannelGroups(sizes, {}, ())
    moved = np.arange(length_of(layout, sizes))[indices(layout, sizes, orders)]
    assert moved[new_positions(layout, groups, orders)].tolist() == list(range(len(moved)))
