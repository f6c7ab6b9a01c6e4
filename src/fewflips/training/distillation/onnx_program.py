"""From an ONNX file, in QDQ form or with QLinear operators, to its replay in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.errors import InputError
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.network.onnx.constants import Constants, is_dequantize, is_quantize
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.layers import WEIGHTED, OnnxLayerReader
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.shapes import infer
from fewflips.network.onnx.standard_forms import CONTRIB
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

_ARITHMETIC: dict[str, Function] = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div}
_QLINEAR_ARITHMETIC: dict[str, Function] = {"QLinearAdd": torch.add, "QLinearMul": torch.mul}
_FUNCTIONS: dict[str, Function] = {
    "Relu": POINTWISE["RELU"],
    "Sigmoid": POINTWISE["LOGISTIC"],
    "Tanh": POINTWISE["TANH"],
    "HardSwish": POINTWISE["HARD_SWISH"],
    "Identity": same,
}
_SELECTIONS = frozenset(("Reshape", "Flatten", "Squeeze", "MaxPool", "Transpose", "Identity"))
"""Operators that integer tensors may go through: their outputs are values of their inputs."""


def onnx_program(network: Network) -> Program:
    """Replay an ONNX network.

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
        self._file = OnnxFile(network.path)
        if self._file.sha256 != network.sha256:
            raise InputError(f"{network.path}: the file has changed since it was read; read it again")
        values = infer(self._file)
        self._shapes = {name: value.shape for name, value in values.items()}
        self._constants = Constants(self._file, values)
        products = OnnxLayerReader(self._file, values, self._constants).products()
        self._layers: dict[int, Layer] = {
            index: product.layer for index, product in products.items() if product.layer is not None
        }
        self._grids: dict[str, Grid] = {}
        self._products: dict[str, ReplayedProduct] = {}
        self._producers = {name: node for node in self._file.nodes for name in node.outputs if name}
        handlers: dict[Callable[[Node, str], Function], tuple[str, ...]] = {
            self._clip: ("Clip",),
            self._pool: ("AveragePool", "MaxPool"),
            self._reshape: ("Flatten", "Reshape", "Squeeze"),
            self._mean: ("ReduceMean", "GlobalAveragePool"),
            self._softmax: ("Softmax",),
            self._pad: ("Pad",),
            self._transpose: ("Transpose",),
        }
        self._handlers = {operator: handler for handler, operators in handlers.items() for operator in operators}

    def program(self) -> Program:
        inputs = {name: self._input_steps(name) for name in self._file.inputs}
        nodes = [node for node in self._file.nodes if not self._constants.computes(node)]
        operations = tuple(self._operation(node) for node in nodes)
        return Program(
            inputs=inputs,
            operations=operations,
            outputs=self._file.outputs,
            before_outputs=tuple(self._before(name) for name in self._file.outputs),
            products=self._products,
        )

    def _before(self, name: str) -> str:
        """What a softmax at the end is given, looking back through quantization."""
        seen, node = name, self._producers.get(name)
        while node is not None and (is_quantize(node) or is_dequantize(node)):
            seen = node.inputs[0]
            node = self._producers.get(seen)
        return node.inputs[0] if node is not None and node.operator == "Softmax" else name

    def _input_steps(self, name: str) -> tuple[float, int]:
        """Scale and zero point of an input: those of the operator that reads its integers."""
        for node in self._file.nodes:
            if name not in node.inputs:
                continue
            if is_dequantize(node) or node.operator.startswith("QLinear"):
                grid = self._grid_at(node, 1, 2)
                self._grids[name] = grid
                return grid.step, self._zero_point(node, 2)
        return 1.0, 0

    def _operation(self, node: Node) -> ReplayedOperation:
        """One operator, and the rounding of its output."""
        output = node.outputs[0] if node.outputs else ""
        if sum(bool(name) for name in node.outputs) != 1 or not output:
            raise not_replayed(node.operator, node.label, "expected one output")
        layer = self._layers.get(node.index)
        if layer is not None:
            return self._product(node, layer, output)
        if is_quantize(node):
            self._grids[output] = self._grid_at(node, 1, 2)
            return ReplayedOperation((node.inputs[0],), output, same, self._grids[output])
        if is_dequantize(node):
            self._check_grid(node, node.inputs[0], self._grid_at(node, 1, 2))
            return ReplayedOperation((node.inputs[0],), output, same)
        if node.domain == CONTRIB and node.operator in _QLINEAR_ARITHMETIC:
            return self._qlinear_arithmetic(node, output)
        if node.domain == CONTRIB and node.operator == "QLinearGlobalAveragePool":
            self._check_grid(node, node.inputs[0], self._grid_at(node, 1, 2))
            self._grids[output] = self._grid_at(node, 3, 4)
            axes = (1, 2) if node.integer("channels_last", 0) else (2, 3)
            return ReplayedOperation((node.inputs[0],), output, partial(_kept_mean, axes=axes), self._grids[output])
        if node.domain:
            raise not_replayed(node.operator, output)
        return self._plain(node, output)

    def _product(self, node: Node, layer: Layer, output: str) -> ReplayedOperation:
        form = WEIGHTED[(node.domain, node.operator)]
        alphas = [node.attributes[key].f for key in ("alpha", "beta") if key in node.attributes]
        if node.operator in ("ConvInteger", "MatMulInteger") or any(alpha != 1.0 for alpha in alphas):
            raise not_replayed(node.operator, output, "its activations get their scale at run time, or it is scaled")
        scale, bias, grid = self._input_scale(node, layer), None, None
        name = node.input(form.bias) if form.bias is not None else ""
        if name and form.is_dequantized:
            bias = np.broadcast_to(self._real(node, name).astype(np.float64).reshape(-1), (layer.n,))
        elif name:
            steps = self._array(node, node.input(4)).astype(np.float64).reshape(-1) * scale
            bias = self._array(node, name).astype(np.float64).reshape(-1) * steps
        if not form.is_dequantized:
            first = 7 if node.domain == CONTRIB else 6
            grid = self._grids[output] = self._grid_at(node, first, first + 1)
        self._products[layer.name] = ReplayedProduct(layer, scale, bias)
        return ReplayedOperation((node.inputs[0],), output, self._products[layer.name], grid, layer.name)

    def _input_scale(self, node: Node, layer: Layer) -> float:
        if layer.input_tensor in self._grids:
            return self._grids[layer.input_tensor].step
        if node.operator.startswith("Q"):
            return self._number(node, node.input(1))
        raise not_replayed(node.operator, node.label, "its activations are not integers of one scale")

    def _qlinear_arithmetic(self, node: Node, output: str) -> ReplayedOperation:
        for first in (0, 3):
            if self._constants.holds(node.inputs[first]):
                raise not_replayed(node.operator, output, "expected two activations")
            self._check_grid(node, node.inputs[first], self._grid_at(node, first + 1, first + 2))
        grid = self._grids[output] = self._grid_at(node, 6, 7)
        return ReplayedOperation((node.inputs[0], node.inputs[3]), output, _QLINEAR_ARITHMETIC[node.operator], grid)

    def _plain(self, node: Node, output: str) -> ReplayedOperation:
        """An operator of the standard on real numbers, or one that integers pass through."""
        source = node.inputs[0] if node.inputs else ""
        if source in self._grids and node.operator in _SELECTIONS:
            self._grids[output] = self._grids[source]
        if node.operator in _ARITHMETIC:
            return self._arithmetic(node, output)
        if node.operator == "Concat":
            axis = node.integer("axis", 0)
            if not axis or any(self._constants.holds(name) for name in node.inputs):
                raise not_replayed(node.operator, output, "it mixes inferences, or constants")
            return ReplayedOperation(node.inputs, output, partial(concatenated, axis=axis))
        if not source or self._constants.holds(source):
            raise not_replayed(node.operator, output, "expected an activation as the first operand")
        return ReplayedOperation((source,), output, self._function(node, output))

    def _arithmetic(self, node: Node, output: str) -> ReplayedOperation:
        function = _ARITHMETIC[node.operator]
        names = tuple(name for name in node.inputs if not self._constants.holds(name))
        if len(names) == len(node.inputs):
            return ReplayedOperation(names, output, function)
        given = [
            torch.tensor(self._real(node, name).astype(np.float32)) if self._constants.holds(name) else None
            for name in node.inputs
        ]
        return ReplayedOperation(names, output, partial(_with_constants, function=function, constants=given))

    def _function(self, node: Node, output: str) -> Function:
        if node.operator in _FUNCTIONS:
            return _FUNCTIONS[node.operator]
        handler = self._handlers.get(node.operator)
        if handler is None:
            raise not_replayed(node.operator, output)
        return handler(node, output)

    def _softmax(self, node: Node, output: str) -> Function:
        default = -1 if self._file.opset >= 13 else 1
        axis, shape = node.integer("axis", default), self._shapes.get(output)
        if shape is None or axis % len(shape) == 0 or (self._file.opset < 13 and axis % len(shape) != len(shape) - 1):
            raise not_replayed(node.operator, output, "expected it along the last axis")
        return partial(softmax, axis=axis)

    def _transpose(self, node: Node, output: str) -> Function:
        order = node.integers("perm")
        if order is None or order[0] != 0:
            raise not_replayed(node.operator, output, "it mixes inferences")
        return partial(_transposed, order=order)

    def _clip(self, node: Node, output: str) -> Function:
        ends = []
        for position, key in ((1, "min"), (2, "max")):
            held = node.attributes[key].f if key in node.attributes else None
            ends.append(self._number(node, node.input(position)) if node.input(position) else held)
        return partial(torch.clamp, min=ends[0], max=ends[1])

    def _pool(self, node: Node, output: str) -> Function:
        kernel, strides = node.integers("kernel_shape"), node.integers("strides") or (1, 1)
        pads = node.integers("pads") or (0, 0, 0, 0)
        automatic = node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
        dilated = any(length != 1 for length in node.integers("dilations") or ())
        if kernel is None or len(kernel) != 2 or automatic or dilated or node.integer("ceil_mode", 0):
            raise not_replayed(node.operator, output, "expected windows of two axes with stated padding")
        return partial(
            pooled,
            kernel=(kernel[0], kernel[1]),
            strides=(strides[0], strides[1]),
            pads=(pads[0], pads[1], pads[2], pads[3]),
            largest=node.operator == "MaxPool",
            last=False,
            counts_padding=bool(node.integer("count_include_pad", 0)),
        )

    def _reshape(self, node: Node, output: str) -> Function:
        if node.operator == "Flatten" and node.integer("axis", 1) == 1:
            return partial(reshaped, shape=(-1,))
        shape = self._shapes.get(output)
        if (
            node.operator == "Flatten"
            or not shape
            or shape[0] != 1
            or (self._shapes.get(node.inputs[0]) or (0,))[0] != 1
        ):
            raise not_replayed(node.operator, output, "it mixes inferences, or its shape is not known")
        return partial(reshaped, shape=shape[1:])

    def _mean(self, node: Node, output: str) -> Function:
        if node.operator == "GlobalAveragePool":
            return partial(_kept_mean, axes=(2, 3))
        axes = node.integers("axes")
        if axes is None and node.input(1):
            axes = tuple(int(axis) for axis in self._array(node, node.input(1)).reshape(-1))
        shape, source = self._shapes.get(output), self._shapes.get(node.inputs[0])
        if not axes or shape is None or source is None or 0 in (axis % len(source) for axis in axes):
            raise not_replayed(node.operator, output, "it mixes inferences, or its shape is not known")
        return partial(mean, axes=axes, shape=shape[1:])

    def _pad(self, node: Node, output: str) -> Function:
        ends = self._array(node, node.input(1)).reshape(-1) if node.input(1) else None
        zero = not node.input(2) or self._number(node, node.input(2)) == 0
        if ends is None or node.input(3) or node.text("mode", "constant") != "constant" or not zero:
            raise not_replayed(node.operator, output, "expected zeros around the values")
        half = len(ends) // 2
        return partial(padded, widths=[(int(ends[i]), int(ends[half + i])) for i in range(half)])

    def _grid_at(self, node: Node, scale: int, zero_point: int) -> Grid:
        """The grid that two of a node's inputs say."""
        kind = self._constants.array(node.input(zero_point)).dtype if node.input(zero_point) else np.dtype(np.uint8)  # type: ignore[union-attr]
        if kind.kind not in "iu" or kind.itemsize > 2:
            raise not_replayed(node.operator, node.label, f"expected integers of 8 or 16 bits, got {kind}")
        limits = np.iinfo(kind)
        return Grid.of(
            self._number(node, node.input(scale)), self._zero_point(node, zero_point), int(limits.min), int(limits.max)
        )

    def _zero_point(self, node: Node, position: int) -> int:
        return int(self._number(node, node.input(position))) if node.input(position) else 0

    def _check_grid(self, node: Node, name: str, grid: Grid) -> None:
        if self._grids.get(name) != grid:
            raise not_replayed(node.operator, node.label, "it reads integers by another scale than they were made by")

    def _number(self, node: Node, name: str) -> float:
        number = self._constants.number(name)
        if number is None:
            raise not_replayed(node.operator, node.label, f"expected one number in the file as '{name}'")
        return number

    def _array(self, node: Node, name: str) -> NDArray[Any]:
        values = self._constants.array(name)
        if values is None:
            raise not_replayed(node.operator, node.label, f"expected numbers in the file as '{name}'")
        return values

    def _real(self, node: Node, name: str) -> NDArray[Any]:
        """Real numbers of a constant, through DequantizeLinear."""
        producer = self._producers.get(name)
        if producer is None:
            return self._array(node, name)
        if not is_dequantize(producer):
            raise not_replayed(producer.operator, name, "expected a constant that is dequantized, or floats")
        held, scales = self._array(node, producer.inputs[0]), self._array(node, producer.inputs[1])
        zero_points = self._array(node, producer.input(2)) if producer.input(2) else np.zeros(1)
        if scales.size > 1:
            shape = [-1 if axis == producer.integer("axis", 1) % held.ndim else 1 for axis in range(held.ndim)]
            scales = scales.reshape(shape)
            zero_points = zero_points.reshape(shape) if zero_points.size > 1 else zero_points.reshape(())
        else:
            scales, zero_points = scales.reshape(()), zero_points.reshape(())
        return (held.astype(np.float64) - zero_points) * scales


def _kept_mean(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Mean along axes, which stay with length 1."""
    return values.mean(dim=axes, keepdim=True)


def _transposed(values: Tensor, order: tuple[int, ...]) -> Tensor:
    return values.permute(order)


def _with_constants(*values: Tensor, function: Function, constants: list[Tensor | None]) -> Tensor:
    given = iter(values)
    return function(*(next(given) if constant is None else constant for constant in constants))
