"""Convolutions in one dimension, and transposed ones, checked against what ONNX Runtime computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import fewflips
from fewflips.errors import ModelError
from fewflips.execution.onnx_runtime import OnnxRuntimeSession, executes_in_integers
from fewflips.network.graph import OperationKind
from fewflips.network.layer import Layer
from fewflips.network.onnx import reader as adapter
from fewflips.network.onnx.recoding import recodable, rewrite_codes
from fewflips.network.recoding import NewCodes
from tests.network.build_onnx import CONTRIB, QDQ, Builder, save

FLOAT = TensorProto.FLOAT


def line_network() -> onnx.ModelProto:
    """Convolutions over time: dense, one channel at a time, dense, then the mean over time and a product."""
    build = QDQ(21)
    line = build.activation(build.input("x", FLOAT, [1, 3, 16]))
    first = build.node("Conv", [line, build.weights(build.int8(8, 3, 5), 0), build.bias(8)], pads=[2, 1], strides=[2])
    first = build.activation(build.node("Relu", [first]), zero=-128)
    deep = build.node("Conv", [first, build.weights(build.int8(8, 1, 3), 0), build.bias(8)], group=8, pads=[1, 1])
    last = build.node("Conv", [build.activation(deep), build.weights(build.int8(6, 8, 1), 0)], name="last")
    pooled = build.activation(build.node("GlobalAveragePool", [build.activation(last)]))
    flat = build.activation(build.node("Flatten", [pooled]))
    build.output(build.node("MatMul", [flat, build.weights(build.int8(6, 4), 1)]), FLOAT)
    return build.model()


def test_layers_of_a_network_over_time(tmp_path: Path) -> None:
    network = adapter.read(save(line_network(), tmp_path / "m.onnx"))
    described = [(layer.m, layer.n, layer.k, layer.groups) for layer in network.layers]
    assert described == [(8, 8, 15, 1), (8, 8, 3, 8), (8, 6, 8, 1), (1, 4, 6, 1)]
    assert not network.left_out
    assert not network.notes


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2]},
        {"pads": [2, 1]},
        {"dilations": [2], "pads": [0, 3]},
        {"group": 2, "kernel_shape": [3]},
        {"auto_pad": "SAME_UPPER", "strides": [2]},
        {"auto_pad": "SAME_LOWER"},
    ],
)
def test_convolutions_over_time_are_reproduced_exactly(attributes: dict[str, Any], tmp_path: Path) -> None:
    """As integers: ConvInteger."""
    build = Builder(5)
    source = build.input("x", TensorProto.UINT8, [2, 4, 9])
    weights = build.constant(build.int8(6, 4 // attributes.get("group", 1), 3))
    inputs = [source, weights, build.constant(np.uint8(9)), build.constant(np.int8(-3))]
    build.output(build.node("ConvInteger", inputs, **attributes), TensorProto.INT32)
    path = save(build.model(), tmp_path / "m.onnx")
    network = adapter.read(path)
    (layer,) = network.layers
    x = np.random.default_rng(3).integers(0, 256, (2, 4, 9)).astype(np.uint8)
    got = OnnxRuntimeSession(str(path), network.outputs).run({"x": x}, network.outputs)[network.outputs[0]]
    rows = layer.lowering.rows(x, layer.groups, 9).astype(np.int64) - 9
    weights_of = (layer.weights.astype(np.int64) + 3).reshape(layer.groups, -1, layer.k)
    sums = np.concatenate([rows[g] @ weights_of[g].T for g in range(layer.groups)], axis=1)
    assert np.array_equal(sums, np.moveaxis(got, 1, -1).reshape(layer.m, layer.n))


def test_channels_over_time_move(tmp_path: Path) -> None:
    result = fewflips.optimize(fewflips.load(save(line_network(), tmp_path / "m.onnx")), "edge16", mode="drop-in")
    assert result.report.drop_in is not None
    assert result.report.drop_in.check.passed
    assert result.report.totals.weights.optimized_flips < result.report.totals.weights.baseline_flips


def transposed(lengths: tuple[int, ...], blocks: bool = False, **attributes: Any) -> onnx.ModelProto:
    """A ConvTranspose of 4 channels into 3, in QDQ form."""
    build = QDQ(22)
    source = build.activation(build.input("x", FLOAT, [2, 4, *lengths]))
    kernel = (3, 2)[: len(lengths)]
    if blocks:
        codes, scales = build.uint8(4, 3, *kernel), build.scales(2, 3, *kernel)
        zeros = build.constant(build.uint8(*scales.shape))
        inputs = [build.constant(codes), build.constant(scales), zeros]
        weights = build.node("DequantizeLinear", inputs, axis=0, block_size=2)
    else:
        weights = build.weights(build.int8(4, 3, *kernel), 1)
    build.output(build.node("ConvTranspose", [source, weights, build.bias(3)], name="up", **attributes), FLOAT)
    return build.model()


def real_weights(layer: Layer) -> np.ndarray:
    assert layer.right.scales is not None
    steps = layer.weights.astype(np.float64) - layer.right.element_zero_points()
    return steps * layer.right.scales.elements((layer.n, layer.k))


@pytest.mark.parametrize(
    ("lengths", "blocks", "strides"), [((5, 4), False, (2, 3)), ((5, 4), True, (1, 1)), ((6,), False, (2,))]
)
def test_a_transposed_convolution_is_a_product_of_each_pixel(
    lengths: tuple[int, ...], blocks: bool, strides: tuple[int, ...], tmp_path: Path
) -> None:
    """What each pixel adds to its window, added up by a plain loop, is what the runtime computes."""
    path = save(transposed(lengths, blocks, strides=list(strides)), tmp_path / "m.onnx")
    network = adapter.read(path)
    (layer,), (output,) = network.layers, network.outputs
    kernel = (3, 2)[: len(lengths)]
    assert (layer.m, layer.n, layer.k) == (2 * np.prod(lengths), 3 * np.prod(kernel), 4)
    assert network.operations[-1].kind is OperationKind.OPAQUE
    x = np.random.default_rng(1).standard_normal((2, 4, *lengths)).astype(np.float32)
    assert layer.input_tensor is not None
    fetch = [layer.input_tensor, output]
    got = OnnxRuntimeSession(str(path), fetch).run({"x": x}, fetch)
    rows = layer.lowering.rows(got[layer.input_tensor], 1, 3)[0].astype(np.float64) - 3
    parts = (rows * 0.05 @ real_weights(layer).T).reshape(2, *lengths, 3, *kernel)
    expected = np.zeros(got[output].shape)
    for place in np.ndindex(2, *lengths):
        for inside in np.ndindex(*kernel):
            where = tuple(i * s + j for i, s, j in zip(place[1:], strides, inside, strict=True))
            expected[(place[0], slice(None), *where)] += parts[(*place, slice(None), *inside)]
    bias = got[output] - expected
    assert np.allclose(bias, bias.mean(axis=(0, *range(2, bias.ndim)), keepdims=True), atol=1e-4)


def test_the_runtime_computes_transposed_convolutions_in_floats(tmp_path: Path) -> None:
    path = save(transposed((5, 4)), tmp_path / "m.onnx")
    assert not executes_in_integers(str(path))
    check = fewflips.optimize(fewflips.load(path), "edge16", mode="drop-in").report.drop_in.check
    assert "partly in float" in check.method


def test_a_quantized_transposed_convolution(tmp_path: Path) -> None:
    build = Builder(9)
    source = build.input("x", TensorProto.UINT8, [1, 4, 5, 5])
    scale, zero = build.constant(np.float32(0.05)), build.constant(np.uint8(117))
    zeros = build.int8(3)
    inputs = [source, scale, zero, build.constant(build.int8(4, 3, 2, 2), "w"), build.constant(build.scales(3))]
    build.output(build.node("QLinearConvTranspose", [*inputs, build.constant(zeros), scale, zero], CONTRIB), 2)
    (layer,) = adapter.read(save(build.model(), tmp_path / "m.onnx")).layers
    assert (layer.m, layer.n, layer.k, layer.activation_zero_point) == (25, 12, 4, 117)
    codes = onnx.numpy_helper.to_array(next(t for t in build.initializers if t.name == "w"))
    for n, k in np.ndindex(12, 4):
        assert layer.weights[n, k] == codes[k, n // 4, n // 2 % 2, n % 2]
        assert layer.right.element_zero_points()[n, k] == zeros[n // 4]


def test_weights_of_a_transposed_convolution_are_replaced_in_place(tmp_path: Path) -> None:
    network = fewflips.load(save(transposed((5, 4)), tmp_path / "m.onnx"))
    assert set(recodable(network)) == {"up"}
    new = network.layers[0].weights[::-1].copy()
    rewrite_codes(network, {"up": NewCodes(new)}, tmp_path / "new.onnx")
    assert np.array_equal(adapter.read(tmp_path / "new.onnx").layers[0].weights, new)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"kernel_shape": [5, 5]}, r"expected kernel_shape \[3, 2\] as its weights have, got \[5, 5\]"),
        ({"group": 3}, "weights .* in 3 groups do not fit an input of shape"),
        ({"group": 2}, "it is a transposed convolution in groups; those without are read"),
        ({"group": -1}, "in -1 groups do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(attributes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message) as error:
        adapter.read(save(transposed((5, 4), **attributes), tmp_path / "m.onnx"))
    assert "\n" not in str(error.value)
