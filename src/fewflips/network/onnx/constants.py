"""Constants of an ONNX graph as its operators see them: through transposes, reshapes and (de)quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fewflips.errors import ModelError
from fewflips.formats.number_formats import StorageType
from fewflips.network.onnx.elements import STORAGE_TYPES
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.matrices import ArraySource, OnnxMatrix, QuantizedArray, StoredArray
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.shapes import Value
from fewflips.network.onnx.standard_forms import CONTRIB
from fewflips.network.quantization_values import QuantizationValues

_RANDOM = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout")
)
_READ_NUMBERS = frozenset(
    (
        *STORAGE_TYPES,
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.DOUBLE,
        TensorProto.INT16,
        TensorProto.UINT16,
        TensorProto.INT32,
        TensorProto.UINT32,
        TensorProto.INT64,
        TensorProto.UINT64,
        TensorProto.BOOL,
    )
)
"""Element types whose values numpy holds; others are read as codes."""

_READ_FLOATS = frozenset((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE))


@dataclass(frozen=True)
class View:
    """A constant expression: which axes of which constants each of its axes is made of.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    leaves : mapping of str to tuple of (int or None)
        For each constant below it, the axis that each axis of the view runs along; None where the constant
        has length 1, or no such axis.
    fixed : frozenset of int
        Axes that cannot be reordered by reordering the constants.
    """

    shape: tuple[int, ...]
    leaves: Mapping[str, tuple[int | None, ...]]
    fixed: frozenset[int] = frozenset()

    def axes_along(self, axis: int) -> tuple[tuple[str, int], ...] | None:
        """Constants and axes to reorder in order to reorder an axis of the view; None where it cannot be."""
        if axis in self.fixed:
            return None
        found = ((name, axes[axis]) for name, axes in self.leaves.items())
        return tuple((name, along) for name, along in found if along is not None)


@dataclass(frozen=True, eq=False)
class IntegerWeights:
    """Integer weights, laid out as the operator that reads them sees them.

    Parameters
    ----------
    tensor : str
        The constant that holds them.
    source : ArraySource
        The integers as the file has them, int8 or uint8.
    order : tuple of int
        The axis of `source` at each axis of the operand.
    storage : StorageType
        Their type in the file.
    zero_points : QuantizationValues
        Of the operand, int32.
    scales : QuantizationValues or None
        Of the operand, floats; None where they are not known.
    scaled_axes : frozenset of int
        Axes along which scales or zero points differ.
    computed : bool
        Whether the file holds floats, which it quantizes by an operator.
    """

    tensor: str
    source: ArraySource
    order: tuple[int, ...]
    storage: StorageType
    zero_points: QuantizationValues
    scales: QuantizationValues | None = None
    scaled_axes: frozenset[int] = frozenset()
    computed: bool = False

    @classmethod
    def plain(cls, tensor: str, source: ArraySource, storage: StorageType, *, computed: bool = False) -> IntegerWeights:
        """Weights that nothing has dequantized or transposed yet."""
        rank = len(source.shape)
        zero = QuantizationValues.per_tensor(np.int32(0), rank)
        return cls(tensor, source, tuple(range(rank)), storage, zero, computed=computed)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the operand."""
        return tuple(self.source.shape[axis] for axis in self.order)

    def matrix(self, out_axis: int) -> OnnxMatrix:
        """The weights with output channels as rows; `out_axis` is their axis of the operand."""
        others = (axis for position, axis in enumerate(self.order) if position != out_axis)
        return OnnxMatrix(self.source, (self.order[out_axis], *others))

    def matrix_of_places(self) -> OnnxMatrix:
        """The weights of a transposed convolution: a row for each output channel, axis 1, and place of the kernel."""
        return OnnxMatrix(self.source, (*self.order[1:], self.order[0]), len(self.order) - 1)

    def as_rows(self, values: QuantizationValues, out_axis: int) -> QuantizationValues:
        """Scales or zero points of the operand as those of the matrix that :meth:`matrix` gives."""
        order = (out_axis, *(axis for axis in range(len(self.shape)) if axis != out_axis))
        if len(order) == 2:
            return values.transposed(order)
        along = values.along(out_axis, self.shape)
        if along is not None:
            return QuantizationValues.per_channel(along)
        rows = values.elements(self.shape).transpose(order)
        return QuantizationValues(rows.reshape(len(rows), -1))


