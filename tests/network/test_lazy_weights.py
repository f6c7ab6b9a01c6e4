"""Networks whose weights stay in their files until they are asked for."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import fewflips
from fewflips.dataflows.orders import natural_orders
from fewflips.errors import InputError, ModelError
from fewflips.measurement.counting import count_network
from fewflips.network import Network
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


CHAINS = {"model.tflite": tflite_chain}


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
