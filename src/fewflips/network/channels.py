"""Channels tied across a network: which constants must move together when channels are reordered.

Every activation tensor gets a layout of its channel axis: a sequence of pieces, each a channel group repeated
outwards and inwards, or blocks that move as a whole (:mod:`fewflips.network.layouts`). A product starts a group;
channelwise operators tie groups; concatenation joins layouts; a reshape turns channels into blocks (flattening), or
cuts them into blocks (the heads of an attention); anything opaque, and the network's own inputs and outputs, freezes
the groups that it touches.

Layouts are tied as terms are unified: a group of which nothing is known yet takes the layout that it must have, so that
a group may turn out to be made of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.network.graph import ConstantAxis, Network, Operation, OperationKind, Tensor
from fewflips.network.layouts import Blocks, Layout, Piece, groups_in, indices, inside_of, laid_over, length_of

MOST_PIECES = 4096
"""Axes made of more pieces than this are not followed: no real network has them, a hostile file may."""


@dataclass(frozen=True)
class TiedAxis:
    """An axis of a constant whose entries move with channels, or, of `block` channels, with blocks of them."""

    tensor: str
    axis: int
    follows: Literal["input", "output"]
    layout: Layout
    block: int = 1


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
    layouts : mapping of str to layout
        How each activation tensor's channel axis is made of groups; empty where it has none.
    added : frozenset of int
        Groups over whose channels floats are added: in another order, sums are rounded otherwise.
    """

    sizes: Mapping[int, int]
    frozen: Mapping[int, str]
    axes: tuple[TiedAxis, ...] = field(repr=False)
    layouts: Mapping[str, Layout] = field(default_factory=dict, repr=False)
    added: frozenset[int] = frozenset()

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
        return indices(layout, self.sizes, orders)


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
        self._groups = _Groups()
        self._reasons: list[tuple[Layout, str]] = []
        self._added: list[Layout] = []
        self._layouts: dict[str, Layout] = {}
        self._blocks: dict[str, Layout] = {}
        self._axes: dict[tuple[str, int], TiedAxis] = {}

    def start(self, name: str) -> Layout:
        """Give a tensor a new group of its own."""
        tensor = self._tensors[name]
        self._layouts[name] = ()
        if tensor.channel_axis is not None:
            self._layouts[name] = self._groups.new(tensor.shape[tensor.channel_axis])
        return self._layouts[name]

    def layout_of(self, name: str) -> Layout:
        """A tensor's layout; one that nothing has produced is taken as fixed."""
        if name not in self._layouts:
            self.freeze(self.start(name), f"{name} is not computed by an operator that can be followed")
        return self._layouts[name]

    def freeze(self, layout: Layout, reason: str) -> None:
        """Forbid the groups of a layout to move."""
        self._reasons.append((layout, reason))

    def visit(self, operation: Operation) -> None:
        """Derive the layouts of an operation's outputs and tie its constants."""
        inputs = [self.layout_of(name) for name in operation.inputs]
        handler = {
            OperationKind.PRODUCT: self._product,
            OperationKind.CHANNELWISE: self._channelwise,
            OperationKind.CONCATENATION: self._concatenation,
            OperationKind.RESHAPE: self._reshape,
            OperationKind.SPLIT: self._split,
            OperationKind.CONTRACTION: self._contraction,
            OperationKind.MIXTURE: self._mixture,
            OperationKind.SECTIONS: self._sections,
            OperationKind.REDUCTION: self._reduction,
            OperationKind.OPAQUE: self._opaque,
        }[operation.kind]
        handler(operation, inputs)
        if operation.adds_floats:
            self._added += inputs
        for constant in operation.constant_axes:
            followed = inputs[0] if constant.follows == "input" else self._layouts[operation.outputs[0]]
            self._tie_constant(constant, followed, operation)

    def result(self) -> ChannelGroups:
        """Groups that nothing else is made of, numbered as they first occur."""
        for name, layout in self._layouts.items():
            if self._groups.pieces(layout) > MOST_PIECES:
                self.freeze(layout, f"{name} is made of too many groups")
                self._layouts[name] = ()
        roots = self._groups.roots()
        number = {root: position for position, root in enumerate(roots)}
        reasons: dict[int, str] = {}
        for layout, reason in self._reasons:
            for group in sorted(self._groups.members(layout)):
                reasons.setdefault(number[group], reason)
        axes = tuple(
            TiedAxis(tied.tensor, tied.axis, tied.follows, self._renumbered(tied.layout, number), tied.block)
            for tied in self._axes.values()
            if self._groups.pieces(tied.layout) <= MOST_PIECES
        )
        layouts = {name: self._renumbered(layout, number) for name, layout in self._layouts.items()}
        added = frozenset(number[group] for layout in self._added for group in self._groups.members(layout))
        return ChannelGroups({number[root]: self._groups.sizes[root] for root in roots}, reasons, axes, layouts, added)

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
            self._keep_blocks(operation.inputs, name)

    def _keep_blocks(self, sources: tuple[str, ...], name: str) -> None:
        """Blocks of channels that have an axis of their own go on to an output."""
        found = next((self._blocks[source] for source in sources if source in self._blocks), None)
        if found is not None and self._tensors[name].block_axis is not None:
            self._blocks[name] = found

    def _concatenation(self, operation: Operation, inputs: list[Layout]) -> None:
        if sum(map(self._groups.pieces, inputs)) > MOST_PIECES:
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

    def _split(self, operation: Operation, inputs: list[Layout]) -> None:
        output = self._tensors[operation.outputs[0]]
        count = None if output.block_axis is None else output.shape[output.block_axis]
        if count is None or not inputs[0] or not 1 < count <= MOST_PIECES:
            self._opaque(operation, inputs)
            return
        self._blocks[output.name], self._layouts[output.name] = self._in_blocks(inputs[0], count, operation)

    def _in_blocks(self, layout: Layout, count: int, operation: Operation) -> tuple[Layout, Layout]:
        """Cut a layout into blocks of one length: the layout of the blocks, and that of their channels."""
        each = self._groups.length(layout) // count
        blocks = self._groups.new(count)
        whole = laid_over(blocks, [self._groups.new(each) for _ in range(count)], self._groups.sizes)
        self._tie(layout, whole, operation)
        return blocks, whole

    def _contraction(self, operation: Operation, inputs: list[Layout]) -> None:
        self._tie(inputs[0], inputs[1], operation)
        output = operation.outputs[0]
        blocks = self._blocks.get(operation.inputs[0], ())
        self._layouts[output] = blocks
        if blocks:
            self._blocks[output] = blocks

    def _mixture(self, operation: Operation, inputs: list[Layout]) -> None:
        blocks = self._blocks.get(operation.inputs[1], ())
        if blocks or inputs[0]:
            self._tie(inputs[0], blocks, operation)
        output = operation.outputs[0]
        self._layouts[output] = inputs[1]
        if blocks:
            self._blocks[output] = blocks

    def _sections(self, operation: Operation, inputs: list[Layout]) -> None:
        outputs = [self.start(name) for name in operation.outputs]
        self._tie(inputs[0], tuple(piece for layout in outputs for piece in layout), operation)

    def _reduction(self, operation: Operation, inputs: list[Layout]) -> None:
        for name in operation.outputs:
            self._layouts[name] = ()

    def _opaque(self, operation: Operation, inputs: list[Layout]) -> None:
        reason = f"{operation.name} ({operation.operator}) does not let channels through"
        for layout in inputs:
            self.freeze(layout, reason)
        for name in operation.outputs:
            self.freeze(self.start(name), reason)

    def _tie_constant(self, constant: ConstantAxis, layout: Layout, operation: Operation) -> None:
        length, entries = self._groups.length(layout), self._tensors[constant.tensor].shape[constant.axis]
        if length != entries * constant.block:
            self.freeze(layout, f"{constant.tensor} of {operation.name} does not have one entry a channel")
            return
        if constant.block > 1 and entries == 1:
            return
        followed = layout if constant.block == 1 else self._in_blocks(layout, entries, operation)[0]
        tied = TiedAxis(constant.tensor, constant.axis, constant.follows, followed, constant.block)
        known = self._axes.setdefault((constant.tensor, constant.axis), tied)
        self._tie(known.layout, followed, operation)

    def _tie(self, first: Layout, second: Layout, operation: Operation) -> None:
        if not self._groups.tie(first, second):
            reason = f"{operation.name} ({operation.operator}) joins channels that are laid out differently"
            self.freeze(first + second, reason)

    def _renumbered(self, layout: Layout, number: Mapping[int, int]) -> Layout:
        return _with_groups(self._groups.resolved(layout), number)


