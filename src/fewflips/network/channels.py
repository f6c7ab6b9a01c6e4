"""Channels tied across a network: which constants must move together when channels are reordered.

Every activation tensor gets a layout of its channel axis: a sequence of pieces, each a channel group repeated
outwards and inwards. A product starts a group; channelwise operators tie groups; concatenation joins layouts;
a reshape turns channels into blocks (flattening); anything opaque, and the network's own inputs and outputs,
freezes the groups that it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.network.graph import Network, Operation, OperationKind, Tensor


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


Layout = tuple[Piece, ...]

MOST_PIECES = 4096
"""Axes made of more pieces than this are not followed: no real network has them, a hostile file may."""


@dataclass(frozen=True)
class TiedAxis:
    """An axis of a constant whose entries move with channels."""

    tensor: str
    axis: int
    follows: Literal["input", "output"]
    layout: Layout


@dataclass(frozen=True, eq=False)
class ChannelGroups:
    """Result of :func:`tie_channels`.

    Parameters
    ----------
    sizes : mapping of int to int
        Channels of each group.
    frozen : mapping of int to str
        Groups that must keep their order, and why.
    axes : tuple of TiedAxis
        Every axis of a constant that moves with a group.
    layouts : mapping of str to tuple of Piece
        How each activation tensor's channel axis is made of groups; empty where it has none.
    """

    sizes: Mapping[int, int]
    frozen: Mapping[int, str]
    axes: tuple[TiedAxis, ...] = field(repr=False)
    layouts: Mapping[str, Layout] = field(default_factory=dict, repr=False)

    @property
    def free(self) -> tuple[int, ...]:
        """Groups that may be reordered."""
        return tuple(group for group in self.sizes if group not in self.frozen)

    def permutations(self, orders: Mapping[int, NDArray[np.int64]]) -> dict[str, dict[int, NDArray[np.int64]]]:
        """What an order of each group does to the constants.

        Parameters
        ----------
        orders : mapping of int to ndarray of int64, shape (C,)
            New order of each group that moves: entry i is the old channel at the new position i.

        Returns
        -------
        dict of str to dict of int to ndarray of int64
            For each constant and axis, the old index at each new one: ``new = old.take(p, axis)``. Axes that
            stay as they are are left out.

        Raises
        ------
        InputError
            If an order is not a permutation of its group's channels, or the group is frozen.
        """
        for group, order in orders.items():
            if group in self.frozen:
                raise InputError(f"channel group {group} cannot move: {self.frozen[group]}")
            if not np.array_equal(np.sort(order), np.arange(self.sizes[group])):
                raise InputError(f"channel group {group}: expected a permutation of {self.sizes[group]} channels")
        result: dict[str, dict[int, NDArray[np.int64]]] = {}
        for tied in self.axes:
            index = self.axis_index(tied.layout, orders)
            if not np.array_equal(index, np.arange(len(index))):
                result.setdefault(tied.tensor, {})[tied.axis] = index
        return result

    def axis_index(self, layout: Layout, orders: Mapping[int, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Old index at each new one, along an axis of the layout given, shape (length of the axis,)."""
        parts, offset = [], 0
        for piece in layout:
            channels = self.sizes[piece.group]
            block = np.arange(piece.outer * channels * piece.inner).reshape(piece.outer, channels, piece.inner)
            if piece.group in orders:
                block = block.take(orders[piece.group], axis=1)
            parts.append(block.reshape(-1) + offset)
            offset += block.size
        return np.concatenate(parts)


def tie_channels(network: Network) -> ChannelGroups:
    """Find the groups of channels that must be reordered together.

    Parameters
    ----------
    network : Network
        Its operations, in execution order.

    Returns
    -------
    ChannelGroups
        Groups, which of them are frozen and why, and the constants that move with them.
    """
    analysis = _Analysis(network.tensors)
    for name in network.inputs:
        analysis.freeze(analysis.start(name), "input of the network")
    for operation in network.operations:
        analysis.visit(operation)
    for name in network.outputs:
        analysis.freeze(analysis.layout_of(name), "output of the network")
    return analysis.result()


