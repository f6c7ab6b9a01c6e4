"""Small ONNX models for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CONTRIB = "com.microsoft"


class Builder:
    """Collects nodes and constants of a model.

    Parameters
    ----------
    seed : int
        Of the random weights.
    """

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, element_type: int, shape: Sequence[int | str]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, element_type, shape))
        return name

    def output(self, name: str, element_type: int, shape: Sequence[int | str] | None = None) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, element_type, shape))

    def constant(self, values: NDArray[Any] | float | int, name: str = "") -> str:
        name = name or self._name("const")
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def packed(self, values: NDArray[Any], element_type: int, name: str = "") -> str:
        """Add a constant of a type that numpy may not know."""
        name = name or self._name("const")
        self.initializers.append(helper.make_tensor(name, element_type, values.shape, values.reshape(-1).tolist()))
        return name

    def node(self, operator: str, inputs: Sequence[str], domain: str = "", name: str = "", **attributes: Any) -> str:
        output = self._name(operator.lower())
        label = name or f"{operator}_{self._count}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=label, domain=domain, **attributes))
        return output

    def model(self, opset: int = 21, ir_version: int = 10) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "model", self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)

    def int8(self, *shape: int) -> NDArray[np.int8]:
        return self.rng.integers(-128, 128, shape).astype(np.int8)

    def uint8(self, *shape: int) -> NDArray[np.uint8]:
        return self.rng.integers(0, 256, shape).astype(np.uint8)

    def scales(self, *shape: int) -> NDArray[np.float32]:
        return (0.002 + 0.01 * self.rng.random(shape)).astype(np.float32)

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"


class QOperators(Builder):
    """Builds networks of QLinear operators on uint8 activations."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.scale = self.constant(np.float32(0.05), "act_scale")
        self.zero = self.constant(np.uint8(117), "act_zero")

    def conv(self, source: str, n: int, depth: int, kernel: int, per_channel: bool = True, **attributes: Any) -> str:
        scale = self.scales(n) if per_channel else np.float32(0.004)
        zero = np.zeros(n, np.int8) if per_channel else np.int8(0)
        return self.node(
            "QLinearConv",
            [
                source,
                self.scale,
                self.zero,
                self.constant(self.int8(n, depth, kernel, kernel)),
                self.constant(scale),
                self.constant(zero),
                self.scale,
                self.zero,
                self.constant(self.rng.integers(-2000, 2000, n).astype(np.int32)),
            ],
            **attributes,
        )

    def add(self, left: str, right: str) -> str:
        return self.node(
            "QLinearAdd", [left, self.scale, self.zero, right, self.scale, self.zero, self.scale, self.zero], CONTRIB
        )

    def concat(self, parts: Sequence[str], axis: int = 1) -> str:
        triples = [name for part in parts for name in (part, self.scale, self.zero)]
        return self.node("QLinearConcat", [self.scale, self.zero, *triples], CONTRIB, axis=axis)

    def average(self, source: str) -> str:
        return self.node(
            "QLinearGlobalAveragePool", [source, self.scale, self.zero, self.scale, self.zero], CONTRIB, channels_last=0
        )

    def gemm(self, source: str, k: int, n: int, transposed: bool = False) -> str:
        weights = self.int8(*((n, k) if transposed else (k, n)))
        inputs = [source, self.scale, self.zero, self.constant(weights), self.constant(self.scales(n))]
        inputs += [self.constant(np.zeros(n, np.int8)), self.constant(self.rng.integers(-900, 900, n).astype(np.int32))]
        return self.node("QGemm", [*inputs, self.scale, self.zero], CONTRIB, transB=int(transposed))