class Constants:
    """The constant part of a graph.

    Parameters
    ----------
    file : OnnxFile
        The file.
    values : mapping of str to Value
        Shapes and types of all tensors.
    """

    def __init__(self, file: OnnxFile, values: Mapping[str, Value]) -> None:
        self._file = file
        self._values = values
        self._producers: dict[str, Node] = {}
        self._views: dict[str, View | None] = {}
        for node in file.nodes:
            if self._computes_constant(node):
                self._producers.update({name: node for name in node.outputs if name})
        self._uses = self._terminal_uses()

    def holds(self, name: str) -> bool:
        """Whether a tensor does not depend on the inputs of the network."""
        return name in self._file.constants or name in self._producers

    def computes(self, node: Node) -> bool:
        """Whether a node computes a constant."""
        return any(self._producers.get(name) is node for name in node.outputs)

    def users(self, name: str) -> frozenset[int]:
        """Nodes that read a constant of the file, directly or through constant nodes; -1 for the outputs."""
        return self._uses.get(name, frozenset())

    def number(self, name: str) -> float | None:
        """Value of a constant with one element; None where it is something else."""
        values = self.array(name)
        return float(values.reshape(-1)[0]) if values is not None and values.size == 1 else None

    def array(self, name: str) -> NDArray[np.generic] | None:
        """Values of a constant that the file holds as numbers; None where it does not."""
        constant = self._file.constants.get(name)
        if constant is None or (constant.tensor is None and constant.scalar_values is None):
            return None
        return self._file.values(constant) if constant.element_type in _READ_NUMBERS else None

    def view(self, name: str) -> View | None:
        """Describe a constant expression by axes of the file's constants; None where it is too involved for that."""
        if name not in self._views:
            self._views[name] = self._view(name)
        return self._views[name]

    def integer_weights(self, name: str) -> IntegerWeights | None:
        """Integer weights behind an operand; None where there are none that can be read.

        Parameters
        ----------
        name : str
            An integer constant, or floats that come from one by DequantizeLinear, transposed perhaps.

        Returns
        -------
        IntegerWeights or None
            The weights in the operand's own layout.
        """
        constant = self._file.constants.get(name)
        if constant is not None:
            storage = STORAGE_TYPES.get(constant.element_type)
            if storage is None or constant.tensor is None:
                return None
            return IntegerWeights.plain(name, self._file.stored(constant), storage)
        node = self._producers.get(name)
        if node is None:
            return None
        if node.operator == "Identity":
            return self.integer_weights(node.inputs[0])
        if node.operator == "Transpose":
            return self._transposed(node)
        if is_dequantize(node):
            return self._dequantized(node)
        return self._quantized(node) if is_quantize(node) else None

    def integer_vector(self, name: str) -> StoredArray | None:
        """A constant of int32, or what DequantizeLinear makes floats of without a zero point; None otherwise."""
        constant = self._file.constants.get(name)
        if constant is not None:
            if constant.tensor is None or constant.element_type != TensorProto.INT32:
                return None
            try:
                return self._file.stored(constant)
            except ModelError:  # flips need no bias
                return None
        node = self._producers.get(name)
        if node is None or not (node.operator == "Identity" or is_dequantize(node)):
            return None
        if node.input(2):
            zero_points = self.array(node.input(2))
            if zero_points is None or zero_points.any():
                return None
        return self.integer_vector(node.inputs[0])

    def quantization_axis(self, node: Node, rank: int) -> int | None:
        """Axis along which a (de)quantization has scales of its own; None where there is one scale."""
        scale = self._values[node.inputs[1]].shape
        if scale is None or int(np.prod(scale)) == 1:
            return None
        return node.integer("axis", 1) % rank if rank else None

    def _computes_constant(self, node: Node) -> bool:
        if node.has_subgraph or node.operator in _RANDOM or not any(node.inputs):
            return False
        return all(not name or self.holds(name) for name in node.inputs)

    def _terminal_uses(self) -> dict[str, frozenset[int]]:
        uses: dict[str, set[int]] = {}
        outputs = set(self._file.outputs)
        for node in reversed(self._file.nodes):
            final = {node.index}
            if self.computes(node):
                final = set().union(*(uses.get(name, set()) for name in node.outputs))
                final |= {-1} if outputs.intersection(node.outputs) else set()
            for name in (*node.inputs, *node.captured):
                if name:
                    uses.setdefault(name, set()).update(final)
        for name in outputs:
            uses.setdefault(name, set()).add(-1)
        return {name: frozenset(found) for name, found in uses.items() if name in self._file.constants}

    def _view(self, name: str) -> View | None:
        constant = self._file.constants.get(name)
        if constant is not None:
            axes = tuple(i if length != 1 else None for i, length in enumerate(constant.shape))
            held = constant.tensor is not None and constant.element_type != TensorProto.STRING
            fixed = frozenset[int]() if held else frozenset(range(len(axes)))
            return View(constant.shape, {name: axes} if held else {}, fixed)
        node = self._producers.get(name)
        if node is None or node.outputs[0] != name:
            return None
        if node.operator in ("Identity", "Cast") and node.domain == "":
            return self.view(node.inputs[0])
        if node.operator == "Transpose":
            return self._transposed_view(node)
        if node.operator in ("Reshape", "Squeeze", "Unsqueeze"):
            return self._reshaped_view(node)
        if node.operator == "Gather" and node.domain == "":
            return self._looked_up_view(node)
        if is_dequantize(node) or is_quantize(node):
            return self._quantization_view(node)
        return None

    def _transposed_view(self, node: Node) -> View | None:
        source = self.view(node.inputs[0])
        if source is None:
            return None
        order = permutation_of(node, len(source.shape))
        if order is None:
            return None
        return View(
            tuple(source.shape[axis] for axis in order),
            {name: tuple(axes[axis] for axis in order) for name, axes in source.leaves.items()},
            frozenset(position for position, axis in enumerate(order) if axis in source.fixed),
        )

    def _reshaped_view(self, node: Node) -> View | None:
        """Add or drop axes of length 1."""
        source, shape = self.view(node.inputs[0]), self._values[node.outputs[0]].shape
        if source is None or shape is None:
            return None
        before = [axis for axis, length in enumerate(source.shape) if length != 1]
        after = [axis for axis, length in enumerate(shape) if length != 1]
        if [source.shape[axis] for axis in before] != [shape[axis] for axis in after]:
            return None
        moved = dict(zip(after, before, strict=True))
        return View(
            shape,
            {
                name: tuple(axes[moved[axis]] if axis in moved else None for axis in range(len(shape)))
                for name, axes in source.leaves.items()
            },
            frozenset(new for new, old in moved.items() if old in source.fixed),
        )

    def _looked_up_view(self, node: Node) -> View | None:
        """Rows of a table: only its columns may move."""
        source, rows = self.view(node.inputs[0]), self._values[node.inputs[1]].shape
        if source is None or rows is None or len(source.shape) != 2 or node.integer("axis", 0) not in (0, -2):
            return None
        leaves = {name: (*(None for _ in rows), axes[1]) for name, axes in source.leaves.items()}
        fixed = frozenset(range(len(rows))) | ({len(rows)} if 1 in source.fixed else set())
        return View((*rows, source.shape[1]), leaves, fixed)

    def _quantization_view(self, node: Node) -> View | None:
        source = self.view(node.inputs[0])
        if source is None:
            return None
        rank = len(source.shape)
        leaves, fixed = dict(source.leaves), set(source.fixed)
        axis = self.quantization_axis(node, rank)
        if axis is None:
            return source
        for name in (part for part in node.inputs[1:3] if part):
            parameter = self.view(name)
            if parameter is None or parameter.shape != (source.shape[axis],):
                fixed.add(axis)
                if len(self._values[name].shape or ()) > 1:
                    fixed.update(range(rank))
                continue
            for leaf, axes in parameter.leaves.items():
                along = tuple(axes[0] if i == axis else None for i in range(rank))
                if leaves.setdefault(leaf, along) != along:
                    fixed.update(range(rank))
            if parameter.fixed:
                fixed.add(axis)
        return View(source.shape, leaves, frozenset(fixed))

    def _transposed(self, node: Node) -> IntegerWeights | None:
        source = self.integer_weights(node.inputs[0])
        order = None if source is None else permutation_of(node, len(source.order))
        if source is None or order is None:
            return None
        return replace(
            source,
            order=tuple(source.order[axis] for axis in order),
            zero_points=source.zero_points.transposed(order),
            scales=None if source.scales is None else source.scales.transposed(order),
            scaled_axes=frozenset(order.index(axis) for axis in source.scaled_axes),
        )

    def _dequantized(self, node: Node) -> IntegerWeights | None:
        source = self.integer_weights(node.inputs[0])
        if source is None or source.scaled_axes or source.zero_points.values.any():
            return None
        shape = source.shape
        zero_points = self._zero_points(node, shape)
        scale_shape = self._values[node.inputs[1]].shape
        if zero_points is None or scale_shape is None:
            return None
        lengths = shape if zero_points.block_axis is not None else zero_points.values.shape
        scaled = {axis for axis, length in enumerate(lengths) if length > 1}
        if int(np.prod(scale_shape)) > 1:
            axis = self.quantization_axis(node, len(shape))
            scaled |= set(range(len(shape))) if len(scale_shape) > 1 or axis is None else {axis}
        scales = self.scales(node.inputs[1])
        spread = None if scales is None else _spread(node, scales, shape)
        return replace(source, zero_points=zero_points, scales=spread, scaled_axes=frozenset(scaled))

    def _quantized(self, node: Node) -> IntegerWeights | None:
        """Weights that the file holds as floats and quantizes by an operator."""
        constant = self._file.constants.get(node.inputs[0])
        storage = STORAGE_TYPES.get(self._values[node.outputs[0]].element_type)
        if constant is None or storage is None or constant.element_type not in _READ_FLOATS or constant.tensor is None:
            return None
        scale = self.array(node.inputs[1])
        zero_points = self._zero_points(node, constant.shape)
        if scale is None or zero_points is None or scale.ndim > 1 or node.integer("block_size", 0):
            return None
        if scale.size > 1:
            axis = self.quantization_axis(node, len(constant.shape))
            shape = [scale.size if i == axis else 1 for i in range(len(constant.shape))]
            if axis is None or scale.size != constant.shape[axis]:
                return None
            scale = scale.reshape(shape)
        if not scale.size:
            return None
        source = QuantizedArray(self._file.stored(constant), scale, zero_points.values, storage)
        return IntegerWeights.plain(constant.name, source, storage, computed=True)

    def stored(self, name: str) -> StoredArray | None:
        """A constant of numbers, to be read when it is needed; None where the file does not hold one of that name."""
        constant = self._file.constants.get(name)
        if constant is None or constant.tensor is None or constant.element_type == TensorProto.STRING:
            return None
        return self._file.stored(constant)

    def scales(self, name: str) -> NDArray[np.generic] | None:
        """Scales that the file holds; None where it computes them, or they cannot be read, for flips need none."""
        constant = self._file.constants.get(name)
        if constant is None:
            return None
        try:
            if constant.element_type == TensorProto.BFLOAT16 and constant.tensor is not None:
                return (self._file.values(constant).astype(np.uint32) << 16).view(np.float32)
            values = self.array(name)
        except ModelError:
            return None
        return values if values is not None and np.issubdtype(values.dtype, np.floating) else None

    def _zero_points(self, node: Node, shape: tuple[int, ...]) -> QuantizationValues | None:
        """Zero points of a (de)quantization of an operand; None where they do not fit."""
        name = node.input(2)
        if not name:
            return QuantizationValues.per_tensor(np.int32(0), len(shape))
        held = self.array(name)
        return None if held is None else _spread(node, held.astype(np.int32), shape)


