"""Passes of a scheduled column: every word of a schedule once, in its order, with the right flags."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.datapath.scheduled_column.passes import column_passes
from fewflips.errors import InputError


def segment(lanes: list[int], order: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(lanes), np.array(order)


def test_a_segment_is_a_pass() -> None:
    passes = column_passes([segment([0, 1], [2, 0, 1]), segment([2], [1, 2, 0])], 3, 3, np.zeros(3))
    assert [one.channels.tolist() for one in passes] == [[2, 0, 1], [1, 2, 0]]
    assert [(one.first, one.last, one.base) for one in passes] == [(True, False, 0), (False, True, 0)]


def test_sums_of_the_next_tile_take_the_same_addresses() -> None:
    tiles = [segment([0], [1, 0]), segment([1], [0, 1]), segment([0], [3, 2]), segment([1], [3, 2])]
    passes = column_passes(tiles, 4, 2, np.zeros(4))
    assert [one.base for one in passes] == [0, 0, 2, 2]
    assert [one.addresses.tolist() for one in passes] == [[1, 0], [0, 1], [1, 0], [1, 0]]


def test_tiles_that_take_turns_keep_their_sums_apart() -> None:
    tiles = [segment([0], [1, 0]), segment([0], [3, 2]), segment([1], [0, 1]), segment([1], [3, 2])]
    assert [one.base for one in column_passes(tiles, 4, 2, np.zeros(4))] == [0, 0, 0, 0]


def test_a_segment_of_two_kinds_of_words_is_cut() -> None:
    mixed = [segment([0], [0, 1]), segment([1], [1, 2, 0]), segment([0], [2])]
    passes = column_passes(mixed, 3, 2, None)
    assert [one.channels.tolist() for one in passes] == [[0, 1], [1], [2], [0], [2]]
    assert [(one.first, one.last) for one in passes] == [
        (True, False),
        (False, True),
        (True, False),
        (False, True),
        (False, True),
    ]


def test_flags_of_negated_words_go_with_them() -> None:
    segments = [segment([0], [0, 1]), segment([1], [1, 2, 0]), segment([0], [2])]
    flags = [None, np.array([True, False, True]), np.array([True])]
    passes = column_passes(segments, 3, 2, None, flags)
    found = {
        (int(one.lanes[0]), int(channel)): bool(flag)
        for one in passes
        for channel, flag in zip(one.channels, one.sign_flags, strict=True)
    }
    negated = {(1, 1), (1, 0), (0, 2)}
    assert {place for place, flag in found.items() if flag} == negated
    assert len(found) == 6


def test_a_segment_of_two_groups_is_cut_unless_words_have_their_own_activations() -> None:
    whole = [segment([0, 1], [0, 2, 1, 3])]
    groups = np.array([0, 0, 1, 1])
    assert [one.channels.tolist() for one in column_passes(whole, 4, 2, groups)] == [[0], [2], [1], [3]]
    assert [one.channels.tolist() for one in column_passes(whole, 4, 2, None)] == [[0, 2, 1, 3]]


@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 4), st.integers(1, 6), st.randoms(use_true_random=False))
def test_every_product_once_in_the_order_of_the_segments(n, k, lanes, outputs, random) -> None:
    segments = [
        segment(
            list(range(lane, min(lane + lanes, k))),
            random.sample(range(tile, min(tile + outputs, n)), min(outputs, n - tile)),
        )
        for tile in range(0, n, outputs)
        for lane in range(0, k, lanes)
    ]
    random.shuffle(segments)  # tiles in any order, and mixed
    passes = column_passes(segments, n, k, np.zeros(n))
    assert [c for one in passes for c in one.channels.tolist()] == [c for _, order in segments for c in order.tolist()]
    sums: dict[int, tuple[int, int]] = {}  # by address: whose sum it holds, and products so far
    for one in passes:
        for channel, address in zip(one.channels.tolist(), one.addresses.tolist(), strict=True):
            holder, products = (channel, 0) if one.first else sums[address]
            assert holder == channel
            sums[address] = channel, products + len(one.lanes)
            assert one.last == (sums[address][1] == k)


@pytest.mark.parametrize(
    "segments", [[segment([0], [0, 1])], [segment([0, 1], [0])], [segment([0, 1], [0, 2])], [segment([], [0, 1])]]
)
def test_segments_that_leave_out_or_exceed_a_layer_are_refused(segments) -> None:
    with pytest.raises(InputError, match=r"^column: "):
        column_passes(segments, 2, 2, None)