def qlinear_chain() -> onnx.ModelProto:
    """Convolution, depthwise, residual sum, concatenation, pooling, flattening, fully connected."""
    build = QOperators()
    image = build.input("image", TensorProto.UINT8, ["N", 3, 8, 8])
    stem = build.conv(image, 8, 3, 3, pads=[1] * 4)
    depthwise = build.conv(stem, 8, 1, 3, pads=[1] * 4, group=8)
    point = build.conv(depthwise, 8, 8, 1, per_channel=False)
    joined = build.add(stem, point)
    other = build.conv(joined, 4, 8, 3, pads=[1] * 4)
    both = build.concat([joined, other])
    pooled = build.node("MaxPool", [both], kernel_shape=[2, 2], strides=[2, 2])
    last = build.conv(pooled, 6, 12, 3)
    flat = build.node("Flatten", [last], axis=1)
    hidden = build.gemm(flat, 24, 9, transposed=True)
    build.output(build.gemm(hidden, 9, 5), TensorProto.UINT8, ["N", 5])
    return build.model()


def grouped() -> onnx.ModelProto:
    """A grouped convolution between dense ones, and a transpose at the end."""
    build = QOperators(1)
    image = build.input("image", TensorProto.UINT8, [1, 3, 6, 6])
    stem = build.conv(image, 8, 3, 3)
    middle = build.conv(stem, 12, 2, 3, group=4, pads=[1] * 4)
    last = build.conv(middle, 4, 12, 1)
    build.output(build.node("Transpose", [last], perm=[0, 2, 3, 1]), TensorProto.UINT8)
    return build.model()


def conv_integer(
    image: tuple[int, int, int, int] = (1, 4, 7, 6),
    weights: tuple[int, int, int, int] = (6, 4, 3, 3),
    signed: bool = True,
    seed: int = 2,
    **attributes: Any,
) -> onnx.ModelProto:
    """One ConvInteger with zero points."""
    build = Builder(seed)
    source = build.input("x", TensorProto.UINT8, image)
    values = build.int8(*weights) if signed else build.uint8(*weights)
    zero = build.constant(np.int8(-3) if signed else np.uint8(131))
    inputs = [source, build.constant(values), build.constant(np.uint8(9)), zero]
    build.output(build.node("ConvInteger", inputs, **attributes), TensorProto.INT32)
    return build.model()


def dynamic_matmul() -> onnx.ModelProto:
    """Two MatMulInteger as quantize_dynamic makes them, with scales of each output channel."""
    build = Builder(3)
    source = build.input("x", TensorProto.FLOAT, ["batch", 5, 12])
    for k, n in ((12, 16), (16, 7)):
        names = [f"q{n}", f"q{n}_scale", f"q{n}_zero"]
        build.nodes.append(helper.make_node("DynamicQuantizeLinear", [source], names, name=f"dynamic{n}"))
        weights, zero = build.constant(build.int8(k, n), f"w{n}"), build.constant(np.zeros(n, np.int8), f"z{n}")
        product = build.node("MatMulInteger", [names[0], weights, names[2], zero], name=f"product{n}")
        real = build.node("Cast", [product], to=TensorProto.FLOAT)
        scale = build.node("Mul", [names[1], build.constant(build.scales(n), f"s{n}")])
        scaled = build.node("Mul", [real, scale])
        biased = build.node("Add", [build.constant(build.scales(n), f"b{n}"), scaled])
        source = build.node("Relu", [biased]) if n == 16 else biased
    build.output(source, TensorProto.FLOAT)
    return build.model()


class QDQ(Builder):
    """Builds networks of float operators between DequantizeLinear and QuantizeLinear."""

    def activation(self, source: str, scale: float = 0.05, zero: int = 3) -> str:
        parameters = [self.constant(np.float32(scale)), self.constant(np.int8(zero))]
        codes = self.node("QuantizeLinear", [source, *parameters])
        return self.node("DequantizeLinear", [codes, *parameters])

    def weights(self, values: NDArray[np.integer], axis: int) -> str:
        n = values.shape[axis]
        return self.node(
            "DequantizeLinear",
            [self.constant(values), self.constant(self.scales(n)), self.constant(np.zeros(n, values.dtype))],
            axis=axis,
        )

    def bias(self, n: int) -> str:
        values = self.constant(self.rng.integers(-2000, 2000, n).astype(np.int32))
        parameters = [self.constant(self.scales(n)), self.constant(np.zeros(n, np.int32))]
        return self.node("DequantizeLinear", [values, *parameters], axis=0)


