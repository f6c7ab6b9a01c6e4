from __future__ import annotations

import numpy as np
import pytest

from fewflips.errors import InputError
from fewflips.network.channels import tie_channels
from tests.network_building import CHANNELWISE, CONCATENATION, OPAQUE, RESHAPE, GraphBuilder


def axis_of(groups, tensor, axis):
    (tied,) = [tied for tied in groups.axes if (tied.tensor, tied.axis) == (tensor, axis)]
    return tied.layout


def group_of(groups, tensor, axis):
    (piece,) = axis_of(groups, tensor, axis)
    return piece.group


def chain() -> GraphBuilder:
    build = GraphBuilder()
    build.tensor("x", 1, 4, 4, 3)
    build.product("x", "a", 1, 4, 4, 6)
    return build


def test_a_hidden_layer_moves_and_the_ends_stay():
    build = chain()
    build.operation(CHANNELWISE, ("a",), "relu", 1, 4, 4, 6)
    build.product("relu", "y", 1, 4, 4, 2)
    groups = tie_channels(build.network(("x",), ("y",)))
    hidden = group_of(groups, "a.w", 0)
    assert groups.free == (hidden,)
    assert group_of(groups, "a.b", 0) == group_of(groups, "y.w", 1) == hidden
    assert "input of the network" in groups.frozen.values()
    assert "output of the network" in groups.frozen.values()

    order = np.array([5, 3, 1, 0, 2, 4])
    moved = groups.permutations({hidden: order})
    assert {name: set(axes) for name, axes in moved.items()} == {"a.w": {0}, "a.b": {0}, "y.w": {1}}
    assert all(np.array_equal(p, order) for axes in moved.values() for p in axes.values())


def test_a_residual_addition_ties_its_producers():
    build = chain()
    build.product("a", "b", 1, 4, 4, 6)
    build.operation(CHANNELWISE, ("a", "b"), "sum", 1, 4, 4, 6)
    build.product("sum", "y", 1, 4, 4, 2)
    groups = tie_channels(build.network(("x",), ("y",)))
    assert (
        len({group_of(groups, tensor, axis) for tensor, axis in (("a.w", 0), ("b.w", 0), ("b.w", 1), ("y.w", 1))}) == 1
    )


def test_concatenation_lays_groups_side_by_side():
    build = chain()
    build.product("x", "b", 1, 4, 4, 2)
    build.operation(CONCATENATION, ("a", "b"), "ab", 1, 4, 4, 8)
    build.product("ab", "y", 1, 4, 4, 5)
    groups = tie_channels(build.network(("x",), ("y",)))
    first, second = group_of(groups, "a.w", 0), group_of(groups, "b.w", 0)
    assert first != second
    moved = groups.permutations({first: np.arange(6)[::-1], second: np.array([1, 0])})
    assert moved["y.w"][1].tolist() == [5, 4, 3, 2, 1, 0, 7, 6]


@pytest.mark.parametrize(
    ("shape", "channel_axis", "expected"),
    [
        ((1, 2, 2, 3), -1, [2, 0, 1, 5, 3, 4, 8, 6, 7, 11, 9, 10]),  # NHWC: channels are innermost
        ((1, 3, 2, 2), 1, [8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7]),  # NCHW: channels are outermost
    ],
)
def test_flattening_moves_blocks(shape, channel_axis, expected):
    build = GraphBuilder()
    build.tensor(
        "x",
        *shape[:1],
        *[4 if axis == channel_axis % 4 else size for axis, size in enumerate(shape)][1:],
        channel_axis=channel_axis,
    )
    build.product("x", "a", *shape, channel_axis=channel_axis)
    build.operation(RESHAPE, ("a",), "flat", 1, 12)
    build.product("flat", "y", 1, 7)
    groups = tie_channels(build.network(("x",), ("y",)))
    order = np.array([2, 0, 1])
    moved = groups.permutations({group_of(groups, "a.w", 0): order})
    values = np.arange(12).reshape(shape)
    assert moved["y.w"][1].tolist() == expected == values.take(order, axis=channel_axis).reshape(-1).tolist()


def test_a_reshape_that_splits_channels_freezes_them():
    build = chain()
    build.operation(RESHAPE, ("a",), "split", 1, 4, 4, 2, 3)
    build.product("split", "y", 1, 4, 4, 2, 2)
    groups = tie_channels(build.network(("x",), ("y",)))
    assert groups.free == ()