class _Analysis:
    """State of the walk over a network: a union-find of groups and the layout of each tensor."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._parents: list[int] = []
        self._sizes: list[int] = []
        self._reasons: dict[int, str] = {}
        self._layouts: dict[str, Layout] = {}
        self._axes: dict[tuple[str, int], tuple[Literal["input", "output"], Layout]] = {}

    def start(self, name: str) -> Layout:
        """Give a tensor a new group of its own."""
        tensor = self._tensors[name]
        if tensor.channel_axis is None:
            self._layouts[name] = ()
            return ()
        group = len(self._parents)
        self._parents.append(group)
        self._sizes.append(tensor.shape[tensor.channel_axis])
        self._layouts[name] = (Piece(group),)
        return self._layouts[name]

    def layout_of(self, name: str) -> Layout:
        """A tensor's layout; one that nothing has produced is taken as fixed."""
        if name not in self._layouts:
            self.freeze(self.start(name), f"{name} is not computed by an operator that can be followed")
        return self._layouts[name]

    def freeze(self, layout: Layout, reason: str) -> None:
        """Forbid the groups of a layout to move."""
        for piece in layout:
            self._reasons.setdefault(self._root(piece.group), reason)

    def visit(self, operation: Operation) -> None:
        """Derive the layouts of an operation's outputs and tie its constants."""
        inputs = [self.layout_of(name) for name in operation.inputs]
        handler = {
            OperationKind.PRODUCT: self._product,
            OperationKind.CHANNELWISE: self._channelwise,
            OperationKind.CONCATENATION: self._concatenation,
            OperationKind.RESHAPE: self._reshape,
            OperationKind.OPAQUE: self._opaque,
        }[operation.kind]
        handler(operation, inputs)
        for constant in operation.constant_axes:
            followed = inputs[0] if constant.follows == "input" else self._layouts[operation.outputs[0]]
            self._tie_constant(constant.tensor, constant.axis, constant.follows, followed, operation)

    def result(self) -> ChannelGroups:
        """Groups by their root, numbered as they first occur."""
        roots = sorted({self._root(group) for group in range(len(self._parents))})
        number = {root: position for position, root in enumerate(roots)}
        reasons = {number[self._root(group)]: reason for group, reason in self._reasons.items()}
        axes = tuple(
            TiedAxis(tensor, axis, follows, self._renumber(layout, number))
            for (tensor, axis), (follows, layout) in self._axes.items()
        )
        layouts = {name: self._renumber(layout, number) for name, layout in self._layouts.items()}
        return ChannelGroups({number[root]: self._sizes[root] for root in roots}, reasons, axes, layouts)

    def _product(self, operation: Operation, inputs: list[Layout]) -> None:
        for name in operation.outputs:
            self.start(name)

    def _channelwise(self, operation: Operation, inputs: list[Layout]) -> None:
        layouts = [layout for layout in inputs if layout]
        for layout in layouts[1:]:
            self._tie(layouts[0], layout, operation)
        for name in operation.outputs:
            has_channels = self._tensors[name].channel_axis is not None
            if has_channels and not layouts:
                self.freeze(self.start(name), f"{operation.name} ({operation.operator})")
            else:
                self._layouts[name] = layouts[0] if has_channels else ()

    def _concatenation(self, operation: Operation, inputs: list[Layout]) -> None:
        if sum(len(layout) for layout in inputs) > MOST_PIECES:
            self._opaque(operation, inputs)
        else:
            self._layouts[operation.outputs[0]] = tuple(piece for layout in inputs for piece in layout)

    def _reshape(self, operation: Operation, inputs: list[Layout]) -> None:
        before, after = self._tensors[operation.inputs[0]], self._tensors[operation.outputs[0]]
        layout = _reshaped(inputs[0], before, after)
        if layout is None:
            self._opaque(operation, inputs)
        else:
            self._layouts[after.name] = layout

    def _opaque(self, operation: Operation, inputs: list[Layout]) -> None:
        reason = f"{operation.name} ({operation.operator}) does not let channels through"
        for layout in inputs:
            self.freeze(layout, reason)
        for name in operation.outputs:
            self.freeze(self.start(name), reason)

    def _tie_constant(
        self, tensor: str, axis: int, follows: Literal["input", "output"], layout: Layout, operation: Operation
    ) -> None:
        length = sum(self._sizes[self._root(piece.group)] * piece.outer * piece.inner for piece in layout)
        if length != self._tensors[tensor].shape[axis]:
            self.freeze(layout, f"{tensor} of {operation.name} does not have one entry a channel")
            return
        known = self._axes.setdefault((tensor, axis), (follows, layout))
        self._tie(known[1], layout, operation)

    def _tie(self, first: Layout, second: Layout, operation: Operation) -> None:
        if [self._shape(piece) for piece in first] != [self._shape(piece) for piece in second]:
            reason = f"{operation.name} ({operation.operator}) joins channels that are laid out differently"
            self.freeze(first + second, reason)
            return
        for left, right in zip(first, second, strict=True):
            self._union(left.group, right.group)

    def _shape(self, piece: Piece) -> tuple[int, int, int]:
        return self._sizes[self._root(piece.group)], piece.outer, piece.inner

    def _root(self, group: int) -> int:
        while self._parents[group] != group:
            self._parents[group] = self._parents[self._parents[group]]
            group = self._parents[group]
        return group

    def _union(self, first: int, second: int) -> None:
        low, high = sorted((self._root(first), self._root(second)))
        self._parents[high] = low

    def _renumber(self, layout: Iterable[Piece], number: Mapping[int, int]) -> Layout:
        return tuple(Piece(number[self._root(piece.group)], piece.outer, piece.inner) for piece in layout)


def _reshaped(layout: Layout, before: Tensor, after: Tensor) -> Layout | None:
    """Layout after a reshape that keeps each channel's elements in one block, or None where it does not."""
    if not layout or before.channel_axis is None or after.channel_axis is None:
        return None
    if 0 in before.shape or prod(before.shape) != prod(after.shape):
        return None
    outer_before, inner_before = (
        prod(before.shape[: before.channel_axis]),
        prod(before.shape[before.channel_axis + 1 :]),
    )
    outer_after, inner_after = prod(after.shape[: after.channel_axis]), prod(after.shape[after.channel_axis + 1 :])
    if outer_before % outer_after or inner_before % inner_after:
        return None
    outer, inner = outer_before // outer_after, inner_before // inner_after
    if len(layout) == 1:
        piece = layout[0]
        return (Piece(piece.group, piece.outer * outer, piece.inner * inner),)
    if len(layout) * outer > MOST_PIECES:
        return None
    return tuple(Piece(piece.group, piece.outer, piece.inner * inner) for piece in layout) * outer
