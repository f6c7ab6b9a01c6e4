"""Networks whose weights stay in their files until they are asked for."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

import fewflips
from fewflips.dataflows.orders import natural_orders
from fewflips.errors import InputError, ModelError
from fewflips.measurement.counting import count_network
from fewflips.network import Network
from tests.network import build_onnx as models
from tests.network import build_tflite as small

WIDTH, LAYERS = 512, 12
ONE_LAYER = WIDTH * WIDTH


def tflite_chain(path: Path, layers: int = LAYERS) -> Path:
    """Dense layers one after the other."""
    build = small.TFLiteBuilder()
    source = tensor = build.tensor("x", (1, WIDTH))
    for index in range(layers):
        tensor = build.weighted(small.DENSE, tensor, f"y{index}", (1, WIDTH), (WIDTH, WIDTH))
    path.write_bytes(build.build([source], [tensor]))
    return path


def onnx_chain(path: Path, layers: int = LAYERS, external: bool = False) -> Path:
    """Products of QDQ form one after the other, each with weights that are transposed on their way."""
    build = models.QDQ()
    tensor = build.input("x", TensorProto.FLOAT, (1, WIDTH))
    for _ in range(layers):
        tensor = build.node("MatMul", [build.activation(tensor), build.weights(build.int8(WIDTH, WIDTH), 1)])
    build.node("Identity", [tensor], name="end")
    build.nodes[-1].output[0] = "y"
    build.output("y", TensorProto.FLOAT)
    return models.save(build.model(), path, external)


def external_chain(path: Path, layers: int = LAYERS) -> Path:
    return onnx_chain(path, layers, external=True)


CHAINS = {"model.tflite": tflite_chain, "model.onnx": onnx_chain, "external.onnx": external_chain}


@pytest.fixture(params=CHAINS)
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return CHAINS[request.param](tmp_path / request.param)


@pytest.fixture(params=CHAINS)
def chains(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A chain of two layers, and one of many."""
    return CHAINS[request.param](tmp_path / f"short_{request.param}", 2), CHAINS[request.param](
        tmp_path / request.param
    )