class _Groups:
    """A union-find of groups, some of which have turned out to be made of others."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._made_of: dict[int, Layout] = {}
        self.sizes: dict[int, int] = {}

    def new(self, size: int) -> Layout:
        """A layout of one new group."""
        group = len(self._parents)
        self._parents.append(group)
        self.sizes[group] = size
        return (Piece(group),)

    def roots(self) -> list[int]:
        """Groups that stand for themselves, in the order in which they were made."""
        return [root for root in sorted({*map(self._root, range(len(self._parents)))}) if root not in self._made_of]

    def length(self, layout: Layout) -> int:
        """Length of an axis."""
        return length_of(layout, self.sizes)

    def members(self, layout: Layout) -> set[int]:
        """Groups that stand for themselves and of which a layout is made."""
        found, pending, seen = set[int](), [*groups_in(layout)], set[int]()
        while pending:
            root = self._root(pending.pop())
            if root in self._made_of and root not in seen:
                pending += groups_in(self._made_of[root])
            elif root not in self._made_of:
                found.add(root)
            seen.add(root)
        return found

    def pieces(self, layout: Layout) -> int:
        """How many pieces a layout is made of, in terms of groups that stand for themselves."""
        known: dict[int, int] = {}
        return sum(self._pieces(piece, known) for piece in layout)

    def _pieces(self, piece: Piece | Blocks, known: dict[int, int]) -> int:
        root = self._root(piece.group)
        if root not in known:
            made_of = self._made_of.get(root, ())
            known[root] = sum(self._pieces(one, known) for one in made_of) or 1
        if isinstance(piece, Piece):
            return known[root] * (piece.outer if root in self._made_of else 1)
        return known[root] + sum(self._pieces(one, known) for part in piece.parts for one in part)

    def resolved(self, layout: Layout) -> Layout:
        """A layout in terms of groups that stand for themselves."""
        found: list[Piece | Blocks] = []
        for piece in layout:
            root = self._root(piece.group)
            own = self.resolved(self._made_of[root]) if root in self._made_of else (Piece(root),)
            if isinstance(piece, Blocks):
                found += laid_over(own, [self.resolved(part) for part in piece.parts], self.sizes)
            elif root in self._made_of:
                found += inside_of(own, piece.inner) * piece.outer
            else:
                found.append(Piece(root, piece.outer, piece.inner))
        return tuple(found)

    def tie(self, first: Layout, second: Layout) -> bool:
        """Make two layouts one; whether that is possible. What has been tied before it turns out not to be stays so."""
        many = max(self.pieces(first), self.pieces(second)) > MOST_PIECES
        if many or self.length(first) != self.length(second):
            return False
        left, right = list(self.resolved(first)), list(self.resolved(second))
        while left and right:
            if not self._tie_next(left, right):
                return False
        return not left and not right

    def _tie_next(self, left: list[Piece | Blocks], right: list[Piece | Blocks]) -> bool:
        """Tie what two layouts begin with, and take it from both."""
        for one, other in ((left, right), (right, left)):
            taken = self._equal_length(one[0], other)
            if taken and isinstance(one[0], Piece) and (one[0].outer, one[0].inner) == (1, 1):
                found = self._becomes(one[0].group, tuple(other[:taken]))
                del one[0], other[:taken]
                return found
        first, second = left.pop(0), right.pop(0)
        if isinstance(first, Blocks) and isinstance(second, Blocks):
            return self._tie_blocks(first, second)
        if isinstance(first, Blocks) or isinstance(second, Blocks):
            return False
        if (first.outer, first.inner) != (second.outer, second.inner):
            return False
        return self.tie((Piece(first.group),), (Piece(second.group),))

    def _equal_length(self, piece: Piece | Blocks, others: list[Piece | Blocks]) -> int:
        """How many pieces are as long as one; 0 where no number of them is."""
        length, total = self.length((piece,)), 0
        for count, other in enumerate(others, 1):
            total += self.length((other,))
            if total >= length:
                return count if total == length else 0
        return 0

    def _becomes(self, group: int, layout: Layout) -> bool:
        """A group of which nothing is known yet takes a layout, as later groups take earlier ones' places."""
        own, layout = self.resolved((Piece(group),)), self.resolved(layout)
        if own != (Piece(self._root(group)),):
            return self.tie(own, layout)
        root = self._root(group)
        if len(layout) == 1 and isinstance(layout[0], Piece) and (layout[0].outer, layout[0].inner) == (1, 1):
            low, high = sorted((root, layout[0].group))
            self._parents[high] = low
            return True
        if root in groups_in(layout):
            return False
        self._made_of[root] = layout
        return True

    def _tie_blocks(self, first: Blocks, second: Blocks) -> bool:
        """Blocks of both; the smaller ones of the two are blocks within the larger ones."""
        few, many = sorted((first, second), key=lambda blocks: len(blocks.parts))
        times, rest = divmod(len(many.parts), len(few.parts))
        if rest:
            return False
        if times == 1:
            parts = zip(few.parts, many.parts, strict=True)
            same = self.tie((Piece(few.group),), (Piece(many.group),))
            return same and all([self.tie(one, other) for one, other in parts])
        count = len(few.parts)
        larger = laid_over(self.new(count), [self.new(times) for _ in range(count)], self.sizes)
        return self._becomes(many.group, larger) and self.tie((few,), (many,))

    def _root(self, group: int) -> int:
        while self._parents[group] != group:
            self._parents[group] = self._parents[self._parents[group]]
            group = self._parents[group]
        return group


def _with_groups(layout: Layout, number: Mapping[int, int]) -> Layout:
    return tuple(
        Blocks(number[piece.group], tuple(_with_groups(part, number) for part in piece.parts))
        if isinstance(piece, Blocks)
        else Piece(number[piece.group], piece.outer, piece.inner)
        for piece in layout
    )


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
    piece = layout[0]
    if len(layout) == 1 and isinstance(piece, Piece):
        return (Piece(piece.group, piece.outer * outer, piece.inner * inner),)
    if len(layout) * outer > MOST_PIECES:
        return None
    return inside_of(layout, inner) * outer