def _spread(node: Node, values: NDArray[Any], shape: tuple[int, ...]) -> QuantizationValues | None:
    """Scales or zero points of a (de)quantization of an operand; None where they do not fit."""
    rank = len(shape)
    if values.size == 1:
        return QuantizationValues.per_tensor(values.reshape(-1)[0], rank)
    if not rank:
        return None
    axis = node.integer("axis", 1) % rank
    block = node.integer("block_size", 0)
    if block:
        blocks = tuple(-(-length // block) if i == axis else length for i, length in enumerate(shape))
        return QuantizationValues(values, axis, block) if block > 0 and values.shape == blocks else None
    return QuantizationValues.per_channel(values, axis, rank) if values.shape == (shape[axis],) else None


def is_dequantize(node: Node) -> bool:
    """Whether a node is DequantizeLinear, of the standard or of ONNX Runtime's own."""
    return node.operator == "DequantizeLinear" and node.domain in ("", CONTRIB) and len(node.inputs) >= 2


def is_quantize(node: Node) -> bool:
    """Whether a node is QuantizeLinear, of the standard or of ONNX Runtime's own."""
    return node.operator == "QuantizeLinear" and node.domain in ("", CONTRIB) and len(node.inputs) >= 2


def permutation_of(node: Node, rank: int) -> tuple[int, ...] | None:
    """Axes of a Transpose; None where they are no permutation."""
    order = node.integers("perm") or tuple(reversed(range(rank)))
    return order if sorted(order) == list(range(rank)) else None
