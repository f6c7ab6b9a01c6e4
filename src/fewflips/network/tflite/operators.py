"""From TFLite's operators to what each does to channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fewflips.network.graph import ConstantAxis, Operation, OperationKind, Tensor
from fewflips.network.notes import held_in_place_notes
from fewflips.network.tflite.file import FileOperator, FileTensor, TFLiteFile

_ELEMENTWISE = frozenset(
    [
        "ADD",
        "SUB",
        "MUL",
        "DIV",
        "MAXIMUM",
        "MINIMUM",
        "SQUARED_DIFFERENCE",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "RELU_0_TO_1",
        "LEAKY_RELU",
        "PRELU",
        "LOGISTIC",
        "TANH",
        "HARD_SWISH",
        "ELU",
        "GELU",
        "ABS",
        "NEG",
        "EXP",
        "LOG",
        "SQRT",
        "RSQRT",
        "SQUARE",
        "FLOOR",
        "CEIL",
        "ROUND",
        "QUANTIZE",
        "DEQUANTIZE",
        "CAST",
        "POW",
    ]
)
"""Output element depends on the elements at the same place alone."""

_SPATIAL = frozenset(["AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
"""Work on each channel alone, by their definition."""

_REDUCTIONS = frozenset(["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"])
_PADDINGS = frozenset(["PAD", "PADV2", "MIRROR_PAD"])
_RESHAPES = frozenset(["RESHAPE", "SQUEEZE", "EXPAND_DIMS"])

_APPROXIMATED = frozenset(
    [
        "LOGISTIC",
        "TANH",
        "HARD_SWISH",
        "ELU",
        "GELU",
        "EXP",
        "LOG",
        "SQRT",
        "RSQRT",
        "POW",
        "DIV",
        "RESIZE_BILINEAR",
        "L2_POOL_2D",
    ]
)
"""In floating point, the vector and the scalar path of a kernel may round these differently, so that moving a
channel may change its last bit."""

_FLOATS = frozenset(("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64"))

_Described = tuple[OperationKind, tuple[ConstantAxis, ...]]
_OPAQUE: _Described = (OperationKind.OPAQUE, ())


def describe(
    file: TFLiteFile, constant_names: Mapping[int, str], fixed: frozenset[str]
) -> tuple[tuple[Operation, ...], dict[str, Tensor], tuple[str, ...]]:
    """All operators, the tensors that they name, and notes on those that hold channels in place.

    Parameters
    ----------
    file : TFLiteFile
        The decoded file.
    constant_names : mapping of int to str
        Name of each constant, by tensor index.
    fixed : frozenset of str
        Constants whose elements must stay where they are.

    Returns
    -------
    operations : tuple of Operation
        In execution order.
    tensors : dict of str to Tensor
        By name.
    notes : tuple of str
        What operators are not followed.
    """
    return _Describer(file, constant_names).describe(fixed)


class _Describer:
    def __init__(self, file: TFLiteFile, constant_names: Mapping[int, str]) -> None:
        self._file = file
        self._names = constant_names
        self._taken = {tensor.name for tensor in file.tensors}
        self._tensors: dict[str, Tensor] = {}
        handlers: list[tuple[frozenset[str], Callable[[FileOperator], _Described]]] = [
            (frozenset(("CONV_2D",)), self._convolution),
            (frozenset(("DEPTHWISE_CONV_2D",)), self._depthwise),
            (frozenset(("FULLY_CONNECTED",)), self._fully_connected),
            (frozenset(("CONCATENATION",)), self._concatenation),
            (_ELEMENTWISE, self._elementwise),
            (_SPATIAL, lambda _: (OperationKind.CHANNELWISE, ())),
            (_REDUCTIONS, self._reduction),
            (_PADDINGS, self._padding),
            (_RESHAPES, self._reshape),
        ]
        self._handlers = {operator: handler for operators, handler in handlers for operator in operators}

    def describe(self, fixed: frozenset[str]) -> tuple[tuple[Operation, ...], dict[str, Tensor], tuple[str, ...]]:
        described = [self._described(op) for op in self._file.operators]
        described = self._hold_fixed(described, fixed)
        operations: list[Operation] = []
        for op, (kind, axes) in zip(self._file.operators, described, strict=True):
            operations.extend(self._operation(op, kind, axes))
        for index in (*self._file.inputs, *self._file.outputs):
            self._tensor(self._file.tensors[index])
        return tuple(operations), self._tensors, held_in_place_notes(operations)

    def _input(self, op: FileOperator, position: int) -> FileTensor | None:
        if position >= len(op.inputs) or op.inputs[position] < 0:
            return None
        return self._file.tensors[op.inputs[position]]

    def _present(self, op: FileOperator) -> list[FileTensor]:
        return [self._file.tensors[index] for index in op.inputs if index >= 0]

    def _activations(self, op: FileOperator) -> list[FileTensor]:
        return [tensor for tensor in self._present(op) if not tensor.is_constant]

    def _constants(self, op: FileOperator) -> list[str]:
        return [self._names[tensor.index] for tensor in self._present(op) if tensor.is_constant]

    def _described(self, op: FileOperator) -> _Described:
        handler = self._handlers.get(op.operator)
        activations = self._activations(op)
        outputs = [self._file.tensors[index] for index in op.outputs]
        if handler is None or not activations or len(outputs) != 1:
            return _OPAQUE
        touched = [*activations, *outputs]
        if any(not tensor.shape or tensor.is_variable or tensor.is_per_channel for tensor in touched):
            return _OPAQUE
        if op.operator in _APPROXIMATED and any(tensor.dtype in _FLOATS for tensor in touched):
            return _OPAQUE
        kind, axes = handler(op)
        channels = outputs[0].shape[-1]
        if kind is OperationKind.CHANNELWISE and any(tensor.shape[-1] != channels for tensor in activations):
            return _OPAQUE
        return kind, axes

    def _weights(self, op: FileOperator) -> FileTensor | None:
        """Weights of an integer product whose channels may move; sums of floats depend on their order."""
        weights = self._input(op, 1)
        if weights is None or not weights.is_constant or weights.dtype in _FLOATS or op.inputs[0] < 0:
            return None
        return None if self._file.tensors[op.inputs[0]].is_constant else weights

    def _follow(self, tensor: FileTensor | None, axis: int, follows: str) -> tuple[ConstantAxis, ...]:
        if tensor is None or tensor.shape[axis] == 1:
            return ()
        return (ConstantAxis(self._names[tensor.index], axis, "input" if follows == "input" else "output"),)

    def _bias(self, op: FileOperator) -> tuple[ConstantAxis, ...] | None:
        """Tie the bias to the output; None where it is not a constant vector."""
        bias = self._input(op, 2)
        if bias is None:
            return ()
        return self._follow(bias, 0, "output") if bias.is_constant and len(bias.shape) == 1 else None

    def _convolution(self, op: FileOperator) -> _Described:
        weights, bias = self._weights(op), self._bias(op)
        if weights is None or bias is None or len(weights.shape) != 4:
            return _OPAQUE
        if weights.shape[3] != self._file.tensors[op.inputs[0]].shape[-1]:
            return _OPAQUE
        return OperationKind.PRODUCT, (
            *self._follow(weights, 0, "output"),
            *self._follow(weights, 3, "input"),
            *bias,
        )

    def _depthwise(self, op: FileOperator) -> _Described:
        weights, bias = self._weights(op), self._bias(op)
        if weights is None or bias is None or len(weights.shape) != 4:
            return _OPAQUE
        channels = self._file.tensors[op.inputs[0]].shape[-1]
        axes = (*self._follow(weights, 3, "output"), *bias)
        if weights.shape[3] == channels:
            return OperationKind.CHANNELWISE, axes
        # One input channel with many outputs is a dense convolution; other multipliers tie neighbours in blocks.
        return (OperationKind.PRODUCT, axes) if channels == 1 else _OPAQUE

    def _fully_connected(self, op: FileOperator) -> _Described:
        weights, bias = self._weights(op), self._bias(op)
        if weights is None or bias is None or len(weights.shape) != 2 or op.options.get("WeightsFormat", 0) != 0:
            return _OPAQUE
        source = self._file.tensors[op.inputs[0]]
        if 0 in weights.shape or source.elements % weights.shape[1]:
            return _OPAQUE
        return OperationKind.PRODUCT, (
            *self._follow(weights, 0, "output"),
            *self._follow(weights, 1, "input"),
            *bias,
        )

    def _concatenation(self, op: FileOperator) -> _Described:
        output = self._file.tensors[op.outputs[0]]
        rank, axis = len(output.shape), op.options.get("Axis")
        inputs = self._present(op)
        if axis not in (rank - 1, -1) or any(tensor.is_constant or len(tensor.shape) != rank for tensor in inputs):
            return _OPAQUE
        if sum(tensor.shape[-1] for tensor in inputs) != output.shape[-1]:
            return _OPAQUE
        return OperationKind.CONCATENATION, ()

    def _elementwise(self, op: FileOperator) -> _Described:
        channels = self._file.tensors[op.outputs[0]].shape[-1]
        axes: list[ConstantAxis] = []
        for tensor in self._present(op):
            if not tensor.is_constant or not tensor.shape or tensor.shape[-1] == 1:
                continue
            if tensor.shape[-1] != channels:
                return _OPAQUE
            axes.extend(self._follow(tensor, len(tensor.shape) - 1, "output"))
        return OperationKind.CHANNELWISE, tuple(axes)

    def _integers(self, op: FileOperator, position: int) -> np.ndarray | None:
        """Read a constant operand of 32- or 64-bit integers."""
        tensor = self._input(op, position)
        if tensor is None or not tensor.is_constant or tensor.is_sparse or tensor.dtype not in ("INT32", "INT64"):
            return None
        return tensor.codes()

    def _reduction(self, op: FileOperator) -> _Described:
        axes, source = self._integers(op, 1), self._file.tensors[op.inputs[0]]
        rank = len(source.shape)
        if axes is None or source.is_constant or any(int(axis) in (rank - 1, -1) for axis in axes.reshape(-1)):
            return _OPAQUE
        return OperationKind.CHANNELWISE, ()

    def _padding(self, op: FileOperator) -> _Described:
        widths = self._integers(op, 1)
        rank = len(self._file.tensors[op.outputs[0]].shape)
        if widths is None or widths.shape != (rank, 2) or widths[-1].any():
            return _OPAQUE
        if len(self._constants(op)) != len(op.inputs) - 1:
            return _OPAQUE
        return OperationKind.CHANNELWISE, ()

    def _reshape(self, op: FileOperator) -> _Described:
        source, output = self._file.tensors[op.inputs[0]], self._file.tensors[op.outputs[0]]
        same = not source.is_constant and source.elements == output.elements
        return (OperationKind.RESHAPE, ()) if same else _OPAQUE

    def _hold_fixed(self, described: list[_Described], fixed: frozenset[str]) -> list[_Described]:
        """Make operators opaque whose constants cannot move, or are used differently elsewhere.

        Each constant that moves must be moved alike by every operator that reads it. Turning one operator
        opaque fixes its other constants, so that this is repeated until nothing changes.
        """
        result = list(described)
        users: dict[str, list[int]] = {}
        uses: dict[str, set[frozenset[int]]] = {}
        for i, (op, (_, axes)) in enumerate(zip(self._file.operators, result, strict=True)):
            for name in set(self._constants(op)):
                users.setdefault(name, []).append(i)
                uses.setdefault(name, set()).add(frozenset(axis.axis for axis in axes if axis.tensor == name))
        pending = [name for name, kinds in uses.items() if name in fixed or len(kinds) > 1 or frozenset() in kinds]
        seen = set(pending)
        while pending:
            name = pending.pop()
            for i in users[name]:
                if any(axis.tensor == name for axis in result[i][1]):
                    released = {axis.tensor for axis in result[i][1]} - seen
                    seen |= released
                    pending.extend(sorted(released))
                    result[i] = _OPAQUE
        return result

    def _tensor(self, tensor: FileTensor) -> str:
        name = self._names.get(tensor.index, tensor.name)
        axis = len(tensor.shape) - 1 if tensor.shape and not tensor.is_constant else None
        self._tensors.setdefault(name, Tensor(name, tensor.shape, axis, tensor.is_constant))
        return name

    def _operation(self, op: FileOperator, kind: OperationKind, axes: tuple[ConstantAxis, ...]) -> list[Operation]:
        """Build the operation; before it, the flattening that a fully connected layer does by itself."""
        for tensor in self._present(op):
            if tensor.is_constant and any(axis.tensor == self._names[tensor.index] for axis in axes):
                self._tensor(tensor)
        inputs = tuple(self._tensor(tensor) for tensor in self._activations(op))
        outputs = tuple(self._tensor(self._file.tensors[index]) for index in op.outputs)
        name = outputs[0] if outputs else op.operator
        flattening = []
        if op.operator == "FULLY_CONNECTED" and kind is OperationKind.PRODUCT:
            source, weights = self._file.tensors[op.inputs[0]], self._file.tensors[op.inputs[1]]
            if source.shape[-1] != weights.shape[1]:
                flat = self._flattened(source, weights.shape[1])
                flattening.append(
                    Operation(f"{name} (flattening)", op.operator, OperationKind.RESHAPE, inputs, (flat,))
                )
                inputs = (flat,)
        return [*flattening, Operation(name, op.operator, kind, inputs, outputs, axes)]

    def _flattened(self, source: FileTensor, k: int) -> str:
        """Name a tensor that the file does not have: the input of a fully connected layer as rows."""
        name = f"{source.name} (rows of {k})"
        while name in self._taken or (name in self._tensors and self._tensors[name].shape != (source.elements // k, k)):
            name += "'"
        self._tensors[name] = Tensor(name, (source.elements // k, k), 1)
        return name
