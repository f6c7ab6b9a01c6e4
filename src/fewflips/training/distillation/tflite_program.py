"""From a TFLite file to its replay in PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.errors import InputError
from fewflips.files.input_files import read_plain
from fewflips.network.graph import Network
from fewflips.network.tflite.file import FileOperator, FileTensor, decode
from fewflips.training.distillation.errors import not_replayed
from fewflips.training.distillation.functions import (
    POINTWISE,
    Function,
    concatenated,
    mean,
    padded,
    pooled,
    reshaped,
    same,
    softmax,
)
from fewflips.training.distillation.grid import Grid
from fewflips.training.distillation.products import ReplayedProduct
from fewflips.training.distillation.program import Program, ReplayedOperation

_PRODUCTS = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))
_SELECTIONS = frozenset(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "MAX_POOL_2D"))
"""Their outputs are values of their inputs, so that nothing is rounded where both have one grid."""

_ARITHMETIC: dict[str, Function] = {"ADD": torch.add, "SUB": torch.sub, "MUL": torch.mul}

_FUNCTIONS: dict[str, Function] = {**POINTWISE, "QUANTIZE": same, "DEQUANTIZE": same, "SOFTMAX": softmax}

_INTEGERS = {"UINT8": (0, 255), "INT8": (-128, 127), "INT16": (-(2**15), 2**15 - 1)}

_FUSED: dict[int, Callable[[Tensor], Tensor]] = {
    1: torch.relu,
    2: partial(torch.clamp, min=-1.0, max=1.0),
    3: partial(torch.clamp, min=0.0, max=6.0),
}
"""By the schema's ActivationFunctionType."""

_NEVER_NEGATIVE = (1, 3)


def tflite_program(network: Network) -> Program:
    """Replay a TFLite network.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.load.load` gave it; its file is read again.

    Returns
    -------
    Program
        The same network on batches.

    Raises
    ------
    InputError
        If an operator is not known, or the file has changed since it was read.
    """
    return _Builder(network).program()


