"""From ONNX's operators to what each does to channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

from fewflips.network.graph import ConstantAxis, Operation, OperationKind, Tensor
from fewflips.network.notes import held_in_place_notes
from fewflips.network.onnx.constants import Constants, is_dequantize, is_quantize, permutation_of
from fewflips.network.onnx.elements import FLOAT_TYPES
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.heads import Heads
from fewflips.network.onnx.layers import OnnxProduct
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.packed_blocks import packed_constants
from fewflips.network.onnx.shapes import Value
from fewflips.network.onnx.standard_forms import CONTRIB

_ELEMENTWISE = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "Cast",
        "Ceil",
        "Clip",
        "Div",
        "Dropout",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Max",
        "Mean",
        "Min",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Sigmoid",
        "Sign",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
        "ThresholdedRelu",
        "Where",
    ]
)
"""Output element depends on the elements at the same place alone, and is rounded alike wherever that is.

Elu, Selu, Celu, Softplus, Mish, Log, Sin and Cos are not here: ONNX Runtime rounds them by one kernel in the body
of a tensor and by another at its end, so that moving a channel may change its last bit."""

_FIRST_OPERAND_ONLY = frozenset(("Cast", "Clip", "Dropout", "Identity"))
"""Elementwise operators whose further inputs are parameters."""

_CONTRIB_OPERANDS: Mapping[str, tuple[int, ...]] = {
    "QLinearAdd": (0, 3),
    "QLinearMul": (0, 3),
    "QLinearLeakyRelu": (0,),
    "QLinearSigmoid": (0,),
    "Gelu": (0,),
    "QuickGelu": (0,),
    "FastGelu": (0, 1),
    "BiasGelu": (0, 1),
}
"""Elementwise operators of ONNX Runtime's own -> positions of their operands."""

