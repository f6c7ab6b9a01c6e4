"""Constants of an ONNX graph as its operators see them: through transposes, reshapes and (de)quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fewflips.formats.number_formats import StorageType
from fewflips.network.onnx.elements import STORAGE_TYPES
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.shapes import CONTRIB, Value

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
    values : ndarray of int8 or uint8
        The integers.
    storage : StorageType
        Their type in the file.
    zero_points : ndarray of int32
        Broadcasts against `values`, of the same rank.
    scaled_axes : frozenset of int
        Axes along which scales or zero points differ.
    computed : bool
        Whether the file holds floats, which it quantizes by an operator.
    """

    tensor: str
    values: NDArray[np.integer] = field(repr=False)
    storage: StorageType
    zero_points: NDArray[np.int32] = field(repr=False)
    scaled_axes: frozenset[int]
    computed: bool = False


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
            values = self._file.values(constant)
            zero = np.zeros((1,) * values.ndim, dtype=np.int32)
            return IntegerWeights(name, values, storage, zero, frozenset())
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
        order = None if source is None else permutation_of(node, source.values.ndim)
        if source is None or order is None:
            return None
        return IntegerWeights(
            source.tensor,
            source.values.transpose(order),
            source.storage,
            source.zero_points.transpose(order),
            frozenset(order.index(axis) for axis in source.scaled_axes),
            source.computed,
        )

    def _dequantized(self, node: Node) -> IntegerWeights | None:
        source = self.integer_weights(node.inputs[0])
        if source is None or source.scaled_axes or source.zero_points.any():
            return None
        zero_points = self._broadcast(node, node.input(2), source.values.shape)
        scale_shape = self._values[node.inputs[1]].shape
        if zero_points is None or scale_shape is None:
            return None
        scaled = {axis for axis, length in enumerate(zero_points.shape) if length > 1}
        if int(np.prod(scale_shape)) > 1:
            axis = self.quantization_axis(node, source.values.ndim)
            scaled |= set(range(source.values.ndim)) if len(scale_shape) > 1 or axis is None else {axis}
        return IntegerWeights(
            source.tensor, source.values, source.storage, zero_points, frozenset(scaled), source.computed
        )

    def _quantized(self, node: Node) -> IntegerWeights | None:
        """Weights that the file holds as floats and quantizes by an operator."""
        constant = self._file.constants.get(node.inputs[0])
        storage = STORAGE_TYPES.get(self._values[node.outputs[0]].element_type)
        if constant is None or storage is None or constant.element_type not in _READ_FLOATS or constant.tensor is None:
            return None
        scale = self.array(node.inputs[1])
        zero_points = self._broadcast(node, node.input(2), constant.shape)
        if scale is None or zero_points is None or scale.ndim > 1 or node.integer("block_size", 0):
            return None
        if scale.size > 1:
            axis = self.quantization_axis(node, len(constant.shape))
            shape = [scale.size if i == axis else 1 for i in range(len(constant.shape))]
            if axis is None or scale.size != constant.shape[axis]:
                return None
            scale = scale.reshape(shape)
        floats = self._file.values(constant)
        with np.errstate(all="ignore"):
            steps = np.rint(floats / scale.astype(floats.dtype)) + zero_points
        codes = np.clip(np.nan_to_num(steps), storage.low, storage.high)
        values = codes.astype(np.int8 if storage.signed else np.uint8)
        zero = np.zeros((1,) * values.ndim, dtype=np.int32)
        return IntegerWeights(constant.name, values, storage, zero, frozenset(), computed=True)

    def _broadcast(self, node: Node, name: str, shape: tuple[int, ...]) -> NDArray[np.int32] | None:
        """Zero points of a (de)quantization, of the rank of what it reads; None where they do not fit."""
        rank = len(shape)
        if not name:
            return np.zeros((1,) * rank, dtype=np.int32)
        held = self.array(name)
        if held is None:
            return None
        values = held.astype(np.int32)
        if values.size == 1:
            return values.reshape((1,) * rank)
        if not rank:
            return None
        axis = node.integer("axis", 1) % rank
        block = node.integer("block_size", 0)
        if block:
            if values.ndim != rank or -(-shape[axis] // block) != values.shape[axis]:
                return None
            values = np.repeat(values, block, axis=axis).take(np.arange(shape[axis]), axis=axis)
            return values if values.shape == shape else None
        if values.shape != (shape[axis],):
            return None
        return values.reshape([values.size if i == axis else 1 for i in range(rank)])


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