def test_an_opaque_operator_freezes_only_what_it_touches():
    build = chain()
    build.product("a", "b", 1, 4, 4, 6)
    build.operation(OPAQUE, ("b",), "shuffle", 1, 4, 4, 6)
    build.product("shuffle", "y", 1, 4, 4, 2)
    groups = tie_channels(build.network(("x",), ("y",)))
    assert groups.free == (group_of(groups, "a.w", 0),)
    assert groups.frozen[group_of(groups, "b.w", 0)] == "shuffle (OPAQUE) does not let channels through"


def test_a_group_that_joins_a_concatenation_is_made_of_its_groups():
    build = chain()
    build.product("x", "b", 1, 4, 4, 2)
    build.product("x", "c", 1, 4, 4, 4)
    build.operation(CONCATENATION, ("b", "c"), "bc", 1, 4, 4, 6)
    build.operation(CHANNELWISE, ("a", "bc"), "sum", 1, 4, 4, 6)
    build.product("sum", "y", 1, 4, 4, 2)
    groups = tie_channels(build.network(("x",), ("y",)))
    assert sorted(groups.sizes[group] for group in groups.free) == [2, 4]
    assert axis_of(groups, "a.w", 0) == axis_of(groups, "b.w", 0) + axis_of(groups, "c.w", 0)
    assert axis_of(groups, "y.w", 1) == axis_of(groups, "a.w", 0)


def test_joining_different_layouts_freezes_both():
    build = chain()
    for name, channels in (("b", 2), ("c", 4), ("d", 4), ("e", 2)):
        build.product("x", name, 1, 4, 4, channels)
    build.operation(CONCATENATION, ("b", "c"), "bc", 1, 4, 4, 6)
    build.operation(CONCATENATION, ("d", "e"), "de", 1, 4, 4, 6)
    build.operation(CHANNELWISE, ("bc", "de"), "sum", 1, 4, 4, 6)
    build.product("sum", "y", 1, 4, 4, 2)
    groups = tie_channels(build.network(("x",), ("y",)))
    assert groups.free == (group_of(groups, "a.w", 0),)


def test_a_constant_used_twice_ties_both_uses():
    build = chain()
    build.product("x", "b", 1, 4, 4, 6)
    shared = build.operations[-1]
    axes = tuple(axis for axis in shared.constant_axes if axis.tensor == "b.w")
    object.__setattr__(build.operations[0], "constant_axes", (*build.operations[0].constant_axes, *axes))
    build.product("a", "y", 1, 4, 4, 2)
    build.product("b", "z", 1, 4, 4, 2)
    groups = tie_channels(build.network(("x",), ("y", "z")))
    assert group_of(groups, "a.w", 0) == group_of(groups, "b.w", 0)


def test_a_constant_of_another_length_freezes_the_channels():
    build = chain()
    build.tensor("a.w", 5, 3, constant=True)
    build.product("a", "y", 1, 4, 4, 2)
    groups = tie_channels(build.network(("x",), ("y",)))
    assert groups.free == ()


def test_frozen_groups_and_bad_orders_are_refused():
    build = chain()
    build.product("a", "y", 1, 4, 4, 2)
    groups = tie_channels(build.network(("x",), ("y",)))
    (free,) = groups.free
    frozen = next(iter(groups.frozen))
    with pytest.raises(InputError, match="cannot move"):
        groups.permutations({frozen: np.arange(groups.sizes[frozen])})
    with pytest.raises(InputError, match="expected a permutation of 6 channels"):
        groups.permutations({free: np.zeros(6, dtype=np.int64)})


def test_endless_concatenation_is_not_followed():
    build = chain()
    source = "a"
    for step in range(20):
        build.operation(CONCATENATION, (source, source), f"c{step}", 1, 4, 4, 6 * 2 ** (step + 1))
        source = f"c{step}"
    build.product(source, "y", 1, 4, 4, 2)
    groups = tie_channels(build.network(("x",), ("y",)))
    assert "does not let channels through" in groups.frozen[group_of(groups, "a.w", 0)]
    assert max(len(tied.layout) for tied in groups.axes) <= 4096


def test_a_flattened_concatenation_of_many_pieces_is_not_followed():
    build = GraphBuilder()
    build.tensor("x", 1, 128, 128, 3)
    build.product("x", "a", 1, 128, 128, 4)
    build.product("x", "b", 1, 128, 128, 4)
    build.operation(CONCATENATION, ("a", "b"), "ab", 1, 128, 128, 8)
    build.operation(RESHAPE, ("ab",), "flat", 1, 128 * 128 * 8)
    build.product("flat", "y", 1, 2)
    assert tie_channels(build.network(("x",), ("y",))).free == ()