class _Builder:
    def __init__(self, network: Network) -> None:
        data = read_plain(network.path)
        if hashlib.sha256(data).hexdigest() != network.sha256:
            raise InputError(f"{network.path}: the file has changed since it was read; read it again")
        self._file = decode(data, network.path)
        self._layers = {layer.name: layer for layer in network.layers}
        self._products: dict[str, ReplayedProduct] = {}
        handlers: dict[Callable[[FileOperator, FileTensor], Function], tuple[str, ...]] = {
            self._arithmetic: tuple(_ARITHMETIC),
            self._pool: ("AVERAGE_POOL_2D", "MAX_POOL_2D"),
            self._reshape: ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
            self._mean: ("MEAN",),
            self._pad: ("PAD",),
            self._concatenation: ("CONCATENATION",),
        }
        self._handlers = {operator: handler for handler, operators in handlers.items() for operator in operators}

    def program(self) -> Program:
        tensors = self._file.tensors
        operations = tuple(self._operation(op) for op in self._file.operators)
        outputs = [tensors[index].name for index in self._file.outputs]
        softmaxes = {
            tensors[op.outputs[0]].name: tensors[op.inputs[0]].name
            for op in self._file.operators
            if op.operator == "SOFTMAX"
        }
        return Program(
            inputs={tensors[index].name: self._input_steps(tensors[index]) for index in self._file.inputs},
            operations=operations,
            outputs=tuple(outputs),
            before_outputs=tuple(softmaxes.get(name, name) for name in outputs),
            products=self._products,
        )

    def _input_steps(self, tensor: FileTensor) -> tuple[float, int]:
        grid = self._grid(tensor)
        return (1.0, 0) if grid is None else (grid.step, _INTEGERS[tensor.dtype][0] - grid.low)

    def _operation(self, op: FileOperator) -> ReplayedOperation:
        """One operator, its activation function, and the rounding of its output."""
        output = self._file.tensors[op.outputs[0]] if op.outputs else None
        if output is None or len(op.outputs) != 1:
            raise not_replayed(op.operator, "" if output is None else output.name, "expected one output")
        used = [self._file.tensors[index] for index in op.inputs if index >= 0]
        inputs = [tensor for tensor in used if not tensor.is_constant]
        if any(tensor.shape[:1] != (1,) or tensor.is_variable for tensor in (*inputs, output)):
            raise not_replayed(op.operator, output.name, "expected tensors of one inference, without a state")
        layer = None
        if op.operator in _PRODUCTS:
            function, layer = self._product(op, output), output.name
            inputs = inputs[:1]
        else:
            function = self._function(op, output)
        fused = _FUSED.get(int(op.options.get("FusedActivationFunction", 0)))
        if fused is not None:
            function = partial(_then, first=function, second=fused)
        grid = self._grid(output)
        if op.operator in _SELECTIONS and self._grid(inputs[0]) == grid:
            grid = None
        return ReplayedOperation(tuple(tensor.name for tensor in inputs), output.name, function, grid, layer)

    def _grid(self, tensor: FileTensor) -> Grid | None:
        """Grid of an activation; None where it is floats."""
        if tensor.dtype == "FLOAT32":
            return None
        parameters = tensor.quantization
        if tensor.dtype not in _INTEGERS or parameters.scale.size != 1 or parameters.zero_point.size > 1:
            raise not_replayed(tensor.dtype.lower(), tensor.name, "expected floats, or integers with one scale")
        zero_point = int(parameters.zero_point[0]) if parameters.zero_point.size else 0
        return Grid.of(float(parameters.scale[0]), zero_point, *_INTEGERS[tensor.dtype])

    def _product(self, op: FileOperator, output: FileTensor) -> Function:
        layer, source = self._layers.get(output.name), self._file.tensors[op.inputs[0]]
        grid = self._grid(source)
        if layer is None or grid is None:
            raise not_replayed(op.operator, output.name, "its product is not one of integers")
        bias = None
        if layer.bias is not None:
            scales = layer.right.scales
            along = None if scales is None else scales.along(0, layer.right.shape)
            steps = np.float64(grid.step) * (1.0 if along is None else np.asarray(along, np.float64))
            bias = np.asarray(layer.bias.load(layer.n) * steps, np.float64)
        target = self._grid(output)
        never_negative = int(op.options.get("FusedActivationFunction", 0)) in _NEVER_NEGATIVE
        rounds_up = target.step if target is not None and never_negative else 0.0
        product = ReplayedProduct(layer, grid.step, bias, rounds_up)
        self._products[layer.name] = product
        if op.operator != "FULLY_CONNECTED":
            return product
        return partial(_rows, product=product, k=layer.k, shape=output.shape[1:])

    def _function(self, op: FileOperator, output: FileTensor) -> Function:
        if op.operator in _FUNCTIONS:
            return _FUNCTIONS[op.operator]
        handler = self._handlers.get(op.operator)
        if handler is None:
            raise not_replayed(op.operator, output.name)
        return handler(op, output)

    def _reshape(self, op: FileOperator, output: FileTensor) -> Function:
        return partial(reshaped, shape=output.shape[1:])

    def _mean(self, op: FileOperator, output: FileTensor) -> Function:
        rank = len(self._file.tensors[op.inputs[0]].shape)
        axes = [int(axis) % rank for axis in self._integers(op, 1, output).reshape(-1)]
        if 0 in axes:
            raise not_replayed(op.operator, output.name, "it mixes inferences")
        return partial(mean, axes=axes, shape=output.shape[1:])

    def _pad(self, op: FileOperator, output: FileTensor) -> Function:
        return partial(padded, widths=[(int(a), int(b)) for a, b in self._integers(op, 1, output)])

    def _concatenation(self, op: FileOperator, output: FileTensor) -> Function:
        axis = op.options.get("Axis", 0) % len(output.shape)
        if not axis or any(self._file.tensors[index].is_constant for index in op.inputs):
            raise not_replayed(op.operator, output.name, "it mixes inferences, or constants")
        return partial(concatenated, axis=axis)

    def _arithmetic(self, op: FileOperator, output: FileTensor) -> Function:
        """Two activations, or one and a constant."""
        function = _ARITHMETIC[op.operator]
        tensors = [self._file.tensors[index] for index in op.inputs]
        constants = [self._real(tensor) if tensor.is_constant else None for tensor in tensors]
        if all(constant is None for constant in constants):
            return function
        return partial(_with_constants, function=function, constants=constants)

    def _real(self, tensor: FileTensor) -> Tensor:
        """A constant of 8-bit integers in real numbers, or of floats."""
        if tensor.dtype == "FLOAT32" and tensor.data is not None:
            return torch.tensor(tensor.data.view(np.float32).reshape(tensor.shape).copy())
        grid = self._grid(tensor)
        assert grid is not None
        zero_point = _INTEGERS[tensor.dtype][0] - grid.low
        return torch.tensor((tensor.codes().astype(np.float32) - zero_point) * np.float32(grid.step))

    def _pool(self, op: FileOperator, output: FileTensor) -> Function:
        source, options = self._file.tensors[op.inputs[0]], op.options
        if not options:
            raise not_replayed(op.operator, output.name, "the file says nothing about its windows")
        kernel = (int(options["FilterHeight"]), int(options["FilterWidth"]))
        strides = (int(options["StrideH"]), int(options["StrideW"]))
        pads = (0, 0, 0, 0)
        if options["Padding"] == 0:
            extra = [max((output.shape[i + 1] - 1) * strides[i] + kernel[i] - source.shape[i + 1], 0) for i in (0, 1)]
            top, left = extra[0] // 2, extra[1] // 2
            pads = (top, left, extra[0] - top, extra[1] - left)
        largest = op.operator == "MAX_POOL_2D"
        return partial(pooled, kernel=kernel, strides=strides, pads=pads, largest=largest, last=True)

    def _integers(self, op: FileOperator, position: int, output: FileTensor) -> NDArray[np.int64]:
        index = op.inputs[position] if position < len(op.inputs) else -1
        tensor = self._file.tensors[index] if index >= 0 else None
        if tensor is None or not tensor.is_constant or tensor.dtype not in ("INT32", "INT64"):
            raise not_replayed(op.operator, output.name, "expected a constant second operand")
        return tensor.codes().astype(np.int64)


def _then(*values: Tensor, first: Function, second: Function) -> Tensor:
    return second(first(*values))


def _rows(
    values: Tensor, weight: Tensor, bias: Tensor | None, *, product: ReplayedProduct, k: int, shape: tuple[int, ...]
) -> Tensor:
    """A fully connected layer, which takes the elements of one inference as rows of K."""
    return reshaped(product(values.reshape(len(values), -1, k), weight, bias), shape)


def _with_constants(*values: Tensor, function: Function, constants: list[Tensor | None]) -> Tensor:
    given = iter(values)
    return function(*(next(given) if constant is None else constant for constant in constants))
