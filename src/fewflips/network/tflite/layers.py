"""From TFLite's weighted operators to integer matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import ModelError
from fewflips.formats.number_formats import INT4, INT8, INT16, UINT8, StorageType
from fewflips.network.bias import Bias
from fewflips.network.graph import LeftOut
from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D, Lowering, MatrixProduct, OwnRows
from fewflips.network.notes import Remarks, left_out_notes
from fewflips.network.operand import ActivationOperand, ConstantOperand
from fewflips.network.quantization_values import QuantizationValues
from fewflips.network.stored_bytes import FileBytes
from fewflips.network.tflite.file import FileOperator, FileTensor, TFLiteFile
from fewflips.network.tflite.macs import SUBGRAPH_CALLS, is_custom, macs, multiplies
from fewflips.network.tflite.matrices import TFLiteMatrix

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SVDF")
"""Operators that become layers, SVDF two of them."""

WEIGHTS_POSITION = {
    "LSTM": 2,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 2,
    "BIDIRECTIONAL_SEQUENCE_LSTM": 2,
}
"""Position of an operator's (first) weights among its inputs, where it is not 1."""

_STORAGE_TYPES = {"INT8": INT8, "UINT8": UINT8, "INT4": INT4, "INT2": StorageType(2, signed=True)}
_ACTIVATION_TYPES = {"INT8": INT8, "UINT8": UINT8, "INT16": INT16}
_TIME_TYPES = {"INT8": INT8, "UINT8": UINT8, "INT16": INT16}
_BIAS_TYPES = ("INT32", "INT64")
_FLOATS = ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64")
_SAME_PADDING = 0
_SHUFFLED_WEIGHTS = 1


