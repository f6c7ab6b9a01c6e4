"""Small tensors that an ONNX graph computes from shapes and constants: lengths for Reshape, Expand, Resize.

The shape inference of the onnx package propagates the values of few operators. Exporters write whole programs of
others (ConstantOfShape, Equal, Where, Cast), which are computed here, bounded in size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto

from fewflips.network.onnx.file import Constant, OnnxFile
from fewflips.network.onnx.nodes import Node

_LARGEST = 1024
"""Tensors with more elements are not computed."""

_DTYPES: Mapping[int, type[np.generic]] = {
    TensorProto.BOOL: np.bool_,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.FLOAT: np.float32,
}
"""Element types that are computed with."""

_Array = NDArray[Any]


class _NotKnown(Exception):
    """A value that is not computed."""


def computed_values(file: OnnxFile, shapes: Mapping[str, tuple[int, ...] | None]) -> dict[str, _Array]:
    """Values of what the graph computes from shapes and constants alone.

    Parameters
    ----------
    file : OnnxFile
        The file.
    shapes : mapping of str to tuple of int or None
        What is known of the shapes of its tensors.

    Returns
    -------
    dict of str to ndarray of bool, int32, int64 or float32
        Tensors of at most 1024 elements, by name; constants of the file are not among them.
    """
    reader = _Values(file, shapes)
    for node in file.nodes:
        operation = _OPERATIONS.get(node.operator)
        if operation is None or node.domain != "" or node.has_subgraph or len(node.outputs) != 1:
            continue
        try:
            with np.errstate(all="ignore"):
                result = np.asarray(operation(reader, node))
        except (_NotKnown, ValueError, IndexError, OverflowError):  # shapes that do not fit are found by the inference
            continue
        if node.outputs[0] and result.size <= _LARGEST and result.dtype.type in _DTYPES.values():
            reader.computed[node.outputs[0]] = result
    return reader.computed


class _Values:
    """What is known while the nodes are gone through."""

    def __init__(self, file: OnnxFile, shapes: Mapping[str, tuple[int, ...] | None]) -> None:
        self._file = file
        self._shapes = shapes
        self.opset = file.opset
        self.computed: dict[str, _Array] = {}

    def of(self, name: str) -> _Array:
        """Value of a tensor."""
        if name in self.computed:
            return self.computed[name]
        constant = self._file.constants.get(name)
        if constant is None:
            raise _NotKnown
        return self.held(constant)

    def all_of(self, node: Node) -> list[_Array]:
        """Values of all operands."""
        return [self.of(name) for name in node.inputs]

    def held(self, constant: Constant) -> _Array:
        """Value of a constant of the file."""
        dense = constant.tensor is not None or constant.scalar_values is not None
        if not dense or constant.element_type not in _DTYPES or constant.size > _LARGEST:
            raise _NotKnown
        return np.asarray(self._file.values(constant)).astype(_DTYPES[constant.element_type])

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        shape = self._shapes.get(name)
        if shape is None:
            raise _NotKnown
        return shape

    def lengths(self, name: str) -> tuple[int, ...]:
        """Value of a list of integers."""
        value = self.of(name)
        if value.dtype.kind != "i" or value.ndim > 1:
            raise _NotKnown
        return tuple(int(item) for item in value.reshape(-1))

    def parameter(self, node: Node, position: int, since: int, attribute: str) -> tuple[int, ...] | None:
        """Parameter that newer operator sets take as an input and older ones as an attribute; None where left out."""
        if self.opset < since:
            return node.integers(attribute)
        return self.lengths(node.input(position)) if node.input(position) else None


def _elementwise(function: Callable[..., _Array]) -> Callable[[_Values, Node], _Array]:
    def operation(values: _Values, node: Node) -> _Array:
        operands = values.all_of(node)
        if prod(np.broadcast_shapes(*(operand.shape for operand in operands))) > _LARGEST:
            raise _NotKnown
        try:
            return function(*operands)
        except TypeError as error:  # an element type, or a number of operands, that the operator does not have
            raise _NotKnown from error

    return operation


def _variadic(function: Callable[[_Array, _Array], _Array]) -> Callable[..., _Array]:
    return lambda *operands: reduce(function, operands)


def _quotient(dividend: _Array, divisor: _Array) -> _Array:
    if dividend.dtype.kind == "f":
        return np.asarray(dividend / divisor)
    if not divisor.all():
        raise _NotKnown
    size = np.abs(dividend) // np.abs(divisor)
    return np.where((dividend < 0) == (divisor < 0), size, -size)


def _shape(values: _Values, node: Node) -> _Array:
    shape = values.shape_of(node.input(0))
    return np.array(shape[node.integer("start", 0) : node.integer("end", len(shape))], dtype=np.int64)


def _constant_of_shape(values: _Values, node: Node) -> _Array:
    shape = values.lengths(node.input(0))
    if prod(shape) > _LARGEST or min(shape, default=0) < 0:
        raise _NotKnown
    attribute = node.attributes.get("value")
    if attribute is None:
        return np.zeros(shape, dtype=np.float32)
    if attribute.type != AttributeProto.TENSOR:
        raise _NotKnown
    tensor = attribute.t
    value = values.held(Constant("", tuple(tensor.dims), tensor.data_type, tensor))
    return np.full(shape, value.reshape(-1)[0])


def _cast(values: _Values, node: Node) -> _Array:
    value, wanted = values.of(node.input(0)), _DTYPES.get(node.integer("to", 0))
    if wanted is None or (value.dtype.kind == "f" and not np.isfinite(value).all()):
        raise _NotKnown
    return value.astype(wanted)


def _concat(values: _Values, node: Node) -> _Array:
    return np.concatenate(values.all_of(node), axis=node.integer("axis", 0))


def _gather(values: _Values, node: Node) -> _Array:
    data, indices = values.of(node.input(0)), values.of(node.input(1))
    axis = node.integer("axis", 0)
    if indices.dtype.kind != "i" or data.size * indices.size > _LARGEST**2:
        raise _NotKnown
    return np.take(data, indices, axis=axis)


def _slice(values: _Values, node: Node) -> _Array:
    data = values.of(node.input(0))
    starts, ends = (values.parameter(node, i, 10, name) for i, name in ((1, "starts"), (2, "ends")))
    if starts is None or ends is None:
        raise _NotKnown
    axes = values.parameter(node, 3, 10, "axes") or tuple(range(len(starts)))
    steps = (values.lengths(node.input(4)) if values.opset >= 10 and node.input(4) else None) or (1,) * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut = [slice(None)] * data.ndim
        cut[axis] = slice(start, end, step)
        data = data[tuple(cut)]
    return data


def _squeeze(values: _Values, node: Node) -> _Array:
    return np.squeeze(values.of(node.input(0)), axis=values.parameter(node, 1, 13, "axes"))


def _unsqueeze(values: _Values, node: Node) -> _Array:
    axes = values.parameter(node, 1, 13, "axes")
    if axes is None:
        raise _NotKnown
    return np.expand_dims(values.of(node.input(0)), axes)


def _reshape(values: _Values, node: Node) -> _Array:
    data, shape = values.of(node.input(0)), values.lengths(node.input(1))
    if 0 in shape:
        raise _NotKnown
    return data.reshape(shape)


def _expand(values: _Values, node: Node) -> _Array:
    data, shape = values.of(node.input(0)), values.lengths(node.input(1))
    wanted = np.broadcast_shapes(data.shape, shape)
    if prod(wanted) > _LARGEST:
        raise _NotKnown
    return np.broadcast_to(data, wanted)


def _range(values: _Values, node: Node) -> _Array:
    operands = values.all_of(node)
    if len(operands) != 3 or any(value.size != 1 or value.dtype.kind != "i" for value in operands):
        raise _NotKnown
    steps = range(*(int(value.reshape(-1)[0]) for value in operands))
    if len(steps) > _LARGEST:
        raise _NotKnown
    return np.array(steps, dtype=operands[0].dtype)


def _product(values: _Values, node: Node) -> _Array:
    axes = values.parameter(node, 1, 18, "axes")
    data = values.of(node.input(0))
    return np.asarray(np.prod(data, axis=axes, dtype=data.dtype, keepdims=bool(node.integer("keepdims", 1))))


_OPERATIONS: Mapping[str, Callable[[_Values, Node], _Array]] = {
    "Shape": _shape,
    "Size": lambda values, node: np.array(prod(values.shape_of(node.input(0))), dtype=np.int64),
    "ConstantOfShape": _constant_of_shape,
    "Cast": _cast,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Expand": _expand,
    "Range": _range,
    "ReduceProd": _product,
    "Identity": lambda values, node: values.of(node.input(0)),
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(_quotient),
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Floor": _elementwise(np.floor),
    "Ceil": _elementwise(np.ceil),
    "Min": _elementwise(_variadic(np.minimum)),
    "Max": _elementwise(_variadic(np.maximum)),
    "Equal": _elementwise(np.equal),
    "Less": _elementwise(np.less),
    "LessOrEqual": _elementwise(np.less_equal),
    "Greater": _elementwise(np.greater),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "Not": _elementwise(np.logical_not),
    "And": _elementwise(np.logical_and),
    "Or": _elementwise(np.logical_or),
    "Where": _elementwise(np.where),
}
"""Operator of the default domain -> its value; errors of numpy's mean that it is not known."""