@contextmanager
def traced() -> Iterator[Callable[[], tuple[int, int]]]:
    """Gives bytes in use and their peak since the beginning."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield lambda: (tracemalloc.get_traced_memory()[0] - before, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def test_a_network_keeps_no_weights(chain: Path) -> None:
    fewflips.load(chain)  # modules are imported
    with traced() as memory:
        network = fewflips.load(chain)
        gc.collect()
        kept, _ = memory()
    assert len(network.layers) == LAYERS
    assert kept < ONE_LAYER, f"{kept} bytes of {LAYERS * ONE_LAYER} bytes of weights"


def test_counting_takes_memory_for_one_layer(chains: tuple[Path, Path]) -> None:
    array, peaks = fewflips.load_accelerator("edge16"), []
    for path in (chains[0], *chains):  # kernels are compiled first
        network = fewflips.load(path)
        natural = natural_orders(network, array)
        with traced() as memory:
            count_network(network, array, [natural, natural], None)
            peaks.append(memory()[1])
    _, few, many = peaks
    assert ONE_LAYER < many < few + ONE_LAYER


def test_weights_are_read_anew_and_cannot_be_written(chain: Path) -> None:
    layer = fewflips.load(chain).layers[0]
    first = layer.weights
    assert first is not layer.weights
    np.testing.assert_array_equal(first, layer.weights)
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1


def test_a_network_is_sent_to_a_process_without_its_weights(chain: Path) -> None:
    network = fewflips.load(chain)
    sent = pickle.dumps(network.layers)
    assert len(sent) < ONE_LAYER / 4
    for layer, other in zip(network.layers, pickle.loads(sent), strict=True):
        np.testing.assert_array_equal(layer.weights, other.weights)


def changed_by_one_bit(network: Network) -> None:
    """Change a weight of the second layer, and nothing else, in the file."""
    content = bytearray(network.path.read_bytes())
    place = content.index(network.layers[1].weights.tobytes())
    content[place + ONE_LAYER // 2] ^= 1
    network.path.write_bytes(content)


def test_weights_that_changed_since_are_refused(tmp_path: Path) -> None:
    network = fewflips.load(tflite_chain(tmp_path / "m.tflite"))
    changed_by_one_bit(network)
    assert network.layers[0].weights.shape == (WIDTH, WIDTH)
    with pytest.raises(InputError, match=r"m.tflite: the file has changed since it was read; read it again"):
        network.layers[1].weights  # noqa: B018
    network.path.unlink()
    with pytest.raises(ModelError, match=r"m.tflite: its weights cannot be read again: "):
        network.layers[0].weights  # noqa: B018


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize(("operator", "shape"), [(small.CONV, (4, 3, 3, 5)), (small.DEPTHWISE, (1, 3, 3, 5))])
def test_tflite_weights_and_scales_are_the_tensors(
    tmp_path: Path, operator: str, shape: tuple[int, ...], per_channel: bool
) -> None:
    build = small.TFLiteBuilder()
    source, n = build.tensor("x", (1, 6, 6, 5)), shape[0] if operator == small.CONV else shape[3]
    output = build.weighted(operator, source, "y", (1, 6, 6, n), shape, per_channel=per_channel)
    data = build.build([source], [output])
    (tmp_path / "m.tflite").write_bytes(data)
    (layer,) = fewflips.load(tmp_path / "m.tflite").layers
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    tensor = model.subgraphs[0].tensors[1]
    elements = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int8).reshape(shape)
    weights, scales = layer.weights, layer.right.scales
    assert scales is not None
    spread = scales.elements(layer.right.shape)
    for index in np.ndindex(*shape):
        channel = index[0] if operator == small.CONV else index[3]
        inner = shape[1:] if operator == small.CONV else shape[:3]
        position = np.ravel_multi_index(index[1:] if operator == small.CONV else index[:3], inner)
        assert weights[channel, position] == elements[index]
        given = tensor.quantization.scale[channel if per_channel else 0]
        assert spread[channel, position] == np.float32(given)


def test_onnx_weights_beside_the_file_that_changed_since_are_refused(tmp_path: Path) -> None:
    network = fewflips.load(external_chain(tmp_path / "m.onnx", 1))
    (data,) = (path for path in tmp_path.iterdir() if path.name != "m.onnx")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(InputError, match="the file has changed since it was read; read it again"):
        network.layers[0].weights  # noqa: B018


def blocked(values: np.ndarray, scales: np.ndarray, axis: int, block: int) -> models.QDQ:
    """A product whose weights, (K, N), have scales a block, or a channel where the block is 0."""
    build = models.QDQ()
    source = build.activation(build.input("x", TensorProto.FLOAT, (1, len(values))))
    zeros = build.constant(np.zeros(scales.shape, np.int8))
    options = {"block_size": block} if block else {}
    inputs = [build.constant(values), build.constant(scales), zeros]
    weights = build.node("DequantizeLinear", inputs, axis=axis, **options)
    build.node("MatMul", [source, weights], name="product")
    build.nodes[-1].output[0] = "y"
    build.output("y", TensorProto.FLOAT)
    return build


@pytest.mark.parametrize(
    ("shape", "axis", "block"),
    [((2, 4), 0, 3), ((6, 2), 1, 2), ((2, 4), 0, 5), ((4,), 1, 0), ((), 1, 0)],
)
def test_scales_of_onnx_blocks_are_those_of_their_elements(
    tmp_path: Path, shape: tuple[int, ...], axis: int, block: int
) -> None:
    values = np.arange(-12, 12, dtype=np.int8).reshape(6, 4)
    scales = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    path = models.save(blocked(values, scales, axis, block).model(), tmp_path / "m.onnx")
    (layer,) = fewflips.load(path).layers
    assert layer.right.scales is not None
    spread = layer.right.scales.elements((4, 6))
    for k, n in np.ndindex(6, 4):
        assert layer.weights[n, k] == values[k, n]
        if not block:
            assert spread[n, k] == (scales[n] if shape else scales)
        else:
            place = (k // block, n) if axis == 0 else (k, n // block)
            assert spread[n, k] == scales[place]


@pytest.mark.parametrize("kept", ["raw", "items", "node"])
def test_onnx_weights_are_read_however_the_file_keeps_them(tmp_path: Path, kept: str) -> None:
    values = np.arange(-12, 12, dtype=np.int8).reshape(6, 4)
    model = blocked(values, np.ones(4, np.float32), 1, 0).model()
    name = next(entry.name for entry in model.graph.initializer if list(entry.dims) == [6, 4])
    (weights,) = (entry for entry in model.graph.initializer if entry.name == name)
    if kept == "items":
        weights.CopyFrom(helper.make_tensor(name, TensorProto.INT8, values.shape, values.reshape(-1).tolist()))
    if kept == "node":
        node = helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values, "another"))
        model.graph.initializer.remove(weights)
        model.graph.node.insert(0, node)
    (layer,) = fewflips.load(models.save(model, tmp_path / "m.onnx")).layers
    (tmp_path / "m.onnx").rename(tmp_path / "moved.onnx")
    if kept == "raw":
        with pytest.raises(ModelError, match="its weights cannot be read again"):
            layer.weights  # noqa: B018
        (tmp_path / "moved.onnx").rename(tmp_path / "m.onnx")
    assert layer.weights.tolist() == values.T.tolist()


def test_raw_data_given_twice_are_the_last(tmp_path: Path) -> None:
    """As protobuf has it where a field that may stand once stands twice."""
    values = np.arange(-12, 12, dtype=np.int8).reshape(6, 4)
    content = blocked(values, np.ones(4, np.float32), 1, 0).model().SerializeToString()
    whole = onnx.load_model_from_string(content)
    (weights,) = (entry for entry in whole.graph.initializer if list(entry.dims) == [6, 4])
    plain, other = weights.SerializeToString(), bytes(reversed(range(24)))
    twice = plain + bytes([9 << 3 | 2, len(other)]) + other
    assert len(twice) < 128
    graph = onnx.GraphProto()
    graph.CopyFrom(whole.graph)
    graph.ClearField("initializer")
    whole.ClearField("graph")
    body = graph.SerializeToString() + bytes([5 << 3 | 2, len(twice)]) + twice
    for entry in onnx.load_model_from_string(content).graph.initializer:
        if entry.name != weights.name:
            part = entry.SerializeToString()
            body += bytes([5 << 3 | 2, len(part)]) + part
    length = bytes([len(body) & 0x7F | 0x80, len(body) >> 7])
    (tmp_path / "m.onnx").write_bytes(whole.SerializeToString() + bytes([7 << 3 | 2]) + length + body)
    (layer,) = fewflips.load(tmp_path / "m.onnx").layers
    assert layer.weights.tolist() == np.frombuffer(other, np.int8).reshape(6, 4).T.tolist()


def test_unknown_fields_before_the_weights(tmp_path: Path) -> None:
    """Fields of all kinds that the schema does not have are stepped over; behind a group weights stay in memory."""
    values = np.arange(-12, 12, dtype=np.int8).reshape(6, 4)
    content = blocked(values, np.ones(4, np.float32), 1, 0).model().SerializeToString()
    unknown = {0: bytes([0xFF, 0x01]), 1: bytes(8), 2: bytes([3]) + b"abc", 5: bytes(4), 3: bytes([0x80 | 4, 0x7D])}
    for kind, field in unknown.items():
        path = tmp_path / f"{kind}.onnx"
        path.write_bytes(bytes([0x80 | kind, 0x7D]) + field + content)
        (layer,) = fewflips.load(path).layers
        assert (path.read_bytes().count(values.tobytes()), layer.weights.tolist()) == (1, values.T.tolist())
        path.unlink()
        if kind == 3:
            assert layer.weights.tolist() == values.T.tolist()
        else:
            with pytest.raises(ModelError, match="its weights cannot be read again"):
                layer.weights  # noqa: B018


def test_weights_behind_too_many_fields_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewflips.network.onnx.raw_data._MOST_FIELDS", 3)
    path = onnx_chain(tmp_path / "m.onnx", 2)
    (first, second), path = fewflips.load(path).layers, path.rename(tmp_path / "moved.onnx")
    monkeypatch.undo()
    for layer, other in zip((first, second), fewflips.load(path).layers, strict=True):
        np.testing.assert_array_equal(layer.weights, other.weights)
