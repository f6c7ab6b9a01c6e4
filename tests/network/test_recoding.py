"""Writing models with other weights and biases: what is read back, what stays, and what runtimes make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from fewflips.errors import InputError, ModelError, OutputError
from fewflips.execution.activations import lowered_rows
from fewflips.execution.runtimes import Runtime
from fewflips.network import Network, load
from fewflips.network.contents import as_bytes
from fewflips.network.load import read_contents, recodable, rewrite_codes
from fewflips.network.recoding import NewCodes
from tests.network import build_onnx, build_tflite
from tests.network.build_onnx import QDQ, save


def tflite(data: bytes, folder: Path) -> Network:
    path = folder / "model.tflite"
    path.write_bytes(data)
    return load(path)


def other_codes(network: Network, seed: int = 907) -> dict[str, NewCodes]:
    """Random weights of the whole range, and random biases, for all layers that can have them."""
    rng = np.random.default_rng(seed)
    layers = {layer.name: layer for layer in network.layers}
    codes = {}
    for name, place in recodable(network).items():
        layer = layers[name]
        weights = rng.integers(layer.weight_type.low, layer.weight_type.high + 1, (layer.n, layer.k))
        codes[name] = NewCodes(weights, None if place.bias is None else rng.integers(-5000, 5000, layer.n))
    return codes


NETWORKS: dict[str, Callable[[Path], Network]] = {
    "tflite int8": lambda folder: tflite(build_tflite.branching(), folder),
    "tflite uint8": lambda folder: tflite(build_tflite.branching("UINT8", "UINT8"), folder),
    "tflite int4": lambda folder: tflite(build_tflite.branching("INT4"), folder),
    "QOperators": lambda folder: load(save(build_onnx.qlinear_chain(), folder / "model.onnx")),
    "grouped": lambda folder: load(save(build_onnx.grouped(), folder / "model.onnx")),
    "QDQ": lambda folder: load(save(build_onnx.qdq(), folder / "model.onnx")),
    "QDQ of 4 bits": lambda folder: load(save(build_onnx.int4(), folder / "model.onnx")),
    "external data": lambda folder: load(save(build_onnx.qdq(), folder / "model.onnx", external=True)),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_exactly_these_integers_are_read_back_and_everything_else_stays(kind: str, tmp_path: Path) -> None:
    """By `network/contents.py`, which shares no code with the writers."""
    network = NETWORKS[kind](tmp_path)
    codes = other_codes(network)
    assert {layer.name for layer in network.layers} == set(codes)
    folder = tmp_path / "new"
    folder.mkdir()
    rewrite_codes(network, codes, folder / network.path.name)
    again = load(folder / network.path.name)
    places = recodable(again)
    for layer in again.layers:
        assert np.array_equal(layer.weights, codes[layer.name].weights)
        bias, place = codes[layer.name].bias, places[layer.name].bias
        assert (place is None) == (bias is None)
        assert bias is None or np.array_equal(place, bias)
    before, after = (read_contents(one.path, one.file_format) for one in (network, again))
    if kind != "external data":
        assert before.rest == after.rest
    assert before.outside == after.outside
    changed = [
        left.tensor
        for left, right in zip(before.parts, after.parts, strict=True)
        if not np.array_equal(as_bytes(left.values), as_bytes(right.values))
    ]
    with_bias = sum(new.bias is not None for new in codes.values())
    assert len(changed) == len(codes) + with_bias
    if kind.startswith("tflite"):
        assert network.path.stat().st_size == again.path.stat().st_size


def test_layers_that_are_not_named_stay(tmp_path: Path) -> None:
    network = NETWORKS["tflite int8"](tmp_path)
    name = network.layers[2].name
    rewrite_codes(network, {name: NewCodes(np.zeros((8, 8), np.int64))}, tmp_path / "new.tflite")
    for old, new in zip(network.layers, load(tmp_path / "new.tflite").layers, strict=True):
        assert np.array_equal(new.weights, 0 * old.weights if old.name == name else old.weights)
    assert np.array_equal(recodable(load(tmp_path / "new.tflite"))[name].bias, recodable(network)[name].bias)


def product_with_scales(scale_of_bias: float) -> onnx.ModelProto:
    """A convolution in QDQ form whose bias has a scale of its own."""
    build = QDQ(3)
    image = build.activation(build.input("image", TensorProto.FLOAT, [1, 3, 6, 6]), zero=-7)
    weights = build.weights(build.int8(5, 3, 3, 3), 0)
    values = build.constant(build.rng.integers(-2000, 2000, 5).astype(np.int32))
    parameters = [build.constant(np.full(5, scale_of_bias, np.float32)), build.constant(np.zeros(5, np.int32))]
    bias = build.node("DequantizeLinear", [values, *parameters], axis=0)
    build.output(build.node("Conv", [image, weights, bias]), TensorProto.FLOAT)
    return build.model()


@pytest.mark.parametrize("scale_of_bias", [0.0004, 0.00007])
def test_steps_of_the_bias_are_worth_a_unit_of_the_product(scale_of_bias: float, tmp_path: Path) -> None:
    """On an input of one value throughout, the bias makes up for weights that are one step larger."""
    network = load(save(product_with_scales(scale_of_bias), tmp_path / "model.onnx"))
    (layer,) = network.layers
    place = recodable(network)[layer.name]
    assert place.bias is not None
    feeds = {"image": np.full((1, 3, 6, 6), 0.7, np.float32)}
    assert layer.input_tensor is not None
    with Runtime(network, fetch=(layer.input_tensor,)) as runtime:
        found = runtime.run(feeds, (layer.input_tensor, *runtime.outputs))
        expected = found[runtime.outputs[0]]
    row = lowered_rows(layer, found)[0, 0].astype(int) - (layer.activation_zero_point or 0)
    change = np.where(layer.weights < 127, 1, 0)
    bias = np.rint(place.bias - (change @ row) * place.bias_steps).astype(int)
    rewrite_codes(network, {layer.name: NewCodes(layer.weights + change, bias)}, tmp_path / "new.onnx")
    with Runtime(tmp_path / "new.onnx") as runtime:
        got = runtime.run(feeds, runtime.outputs)[runtime.outputs[0]]
    rewrite_codes(network, {layer.name: NewCodes(layer.weights + change)}, tmp_path / "uncorrected.onnx")
    with Runtime(tmp_path / "uncorrected.onnx") as runtime:
        uncorrected = runtime.run(feeds, runtime.outputs)[runtime.outputs[0]]
    assert np.abs(got - expected).max() <= 0.51 * scale_of_bias
    assert np.abs(uncorrected - expected).max() > 10 * np.abs(got - expected).max()


def test_a_runtime_computes_with_the_new_integers(tmp_path: Path) -> None:
    """Against the same file changed by the onnx package."""
    network = NETWORKS["QOperators"](tmp_path)
    codes = other_codes(network, seed=3907)
    rewrite_codes(network, codes, tmp_path / "new.onnx")
    model = onnx.load(network.path)
    weights = {layer.weights_tensor: codes[layer.name] for layer in network.layers}
    readers = {node.input[3]: node for node in model.graph.node if len(node.input) > 3}
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, new in weights.items():
        tensor = held[name]
        values = numpy_helper.to_array(tensor)
        node = readers[name]
        is_gemm = node.op_type == "QGemm"
        transposed = is_gemm and not any(entry.name == "transB" and entry.i for entry in node.attribute)
        laid_out = (np.asarray(new.weights).T if transposed else np.asarray(new.weights)).reshape(values.shape)
        tensor.CopyFrom(numpy_helper.from_array(laid_out.astype(values.dtype), name))
        bias = held[node.input[6 if is_gemm else 8]]
        bias.CopyFrom(numpy_helper.from_array(np.asarray(new.bias).astype(np.int32), bias.name))
    onnx.save(model, tmp_path / "expected.onnx")
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8)).astype(np.uint8)
    outputs = []
    for name in ("new", "expected"):
        with Runtime(tmp_path / f"{name}.onnx") as runtime:
            outputs.append(runtime.run({"image": image}, runtime.outputs)[runtime.outputs[0]])
    assert np.array_equal(*outputs)


def shared_weights() -> onnx.ModelProto:
    """Two convolutions with the same weights, and one with its own."""
    build = build_onnx.QOperators(5)
    image = build.input("image", TensorProto.UINT8, [1, 4, 6, 6])
    first = build.conv(image, 4, 4, 1)
    second = build.conv(first, 4, 4, 1)
    build.output(build.conv(second, 4, 4, 1), TensorProto.UINT8)
    model = build.model()
    model.graph.node[1].input[3] = model.graph.node[0].input[3]
    return model


def test_weights_that_two_layers_share_stay(tmp_path: Path) -> None:
    network = load(save(shared_weights(), tmp_path / "model.onnx"))
    assert set(recodable(network)) == {network.layers[2].name}
    with pytest.raises(InputError, match="for this layer alone"):
        rewrite_codes(network, {network.layers[0].name: NewCodes(np.zeros((4, 4), int))}, tmp_path / "new.onnx")


@pytest.mark.parametrize("kind", ["tflite int8", "QOperators"])
def test_integers_that_do_not_fit(kind: str, tmp_path: Path) -> None:
    network = NETWORKS[kind](tmp_path)
    layer = network.layers[0]
    fits = np.zeros((layer.n, layer.k), int)
    target = tmp_path / "new"
    for codes, message in (
        (NewCodes(fits[1:]), "expected integers of shape"),
        (NewCodes(fits.astype(float)), "expected integers of shape"),
        (NewCodes(fits + 300), "expected weights from"),
        (NewCodes(fits, np.zeros(layer.n + 1, int)), "biases that int32 holds"),
        (NewCodes(fits, np.full(layer.n, 2**31)), "biases that int32 holds"),
    ):
        with pytest.raises(InputError, match=message):
            rewrite_codes(network, {layer.name: codes}, target)
    with pytest.raises(InputError, match="expected names of layers, got 'nobody'"):
        rewrite_codes(network, {"nobody": NewCodes(fits)}, target)
    with pytest.raises(OutputError):
        rewrite_codes(network, {}, tmp_path / "missing" / "model")
    assert not target.exists()


@pytest.mark.parametrize("kind", ["tflite int8", "QOperators"])
def test_a_file_that_has_changed(kind: str, tmp_path: Path) -> None:
    network = NETWORKS[kind](tmp_path)
    network.path.write_bytes(network.path.read_bytes() + b"\0\0")
    with pytest.raises((InputError, ModelError)):
        recodable(network)
    with pytest.raises((InputError, ModelError)):
        rewrite_codes(network, {}, tmp_path / "new")
