"""Small TFLite files for tests, built by the schema's own object API."""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from fewflips.network.tflite.elements import pack

CONV, DEPTHWISE, DENSE = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
RELU = schema.ActivationFunctionType.RELU
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
STEPS = {"INT8": (0.05, 3), "UINT8": (0.05, 128), "INT16": (0.0002, 0)}
"""Scale and zero point of activations, by their type."""


class TFLiteBuilder:
    """Collects tensors and operators of one subgraph; `build` gives the file's bytes."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = np.random.default_rng(seed)
        self._buffers = [schema.BufferT()]
        self._tensors: list[schema.TensorT] = []
        self._operators: list[schema.OperatorT] = []
        self._codes: list[schema.OperatorCodeT] = []

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str = "INT8",
        data: np.ndarray | None = None,
        scale: float | list[float] | None = 0.05,
        zero_point: int | list[int] = 0,
        axis: int = 0,
        buffer: int | None = None,
    ) -> int:
        """Add a tensor; `data` of 4-bit types is one element a byte. Gives its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(shape), getattr(schema.TensorType, dtype)
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(scale).astype(np.float32).tolist()
            tensor.quantization.zeroPoint = np.atleast_1d(zero_point).astype(np.int64).tolist()
            tensor.quantization.quantizedDimension = axis
        tensor.buffer = self._buffer(data, dtype) if buffer is None else buffer
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _buffer(self, data: np.ndarray | None, dtype: str) -> int:
        buffer = schema.BufferT()
        if data is not None:
            data = np.ascontiguousarray(data)
            raw, bits = data.reshape(-1).view(np.uint8), {"INT4": 4, "INT2": 2}.get(dtype, 8)
            buffer.data = raw if bits == 8 else pack(raw & ((1 << bits) - 1), bits)
        self._buffers.append(buffer)
        return len(self._buffers) - 1

    def buffer_of(self, tensor: int) -> int:
        """The buffer of a tensor, to share it."""
        return self._tensors[tensor].buffer

    def operator(self, name: str, inputs: list[int], outputs: list[int], options: object | None = None) -> None:
        """Add an operator; its options' class says which kind they are."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = {CONV: 4, DEPTHWISE: 4, DENSE: 4, "SVDF": 3, "RESHAPE": 1}.get(name, 2)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self._codes), inputs, outputs
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, kind), options
        self._codes.append(code)
        self._operators.append(operator)

    def codes(self, shape: tuple[int, ...], dtype: str = "INT8") -> np.ndarray:
        """Random weights of a type."""
        low, high = {"INT8": (-127, 127), "UINT8": (0, 255), "INT4": (-7, 7), "INT2": (-1, 1)}[dtype]
        return self.generator.integers(low, high, shape, endpoint=True).astype(
            np.uint8 if dtype == "UINT8" else np.int8
        )

    def weighted(
        self,
        operator: str,
        source: int,
        name: str,
        output_shape: tuple[int, ...],
        weight_shape: tuple[int, ...],
        weight_type: str = "INT8",
        activation_type: str = "INT8",
        per_channel: bool = True,
        padding: int = SAME,
        stride: int = 1,
        dilation: int = 1,
    ) -> int:
        """Add a convolution, depthwise convolution or fully connected layer with random weights and bias."""
        axis = 3 if operator == DEPTHWISE else 0
        n = weight_shape[axis]
        scales = self.generator.uniform(0.002, 0.006, n) if per_channel else np.array([0.004])
        zero_points = [121] if weight_type == "UINT8" else [0] * len(scales)
        weights = self.tensor(
            f"{name}/weights",
            weight_shape,
            weight_type,
            self.codes(weight_shape, weight_type),
            scales,
            zero_points,
            axis,
        )
        scale, zero_point = STEPS[activation_type]
        bias_type = "INT64" if activation_type == "INT16" else "INT32"
        bias_data = self.generator.integers(-2000, 2000, n).astype(bias_type.lower())
        bias = self.tensor(f"{name}/bias", (n,), bias_type, bias_data, scales * scale, [0] * len(scales))
        output = self.tensor(name, output_shape, activation_type, None, scale, zero_point)
        self.operator(
            operator, [source, weights, bias], [output], _options(operator, weight_shape, padding, stride, dilation)
        )
        return output

    def svdf(
        self,
        source: int,
        name: str,
        units: int,
        inputs: int,
        memory: int,
        rank: int = 1,
        past_type: str = "INT16",
        batch: int = 1,
    ) -> int:
        """Add an SVDF operator with int8 inputs; `past_type` is that of the time weights and of the state."""
        filters = units * rank
        features = self.tensor(f"{name}/features", (filters, inputs), "INT8", self.codes((filters, inputs)), 0.004)
        past = self.generator.integers(-127, 127, (filters, memory), endpoint=True).astype(past_type.lower())
        times = self.tensor(f"{name}/times", past.shape, past_type, past, 0.01)
        bias_data = self.generator.integers(-2000, 2000, units).astype(np.int32)
        bias = self.tensor(f"{name}/bias", (units,), "INT32", bias_data, 0.01 * 0.001)
        state = self.tensor(f"{name}/state", (batch, filters * memory), past_type, None, 0.001)
        self._tensors[state].isVariable = True
        output = self.tensor(name, (batch, units), "INT8", None, 0.05, -5)
        options = schema.SVDFOptionsT()
        options.rank, options.fusedActivationFunction = rank, RELU
        self.operator("SVDF", [source, features, times, bias, state], [output], options)
        return output

    def constant(self, name: str, data: np.ndarray) -> int:
        """Add an unquantized constant, such as a shape."""
        return self.tensor(name, data.shape, data.dtype.name.upper(), data, None)

    def build(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The file."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self._tensors, self._operators, inputs, outputs
        model = schema.ModelT()
        model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, self._codes, [graph], self._buffers
        model.description = b"test"
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def _options(operator: str, weight_shape: tuple[int, ...], padding: int, stride: int, dilation: int) -> object:
    if operator == DENSE:
        return schema.FullyConnectedOptionsT()
    options = schema.Conv2DOptionsT() if operator == CONV else schema.DepthwiseConv2DOptionsT()
    options.padding, options.strideH, options.strideW = padding, stride, stride
    options.dilationHFactor = options.dilationWFactor = dilation
    if operator == DEPTHWISE:
        options.depthMultiplier = 1
    return options


def branching(weight_type: str = "INT8", activation_type: str = "INT8", seed: int = 0) -> bytes:
    """A network with everything that channels travel through.

    stem -> depthwise -> project -> ADD stem -> PAD -> 3 x 3 VALID -> CONCATENATION with a second branch -> MAX_POOL
    -> RESHAPE -> FULLY_CONNECTED -> SOFTMAX.
    """
    build = TFLiteBuilder(seed)
    scale, zero_point = STEPS[activation_type]
    per_channel = weight_type != "UINT8"
    kinds = {"weight_type": weight_type, "activation_type": activation_type, "per_channel": per_channel}
    image = build.tensor("image", (1, 8, 8, 3), activation_type, None, scale, zero_point)
    stem = build.weighted(CONV, image, "stem", (1, 8, 8, 8), (8, 3, 3, 3), **kinds)
    depthwise = build.weighted(DEPTHWISE, stem, "depthwise", (1, 8, 8, 8), (1, 3, 3, 8), **kinds)
    project = build.weighted(CONV, depthwise, "project", (1, 8, 8, 8), (8, 1, 1, 8), **kinds)
    residual = build.tensor("residual", (1, 8, 8, 8), activation_type, None, 1.4 * scale, zero_point)
    addition = schema.AddOptionsT()
    addition.potScaleInt16 = False
    build.operator("ADD", [project, stem], [residual], addition)
    padded = build.tensor("padded", (1, 10, 10, 8), activation_type, None, 1.4 * scale, zero_point)
    widths = build.constant("widths", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    build.operator("PAD", [residual, widths], [padded], schema.PadOptionsT())
    first = build.weighted(CONV, padded, "first", (1, 4, 4, 6), (6, 3, 3, 8), padding=VALID, stride=2, **kinds)
    second = build.weighted(CONV, residual, "second", (1, 4, 4, 4), (4, 1, 1, 8), stride=2, **kinds)
    joined = build.tensor("joined", (1, 4, 4, 10), activation_type, None, scale, zero_point)
    concatenation = schema.ConcatenationOptionsT()
    concatenation.axis = 3
    build.operator("CONCATENATION", [first, second], [joined], concatenation)
    pooled = build.tensor("pooled", (1, 2, 2, 10), activation_type, None, scale, zero_point)
    pool = schema.Pool2DOptionsT()
    pool.strideH = pool.strideW = pool.filterHeight = pool.filterWidth = 2
    pool.padding = VALID
    build.operator("MAX_POOL_2D", [joined], [pooled], pool)
    flat = build.tensor("flat", (1, 40), activation_type, None, scale, zero_point)
    shape = build.constant("shape", np.array([1, 40], np.int32))
    build.operator("RESHAPE", [pooled, shape], [flat], schema.ReshapeOptionsT())
    logits = build.weighted(DENSE, flat, "logits", (1, 5), (5, 40), weight_type, activation_type, per_channel=False)
    step, low = {"INT8": (1 / 256, -128), "UINT8": (1 / 256, 0), "INT16": (1 / 32768, 0)}[activation_type]
    scores = build.tensor("scores", (1, 5), activation_type, None, step, low)
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    build.operator("SOFTMAX", [logits], [scores], softmax)
    return build.build([image], [scores, logits])


def keyword(past_type: str = "INT16", rank: int = 1, batch: int = 1) -> bytes:
    """A keyword network: a fully connected layer, an SVDF operator, and another fully connected layer."""
    build = TFLiteBuilder()
    source = build.tensor("x", (batch, 12), "INT8", None, *STEPS["INT8"])
    hidden = build.weighted(DENSE, source, "hidden", (batch, 10), (10, 12), per_channel=False)
    units = build.svdf(hidden, "units", 8, 10, 6, rank, past_type, batch)
    words = build.weighted(DENSE, units, "words", (batch, 4), (4, 8), per_channel=False)
    return build.build([source], [words])


def biases_of_another_rank() -> bytes:
    """The branching network with scales of its biases along axis 3, as converters of 2019 wrote them.

    TensorFlow Lite for Microcontrollers runs such files (its person detection is one); LiteRT refuses them.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(branching()))
    for tensor in model.subgraphs[0].tensors:
        if tensor.name.endswith(b"/bias"):
            tensor.quantization.quantizedDimension = 3
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def single(
    operator: str,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    seed: int = 0,
    **options: object,
) -> bytes:
    """A network of one weighted layer, from `x` to `y`."""
    build = TFLiteBuilder(seed)
    activation_type = str(options.get("activation_type", "INT8"))
    source = build.tensor("x", input_shape, activation_type, None, *STEPS[activation_type])
    output = build.weighted(operator, source, "y", output_shape, weight_shape, **options)
    return build.build([source], [output])


def hybrid() -> bytes:
    """A fully connected layer with int8 weights between float activations."""
    build = TFLiteBuilder()
    source = build.tensor("x", (1, 16), "FLOAT32", None, None)
    weights = build.tensor("weights", (4, 16), "INT8", build.codes((4, 16)), 0.01)
    output = build.tensor("y", (1, 4), "FLOAT32", None, None)
    build.operator(DENSE, [source, weights, -1], [output], schema.FullyConnectedOptionsT())
    return build.build([source], [output])


def floating() -> bytes:
    """A fully connected layer in floating point."""
    build = TFLiteBuilder()
    source = build.tensor("x", (1, 16), "FLOAT32", None, None)
    weights = build.tensor("weights", (4, 16), "FLOAT32", build.generator.random((4, 16), np.float32), None)
    output = build.tensor("y", (1, 4), "FLOAT32", None, None)
    build.operator(DENSE, [source, weights, -1], [output], schema.FullyConnectedOptionsT())
    return build.build([source], [output])
