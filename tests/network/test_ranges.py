"""Writing models with other ranges of their activations: what changes, what it computes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, numpy_helper

from fewflips.errors import InputError, ModelError
from fewflips.execution.runtimes import Runtime
from fewflips.network import Network, load
from fewflips.network.load import rescalable, rewrite_ranges
from fewflips.network.ranges import NewRange
from tests.network import build_onnx, build_tflite
from tests.network.build_onnx import QDQ, save

STEP = 0.05
"""Scale of all activations of the branching network but that of the residual sum."""
SUM_STEP = np.float32(1.4 * STEP)


def tflite(folder: Path, types: str = "INT8") -> Network:
    path = folder / "model.tflite"
    path.write_bytes(build_tflite.branching(types, types))
    return load(path)


def qdq(folder: Path) -> Network:
    return load(save(build_onnx.qdq(), folder / "model.onnx"))


def tflite_tensors(path: Path) -> dict[str, tuple[schema.TensorT, bytes]]:
    """Tensors of a file as the schema's own object API reads them, each with its bytes."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    buffers = [b"" if one.data is None else bytes(one.data) for one in model.buffers]
    return {one.name.decode(): (one, buffers[one.buffer]) for one in model.subgraphs[0].tensors}


@pytest.mark.parametrize("types", ["INT8", "UINT8"])
def test_in_tflite_the_range_and_the_biases_of_its_readers_change_and_nothing_else(types: str, tmp_path: Path) -> None:
    network = tflite(tmp_path, types)
    zero_point = build_tflite.STEPS[types][1]
    assert {name: (place.scale, place.zero_point) for name, place in rescalable(network).items()} == {
        name: (pytest.approx(STEP), zero_point) for name in ("stem", "depthwise", "project")
    }
    new = {"stem": NewRange(2.0, zero_point - 17), "depthwise": NewRange(1.5, zero_point)}
    rewrite_ranges(network, new, tmp_path / "new.tflite")
    before, after = (tflite_tensors(path) for path in (network.path, tmp_path / "new.tflite"))
    factors = {"depthwise/bias": 2.0, "project/bias": 1.5}
    for name, (old, data) in before.items():
        tensor, content = after[name]
        scale, zeros = (
            (None, None) if old.quantization is None else (old.quantization.scale, old.quantization.zeroPoint)
        )
        if name in new:
            scale, zeros = scale * np.float32(new[name].factor), [new[name].zero_point]
        if name in factors:
            scale = scale * np.float32(factors[name])
            values = np.frombuffer(data, np.int32)
            expected = [round(value / factors[name]) for value in values.tolist()]
            assert np.frombuffer(content, np.int32).tolist() == expected
        else:
            assert content == data
        if tensor.quantization is not None:
            assert np.array_equal(tensor.quantization.scale, scale)
            assert np.array_equal(tensor.quantization.zeroPoint, zeros)
    assert (tmp_path / "new.tflite").stat().st_size == network.path.stat().st_size


def test_in_onnx_the_range_and_the_biases_of_its_readers_change_and_nothing_else(tmp_path: Path) -> None:
    network = qdq(tmp_path)
    places = rescalable(network)
    layers = [layer for layer in network.layers if layer.input_tensor in places]
    assert [layer.operator for layer in layers] == ["Conv", "Conv", "MatMul"]
    name = layers[0].input_tensor
    assert name is not None
    rewrite_ranges(network, {name: NewRange(2.0, -9)}, tmp_path / "new.onnx")
    before, after = (onnx.load(path) for path in (network.path, tmp_path / "new.onnx"))
    assert before.graph.node == after.graph.node
    (quantize,) = (node for node in before.graph.node if node.output[0] == name)
    (convolution,) = (node for node in before.graph.node if node.name == layers[0].name)
    (bias,) = (node for node in before.graph.node if node.output[0] == convolution.input[2])
    expected = {
        quantize.input[1]: lambda value: value * 2,
        quantize.input[2]: lambda value: np.full_like(value, -9),
        bias.input[0]: lambda value: np.array([round(one / 2) for one in value.tolist()]),
        bias.input[1]: lambda value: value * 2,
    }
    for old, new in zip(before.graph.initializer, after.graph.initializer, strict=True):
        change = expected.pop(old.name, lambda value: value)
        assert np.array_equal(numpy_helper.to_array(new), change(numpy_helper.to_array(old)))
    assert not expected