def qdq() -> onnx.ModelProto:
    """Conv, depthwise Conv, Add, global pooling, Gemm, MatMul and Softmax in QDQ form."""
    build = QDQ(4)
    image = build.activation(build.input("image", TensorProto.FLOAT, ["N", 3, 8, 8]))
    stem = build.node("Conv", [image, build.weights(build.int8(8, 3, 3, 3), 0), build.bias(8)], pads=[1] * 4)
    stem = build.activation(build.node("Relu", [stem]), zero=-128)
    deep = build.node("Conv", [stem, build.weights(build.int8(8, 1, 3, 3), 0), build.bias(8)], group=8, pads=[1] * 4)
    total = build.activation(build.node("Add", [stem, build.activation(deep)]))
    pooled = build.activation(build.node("GlobalAveragePool", [total]))
    flat = build.activation(build.node("Flatten", [pooled]))
    gemm = build.node("Gemm", [flat, build.weights(build.int8(10, 8), 0), build.bias(10)], transB=1)
    product = build.node("MatMul", [build.activation(gemm), build.weights(build.int8(10, 6), 1)])
    build.output(build.node("Softmax", [build.activation(product)]), TensorProto.FLOAT)
    return build.model()


def int4() -> onnx.ModelProto:
    """MatMul and Gemm with weights of 4 bits and an odd number of them, one signed and one not."""
    build = QDQ(5)
    source = build.activation(build.input("x", TensorProto.FLOAT, [2, 7]))
    signed = build.packed(build.rng.integers(-8, 8, (7, 9)), TensorProto.INT4, "w_signed")
    scale = build.constant(build.scales(9))
    first = build.node("MatMul", [source, build.node("DequantizeLinear", [signed, scale], axis=1)], name="first")
    hidden = build.activation(build.node("Relu", [first]))
    unsigned = build.packed(build.rng.integers(0, 16, (3, 9)), TensorProto.UINT4, "w_unsigned")
    zero = build.packed(np.full(3, 7), TensorProto.UINT4, "z_unsigned")
    weights = build.node("DequantizeLinear", [unsigned, build.constant(build.scales(3)), zero], axis=0)
    build.output(build.node("Gemm", [hidden, weights], transB=1, name="second"), TensorProto.FLOAT)
    return build.model()


