"""Reading TFLite files: the integer products are those that LiteRT computes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite as tflite_schema
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from fewflips.errors import FloatModelError, ModelError
from fewflips.execution.litert import LiteRTSession
from fewflips.execution.samples import random_feeds
from fewflips.formats.number_formats import INT4, INT8, INT16, UINT8
from fewflips.network.graph import ConstantAxis, LeftOut, OperationKind
from fewflips.network.lowering import Convolution2D, MatrixProduct
from fewflips.network.tflite import reader as tflite
from fewflips.network.tflite.file import decode, unique_names
from tests.network import build_tflite as small
from tests.property_settings import examples

REAL_MODELS = {
    "mobilenet_v2_1.0_224_quant.tflite": (53, 300_775_552),
    "mlperf_tiny_kws_dscnn_int8.tflite": (10, 2_656_768),
    "mlperf_tiny_resnet8_int8.tflite": (10, 12_501_632),
    "mlperf_tiny_vww_mobilenet_v1_025_int8.tflite": (28, 7_489_664),
    "mlperf_tiny_ad_autoencoder_int8.tflite": (10, 264_192),
}
"""Layers and multiply-accumulate operations. MobileNetV2 has 300,774,272 for 1000 classes, 1280 for each one more."""


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(data)
    return path


def requantized(accumulators: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Accumulators times scales as gemmlowp rounds them: a 31-bit multiplier, then a shift, each rounded.

    B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference", CVPR 2018, section 2.2.
    """
    fractions, exponents = np.frexp(scales)
    multipliers = np.rint(fractions * 2.0**31).astype(np.int64)
    products = (accumulators << np.maximum(exponents, 0).astype(np.int64)) * multipliers
    nudged = products + np.where(products >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))
    shifts = np.maximum(-exponents, 0).astype(np.int64)
    half = np.where(shifts > 0, 1 << np.maximum(shifts - 1, 0), 0)
    return np.where(high >= 0, (high + half) >> shifts, -((-high + half) >> shifts))