def test_tensors_are_requantized_to_the_new_range(tmp_path: Path) -> None:
    """The first layer's output by a plain convolution, in LiteRT; reader and reader's reader go on from it."""
    network = tflite(tmp_path)
    factor, zero_point = 3.0, -90
    rewrite_ranges(network, {"stem": NewRange(factor, zero_point)}, tmp_path / "new.tflite")
    image = np.random.default_rng(3).integers(-128, 128, (1, 8, 8, 3)).astype(np.int8)
    tensors = tflite_tensors(network.path)
    weights, scales = (
        np.frombuffer(tensors["stem/weights"][1], np.int8).reshape(8, 3, 3, 3).astype(np.int64),
        tensors["stem/weights"][0].quantization.scale.astype(float) * STEP,
    )
    bias = np.frombuffer(tensors["stem/bias"][1], np.int32)
    padded = np.pad(image.astype(np.int64) - 3, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((8, 8, 8))
    for row in range(8):
        for column in range(8):
            window = padded[0, row : row + 3, column : column + 3]
            for channel in range(8):
                expected[row, column, channel] = ((window * weights[channel]).sum() + bias[channel]) * scales[channel]
    real = np.maximum(expected, 0) if _is_rectified(network) else expected
    codes = np.clip(np.rint(real / (STEP * factor)) + zero_point, -128, 127)
    with Runtime(tmp_path / "new.tflite", fetch=("stem",)) as runtime:
        found = runtime.run({"image": image}, ("stem",))["stem"][0].astype(int)
    assert np.abs(found - codes).max() <= 1
    assert (found == codes).mean() > 0.98


def _is_rectified(network: Network) -> bool:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network.path.read_bytes()))
    return model.subgraphs[0].operators[0].builtinOptions.fusedActivationFunction == build_tflite.RELU


def wide(folder: Path) -> Network:
    """Two layers, in TFLite, between which few integers of the range are taken."""
    build = build_tflite.TFLiteBuilder(5)
    image = build.tensor("image", (1, 6, 6, 3), "INT8", None, 0.002, 0)
    hidden = build.weighted(build_tflite.CONV, image, "hidden", (1, 6, 6, 5), (5, 3, 3, 3))
    out = build.weighted(build_tflite.CONV, hidden, "out", (1, 6, 6, 4), (4, 1, 1, 5))
    data = build.build([image], [out])
    (folder / "wide.tflite").write_bytes(data)
    return load(folder / "wide.tflite")


def narrow_qdq(folder: Path) -> Network:
    build = QDQ(3)
    image = build.activation(build.input("image", TensorProto.FLOAT, [1, 3, 6, 6]), scale=0.01)
    # no bias: runtimes that fuse the layer take a bias in another scale than the file says
    hidden = build.node("Conv", [image, build.weights(build.int8(5, 3, 3, 3), 0)])
    activation = build.activation(build.node("Relu", [hidden]), scale=2.0, zero=-100)
    build.output(build.node("Conv", [activation, build.weights(build.int8(4, 5, 1, 1), 0)]), TensorProto.FLOAT)
    return load(save(build.model(), folder / "model.onnx"))