_POOLINGS = frozenset(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"))
_CONTRIB_POOLINGS = frozenset(("QLinearAveragePool", "QLinearGlobalAveragePool"))
_REDUCTIONS = frozenset(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"))
_SUMS = frozenset(("ReduceMean", "ReduceSum"))
_RESIZINGS = frozenset(("Resize", "Upsample"))
_RESHAPES = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze"))
_AXES_AS_INPUT = {"ReduceSum": 13}
_AXES_AS_INPUT_DEFAULT = 18

_NORMALIZATIONS = frozenset(("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"))
_SKIP_NORMALIZATIONS = frozenset(("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"))
"""Normalizations over the last axis, those of ONNX Runtime's own with a residual addition before."""

_SECOND_AXIS: Mapping[str, frozenset[str]] = {
    "": _POOLINGS | _RESIZINGS | {"BatchNormalization"},
    CONTRIB: _CONTRIB_POOLINGS,
}
"""Domain -> operators that have channels on the second axis, by definition."""

_SUM_PACKET = 4
"""Floats that ONNX Runtime adds at a time: sums over lengths that are no multiple of it depend on where they start."""

_Described = tuple[OperationKind, tuple[str, ...], tuple[ConstantAxis, ...]]


class _NotFollowed(Exception):
    """An operator through which channels are not followed."""


def describe(
    file: OnnxFile, values: Mapping[str, Value], constants: Constants, products: Mapping[int, OnnxProduct]
) -> tuple[tuple[Operation, ...], dict[str, Tensor], tuple[str, ...]]:
    """All operators, the tensors that they name, and notes on those that hold channels in place.

    Parameters
    ----------
    file : OnnxFile
        The decoded file.
    values : mapping of str to Value
        Shapes and types.
    constants : Constants
        Its constant part.
    products : mapping of int to OnnxProduct
        Weighted operators by node index.

    Returns
    -------
    operations : tuple of Operation
        In execution order, those that compute constants left out.
    tensors : dict of str to Tensor
        Every tensor that they name, and the inputs and outputs of the network.
    notes : tuple of str
        What operators are not followed.
    """
    channels = _channel_axes(file, values, constants, products)
    heads = Heads(file, values, constants, channels)
    reader = _OperatorReader(file, values, constants, products, channels, heads)
    nodes = [node for node in file.nodes if not constants.computes(node)]
    described = [reader.described(node) for node in nodes]
    _freeze_conflicts(nodes, described, constants)
    operations = tuple(
        Operation(
            node.label,
            node.operator,
            kind,
            inputs if kind is not OperationKind.OPAQUE else reader.activations(node),
            tuple(name for name in node.outputs if name),
            axes,
            adds_floats=_adds_floats(node, kind, values),
        )
        for node, (kind, inputs, axes) in zip(nodes, described, strict=True)
    )
    named = {name for operation in operations for name in (*operation.inputs, *operation.outputs)}
    tensors = {
        name: Tensor(name, values[name].shape or (), channels.get(name), constants.holds(name))
        for name in sorted(named | set(file.inputs) | set(file.outputs))
    }
    for name, axes in heads.axes.items():
        if name in tensors:
            channel_axis = axes.heads if axes.channels is None else axes.channels
            tensors[name] = replace(tensors[name], channel_axis=channel_axis, block_axis=axes.heads)
    held = {axis.tensor for operation in operations for axis in operation.constant_axes}
    held |= {layer.weights_tensor for product in products.values() for layer in product.layers}
    shapes = {name: file.constants[name].shape for name in held}
    shapes |= {name: packed.shape for name, packed in packed_constants(file).items() if name in held}
    tensors |= {name: Tensor(name, shapes[name], None, is_constant=True) for name in sorted(held)}
    return operations, tensors, held_in_place_notes(operations)


def _freeze_conflicts(nodes: Sequence[Node], described: list[_Described], constants: Constants) -> None:
    """Make operators opaque whose constants have another use, one that does not move with channels.

    Turning one operator opaque takes its constants from it, so that others may have to follow.
    """
    readers: dict[str, set[int]] = {}
    position = {node.index: place for place, node in enumerate(nodes)}
    for place, (_, _, axes) in enumerate(described):
        for axis in axes:
            readers.setdefault(axis.tensor, set()).add(place)
    pending = list(readers)
    while pending:
        name = pending.pop()
        if {position.get(index, -1) for index in constants.users(name)} == readers[name]:
            continue
        for place in sorted(readers[name]):
            touched = {axis.tensor for axis in described[place][2]}
            described[place] = (OperationKind.OPAQUE, (), ())
            for other in touched:
                readers[other].discard(place)
            pending += [other for other in sorted(touched) if readers[other]]


class _OperatorReader:
    """Says what each operator does to channels."""

    def __init__(
        self,
        file: OnnxFile,
        values: Mapping[str, Value],
        constants: Constants,
        products: Mapping[int, OnnxProduct],
        channels: Mapping[str, int],
        heads: Heads,
    ) -> None:
        self._file = file
        self._heads = heads
        self._values = values
        self._constants = constants
        self._products = products
        self._channels = channels
        self._read = {name for node in file.nodes for name in (*node.inputs, *node.captured)} | set(file.outputs)

    def activations(self, node: Node) -> tuple[str, ...]:
        """Tensors that a node and its subgraphs read and that depend on the inputs of the network."""
        captured = sorted(name for name in node.captured if name in self._values)
        names = [name for name in (*node.inputs, *captured) if name and not self._constants.holds(name)]
        return tuple(dict.fromkeys(names))

    def described(self, node: Node) -> _Described:
        """Kind, activations and constants of an operator."""
        if node.index in self._heads.followed:
            return self._heads.followed[node.index]
        handler = None if self._heads.touches(node) else self._handler(node)
        if handler is None or node.has_subgraph or not node.outputs or not node.outputs[0]:
            return OperationKind.OPAQUE, (), ()
        try:
            return handler(node)
        except _NotFollowed:
            return OperationKind.OPAQUE, (), ()

    def _handler(self, node: Node) -> Callable[[Node], _Described] | None:
        if node.index in self._products:
            return self._product
        if is_quantize(node) or is_dequantize(node):
            return self._quantization
        if node.domain == CONTRIB:
            if node.operator == "QLinearConcat":
                return self._concat
            if node.operator in _CONTRIB_POOLINGS:
                return self._pooling
            if node.operator in _SKIP_NORMALIZATIONS:
                return self._skip_normalization
            if node.operator == "GatherBlockQuantized":
                return self._blocked_lookup
            return self._elementwise if node.operator in _CONTRIB_OPERANDS else None
        if node.domain != "":
            return None
        families: tuple[tuple[frozenset[str], Callable[[Node], _Described]], ...] = (
            (_ELEMENTWISE, self._elementwise),
            (_POOLINGS, self._pooling),
            (_REDUCTIONS, self._reduction),
            (_RESIZINGS, self._resizing),
            (_RESHAPES, self._reshape),
            (frozenset(("DynamicQuantizeLinear",)), self._dynamic_quantization),
            (frozenset(("Pad",)), self._padding),
            (frozenset(("BatchNormalization",)), self._batch_normalization),
            (frozenset(("Concat",)), self._concat),
            (frozenset(("Transpose",)), self._transpose),
            (frozenset(("Gather",)), self._lookup),
            (_NORMALIZATIONS, self._normalization),
            (frozenset(("Split",)), self._sections),
        )
        return next((handler for operators, handler in families if node.operator in operators), None)

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self._values[name].shape
        if shape is None:
            raise _NotFollowed
        return shape

    def _label(self, name: str) -> int:
        """Channel axis of a tensor, counted from the end."""
        axis = self._channels.get(name)
        if axis is None:
            raise _NotFollowed
        return axis - len(self._shape(name))

    def _length(self, name: str, label: int) -> int:
        """Length of an axis counted from the end; 1 where the tensor has fewer axes."""
        shape = self._shape(name)
        return shape[label] if len(shape) >= -label else 1

    def _require(self, condition: bool) -> None:
        if not condition:
            raise _NotFollowed

    def _single_output(self, node: Node) -> str:
        self._require(not any(name in self._read for name in node.outputs[1:] if name))
        return node.outputs[0]

    def _parameters_single(self, node: Node, operands: Sequence[int]) -> None:
        """Every input but the operands has one element."""
        for position, name in enumerate(node.inputs):
            if name and position not in operands:
                self._require(prod(self._shape(name)) == 1)

    def _moving(self, name: str, label: int, length: int) -> tuple[ConstantAxis, ...]:
        """Axes of the constants behind an operand that has `length` entries along an axis, or one."""
        found = self._length(name, label)
        if found == 1:
            return ()
        view = self._constants.view(name)
        self._require(found == length and view is not None)
        along = view.axes_along(len(view.shape) + label) if view is not None else None
        if along is None:
            raise _NotFollowed
        return tuple(ConstantAxis(leaf, axis, "output") for leaf, axis in along)

    def _product(self, node: Node) -> _Described:
        product = self._products[node.index]
        if product.kind is not OperationKind.OPAQUE:
            for name in (node.inputs[0], node.outputs[0]):
                self._require(self._label(name) == product.channel_axis)
        return product.kind, (node.inputs[0],), product.constant_axes

    def _elementwise(self, node: Node) -> _Described:
        operands = _operands(node)
        self._single_output(node)
        self._parameters_single(node, operands)
        return self._joined(node, [node.input(position) for position in operands])

    def _joined(self, node: Node, operands: Sequence[str]) -> _Described:
        """Operands that broadcast against each other: those with channels must have them on one axis."""
        output = node.outputs[0]
        if prod(self._shape(output)) == 1:
            self._require(all(prod(self._shape(name)) == 1 for name in operands))
            return OperationKind.CHANNELWISE, (), ()
        label = self._label(output)
        length = self._length(output, label)
        activations: list[str] = []
        axes: tuple[ConstantAxis, ...] = ()
        for name in operands:
            if self._constants.holds(name):
                axes += self._moving(name, label, length)
            elif self._length(name, label) == length and len(self._shape(name)) >= -label:
                self._require(self._label(name) == label)
                activations.append(name)
            else:
                self._require(prod(self._shape(name)) == 1 or self._channels.get(name) == self._axis(name, label))
        if activations:
            return OperationKind.CHANNELWISE, tuple(activations), tuple(dict.fromkeys(axes))
        # A scalar times a constant vector: its channels start here, and move as the constants do.
        return OperationKind.PRODUCT, (), tuple(dict.fromkeys(axes))

    def _axis(self, name: str, label: int) -> int | None:
        axis = len(self._shape(name)) + label
        return axis if axis >= 0 else None

    def _quantization(self, node: Node) -> _Described:
        source = node.inputs[0]
        label = self._label(source)
        self._require(self._label(node.outputs[0]) == label and not node.integer("block_size", 0))
        axes: tuple[ConstantAxis, ...] = ()
        for name in (name for name in node.inputs[1:3] if name):
            if prod(self._shape(name)) == 1:
                continue
            axis = node.integer("axis", 1) % len(self._shape(source))
            self._require(len(self._shape(name)) == 1 and self._constants.holds(name))
            if axis == self._channels[source]:
                axes += self._moving(name, -1, self._length(source, label))
        return OperationKind.CHANNELWISE, (source,), axes

    def _dynamic_quantization(self, node: Node) -> _Described:
        self._require(self._label(node.inputs[0]) == self._label(node.outputs[0]))
        return OperationKind.CHANNELWISE, (node.inputs[0],), ()

    def _same_channels(self, node: Node) -> _Described:
        source, output = node.inputs[0], self._single_output(node)
        label = self._label(source)
        self._require(self._label(output) == label and self._length(output, label) == self._length(source, label))
        return OperationKind.CHANNELWISE, (source,), ()

    def _pooling(self, node: Node) -> _Described:
        self._require(self._channels.get(node.inputs[0]) == 1 and not node.integer("channels_last", 0))
        self._parameters_single(node, (0,))
        return self._same_channels(node)

    def _resizing(self, node: Node) -> _Described:
        cropped = node.text("coordinate_transformation_mode", "") == "tf_crop_and_resize"
        self._require(self._channels.get(node.inputs[0]) == 1 and not cropped)
        return self._same_channels(node)

    def _reduction(self, node: Node) -> _Described:
        source, output = node.inputs[0], self._single_output(node)
        shape = self._shape(source)
        axes = self._integers(node, 1, _AXES_AS_INPUT.get(node.operator, _AXES_AS_INPUT_DEFAULT), "axes")
        self._require(bool(axes) and all(-len(shape) <= axis < len(shape) for axis in axes))
        reduced = sorted({axis % len(shape) for axis in axes})
        channel = len(shape) + self._label(source)
        before = 0 if node.integer("keepdims", 1) else sum(axis < channel for axis in reduced)
        if channel in reduced:
            self._require(bool(node.integer("keepdims", 1)))
            return OperationKind.REDUCTION, (source,), ()
        self._require(self._channels.get(output) == channel - before)
        if node.operator in _SUMS and self._values[source].element_type in FLOAT_TYPES:
            last = [axis for axis in reduced if axis > channel]
            self._require(not last or prod(shape[axis] for axis in last) % _SUM_PACKET == 0)
        return OperationKind.CHANNELWISE, (source,), ()

    def _integers(self, node: Node, position: int, since: int, attribute: str) -> tuple[int, ...]:
        """Parameter that newer operator sets take as an input and older ones as an attribute."""
        if self._file.opset < since:
            return node.integers(attribute) or ()
        name = node.input(position)
        held = self._constants.array(name) if name else None
        self._require(not name or (held is not None and held.dtype.kind == "i"))
        return () if held is None else tuple(int(value) for value in held.reshape(-1))

    def _padding(self, node: Node) -> _Described:
        rank, channel = len(self._shape(node.inputs[0])), self._channels.get(node.inputs[0])
        pads = self._integers(node, 1, 11, "pads")
        axes = self._integers(node, 3, 18, "axes") if self._file.opset >= 18 else ()
        axes = tuple(axis % rank for axis in axes) if axes and rank else tuple(range(rank))
        self._require(len(pads) == 2 * len(axes))
        padded = {axis for place, axis in enumerate(axes) if pads[place] or pads[place + len(axes)]}
        self._require(channel not in padded and (not node.input(2) or prod(self._shape(node.input(2))) == 1))
        return self._same_channels(node)

    def _batch_normalization(self, node: Node) -> _Described:
        self._require(len(node.inputs) == 5 and all(node.inputs) and not node.integer("training_mode", 0))
        self._require(self._channels.get(node.inputs[0]) == 1)
        kind, inputs, _ = self._same_channels(node)
        length = self._shape(node.inputs[0])[1]
        self._require(all(self._constants.holds(name) for name in node.inputs[1:]))
        axes = tuple(axis for name in node.inputs[1:] for axis in self._moving(name, -1, length))
        return kind, inputs, tuple(dict.fromkeys(axes))

    def _concat(self, node: Node) -> _Described:
        own = node.domain == CONTRIB
        parts = tuple(node.inputs[2::3] if own else node.inputs)
        if own:
            self._parameters_single(node, range(2, len(node.inputs), 3))
        output = node.outputs[0]
        label, rank = self._label(output), len(self._shape(output))
        self._require(bool(parts) and all(parts) and not any(self._constants.holds(name) for name in parts))
        self._require(all(self._label(name) == label for name in parts))
        axis = node.integer("axis", 1)
        self._require(-rank <= axis < rank)
        if axis % rank == rank + label:
            return OperationKind.CONCATENATION, parts, ()
        return OperationKind.CHANNELWISE, parts, ()

    def _reshape(self, node: Node) -> _Described:
        source, output = node.inputs[0], node.outputs[0]
        self._require(not self._constants.holds(source) and prod(self._shape(source)) == prod(self._shape(output)))
        return OperationKind.RESHAPE, (source,), ()

    def _lookup(self, node: Node) -> _Described:
        """Rows of a table of constants: their channels start here, and move as its columns do."""
        table, rank = node.inputs[0], len(self._shape(node.inputs[0]))
        self._require(self._constants.holds(table) and rank == 2 and node.integer("axis", 0) in (0, -rank))
        output = self._single_output(node)
        self._require(self._label(output) == -1 and len(self._shape(output)) > 1)
        return OperationKind.PRODUCT, (), self._moving(table, -1, self._shape(table)[-1])

    def _blocked_lookup(self, node: Node) -> _Described:
        """The same of a table with scales for blocks of its columns: columns move within blocks, and blocks move."""
        table, *parameters = (node.input(position) for position in (0, 2, 3))
        shape, block = self._shape(table), node.integer("block_size", 128)
        output = self._single_output(node)
        self._require(len(shape) == 2 and node.integer("gather_axis", 0) in (0, -2) and block > 0)
        self._require(node.integer("quantize_axis", 1) in (1, -1) and shape[1] == self._length(output, -1))
        self._require(self._label(output) == -1)
        axes = self._moving(table, -1, shape[1])
        for name in filter(None, parameters):
            self._require(name in self._file.constants and self._shape(name) == (shape[0], shape[1] // block))
            axes += (ConstantAxis(name, 1, "output", block),)
        return OperationKind.PRODUCT, (), axes

    def _normalization(self, node: Node) -> _Described:
        """Normalization over channels, the last axis, with a factor and perhaps an offset for each."""
        source, output = node.inputs[0], self._single_output(node)
        rank = len(self._shape(source))
        self._require(node.integer("axis", -1) in (-1, rank - 1))
        self._require(self._label(source) == self._label(output) == -1)
        axes = self._vectors(node.inputs[1:], self._length(source, -1))
        return OperationKind.CHANNELWISE, (source,), axes

    def _skip_normalization(self, node: Node) -> _Described:
        """A residual addition and the normalization after it; the sum may be an output too."""
        source, skip = node.inputs[0], node.input(1)
        self._require(bool(skip) and self._shape(skip) == self._shape(source))
        self._require(not any(name in self._read for name in node.outputs[1:3] if name))
        names = (source, skip, *(name for name in (node.outputs[0], *node.outputs[3:4]) if name))
        self._require(all(self._label(name) == -1 for name in names))
        axes = self._vectors(node.inputs[2:], self._length(source, -1))
        return OperationKind.CHANNELWISE, (source, skip), axes

    def _vectors(self, names: Sequence[str], length: int) -> tuple[ConstantAxis, ...]:
        """Constants with one entry a channel."""
        present = [name for name in names if name]
        self._require(all(self._constants.holds(name) and len(self._shape(name)) == 1 for name in present))
        return tuple(dict.fromkeys(axis for name in present for axis in self._moving(name, -1, length)))

    def _sections(self, node: Node) -> _Described:
        """Parts of an axis: side by side where it holds channels, and else each with all channels."""
        source, rank = node.inputs[0], len(self._shape(node.inputs[0]))
        label, axis = self._label(source), node.integer("axis", 0)
        self._require(-rank <= axis < rank and all(node.outputs))
        self._require(all(self._label(name) == label for name in node.outputs))
        kind = OperationKind.SECTIONS if axis % rank == rank + label else OperationKind.CHANNELWISE
        return kind, (source,), ()

    def _transpose(self, node: Node) -> _Described:
        source, output = node.inputs[0], node.outputs[0]
        order = permutation_of(node, len(self._shape(source)))
        self._require(order is not None and source in self._channels and output in self._channels)
        self._require(order is not None and order[self._channels[output]] == self._channels[source])
        return OperationKind.CHANNELWISE, (source,), ()


def _adds_floats(node: Node, kind: OperationKind, values: Mapping[str, Value]) -> bool:
    """Whether an operator adds floats over channels, other than products of weights do."""
    sums = kind in (OperationKind.REDUCTION, OperationKind.CONTRACTION)
    if not sums and node.operator not in _NORMALIZATIONS | _SKIP_NORMALIZATIONS | {"MatMulNBits"}:
        return False
    return kind is not OperationKind.OPAQUE and values[node.inputs[0]].element_type in FLOAT_TYPES


def _operands(node: Node) -> tuple[int, ...]:
    """Positions of the tensors that an elementwise operator joins."""
    if node.domain == CONTRIB:
        positions = _CONTRIB_OPERANDS[node.operator]
    elif node.operator in _FIRST_OPERAND_ONLY:
        positions = (0,)
    else:
        positions = tuple(range(len(node.inputs)))
    return tuple(position for position in positions if node.input(position))


def _channel_axes(
    file: OnnxFile, values: Mapping[str, Value], constants: Constants, products: Mapping[int, OnnxProduct]
) -> dict[str, int]:
    """Channel axis of every activation that has one.

    Tensors that elementwise operators, poolings and the like connect share one axis, counted from the end: that
    which the first convolution or matrix product among them asks for, or else the second axis of tensors with four,
    and the last of others.
    """
    axes = _SharedAxes(values, constants)
    for node in file.nodes:
        if constants.computes(node) or node.has_subgraph or not node.outputs or not node.outputs[0]:
            continue
        product = products.get(node.index)
        if product is not None:
            axes.demand((node.inputs[0], node.outputs[0]), product.channel_axis)
        elif node.operator in _SECOND_AXIS.get(node.domain, ()):
            axes.share((node.input(0), node.outputs[0]))
            axes.demand_second(node.input(0))
        elif _keeps_axes(node):
            axes.share((*_shared_operands(node), node.outputs[0]))
    for node in file.nodes:
        moves = node.operator in _RESHAPES or node.operator == "Transpose"
        if moves and node.domain == "" and not constants.computes(node) and node.outputs and node.outputs[0]:
            axes.carry(node)
    return axes.result()


def _keeps_axes(node: Node) -> bool:
    if is_quantize(node) or is_dequantize(node):
        return True
    if node.domain == CONTRIB:
        return node.operator in _CONTRIB_OPERANDS.keys() | _SKIP_NORMALIZATIONS | {"QLinearConcat"}
    if node.operator in _NORMALIZATIONS:
        return node.domain == ""
    if node.operator in _REDUCTIONS:
        return node.domain == "" and node.integer("keepdims", 1) == 1
    return node.domain == "" and node.operator in _ELEMENTWISE | {"Concat", "Pad", "DynamicQuantizeLinear"}


def _shared_operands(node: Node) -> tuple[str, ...]:
    if node.operator == "QLinearConcat":
        return tuple(node.inputs[2::3])
    if node.operator in _SKIP_NORMALIZATIONS:
        return node.inputs[:2]
    if node.operator == "Concat":
        return node.inputs
    if node.operator in (_CONTRIB_OPERANDS if node.domain == CONTRIB else _ELEMENTWISE):
        return tuple(node.inputs[position] for position in _operands(node))
    return (node.input(0),)


class _SharedAxes:
    """A union-find over tensors that have their channels on the same axis, counted from the end."""

    def __init__(self, values: Mapping[str, Value], constants: Constants) -> None:
        self._values = values
        self._parents = {
            name: name
            for name, value in values.items()
            if value.shape is not None and prod(value.shape) != 1 and not constants.holds(name)
        }
        self._single = {
            name: value.shape
            for name, value in values.items()
            if value.shape and prod(value.shape) == 1 and not constants.holds(name)
        }
        self._ranks = {name: len(values[name].shape or ()) for name in self._parents}
        self._demands: dict[str, int] = {}

    def share(self, names: Sequence[str]) -> None:
        """Give tensors one channel axis."""
        known = [name for name in names if name in self._parents]
        for name in known[1:]:
            first, other = self._root(known[0]), self._root(name)
            if first == other:
                continue
            self._parents[other] = first
            self._ranks[first] = max(self._ranks[first], self._ranks[other])
            if other in self._demands:
                self._demands.setdefault(first, self._demands[other])

    def demand(self, names: Sequence[str], label: int) -> None:
        """Ask for an axis; the first one to ask decides."""
        for name in names:
            if name in self._parents:
                self._demands.setdefault(self._root(name), label)

    def demand_second(self, name: str) -> None:
        """Ask for the second axis of a tensor."""
        shape = self._values[name].shape if name in self._parents else None
        if shape is not None and len(shape) >= 2:
            self.demand((name,), 1 - len(shape))

    def carry(self, node: Node) -> None:
        """Ask for the axis to which a reshape or transpose takes the channels of its input."""
        source, output = node.input(0), node.outputs[0]
        if source not in self._parents or output not in self._parents or self._root(output) in self._demands:
            return
        before, after = self._values[source].shape or (), self._values[output].shape or ()
        axis = len(before) + self._label(source)
        if axis < 0:
            return
        if node.operator == "Transpose":
            order = permutation_of(node, len(before))
            places = [] if order is None else [order.index(axis)]
        else:
            same = (prod(before[:axis]), before[axis])
            places = [i for i, length in enumerate(after) if (prod(after[:i]), length) == same]
        for place in places[-1:]:
            self.demand((output,), place - len(after))

    def result(self) -> dict[str, int]:
        """Channel axis of each tensor that has one."""
        found = {}
        for name in self._parents:
            axis = len(self._values[name].shape or ()) + self._label(name)
            if axis >= 0:
                found[name] = axis
        single = {name: (1 if len(shape) == 4 else len(shape) - 1) for name, shape in self._single.items()}
        return found | single

    def _label(self, name: str) -> int:
        """Axis that a tensor shares with others, counted from the end."""
        root = self._root(name)
        return self._demands.get(root, -3 if self._ranks[root] == 4 else -1)

    def _root(self, name: str) -> str:
        while self._parents[name] != name:
            self._parents[name] = self._parents[self._parents[name]]
            name = self._parents[name]
        return name
