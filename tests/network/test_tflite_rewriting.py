"""Writing TFLite files with channels moved: the outputs stay, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError, OutputError
from fewflips.execution.litert import LiteRTSession
from fewflips.execution.samples import random_feeds
from fewflips.network.channels import tie_channels
from fewflips.network.graph import Network
from fewflips.network.tflite import reader as tflite
from fewflips.network.tflite.elements import pack, unpack
from fewflips.network.tflite.file import decode
from tests.network import build_tflite as small
from tests.property_settings import examples

KWS = "mlperf_tiny_kws_dscnn_int8.tflite"


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(data)
    return path


def assert_same_outputs(first: Path, second: Path, count: int = 3) -> None:
    left, right = LiteRTSession(str(first)), LiteRTSession(str(second))
    for feeds in random_feeds(left.inputs, count, seed=1):
        outputs, others = left.run(feeds, left.outputs), right.run(feeds, right.outputs)
        assert all(np.array_equal(outputs[name], others[name]) for name in left.outputs)


def random_orders(network: Network, seed: int) -> dict[str, dict[int, np.ndarray]]:
    """A random order of every group of channels that may move."""
    generator = np.random.default_rng(seed)
    groups = tie_channels(network)
    return groups.permutations({group: generator.permutation(groups.sizes[group]) for group in groups.free})


def test_one_tie_by_hand(shared: Path, tmp_path: Path) -> None:
    """Convolution -> depthwise -> convolution: seven arrays move by one permutation."""
    network = tflite.read(shared / "models" / KWS)
    permutation = np.random.default_rng(0).permutation(64)
    stem, depthwise, pointwise = network.operations[:3]
    moved = {axis.tensor: {axis.axis: permutation} for axis in (*stem.constant_axes, *depthwise.constant_axes)}
    moved[pointwise.constant_axes[0].tensor] = {3: permutation}
    assert len(moved) == 5
    target = tmp_path / "moved.tflite"
    tflite.rewrite(network, moved, target)
    assert_same_outputs(network.path, target)
    again = tflite.read(target)
    assert np.array_equal(again.layers[0].weights, network.layers[0].weights[permutation])
    assert np.array_equal(again.layers[1].weights, network.layers[1].weights[permutation])
    assert np.array_equal(again.layers[2].weights, network.layers[2].weights[:, permutation])


def test_one_wrong_axis_changes_the_outputs(shared: Path, tmp_path: Path) -> None:
    network = tflite.read(shared / "models" / KWS)
    target = tmp_path / "moved.tflite"
    tflite.rewrite(network, {network.layers[2].weights_tensor: {3: np.arange(64)[::-1]}}, target)
    with pytest.raises(AssertionError):
        assert_same_outputs(network.path, target)


@pytest.mark.parametrize(
    "name",
    [
        KWS,
        "mlperf_tiny_resnet8_int8.tflite",
        "mlperf_tiny_vww_mobilenet_v1_025_int8.tflite",
        "mlperf_tiny_ad_autoencoder_int8.tflite",
        "mobilenet_v2_1.0_224_quant.tflite",
    ],
)
def test_all_ties_of_real_models(shared: Path, tmp_path: Path, name: str) -> None:
    network = tflite.read(shared / "models" / name)
    orders = random_orders(network, 0)
    assert len(orders) > 10
    target = tmp_path / "moved.tflite"
    tflite.rewrite(network, orders, target)
    assert target.stat().st_size == network.path.stat().st_size
    assert_same_outputs(network.path, target, count=2)


@pytest.mark.parametrize(
    ("weight_type", "activation_type"), [("INT8", "INT8"), ("UINT8", "UINT8"), ("INT4", "INT8"), ("INT8", "INT16")]
)
@pytest.mark.parametrize("seed", range(3))
def test_all_ties_of_the_built_network(tmp_path: Path, weight_type: str, activation_type: str, seed: int) -> None:
    network = tflite.read(write(tmp_path, small.branching(weight_type, activation_type, seed)))
    orders = random_orders(network, seed)
    moving = {tensor.removesuffix("/weights") for tensor in orders if tensor.endswith("/weights")}
    assert moving == {"stem", "depthwise", "project", "first", "second", "logits"}
    target = tmp_path / "moved.tflite"
    tflite.rewrite(network, orders, target)
    assert_same_outputs(network.path, target)


def test_flattening_by_a_fully_connected_layer(tmp_path: Path) -> None:
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 4, 4, 2))
    hidden = build.weighted(small.CONV, source, "hidden", (1, 4, 4, 7), (7, 1, 1, 2))
    output = build.weighted(small.DENSE, hidden, "y", (1, 5), (5, 112), per_channel=False)
    network = tflite.read(write(tmp_path, build.build([source], [output])))
    orders = random_orders(network, 1)
    assert set(orders) == {"hidden/weights", "hidden/bias", "y/weights"}
    target = tmp_path / "moved.tflite"
    tflite.rewrite(network, orders, target)
    assert_same_outputs(network.path, target)


def test_shared_zero_biases_move_apart(tmp_path: Path) -> None:
    """Converters store equal bytes once; biases of zeros must not tie the layers that they belong to."""
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 8))
    zeros = build.tensor("zeros", (8,), "INT32", np.zeros(8, np.int32), 0.0005)
    other = build.tensor("zeros again", (8,), "INT32", None, 0.0005, buffer=build.buffer_of(zeros))
    tensors = [source, build.tensor("h", (1, 8)), build.tensor("y", (1, 8)), build.tensor("z", (1, 8))]
    for i, bias in enumerate((zeros, other, -1)):
        weights = build.tensor(f"w{i}", (8, 8), "INT8", build.codes((8, 8)), 0.01)
        build.operator(small.DENSE, [tensors[i], weights, bias], [tensors[i + 1]], schema.FullyConnectedOptionsT())
    network = tflite.read(write(tmp_path, build.build([source], [tensors[-1]])))
    assert len(tie_channels(network).free) == 2
    target = tmp_path / "moved.tflite"
    tflite.rewrite(network, random_orders(network, 2), target)
    assert_same_outputs(network.path, target)


def test_every_other_byte_stays(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.branching()))
    permutation = np.arange(8)[::-1]
    target = tmp_path / "moved.tflite"
    tflite.rewrite(network, {"stem/bias": {0: permutation}}, target)
    before, after = (np.frombuffer(path.read_bytes(), np.uint8) for path in (network.path, target))
    changed = np.flatnonzero(before != after)
    tensors = {tensor.name: tensor for tensor in decode(before.tobytes(), network.path).tensors}
    bias = tensors["stem/bias"]
    assert bias.data is not None
    moved = bias.data.size + bias.quantization.scale.nbytes + bias.quantization.zero_point.nbytes
    assert 0 < changed.size <= moved
    after_bias = {tensor.name: tensor for tensor in decode(after.tobytes(), target).tensors}["stem/bias"]
    assert np.array_equal(after_bias.codes(), bias.codes()[::-1])
    assert np.array_equal(after_bias.quantization.scale, bias.quantization.scale[::-1])


def test_no_permutation_copies_the_file(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.branching()))
    target = tmp_path / "copy.tflite"
    tflite.rewrite(network, {}, target)
    assert target.read_bytes() == network.path.read_bytes()


def test_inverse_restores_the_file(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.branching("INT4")))
    orders = random_orders(network, 3)
    there, back = tmp_path / "there.tflite", tmp_path / "back.tflite"
    tflite.rewrite(network, orders, there)
    inverse = {name: {axis: np.argsort(p) for axis, p in axes.items()} for name, axes in orders.items()}
    tflite.rewrite(tflite.read(there), inverse, back)
    assert there.read_bytes() != network.path.read_bytes()
    assert back.read_bytes() == network.path.read_bytes()


@pytest.mark.parametrize(
    ("permutations", "message"),
    [
        ({"nothing": {0: np.arange(8)}}, "expected the name of a constant of the network, got 'nothing'"),
        ({"stem/bias": {1: np.arange(8)}}, r"constant 'stem/bias' of shape \[8\] has no axis 1"),
        ({"stem/bias": {0: np.zeros(8, int)}}, r"'stem/bias' of shape \[8\], axis 0: expected a permutation of 0 to 7"),
        ({"stem/bias": {0: np.arange(7)}}, "got an array of shape .7. and type int64"),
        ({"stem/bias": {0: np.arange(8.0)}}, "and type float64"),
    ],
)
def test_permutations_that_do_not_fit(
    tmp_path: Path, permutations: dict[str, dict[int, np.ndarray]], message: str
) -> None:
    network = tflite.read(write(tmp_path, small.branching()))
    target = tmp_path / "moved.tflite"
    with pytest.raises(InputError, match=message):
        tflite.rewrite(network, permutations, target)
    assert not target.exists()


def test_file_that_changed_after_reading(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.branching()))
    write(tmp_path, small.branching(seed=1))
    with pytest.raises(InputError, match="the file has changed since it was read; read it again"):
        tflite.rewrite(network, {}, tmp_path / "moved.tflite")


def test_destination_that_cannot_be_written(tmp_path: Path) -> None:
    network = tflite.read(write(tmp_path, small.branching()))
    with pytest.raises(OutputError, match=r"cannot write .*missing.*: No such file or directory; give a path in"):
        tflite.rewrite(network, {}, tmp_path / "missing" / "moved.tflite")
    with pytest.raises(OutputError, match="expected a file name, got a folder"):
        tflite.rewrite(network, {}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tflite"]


@given(st.lists(st.integers(0, 15), max_size=9))
@examples(50)
def test_packing_is_the_inverse_of_unpacking(codes: list[int]) -> None:
    array = np.array(codes, np.uint8)
    assert pack(array, 4).size == (len(codes) + 1) // 2
    assert np.array_equal(unpack(pack(array, 4), 4, len(codes)), array)