@pytest.mark.parametrize("build", [wide, narrow_qdq])
def test_another_zero_point_is_bit_identical_where_nothing_saturates(
    build: Callable[[Path], Network], tmp_path: Path
) -> None:
    network = build(tmp_path)
    last = network.layers[-1].input_tensor
    assert last is not None
    place = rescalable(network)[last]
    rng = np.random.default_rng(11)
    new = tmp_path / f"new.{network.file_format}"
    with Runtime(network, fetch=(last,)) as runtime:
        (spec,) = runtime.inputs
        shape = (1, 6, 6, 3) if network.file_format == "tflite" else (1, 3, 6, 6)
        image = rng.integers(-128, 128, shape).astype(np.int8)
        feeds = [{spec.name: image if network.file_format == "tflite" else image.astype(np.float32) / 100}]
        (output,) = runtime.outputs
        found = [runtime.run(feed, (last, output)) for feed in feeds]
    low, high = (int(edge) for edge in (found[0][last].min(), found[0][last].max()))
    assert low < high
    moves = [move for move in (-28, 7, 100) if low + move >= -128 and high + move <= 127]
    assert moves
    for move in moves:
        rewrite_ranges(network, {last: NewRange(1.0, place.zero_point + move)}, new)
        with Runtime(load(new), fetch=(last,)) as runtime:
            again = runtime.run(feeds[0], (last, output))
        assert np.array_equal(again[last].astype(int), found[0][last].astype(int) + move)
        assert np.array_equal(again[output], found[0][output])


def shared_scale(build: QDQ) -> None:
    """Two tensors of one scale."""
    parameters = [build.constant(np.float32(0.05)), build.constant(np.int8(3))]
    values = build.input("x", TensorProto.FLOAT, [2, 8])
    for n in (8, 6):
        codes = build.node("QuantizeLinear", [values, *parameters])
        values = build.node(
            "MatMul", [build.node("DequantizeLinear", [codes, *parameters]), build.weights(build.int8(8, n), 1)]
        )
    build.output(values, TensorProto.FLOAT)


def read_by_others(build: QDQ) -> None:
    """A tensor that a layer reads and the network gives out."""
    values = build.activation(build.input("x", TensorProto.FLOAT, [2, 8]))
    build.output(values, TensorProto.FLOAT)
    build.output(build.node("MatMul", [values, build.weights(build.int8(8, 6), 1)]), TensorProto.FLOAT)


def bias_of_two_layers(build: QDQ) -> None:
    values = build.activation(build.input("x", TensorProto.FLOAT, [2, 8]))
    bias = build.bias(6)
    for seed in range(2):
        weights = build.weights(build.int8(8, 6), 1)
        build.output(build.node("Gemm", [values, weights, bias], name=f"gemm {seed}"), TensorProto.FLOAT)


@pytest.mark.parametrize("add", [shared_scale, read_by_others, bias_of_two_layers])
def test_ranges_that_others_share_stay(add: Callable[[QDQ], None], tmp_path: Path) -> None:
    build = QDQ(8)
    add(build)
    network = load(save(build.model(), tmp_path / "model.onnx"))
    assert network.layers
    assert rescalable(network) == {}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"image": NewRange(2.0, 0)}, "whose range belongs to it alone"),
        ({"no such": NewRange(2.0, 0)}, "whose range belongs to it alone"),
        ({"stem": NewRange(2.0, 128)}, "zero point from -128 to 127, as int8 holds it, got 128"),
        ({"stem": NewRange(0.0, 0)}, "a factor above 0"),
        ({"stem": NewRange(-1.0, 0)}, "a factor above 0"),
        ({"stem": NewRange(float("nan"), 0)}, "a factor above 0"),
        ({"stem": NewRange(float("inf"), 0)}, "a factor above 0"),
        ({"stem": NewRange(1e-9, 0)}, "int32 holds the biases"),
    ],
)
def test_ranges_that_do_not_fit(new: dict[str, NewRange], message: str, tmp_path: Path) -> None:
    network = tflite(tmp_path)
    with pytest.raises(InputError, match=message):
        rewrite_ranges(network, new, tmp_path / "new.tflite")
    assert not (tmp_path / "new.tflite").exists()


@pytest.mark.parametrize("build", [tflite, qdq])
def test_a_file_that_has_changed(build: Callable[[Path], Network], tmp_path: Path) -> None:
    network = build(tmp_path)
    network.path.write_bytes(network.path.read_bytes() + b"\0")
    with pytest.raises((InputError, ModelError)):
        rewrite_ranges(network, {"stem": NewRange(2.0, 0)}, tmp_path / "new")