def requantized_wide(accumulators: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Accumulators of 64 bits times scales as LiteRT rounds them: by a multiplier of 16 bits and one shift."""
    fractions, exponents = np.frexp(scales)
    multipliers = np.minimum((np.rint(fractions * 2.0**31).astype(np.int64) + (1 << 15)) >> 16, 0x7FFF)
    shifts = (15 - exponents).astype(np.int64)
    return (accumulators * multipliers + (np.int64(1) << (shifts - 1))) >> shifts


def largest_error_in_codes(path: Path, seed: int = 0) -> tuple[int, float]:
    """Largest difference between LiteRT's output codes and those of the layers as read, and the share that differ.

    Everything but the layer's own products (bias, scales, the values of all tensors) comes from LiteRT.
    """
    network = tflite.read(path)
    interpreter = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    limits = np.iinfo(image["dtype"])
    values = np.random.default_rng(seed).integers(limits.min, limits.max, image["shape"], image["dtype"])
    interpreter.set_tensor(image["index"], values)
    interpreter.invoke()
    details = {detail["index"]: detail["quantization_parameters"] for detail in interpreter.get_tensor_details()}
    weighted = [
        op for op in interpreter._get_ops_details() if op["op_name"] in (small.CONV, small.DEPTHWISE, small.DENSE)
    ]
    assert len(weighted) == len(network.layers)
    worst, different, total = 0, 0, 0
    for layer, op in zip(network.layers, weighted, strict=True):
        source, weights, bias = (int(index) for index in op["inputs"])
        output = interpreter.get_tensor(int(op["outputs"][0]))
        rows = layer.lowering.rows(interpreter.get_tensor(source), layer.groups, layer.activation_zero_point)
        assert rows.shape == (layer.groups, layer.m, layer.k)
        x = rows.astype(np.int64) - layer.activation_zero_point
        w = layer.weights.astype(np.int64) - layer.weight_zero_points[:, np.newaxis]
        grouped = w.reshape(layer.groups, layer.n // layer.groups, layer.k)
        y = np.einsum("gmk,gnk->mgn", x, grouped, optimize=True).reshape(layer.m, layer.n)
        y += interpreter.get_tensor(bias)
        target = details[int(op["outputs"][0])]
        weight_scales = details[weights]["scales"]
        as_read = layer.right.scales.along(0, layer.right.shape)
        np.testing.assert_array_equal(as_read, np.broadcast_to(weight_scales, layer.n))
        precision = np.float64 if layer.operator != small.DENSE else np.float32
        product = details[source]["scales"].astype(precision) * weight_scales.astype(precision)
        scale = product.astype(np.float64) / target["scales"][0]
        limits = np.iinfo(output.dtype)
        rounded = requantized_wide if output.dtype == np.int16 else requantized
        codes = np.clip(rounded(y, scale) + target["zero_points"][0], limits.min, limits.max)
        error = np.abs(codes - output.reshape(layer.m, layer.n))
        worst, different, total = max(worst, int(error.max())), different + int((error > 0).sum()), total + error.size
    return worst, different / total


@pytest.mark.parametrize("name", REAL_MODELS)
def test_real_models_are_the_products_that_litert_computes(shared: Path, name: str) -> None:
    worst, share = largest_error_in_codes(shared / "models" / name)
    assert worst <= 1
    assert share < 0.001


@pytest.mark.parametrize("name", REAL_MODELS)
def test_real_models_have_the_known_size(shared: Path, name: str) -> None:
    network = tflite.read(shared / "models" / name)
    assert (len(network.layers), sum(layer.macs for layer in network.layers)) == REAL_MODELS[name]
    assert len({layer.name for layer in network.layers}) == len(network.layers)


@pytest.mark.parametrize(
    ("weight_type", "activation_type"), [("INT8", "INT8"), ("UINT8", "UINT8"), ("INT4", "INT8"), ("INT8", "INT16")]
)
def test_built_network_is_the_products_that_litert_computes(
    tmp_path: Path, weight_type: str, activation_type: str
) -> None:
    path = write(tmp_path, small.branching(weight_type, activation_type))
    worst, share = largest_error_in_codes(path)
    assert worst <= 1
    assert share < 0.01


@pytest.mark.parametrize(
    ("operator", "shapes", "options"),
    [
        (small.DEPTHWISE, ((1, 6, 5, 4), (1, 6, 5, 8), (1, 3, 3, 8)), {}),
        (small.DEPTHWISE, ((1, 6, 5, 1), (1, 6, 5, 8), (1, 3, 3, 8)), {}),
        (small.CONV, ((1, 6, 5, 4), (1, 6, 5, 6), (6, 3, 3, 2)), {}),
        (small.CONV, ((1, 9, 8, 2), (1, 3, 3, 3), (3, 2, 4, 2)), {"stride": 3}),
        (small.CONV, ((1, 9, 8, 2), (1, 5, 4, 3), (3, 3, 3, 2)), {"dilation": 2, "padding": small.VALID}),
        (small.CONV, ((2, 9, 8, 2), (2, 9, 8, 3), (3, 3, 3, 2)), {"dilation": 2}),
        (small.DENSE, ((3, 16), (3, 5), (5, 16)), {"per_channel": False}),
        (small.DENSE, ((4, 2, 3, 4), (4, 5), (5, 24)), {"per_channel": False}),
        (small.DENSE, ((1, 15), (1, 3), (3, 15)), {"per_channel": False, "weight_type": "INT4"}),
        (small.CONV, ((1, 4, 4, 5), (1, 4, 4, 3), (3, 1, 1, 5)), {"weight_type": "INT4"}),
        (small.DEPTHWISE, ((1, 6, 5, 4), (1, 6, 5, 8), (1, 3, 3, 8)), {"weight_type": "INT4"}),
        (small.DENSE, ((2, 15), (2, 3), (3, 15)), {"weight_type": "INT2"}),
        (small.CONV, ((2, 9, 8, 2), (2, 9, 8, 3), (3, 3, 3, 2)), {"dilation": 2, "activation_type": "INT16"}),
        pytest.param(
            small.DEPTHWISE, ((1, 6, 5, 4), (1, 6, 5, 8), (1, 3, 3, 8)), {"activation_type": "INT16"},
            marks=pytest.mark.skipif(
                Version(version("ai-edge-litert")) < Version("2.3"),
                reason="LiteRT before 2.3 mixes up several outputs a channel where activations have 16 bits",
            ),
        ),
        (small.DENSE, ((3, 16), (3, 5), (5, 16)), {"per_channel": False, "activation_type": "INT16"}),
    ],
    ids=[
        "multiplier 2", "one channel", "groups", "stride 3", "dilation, VALID", "dilation, SAME, batch",
        "batch", "flattened", "int4 dense, odd count", "int4 convolution, odd count", "int4 depthwise", "int2 dense",
        "int16 dilation, SAME, batch", "int16 multiplier 2", "int16 batch",
    ],
)  # fmt: skip
def test_single_layers_are_the_products_that_litert_computes(
    tmp_path: Path, operator: str, shapes: tuple[tuple[int, ...], ...], options: dict[str, object]
) -> None:
    path = write(tmp_path, small.single(operator, *shapes, **options))
    worst, share = largest_error_in_codes(path)
    assert worst <= 1
    assert share < 0.1


@given(
    operator=st.sampled_from([small.CONV, small.DEPTHWISE]),
    image=st.tuples(st.integers(5, 9), st.integers(5, 9), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride_or_dilation=st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2)]),
    padding=st.sampled_from([small.SAME, small.VALID]),
    n=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
@examples(40)
def test_any_convolution_is_the_product_that_litert_computes(
    tmp_path_factory: pytest.TempPathFactory,
    operator: str,
    image: tuple[int, int, int],
    kernel: tuple[int, int],
    stride_or_dilation: tuple[int, int],
    padding: int,
    n: int,
    seed: int,
) -> None:
    stride, dilation = stride_or_dilation
    extents = [dilation * (length - 1) + 1 if padding == small.VALID else 1 for length in kernel]
    size = [-(-(length - extent + 1) // stride) for length, extent in zip(image[:2], extents, strict=True)]
    channels = image[2] * n if operator == small.DEPTHWISE else n
    weights = (1, *kernel, channels) if operator == small.DEPTHWISE else (n, *kernel, image[2])
    data = small.single(
        operator,
        (1, *image),
        (1, *size, channels),
        weights,
        seed=seed,
        padding=padding,
        stride=stride,
        dilation=dilation,
    )
    worst, _ = largest_error_in_codes(write(tmp_path_factory.getbasetemp(), data), seed)
    assert worst <= 1


@given(st.lists(st.text("a#2\n", max_size=4), max_size=12))
@examples(200)
def test_unique_names_are_unique(names: list[str]) -> None:
    result = unique_names(names)
    assert len(set(result)) == len(result) == len(names)
    assert unique_names(result) == result
    assert all(name.isprintable() and name for name in result)


def test_layers_of_the_built_network(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.branching()))
    stem, depthwise, *_, logits = network.layers
    assert (stem.name, stem.operator, stem.m, stem.n, stem.k) == ("stem", "CONV_2D", 64, 8, 27)
    assert stem.lowering == Convolution2D("NHWC", (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
    assert (stem.input_tensor, stem.activation_type, stem.activation_zero_point) == ("image", INT8, 3)
    assert (stem.weight_type, stem.weights_tensor) == (INT8, "stem/weights")
    assert (depthwise.groups, depthwise.k, depthwise.is_depthwise, depthwise.macs) == (8, 9, True, 64 * 8 * 9)
    assert (logits.lowering, logits.m, logits.k) == (MatrixProduct(40), 1, 40)
    assert network.inputs == ("image",)
    assert network.outputs == ("scores", "logits")
    assert network.notes == (
        "1 operator SOFTMAX: channels are not followed through; those that it touches stay in place",
    )


def test_operations_of_the_built_network(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.branching()))
    kinds = {operation.name: operation.kind for operation in network.operations}
    assert kinds == {
        "stem": OperationKind.PRODUCT,
        "depthwise": OperationKind.CHANNELWISE,
        "project": OperationKind.PRODUCT,
        "residual": OperationKind.CHANNELWISE,
        "padded": OperationKind.CHANNELWISE,
        "first": OperationKind.PRODUCT,
        "second": OperationKind.PRODUCT,
        "joined": OperationKind.CONCATENATION,
        "pooled": OperationKind.CHANNELWISE,
        "flat": OperationKind.RESHAPE,
        "logits": OperationKind.PRODUCT,
        "scores": OperationKind.OPAQUE,
    }
    axes = {operation.name: operation.constant_axes for operation in network.operations}
    assert axes["project"] == (
        ConstantAxis("project/weights", 0, "output"),
        ConstantAxis("project/weights", 3, "input"),
        ConstantAxis("project/bias", 0, "output"),
    )
    assert axes["depthwise"] == (
        ConstantAxis("depthwise/weights", 3, "output"),
        ConstantAxis("depthwise/bias", 0, "output"),
    )
    assert network.tensors["joined"].channel_axis == 3
    assert network.tensors["stem/weights"].is_constant


def test_weights_keep_the_files_layout(tmp_path: Path) -> None:
    convolution = tflite.read(write(tmp_path, small.single(small.CONV, (1, 4, 4, 2), (1, 4, 4, 3), (3, 2, 2, 2))))
    drawn = small.TFLiteBuilder(0)
    drawn.generator.uniform(size=3)
    stored = drawn.codes((3, 2, 2, 2))
    assert np.array_equal(convolution.layers[0].weights, stored.reshape(3, 8))


def test_int4_weights_are_unpacked_low_nibble_first(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 3))
    weights = build.tensor("weights", (1, 3), "INT4", np.array([[-8, 7, -1]], np.int8))
    output = build.tensor("y", (1, 1))
    build.operator(small.DENSE, [source, weights, -1], [output], schema.FullyConnectedOptionsT())
    data = build.build([source], [output])
    assert bytes([0x78, 0x0F]) in data
    (layer,) = tflite.read(write(tmp_path, data)).layers
    assert layer.weight_type == INT4
    assert layer.weights.tolist() == [[-8, 7, -1]]


def test_uint8_zero_points(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.branching("UINT8", "UINT8")))
    layer = network.layers[0]
    assert (layer.weight_type, layer.activation_type, layer.activation_zero_point) == (UINT8, UINT8, 128)
    assert layer.weight_zero_points.tolist() == [121] * 8


def test_flattening_by_a_fully_connected_layer_is_an_operation(tmp_path: Path) -> None:
    data = small.single(small.DENSE, (1, 2, 3, 4), (1, 5), (5, 24), per_channel=False)
    network = tflite.read(write(tmp_path, data))
    flattening, product = network.operations
    assert (flattening.kind, product.kind) == (OperationKind.RESHAPE, OperationKind.PRODUCT)
    assert flattening.outputs == product.inputs
    assert network.tensors[product.inputs[0]].shape == (1, 24)
    assert network.layers[0].input_tensor == "x"


@pytest.mark.parametrize(("first", "kind"), [(4, OperationKind.OPAQUE), (1, OperationKind.PRODUCT)])
def test_depthwise_multiplier(tmp_path: Path, first: int, kind: OperationKind) -> None:
    data = small.single(small.DEPTHWISE, (1, 6, 5, first), (1, 6, 5, 8), (1, 3, 3, 8))
    network = tflite.read(write(tmp_path, data))
    assert network.operations[0].kind is kind
    assert network.layers[0].groups == first


def test_hybrid_layer_has_no_integer_activations(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.hybrid()))
    (layer,) = network.layers
    assert (layer.input_tensor, layer.activation_type, layer.activation_zero_point) == (None, None, None)
    assert network.notes == (
        "layer 'y' (FULLY_CONNECTED): its activations are float32, quantized at run time: weights alone are counted",
    )


def test_int16_activations(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.branching("INT8", "INT16")))
    assert all((layer.activation_type, layer.activation_zero_point) == (INT16, 0) for layer in network.layers)
    assert all(layer.weight_type == INT8 for layer in network.layers)
    assert not any("not integers" in note for note in network.notes)


@pytest.mark.parametrize("dtype", ["INT32", "UINT16"])
def test_activations_of_another_width(tmp_path: Path, dtype: str) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 16), dtype, None, 0.001)
    weights = build.tensor("weights", (4, 16), "INT8", build.codes((4, 16)), 0.01)
    output = build.tensor("y", (1, 4), dtype, None, 0.01)
    build.operator(small.DENSE, [source, weights, -1], [output], schema.FullyConnectedOptionsT())
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    assert network.layers[0].activation_type is None
    assert network.notes == (
        f"layer 'y' (FULLY_CONNECTED): its activations are {dtype.lower()}, not int8, uint8 or int16: weights alone "
        "are counted",
    )


@pytest.mark.parametrize(("rank", "batch"), [(1, 1), (2, 1), (2, 3)])
def test_an_svdf_operator_is_the_two_products_that_litert_computes(tmp_path: Path, rank: int, batch: int) -> None:
    path = write(tmp_path, small.keyword(rank=rank, batch=batch))
    network = tflite.read(path)
    features, times = network.layers[1:3]
    assert [(layer.m, layer.n, layer.k, layer.groups) for layer in (features, times)] == [
        (batch, 8 * rank, 10, 1),
        (batch, 8 * rank, 6, 8 * rank),
    ]
    assert (features.name, features.input_tensor, features.weight_type) == ("units (features)", "hidden", INT8)
    assert (times.name, times.input_tensor, times.weight_type) == ("units (time)", "units/state", INT16)
    assert (times.activation_type, times.is_depthwise, features.is_depthwise) == (INT16, True, False)
    assert network.notes[:2] == (
        "layer 'units' (SVDF): its time weights are int16: arithmetic units that compute it take weights of 16 bits",
        "layer 'units' (SVDF): its state stays from one inference to the next: sample inputs are taken as successive "
        "ones",
    )
    tensors = {tensor.name: tensor for tensor in decode(path.read_bytes(), path).tensors}
    scale = {name: float(tensor.quantization.scale[0]) for name, tensor in tensors.items()}
    session, newest = LiteRTSession(str(path), ["units/state"]), -1
    for feeds in random_feeds(session.inputs, 8, seed=rank):
        values = session.run(feeds, ["hidden", "units", "units/state"])
        x = features.lowering.rows(values["hidden"], 1, 0)[0].astype(np.int64) - features.activation_zero_point
        product = x @ features.weights.astype(np.int64).T
        rescaled = np.full(product.shape, scale["hidden"] * scale["units/features"] / scale["units/state"])
        state = times.lowering.rows(values["units/state"], times.groups, 0).swapaxes(0, 1).astype(np.int64)
        expected = np.clip(requantized(product, rescaled), -32768, 32767)
        assert np.abs(state[:, :, newest] - expected).max() <= 1
        sums = (state * times.weights).sum(axis=2).reshape(batch, 8, rank).sum(axis=2) + tensors["units/bias"].codes()
        rescaled = np.full(sums.shape, scale["units/state"] * scale["units/times"] / scale["units"])
        expected = np.clip(requantized(sums, rescaled) - 5, -128, 127)
        assert np.abs(values["units"] - expected).max() <= 1


def test_an_svdf_operator_with_float_inputs(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 10), "FLOAT32", None, None)
    features = build.tensor("features", (8, 10), "INT8", build.codes((8, 10)), 0.01)
    times = build.tensor("times", (8, 6), "FLOAT32", build.generator.random((8, 6), np.float32), None)
    state = build.tensor("state", (1, 48), "FLOAT32", None, None)
    output = build.tensor("y", (1, 8), "FLOAT32", None, None)
    build.operator("SVDF", [source, features, times, -1, state], [output], schema.SVDFOptionsT())
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    assert [(layer.name, layer.activation_type) for layer in network.layers] == [("y (features)", None)]
    assert network.left_out == (LeftOut("y", "SVDF", "its time weights are float32, not integers", 8 * 6),)
    assert network.notes[:2] == (
        "layer 'y' (SVDF): passed over: its time weights are float32, not integers",
        "layer 'y' (SVDF): its activations are float32, quantized at run time: weights alone are counted",
    )


def test_names_of_an_svdf_operators_layers_are_its_own(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 10))
    hidden = build.weighted(small.DENSE, source, "y (time)", (1, 10), (10, 10), per_channel=False)
    network = tflite.read(write(tmp_path, build.build([source], [build.svdf(hidden, "y", 4, 10, 3)])))
    assert [layer.name for layer in network.layers] == ["y (time)", "y (features)", "y (time)'"]


def test_float_model_says_how_to_quantize(tmp_path: Path) -> None:
    path = write(tmp_path, small.floating())
    with pytest.raises(FloatModelError) as caught:
        tflite.read(path)
    assert str(caught.value) == (
        f"{path}: expected integer weights, got a float model: quantize it first, with the TFLite converter "
        "(optimizations=[tf.lite.Optimize.DEFAULT], a representative_dataset, and TFLITE_BUILTINS_INT8) "
        "or with ai-edge-quantizer"
    )


def test_model_without_weights(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source, output = build.tensor("x", (1, 4)), build.tensor("y", (1, 4))
    build.operator("RELU", [source], [output])
    with pytest.raises(ModelError, match=r"expected at least one CONV_2D, .* with integer weights, got none"):
        tflite.read(write(tmp_path, build.build([source], [output])))


def test_unsupported_weighted_operator_is_noted(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4, 4, 2))
    hidden = build.weighted(small.CONV, source, "hidden", (1, 4, 4, 2), (2, 1, 1, 2))
    shape = build.constant("shape", np.array([1, 8, 8, 3], np.int32))
    weights = build.tensor("up/weights", (3, 2, 2, 2), "INT8", build.codes((3, 2, 2, 2)))
    output = build.tensor("up", (1, 8, 8, 3))
    options = schema.TransposeConvOptionsT()
    options.strideH = options.strideW = 2
    build.operator("TRANSPOSE_CONV", [shape, weights, hidden], [output], options)
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    assert [layer.name for layer in network.layers] == ["hidden"]
    assert network.notes[0] == (
        "layer 'up' (TRANSPOSE_CONV): passed over: the operator is not supported, so that its weights are not counted"
    )
    assert network.operations[1].kind is OperationKind.OPAQUE


def test_weights_that_are_computed_are_noted(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4))
    other = build.tensor("w", (3, 4))
    output = build.tensor("y", (1, 3))
    build.operator(small.DENSE, [source, other, -1], [output], schema.FullyConnectedOptionsT())
    hidden = build.weighted(small.DENSE, output, "z", (1, 2), (2, 3), per_channel=False)
    network = tflite.read(write(tmp_path, build.build([source, other], [hidden])))
    assert network.notes[0] == "layer 'y' (FULLY_CONNECTED): passed over: its weights are not a constant of the file"
    assert [layer.name for layer in network.layers] == ["z"]


def test_names_are_made_unique(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("", (1, 4))
    hidden = build.weighted(small.DENSE, source, "same", (1, 4), (4, 4), per_channel=False)
    output = build.weighted(small.DENSE, hidden, "same", (1, 4), (4, 4), per_channel=False)
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    assert [layer.name for layer in network.layers] == ["same", "same#2"]
    assert network.inputs == ("tensor 0",)
    assert unique_names(["x", "x#2", "x", "x", "\x1b[2J"]) == ("x", "x#2", "x#3", "x#4", "\N{REPLACEMENT CHARACTER}[2J")


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((8,), OperationKind.CHANNELWISE), ((1,), OperationKind.CHANNELWISE), ((1, 4, 1, 1), OperationKind.CHANNELWISE)],
)
def test_elementwise_constants(tmp_path: Path, shape: tuple[int, ...], kind: OperationKind) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4, 4, 8))
    hidden = build.weighted(small.CONV, source, "hidden", (1, 4, 4, 8), (8, 1, 1, 8))
    constant = build.tensor("c", shape, "INT8", build.codes(shape))
    output = build.tensor("y", (1, 4, 4, 8))
    build.operator("MUL", [hidden, constant], [output], schema.MulOptionsT())
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    operation = network.operations[1]
    assert operation.kind is kind
    assert operation.constant_axes == ((ConstantAxis("c", 0, "output"),) if shape == (8,) else ())


def test_broadcast_along_channels_is_opaque(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4, 4, 8))
    left = build.weighted(small.CONV, source, "left", (1, 4, 4, 8), (8, 1, 1, 8))
    right = build.weighted(small.CONV, source, "right", (1, 4, 4, 1), (1, 1, 1, 8))
    output = build.tensor("y", (1, 4, 4, 8))
    build.operator("ADD", [left, right], [output], schema.AddOptionsT())
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    assert network.operations[-1].kind is OperationKind.OPAQUE


@pytest.mark.parametrize(
    ("axes", "keep", "kind"),
    [
        ([1, 2], False, OperationKind.CHANNELWISE),
        ([2], True, OperationKind.CHANNELWISE),
        ([-1], True, OperationKind.OPAQUE),
    ],
)
def test_reductions(tmp_path: Path, axes: list[int], keep: bool, kind: OperationKind) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4, 4, 8))
    hidden = build.weighted(small.CONV, source, "hidden", (1, 4, 4, 8), (8, 1, 1, 8))
    shape = np.empty((1, 4, 4, 8)).mean(axis=tuple(axes), keepdims=keep).shape
    output = build.tensor("y", shape)
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    build.operator("MEAN", [hidden, build.constant("axes", np.array(axes, np.int32))], [output], options)
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    assert network.operations[1].kind is kind
    assert network.tensors["y"].channel_axis == len(shape) - 1


def test_padding_of_channels_is_opaque(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4, 4, 8))
    hidden = build.weighted(small.CONV, source, "hidden", (1, 4, 4, 8), (8, 1, 1, 8))
    output = build.tensor("y", (1, 4, 4, 9))
    widths = build.constant("widths", np.array([[0, 0], [0, 0], [0, 0], [0, 1]], np.int32))
    build.operator("PAD", [hidden, widths], [output], schema.PadOptionsT())
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    assert network.operations[1].kind is OperationKind.OPAQUE


def test_constants_that_share_a_buffer_are_one(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4))
    weights = build.tensor("first", (4, 4), "INT8", build.codes((4, 4)))
    shared = build.tensor("second", (4, 4), buffer=build.buffer_of(weights))
    hidden, output = build.tensor("h", (1, 4)), build.tensor("y", (1, 4))
    build.operator(small.DENSE, [source, weights, -1], [hidden], schema.FullyConnectedOptionsT())
    build.operator(small.DENSE, [hidden, shared, -1], [output], schema.FullyConnectedOptionsT())
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    assert {layer.weights_tensor for layer in network.layers} == {"first"}
    assert {axis.tensor for operation in network.operations for axis in operation.constant_axes} == {"first"}


def test_constant_with_two_uses_stays_in_place(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4))
    weights = build.tensor("weights", (4, 4), "INT8", build.codes((4, 4)))
    hidden, output = build.tensor("h", (1, 4)), build.tensor("y", (4, 4))
    build.operator(small.DENSE, [source, weights, -1], [hidden], schema.FullyConnectedOptionsT())
    build.operator("ADD", [hidden, weights], [output], schema.AddOptionsT())
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    assert [operation.kind for operation in network.operations] == [OperationKind.OPAQUE] * 2
    assert len(network.layers) == 1


def with_changes(data: bytes, change: Callable[[schema.ModelT], None]) -> bytes:
    """The file with a change made to its object form."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_sparse_weights_are_noted_and_stay(tmp_path: Path) -> None:
    def change(model: schema.ModelT) -> None:
        (weights,) = (tensor for tensor in model.subgraphs[0].tensors if tensor.name == b"project/weights")
        weights.sparsity = schema.SparsityParametersT()

    network = tflite.read(write(tmp_path, with_changes(small.branching(), change)))
    assert "project" not in {layer.name for layer in network.layers}
    assert network.notes[0] == (
        "layer 'project' (CONV_2D): passed over: its weights are stored sparsely, which is not supported"
    )
    assert {operation.name: operation.kind for operation in network.operations}["project"] is OperationKind.OPAQUE


def test_other_subgraphs_are_noted_and_hold_their_constants(tmp_path: Path) -> None:
    def change(model: schema.ModelT) -> None:
        other = schema.SubGraphT()
        other.tensors = [tensor for tensor in model.subgraphs[0].tensors if tensor.name == b"project/weights"]
        other.operators, other.inputs, other.outputs = [], [], []
        model.subgraphs.append(other)

    network = tflite.read(write(tmp_path, with_changes(small.branching(), change)))
    assert network.notes[0] == "1 other subgraphs (control flow, signatures) are not read"
    assert {operation.name: operation.kind for operation in network.operations}["project"] is OperationKind.OPAQUE
    assert len(network.layers) == 6


def test_symbolic_axes(tmp_path: Path) -> None:
    def symbolic(signature: list[int]) -> Callable[[schema.ModelT], None]:
        return lambda model: setattr(model.subgraphs[0].tensors[0], "shapeSignature", signature)

    batch = tflite.read(write(tmp_path, with_changes(small.branching(), symbolic([-1, 8, 8, 3]))))
    assert not any("symbolic" in note for note in batch.notes)
    height = tflite.read(write(tmp_path, with_changes(small.branching(), symbolic([-1, -1, 8, 3]))))
    assert height.notes[0].startswith("input 'image' has symbolic axes: counted with the lengths that the file gives")


def test_shared_quantization_parameters_stay(tmp_path: Path) -> None:
    """Two constants whose scales are one vector of the file cannot move apart."""
    data = bytearray(small.branching())
    tensors = {tensor.name: tensor for tensor in decode(data, tmp_path).tensors}
    assert tensors["stem/bias"].quantization.scale.tobytes() != tensors["project/bias"].quantization.scale.tobytes()
    main = tflite_schema.Model.GetRootAs(data).Subgraphs(0)
    positions = {}
    for name in ("stem/bias", "project/bias"):
        table = main.Tensors(tensors[name].index)._tab
        field = table.Offset(12) + table.Pos
        positions[name] = (field, field + struct.unpack_from("<I", data, field)[0])
    field = positions["project/bias"][0]
    target = positions["stem/bias"][1]
    if target < field:
        pytest.skip("the builder laid the tables out in an order in which they cannot be shared")
    struct.pack_into("<I", data, field, target - field)
    network = tflite.read(write(tmp_path, bytes(data)))
    kinds = {operation.name: operation.kind for operation in network.operations}
    assert (kinds["stem"], kinds["project"]) == (OperationKind.OPAQUE, OperationKind.OPAQUE)
    assert kinds["first"] is OperationKind.PRODUCT


def test_repeated_notes_are_one(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    tensors = [build.tensor(name, (1, 4), "FLOAT32", None, None) for name in "abcd"]
    for source, output in pairwise(tensors):
        weights = build.tensor("weights", (4, 4), "INT8", build.codes((4, 4)), 0.01)
        build.operator(small.DENSE, [source, weights, -1], [output], schema.FullyConnectedOptionsT())
    network = tflite.read(write(tmp_path, build.build(tensors[:1], tensors[-1:])))
    assert network.notes == (
        "3 \u00d7 FULLY_CONNECTED ('b', 'c', 'd'): its activations are float32, quantized at run time: "
        "weights alone are counted",
    )


def test_float_functions_are_opaque(tmp_path: Path) -> None:
    """Vector and scalar paths of a float kernel may round differently, so that channels stay."""
    build = small.TFLiteBuilder()
    tensors = [build.tensor(name, (1, 4), "FLOAT32", None, None) for name in "abcd"]
    weights = build.tensor("weights", (4, 4), "INT8", build.codes((4, 4)), 0.01)
    build.operator(small.DENSE, [tensors[0], weights, -1], [tensors[1]], schema.FullyConnectedOptionsT())
    build.operator("RELU", [tensors[1]], [tensors[2]])
    build.operator("LOGISTIC", [tensors[2]], [tensors[3]])
    network = tflite.read(write(tmp_path, build.build(tensors[:1], tensors[-1:])))
    kinds = [operation.kind for operation in network.operations]
    assert kinds == [OperationKind.PRODUCT, OperationKind.CHANNELWISE, OperationKind.OPAQUE]
