"""Channels cut into heads: attention, from the reshape that splits queries, keys and values to that which joins heads.

Between the two, channels lie on two axes, that of heads and that of each head's channels; of products of queries and
keys only heads are left. Operators outside, and all networks without such a reshape, are not touched by this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from fewflips.network.graph import ConstantAxis, OperationKind
from fewflips.network.onnx.constants import Constants, is_dequantize, is_quantize, permutation_of
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.shapes import Value
from fewflips.network.onnx.standard_forms import CONTRIB

_UNARY = frozenset(("Cast", "Clip", "DynamicQuantizeLinear", "Identity", "Dropout", "Neg", "Relu", "Abs", "IsNaN"))
"""Elementwise operators of which only the first operand is a tensor of the attention."""

_BINARY = frozenset(("Add", "Sub", "Mul", "Div", "Where", "Max", "Min", "Pow", "And", "Or"))
_SOFTMAX = frozenset(("Softmax", "LogSoftmax"))
_PRODUCTS: Mapping[tuple[str, str], tuple[int, int]] = {
    ("", "MatMul"): (0, 1),
    ("", "MatMulInteger"): (0, 1),
    ("", "QLinearMatMul"): (0, 3),
    (CONTRIB, "MatMulIntegerToFloat"): (0, 1),
}
"""Products of two activations -> positions of their operands; all further inputs have one element."""


class HeadAxes(NamedTuple):
    """Axes of heads and of the channels of each; the second is None where only heads are left."""

    heads: int
    channels: int | None


class Followed(NamedTuple):
    """What an operator does to heads and their channels."""

    kind: OperationKind
    inputs: tuple[str, ...]
    constants: tuple[ConstantAxis, ...] = ()


class _NotFollowed(Exception):
    """An operator through which heads are not followed."""


class Heads:
    """Where a graph has heads.

    Parameters
    ----------
    file : OnnxFile
        The decoded file.
    values : mapping of str to Value
        Shapes and types.
    constants : Constants
        Its constant part.
    channels : mapping of str to int
        Channel axis of each activation outside of attention.

    Attributes
    ----------
    axes : dict of str to HeadAxes
        For each tensor that has heads.
    followed : dict of int to Followed
        What operators do with them, by node index.
    """

    def __init__(
        self, file: OnnxFile, values: Mapping[str, Value], constants: Constants, channels: Mapping[str, int]
    ) -> None:
        self._values = values
        self._constants = constants
        self._channels = channels
        self.axes: dict[str, HeadAxes] = {}
        self.followed: dict[int, Followed] = {}
        for node in file.nodes:
            if constants.computes(node) or node.has_subgraph or not node.outputs or not node.outputs[0]:
                continue
            handler = self._handler(node)
            if handler is None:
                continue
            try:
                self.followed[node.index] = handler(node)
            except _NotFollowed:
                continue

    def touches(self, node: Node) -> bool:
        """Whether an operator reads a tensor that has heads."""
        return any(name in self.axes for name in node.inputs)

    def _handler(self, node: Node) -> Callable[[Node], Followed] | None:
        if node.operator == "Reshape" and node.domain == "":
            return self._join if node.inputs[0] in self.axes else self._split
        if not self.touches(node):
            return None
        if is_quantize(node) or is_dequantize(node):
            return self._alone
        if (node.domain, node.operator) in _PRODUCTS:
            return self._product
        if node.domain != "":
            return None
        families: tuple[tuple[frozenset[str], Callable[[Node], Followed]], ...] = (
            (_UNARY, self._alone),
            (_BINARY, self._joined),
            (_SOFTMAX, self._softmax),
            (frozenset(("Transpose",)), self._transpose),
        )
        return next((handler for operators, handler in families if node.operator in operators), None)

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self._values[name].shape
        if shape is None:
            raise _NotFollowed
        return shape

    def _axes(self, name: str) -> HeadAxes:
        if name not in self.axes:
            raise _NotFollowed
        return self.axes[name]

    def _require(self, condition: bool) -> None:
        if not condition:
            raise _NotFollowed

    def _single(self, names: Sequence[str]) -> None:
        self._require(all(prod(self._shape(name)) == 1 for name in names if name))

    def _split(self, node: Node) -> Followed:
        """The last axis becomes two."""
        source, output = node.inputs[0], node.outputs[0]
        before, after = self._shape(source), self._shape(output)
        self._require(len(after) == len(before) + 1 >= 3 and after[:-2] == before[:-1])
        self._require(after[-2] > 1 and after[-1] > 1 and self._channels.get(source) == len(before) - 1)
        self.axes[output] = HeadAxes(len(after) - 2, len(after) - 1)
        return Followed(OperationKind.SPLIT, (source,))

    def _join(self, node: Node) -> Followed:
        """The last two axes, heads and their channels, become one."""
        source, output = node.inputs[0], node.outputs[0]
        before, after = self._shape(source), self._shape(output)
        self._require(self._axes(source) == HeadAxes(len(before) - 2, len(before) - 1))
        self._require(after == (*before[:-2], before[-2] * before[-1]))
        self._require(self._channels.get(output) == len(after) - 1)
        return Followed(OperationKind.CHANNELWISE, (source,))

    def _alone(self, node: Node) -> Followed:
        source, output = node.inputs[0], node.outputs[0]
        self._single(node.inputs[1:])
        self._require(self._shape(output) == self._shape(source))
        self.axes[output] = self._axes(source)
        return Followed(OperationKind.CHANNELWISE, (source,))

    def _softmax(self, node: Node) -> Followed:
        axes, rank = self._axes(node.inputs[0]), len(self._shape(node.inputs[0]))
        over = node.integer("axis", -1)
        self._require(-rank <= over < rank and over % rank not in axes)
        return self._alone(node)

    def _transpose(self, node: Node) -> Followed:
        source, output = node.inputs[0], node.outputs[0]
        axes, order = self._axes(source), permutation_of(node, len(self._shape(source)))
        if order is None:
            raise _NotFollowed
        self.axes[output] = HeadAxes(
            order.index(axes.heads), None if axes.channels is None else order.index(axes.channels)
        )
        return Followed(OperationKind.CHANNELWISE, (source,))

    def _joined(self, node: Node) -> Followed:
        """Operands that broadcast against each other: those with heads have them on the same axes."""
        output = node.outputs[0]
        shape = self._shape(output)
        axes = next(self.axes[name] for name in node.inputs if name in self.axes)
        inputs: list[str] = []
        constants: tuple[ConstantAxis, ...] = ()
        for name in node.inputs:
            own = self._shape(name)
            padded = (1,) * (len(shape) - len(own)) + own
            if name in self.axes:
                self._require(own == shape and self.axes[name] == axes)
                inputs.append(name)
            elif any(axis is not None and padded[axis] != 1 for axis in axes):
                constants += self._constant(name, padded, shape, axes)
        self.axes[output] = axes
        return Followed(OperationKind.CHANNELWISE, tuple(inputs), constants)

    def _constant(
        self, name: str, padded: tuple[int, ...], shape: tuple[int, ...], axes: HeadAxes
    ) -> tuple[ConstantAxis, ...]:
        """A constant with an entry for each head, all of whose channels it is added to or multiplies."""
        channels = 1 if axes.channels is None else shape[axes.channels]
        self._require(self._constants.holds(name) and padded[axes.heads] == shape[axes.heads])
        self._require(axes.channels is None or padded[axes.channels] == 1)
        view = self._constants.view(name)
        along = None if view is None else view.axes_along(axes.heads - (len(shape) - len(view.shape)))
        if along is None:
            raise _NotFollowed
        return tuple(ConstantAxis(leaf, axis, "output", channels) for leaf, axis in along)

    def _product(self, node: Node) -> Followed:
        """Queries times keys, or mixtures of values."""
        positions, output = _PRODUCTS[node.domain, node.operator], node.outputs[0]
        first, second = (node.input(position) for position in positions)
        self._single([name for position, name in enumerate(node.inputs) if position not in positions])
        left, right = self._axes(first), self._axes(second)
        rank = len(self._shape(first))
        self._require(len(self._shape(second)) == rank and left.heads == right.heads < rank - 2)
        self._require(self._shape(first)[:-2] == self._shape(second)[:-2])
        if left.channels == rank - 1 and right.channels == rank - 2:
            self.axes[output] = HeadAxes(left.heads, None)
            return Followed(OperationKind.CONTRACTION, (first, second))
        self._require(left.channels is None and right.channels == rank - 1)
        self.axes[output] = right
        return Followed(OperationKind.MIXTURE, (first, second))