class TFLiteLayerReader:
    """Reads the layers of one file.

    Parameters
    ----------
    path : Path
        Name of the file, for messages.
    file : TFLiteFile
        The decoded file.
    constant_names : mapping of int to str
        Name of each constant, by tensor index.

    Attributes
    ----------
    left_out : list of LeftOut
        Products that are not read as layers.
    float_operators : int
        How many weighted operators have float weights.
    """

    def __init__(self, path: Path, file: TFLiteFile, constant_names: dict[int, str]) -> None:
        self._path = path
        self._file = file
        self._constant_names = constant_names
        self._constants: dict[tuple[int, bool], ConstantOperand] = {}
        self._stored_parts: dict[tuple[int, int], FileBytes] = {}
        # Honest files unpack or transpose a constant once; tensors that alias one buffer a thousand times do not.
        self._copyable = 16 * sum({id(t.data): t.data.size for t in file.tensors if t.data is not None}.values())
        self._remarks = Remarks()
        self._taken = {tensor.name for tensor in file.tensors}
        self.left_out: list[LeftOut] = []
        self.float_operators = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over, and what layers lack: one sentence for each operator and reason."""
        return (*left_out_notes(self.left_out), *self._remarks.sentences())

    def layers(self) -> tuple[Layer, ...]:
        """All layers in execution order.

        Raises
        ------
        ModelError
            If the shapes of an operator contradict each other.
        """
        layers: list[Layer] = []
        for op in self._file.operators:
            if not op.outputs:
                continue
            if op.operator in WEIGHTED:
                layers += self._svdf(op) if op.operator == "SVDF" else self._layer(op)
            elif multiplies(op):
                self._leave_out(op, self._reason(op))
        return tuple(layers)

    def _reason(self, op: FileOperator) -> str:
        """Why a product is not read that no layer can be made of."""
        if is_custom(op):
            return "what it computes is not known"
        if op.operator in SUBGRAPH_CALLS:
            return "it runs other subgraphs of the file, which are not read"
        weights = self._input(op, WEIGHTS_POSITION.get(op.operator, 1))
        if weights is None or not weights.is_constant:
            twice = op.operator == "BATCH_MATMUL"
            return "it multiplies two activations" if twice else "the operator is not supported"
        if weights.dtype in _FLOATS:
            self.float_operators += 1
            return f"its weights are {weights.dtype.lower()}, not integers"
        return "the operator is not supported, so that its weights are not counted"

    def _input(self, op: FileOperator, position: int) -> FileTensor | None:
        if position >= len(op.inputs) or op.inputs[position] < 0:
            return None
        return self._file.tensors[op.inputs[position]]

    def _name(self, op: FileOperator) -> str:
        return self._file.tensors[op.outputs[0]].name

    def _leave_out(self, op: FileOperator, reason: str, count: int | None = None) -> None:
        """Leave out an operator, or `count` multiply-accumulate operations of it."""
        whole = macs(op, self._file) if count is None else count
        self.left_out.append(LeftOut(self._name(op), op.operator, reason, whole))

    def _contradiction(self, op: FileOperator, detail: str) -> ModelError:
        return ModelError(
            f"{self._path}: damaged TFLite file: layer '{self._name(op)}' ({op.operator}): {detail}; "
            "get a fresh copy of the file"
        )

    def _layer(self, op: FileOperator) -> Iterator[Layer]:
        source, weights = self._input(op, 0), self._input(op, 1)
        if source is None or weights is None:
            raise self._contradiction(op, f"expected an input and weights, got tensors {list(op.inputs)}")
        if not self._readable(op, weights):
            return
        output = self._file.tensors[op.outputs[0]]
        if op.operator == "FULLY_CONNECTED":
            n, groups, m, lowering = self._fully_connected(op, source, weights, output)
        else:
            n, groups, m, lowering = self._convolution(op, source, weights, output)
        self._check_bias(op, 2, n)
        yield self._product(op, self._name(op), weights, source, (n, groups, m), lowering, self._bias(op))

    def _svdf(self, op: FileOperator) -> Iterator[Layer]:
        """Two products: of the input with the feature weights, and of each filter's own past with its time weights."""
        source, features, times, state = (self._input(op, position) for position in (0, 1, 2, 4))
        if source is None or features is None or times is None or state is None:
            raise self._contradiction(op, f"expected an input, two weights and a state, got tensors {list(op.inputs)}")
        n, k, length, m = self._svdf_sizes(op, source, features, times, state)
        if self._readable(op, features, "feature weights", count=m * features.elements):
            name = self._free_name(f"{self._name(op)} (features)")
            yield self._product(op, name, features, source, (n, 1, m), MatrixProduct(k))
        if self._readable(op, times, "time weights", _TIME_TYPES, m * times.elements):
            name = self._free_name(f"{self._name(op)} (time)")
            yield self._product(op, name, times, state, (n, n, m), OwnRows(length))
            if times.dtype == "INT16":
                self._remarks.add(
                    self._name(op),
                    op.operator,
                    "its time weights are int16: arithmetic units that compute it take weights of 16 bits",
                )
            self._remarks.add(
                self._name(op),
                op.operator,
                "its state stays from one inference to the next: sample inputs are taken as successive ones",
            )

    def _svdf_sizes(
        self, op: FileOperator, source: FileTensor, features: FileTensor, times: FileTensor, state: FileTensor
    ) -> tuple[int, int, int, int]:
        """Filters, length of the input and of the past, and inferences in one batch."""
        for what, weights in (("feature", features), ("time", times)):
            if len(weights.shape) != 2 or 0 in weights.shape:
                raise self._contradiction(op, f"expected {what} weights of two axes, got {list(weights.shape)}")
        (n, k), (filters, length) = features.shape, times.shape
        if filters != n:
            raise self._contradiction(op, f"expected time weights of {n} filters, got {list(times.shape)}")
        if source.elements % k or source.elements == 0:
            raise self._contradiction(op, f"input {list(source.shape)} does not fit weights {list(features.shape)}")
        m = source.elements // k
        if state.is_constant or state.elements != m * n * length:
            raise self._contradiction(op, f"expected a state of {m} x {n * length} values, got {list(state.shape)}")
        output = self._file.tensors[op.outputs[0]]
        units = output.elements // m
        if output.elements != m * units or units == 0 or n % units:
            raise self._contradiction(op, f"output {list(output.shape)} does not fit {n} filters")
        self._check_bias(op, 3, units)
        return n, k, length, m

    def _free_name(self, name: str) -> str:
        """The name of a layer that no tensor has: other layers are called as the tensors that they give."""
        while name in self._taken:
            name += "'"
        self._taken.add(name)
        return name

    def _product(
        self,
        op: FileOperator,
        name: str,
        weights: FileTensor,
        source: FileTensor,
        sizes: tuple[int, int, int],
        lowering: Lowering,
        bias: Bias | None = None,
    ) -> Layer:
        """The layer of weights of which :meth:`_readable` is true; `sizes` are N, groups and M."""
        n, groups, m = sizes
        activation_type = _ACTIVATION_TYPES.get(source.dtype)
        if activation_type is None:
            self._note_activations(source, op)
        constant = self._constant(op, weights, n)
        zero_point = self._zero_point(op, source, activation_type) if activation_type else None
        tensor = source.name if activation_type else None
        floats = source.name if source.dtype in _FLOATS else None
        shape = (m, constant.shape[1])
        activations = ActivationOperand(shape, lowering, tensor, activation_type, zero_point, floats)
        return Layer(name, op.operator, activations, constant, groups, bias)

    def _readable(
        self,
        op: FileOperator,
        weights: FileTensor,
        what: str = "weights",
        types: Mapping[str, StorageType] = _STORAGE_TYPES,
        count: int | None = None,
    ) -> bool:
        """Whether the weights are integers that can be read; otherwise they are left out, `count` MACs of them."""
        if weights.dtype in _FLOATS:
            self.float_operators += 1
            self._leave_out(op, f"its {what} are {weights.dtype.lower()}, not integers", count)
        elif weights.dtype not in types:
            self._leave_out(op, f"{what} of type {weights.dtype} are not supported", count)
        elif not weights.is_constant:
            self._leave_out(op, f"its {what} are not a constant of the file", count)
        elif weights.is_sparse:
            self._leave_out(op, f"its {what} are stored sparsely, which is not supported", count)
        elif weights.quantization.has_details:
            reason = f"its {what} are quantized block-wise or in a custom way, which is not supported"
            self._leave_out(op, reason, count)
        elif op.options.get("WeightsFormat", 0) == _SHUFFLED_WEIGHTS:
            self._leave_out(op, "its weights are stored shuffled (SHUFFLED4x16INT8), which is not supported")
        else:
            return True
        return False

    def _note_activations(self, source: FileTensor, op: FileOperator) -> None:
        kind = source.dtype.lower()
        reason = "quantized at run time" if source.dtype in _FLOATS else "not int8, uint8 or int16"
        remark = f"its activations are {kind}, {reason}: weights alone are counted"
        self._remarks.add(self._name(op), op.operator, remark)

    def _fully_connected(
        self, op: FileOperator, source: FileTensor, weights: FileTensor, output: FileTensor
    ) -> tuple[int, int, int, Lowering]:
        if len(weights.shape) != 2 or 0 in weights.shape:
            raise self._contradiction(op, f"expected weights of shape [N, K], got {list(weights.shape)}")
        n, k = weights.shape
        if source.elements % k or source.elements == 0:
            raise self._contradiction(op, f"input {list(source.shape)} does not fit weights {list(weights.shape)}")
        m = source.elements // k
        if output.elements != m * n:
            raise self._contradiction(op, f"expected an output of {m} x {n} elements, got {list(output.shape)}")
        return n, 1, m, MatrixProduct(k)

    def _convolution(
        self, op: FileOperator, source: FileTensor, weights: FileTensor, output: FileTensor
    ) -> tuple[int, int, int, Lowering]:
        for what, tensor in (("input", source), ("weights", weights), ("output", output)):
            if len(tensor.shape) != 4 or 0 in tensor.shape:
                raise self._contradiction(op, f"expected 4 axes of its {what}, got shape {list(tensor.shape)}")
        channels = source.shape[3]
        if op.operator == "DEPTHWISE_CONV_2D":
            n, groups, expected_first = weights.shape[3], channels, 1
            fits = weights.shape[0] == expected_first and n % channels == 0
        else:
            n, groups = weights.shape[0], channels // weights.shape[3]
            fits = groups > 0 and channels % weights.shape[3] == 0 and n % groups == 0
        if not fits:
            raise self._contradiction(op, f"{channels} input channels do not fit weights {list(weights.shape)}")
        lowering = self._lowering(op, source, weights)
        height, width = lowering.output_size(source.shape[1], source.shape[2])
        expected = (source.shape[0], height, width, n)
        if output.shape != expected:
            raise self._contradiction(op, f"expected an output of shape {list(expected)}, got {list(output.shape)}")
        return n, groups, source.shape[0] * height * width, replace(lowering, grid=(height, width))

    def _lowering(self, op: FileOperator, source: FileTensor, weights: FileTensor) -> Convolution2D:
        kernel = (weights.shape[1], weights.shape[2])
        strides = (op.options["StrideH"], op.options["StrideW"])
        dilations = (op.options["DilationHFactor"], op.options["DilationWFactor"])
        if min(strides + dilations) < 1:
            raise self._contradiction(op, f"expected strides and dilations from 1, got {strides} and {dilations}")
        before, after = [0, 0], [0, 0]
        if op.options["Padding"] == _SAME_PADDING:
            for axis in (0, 1):
                length = source.shape[1 + axis]
                extent = dilations[axis] * (kernel[axis] - 1) + 1
                total = max((-(-length // strides[axis]) - 1) * strides[axis] + extent - length, 0)
                before[axis], after[axis] = total // 2, total - total // 2
        return Convolution2D("NHWC", kernel, strides, dilations, (before[0], before[1], after[0], after[1]))

    def _check_bias(self, op: FileOperator, position: int, n: int) -> None:
        bias = self._input(op, position)
        if bias is not None and bias.elements != n:
            raise self._contradiction(op, f"expected a bias of {n} elements, got shape {list(bias.shape)}")

    def _bias(self, op: FileOperator) -> Bias | None:
        """The bias of a convolution or fully connected layer, whose size has been checked."""
        bias = self._input(op, 2)
        if bias is None:
            return None
        name = self._constant_names.get(bias.index, bias.name)
        if not bias.is_constant or bias.is_sparse or bias.dtype not in _BIAS_TYPES:
            return Bias(name)
        return Bias(name, TFLiteMatrix(self._stored(bias), bias.dtype, bias.shape, outputs_last=False))

    def _constant(self, op: FileOperator, weights: FileTensor, n: int) -> ConstantOperand:
        """Weights as (N, K), one operand for each tensor and layout; their values stay in the file."""
        depthwise = op.operator == "DEPTHWISE_CONV_2D"
        key = (weights.index, depthwise)
        if key not in self._constants:
            if depthwise or weights.dtype not in _TIME_TYPES:
                self._copyable -= weights.elements
            if self._copyable < 0:
                raise self._contradiction(op, "many weight tensors share the same bytes")
            storage = _TIME_TYPES.get(weights.dtype) or _STORAGE_TYPES[weights.dtype]
            axis = 3 if depthwise else 0
            self._constants[key] = ConstantOperand(
                name=self._constant_names[weights.index],
                shape=(n, weights.elements // n),
                storage=storage,
                zero_points=self._zero_points(op, weights, axis, storage),
                source=TFLiteMatrix(self._stored(weights), weights.dtype, weights.shape, outputs_last=depthwise),
                scales=_scales(weights, axis),
            )
        return self._constants[key]

    def _stored(self, weights: FileTensor) -> FileBytes:
        """Where the bytes of a constant lie; looked at once where many share them."""
        if weights.data is None:
            raise ModelError(f"tensor '{weights.name}': expected a constant, got an activation")
        key = (weights.offset, weights.data.size)
        if key not in self._stored_parts:
            self._stored_parts[key] = FileBytes.of(self._path, weights.offset, weights.data.data)
        return self._stored_parts[key]

    def _zero_points(
        self, op: FileOperator, weights: FileTensor, axis: int, storage: StorageType
    ) -> QuantizationValues:
        """Zero points along the output channels; all that a product needs of the weights' parameters."""
        parameters = weights.quantization
        if _is_single(parameters.zero_point):
            return QuantizationValues.per_tensor(np.int32(self._zero_point(op, weights, storage)))
        if weights.quantization_fault:
            raise self._faulty(weights)
        if parameters.axis != axis:
            raise self._contradiction(op, f"expected weight scales along axis {axis}, got axis {parameters.axis}")
        return QuantizationValues.per_channel(parameters.zero_point.astype(np.int32))

    def _zero_point(self, op: FileOperator, tensor: FileTensor, storage: StorageType) -> int:
        """Give the one zero point of a tensor; 0 where the file has none."""
        zero_point = tensor.quantization.zero_point
        if not _is_single(zero_point) and not tensor.quantization_fault:
            raise self._contradiction(op, f"expected one zero point of '{tensor.name}', got {zero_point.size}")
        value = int(zero_point[0]) if zero_point.size else 0
        if not _is_single(zero_point) or not storage.low <= value <= storage.high:
            raise self._faulty(tensor)
        return value

    def _faulty(self, tensor: FileTensor) -> ModelError:
        return ModelError(
            f"{self._path}: damaged TFLite file: {tensor.quantization_fault}; get a fresh copy of the file"
        )


def _scales(weights: FileTensor, axis: int) -> QuantizationValues | None:
    """Scales of the weights as rows; None where the file has none that can be taken at their word."""
    parameters = weights.quantization
    if weights.quantization_fault or not parameters.scale.size:
        return None
    if parameters.scale.size == 1:
        return QuantizationValues.per_tensor(parameters.scale[0])
    return QuantizationValues.per_channel(parameters.scale.copy()) if parameters.axis == axis else None


def _is_single(zero_point: NDArray[np.int64]) -> bool:
    """Whether a tensor has one zero point, or none."""
    return zero_point.size <= 1 or bool((zero_point == zero_point[0]).all())