def float_network() -> onnx.ModelProto:
    """A float network for onnxruntime.quantization: convolutions, residual sum, concatenation, fully connected."""
    build = Builder(6)

    def conv(source: str, n: int, depth: int, kernel: int, **attributes: Any) -> str:
        weights = (build.rng.standard_normal((n, depth, kernel, kernel)) * 0.3).astype(np.float32)
        bias = (build.rng.standard_normal(n) * 0.1).astype(np.float32)
        pads = [kernel // 2] * 4
        return build.node("Conv", [source, build.constant(weights), build.constant(bias)], pads=pads, **attributes)

    image = build.input("image", TensorProto.FLOAT, ["N", 3, 8, 8])
    stem = build.node("Relu", [conv(image, 8, 3, 3)])
    deep = build.node("Relu", [conv(stem, 8, 1, 3, group=8)])
    total = build.node("Add", [stem, conv(deep, 8, 8, 1)])
    side = build.node("Relu", [conv(total, 4, 8, 3)])
    both = build.node("Concat", [total, side], axis=1)
    pooled = build.node("MaxPool", [both], kernel_shape=[2, 2], strides=[2, 2])
    last = build.node("Relu", [conv(pooled, 6, 12, 3)])
    flat = build.node("Flatten", [last], axis=1)
    first = build.constant((build.rng.standard_normal((9, 96)) * 0.2).astype(np.float32))
    bias = build.constant(build.rng.standard_normal(9).astype(np.float32))
    hidden = build.node("Relu", [build.node("Gemm", [flat, first, bias], transB=1)])
    second = build.constant((build.rng.standard_normal((9, 5)) * 0.3).astype(np.float32))
    build.output(build.node("MatMul", [hidden, second]), TensorProto.FLOAT, ["N", 5])
    return build.model(opset=17)


def expanded_network() -> onnx.ModelProto:
    """A product behind an Expand whose lengths are computed as PyTorch exports them: -1 stands for what there was."""
    build = QDQ()
    source = build.activation(build.input("x", TensorProto.FLOAT, ["batch", 1, 8]))
    wanted = build.constant(np.array([-1, 5, -1], np.int64))
    ones = build.node(
        "ConstantOfShape",
        [build.constant(np.array([3], np.int64))],
        value=numpy_helper.from_array(np.array([1], np.int64)),
    )
    minus = build.node("Mul", [ones, build.constant(np.int64(-1))])
    lengths = build.node("Where", [build.node("Equal", [wanted, minus]), ones, wanted])
    flat = build.node("Reshape", [build.node("Expand", [source, lengths]), build.constant(np.array([5, -1], np.int64))])
    product = build.node(
        "MatMul", [build.activation(flat), build.weights(build.int8(8, 6), axis=1)], name="behind the reshape"
    )
    build.output(build.activation(product), TensorProto.FLOAT)
    return build.model()


def packed_rows(codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Codes of each row, several to a byte, the first in the lowest bits; rows are filled up to whole bytes."""
    per_byte = 8 // bits
    rows = []
    for row in codes.tolist():
        row += [0] * (-len(row) % per_byte)
        rows.append([sum(row[i + j] << (bits * j) for j in range(per_byte)) for i in range(0, len(row), per_byte)])
    return np.array(rows, np.uint8)


@dataclass
class NBits:
    """One MatMulNBits, with the numbers that it is made of.

    Parameters
    ----------
    bits, block : int
        As of the operator.
    zero_points : {"none", "packed", "whole", "fractions"}
        How they are stored; the last two as floats.
    shuffled : bool
        Whether `g_idx` gives each index of K a block of its own.
    bias : bool
        Whether there is one.
    scale_type : int
        Element type of the scales, and of the zero points that are floats.
    """

    bits: int = 4
    block: int = 16
    zero_points: str = "none"
    shuffled: bool = False
    bias: bool = False
    scale_type: int = TensorProto.FLOAT
    n: int = 6
    k: int = 40
    blocks: int = 3

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.bits)
        self.codes = rng.integers(0, 1 << self.bits, (self.n, self.blocks * self.block))
        self.scales = rng.integers(1, 64, (self.n, self.blocks)) / 256  # exact in every type of floats
        self.zeros: NDArray[Any] = np.full((self.n, self.blocks), 1 << (self.bits - 1))
        if self.zero_points != "none":
            self.zeros = rng.integers(0, 1 << self.bits, (self.n, self.blocks))
        if self.zero_points == "fractions":
            self.zeros = self.zeros + 0.25
        self.groups = np.arange(self.k) // self.block
        if self.shuffled:
            self.groups = rng.permutation(self.groups)

    def values(self) -> NDArray[np.float64]:
        """Weights of shape (N, K), by the operator's definition."""
        result = np.zeros((self.n, self.k))
        for row in range(self.n):
            for column in range(self.k):
                group = self.groups[column]
                step = self.codes[row, column] - self.zeros[row, group]
                result[row, column] = step * self.scales[row, group]
        return result

    def model(self) -> onnx.ModelProto:
        build = Builder()
        element = self.scale_type if self.scale_type == TensorProto.FLOAT16 else TensorProto.FLOAT
        source = build.input("x", element, [2, 3, self.k])
        build.output(self.node(build, source, "product"), element)
        return build.model()

    def node(self, build: Builder, source: str, name: str = "") -> str:
        """Add the operator to a network; where it has a name, so have its constants."""
        codes = packed_rows(self.codes, self.bits).reshape(self.n, self.blocks, -1)
        scales = self._floats(build, self.scales, name and "scales")
        inputs = [source, build.constant(codes, name and "codes"), scales, "", "", ""]
        if self.zero_points == "packed":
            inputs[3] = build.constant(packed_rows(self.zeros, self.bits), name and "zeros")
        elif self.zero_points != "none":
            inputs[3] = self._floats(build, self.zeros, name and "zeros")
        if self.shuffled:
            inputs[4] = build.constant(self.groups.astype(np.int32), name and "groups")
        if self.bias:
            inputs[5] = self._floats(build, np.arange(self.n) / 4, name and "bias")
        while not inputs[-1]:
            inputs.pop()
        attributes = {"K": self.k, "N": self.n, "bits": self.bits, "block_size": self.block, "accuracy_level": 1}
        return build.node("MatMulNBits", inputs, CONTRIB, name, **attributes)

    def _floats(self, build: Builder, values: NDArray[Any], name: str) -> str:
        return build.packed(values, self.scale_type, name)


def products_to_floats() -> onnx.ModelProto:
    """A MatMulIntegerToFloat with a zero point each channel, and a DynamicQuantizeMatMul behind it."""
    build = Builder(4)
    source = build.input("x", TensorProto.FLOAT, [3, 12])
    names = ["codes", "scale", "zero"]
    build.nodes.append(helper.make_node("DynamicQuantizeLinear", [source], names))
    first = [build.constant(build.int8(12, 16)), "scale", build.constant(build.scales(16)), "zero"]
    first += [build.constant(build.int8(16)), build.constant(build.scales(16))]
    hidden = build.node("Relu", [build.node("MatMulIntegerToFloat", ["codes", *first], CONTRIB, "first")])
    build.nodes.append(helper.make_node("DynamicQuantizeLinear", [hidden], ["again", "again scale", "again zero"]))
    second = [build.constant(build.uint8(16, 7)), build.constant(np.float32(0.01)), build.constant(np.uint8(121))]
    build.output(build.node("DynamicQuantizeMatMul", [hidden, *second], CONTRIB, "second"), TensorProto.FLOAT)
    return build.model()


def quantized_attention(past: bool = False) -> onnx.ModelProto:
    """A QAttention of two heads of four channels on five positions."""
    build = Builder(6)
    source = build.input("x", TensorProto.UINT8, [2, 5, 8])
    inputs = [source, build.constant(build.int8(8, 24), "w"), build.constant(build.scales(24), "b")]
    inputs += [build.constant(np.float32(0.05)), build.constant(np.float32(0.01)), ""]
    inputs += [build.constant(np.uint8(117)), build.constant(np.int8(-3))]
    if past:
        inputs.append(build.input("past", TensorProto.FLOAT, [2, 2, 2, 3, 4]))
    names = ["y", "present"] if past else ["y"]
    build.nodes.append(helper.make_node("QAttention", inputs, names, name="all", domain=CONTRIB, num_heads=2))
    build.output("y", TensorProto.FLOAT)
    return build.model()


LSTM_SIZES = 7, 2, 10, 6
"""Steps, batch, elements of the input, and of the state."""


def dynamic_lstm(directions: int, per_channel: bool = False, *, last_only: bool = False) -> onnx.ModelProto:
    """An LSTM, and a product of its output, or of its last state."""
    build = Builder(8)
    steps, batch, width, hidden = LSTM_SIZES
    shape: tuple[int, ...] = (directions, 4 * hidden) if per_channel else (directions,)
    source = build.input("x", TensorProto.FLOAT, [steps, batch, width])
    weights = [
        build.constant(build.int8(directions, rows, 4 * hidden), name) for rows, name in ((width, "w"), (hidden, "r"))
    ]
    parameters = []
    for name in ("w", "r"):
        parameters.append(build.constant(build.scales(*shape) / 2, f"{name}_scale"))
        parameters.append(build.constant(np.zeros(shape, np.int8), f"{name}_zero"))
    inputs = [source, *weights, *[""] * 5, *parameters]
    attributes = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward"}
    outputs = ["", "state"] if last_only else ["all"]
    build.nodes.append(helper.make_node("DynamicQuantizeLSTM", inputs, outputs, "lstm", domain=CONTRIB, **attributes))
    operands = [outputs[-1], build.constant(build.int8(hidden, 3)), build.constant(np.float32(0.01))]
    build.output(outputs[-1], TensorProto.FLOAT)
    build.output(build.node("DynamicQuantizeMatMul", operands, CONTRIB, "behind"), TensorProto.FLOAT)
    return build.model()


def function(name: str, nodes: Sequence[onnx.NodeProto], inputs: Sequence[str], opset: int = 21) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, inputs, ["y"], nodes, opsets)


def with_functions(build: QDQ, *functions: onnx.FunctionProto) -> onnx.ModelProto:
    model = build.model()
    model.functions.extend(functions)
    model.opset_import.append(helper.make_opsetid("local", 1))
    return model


def block_network() -> onnx.ModelProto:
    """Two calls of a function that quantizes, multiplies and activates; scales come from a function of its own."""
    scale = numpy_helper.from_array(np.float32(0.05))
    zero = numpy_helper.from_array(np.int8(3))
    constants = [
        helper.make_node("Constant", [], ["scale"], value=scale),
        helper.make_node("Constant", [], ["zero"], value=zero),
    ]
    quantize = [
        *constants,
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["y"]),
    ]
    block = [
        helper.make_node("Quantized", ["x"], ["a"], domain="local"),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["real"], axis=1),
        helper.make_node("MatMul", ["a", "real"], ["b"], name="product"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    build = QDQ()
    hidden = build.input("x", TensorProto.FLOAT, [2, 8])
    for k, n in ((8, 12), (12, 6)):
        weights = [build.int8(k, n), build.scales(n), np.zeros(n, np.int8)]
        hidden = build.node("Block", [hidden, *(build.constant(values) for values in weights)], "local")
    build.output(hidden, TensorProto.FLOAT)
    return with_functions(build, function("Quantized", quantize, ["x"]), function("Block", block, list("xwsz")))


def control_flow(operator: str, quantized: bool = True) -> QOperators:
    """A body with a product and, in a body inside of it, another one."""
    build = QOperators()
    image, choice = build.input("image", TensorProto.UINT8, [1, 3, 6, 6]), build.input("choice", TensorProto.BOOL, [])
    count = build.constant(np.int64(2))
    body = QOperators(1)
    if quantized:
        body.conv(image, 4, 3, 1, name="inner")
    else:
        real = body.node("Cast", [image], to=TensorProto.FLOAT)
        body.node("Conv", [real, body.constant(np.ones((4, 3, 1, 1), np.float32))], name="inner")
    deepest = helper.make_graph(list(body.nodes), "deepest", [], [helper.make_empty_tensor_value_info("conv")])
    deepest.initializer.extend(body.initializers)
    body.nodes.append(helper.make_node("If", [choice], ["b"], then_branch=deepest, else_branch=deepest))
    graph = helper.make_graph(body.nodes, "body", [], [helper.make_empty_tensor_value_info("b")])
    graph.initializer.extend(body.initializers)
    if operator == "If":
        result = build.node("If", [choice], then_branch=graph, else_branch=graph, name="flow")
    elif operator == "Loop":
        result = build.node("Loop", [count, choice], body=graph, name="flow")
    else:
        result = build.node("Scan", [image], body=graph, num_scan_inputs=1, name="flow")
    build.outputs.append(helper.make_empty_tensor_value_info(result))
    return build


def with_a_layer(build: QOperators) -> onnx.ModelProto:
    """A network of which something is in a body, with one layer outside of it."""
    build.output(build.conv("image", 4, 3, 1, name="outer"), TensorProto.UINT8)
    return build.model()


def save(model: onnx.ModelProto, path: Path, external: bool = False) -> Path:
    """Write a model, its tensors into a file beside it if `external`."""
    if external:
        onnx.save_model(
            model,
            path,
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            location=f"{path.name}.weights",
            size_threshold=0,
        )
    else:
        onnx.save_model(model, path)
    return path
