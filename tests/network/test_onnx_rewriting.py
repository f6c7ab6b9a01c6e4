"""Writing ONNX files with their channels moved, checked by ONNX Runtime."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from fewflips.errors import InputError, OutputError
from fewflips.execution.onnx_runtime import OnnxRuntimeSession, executes_in_integers
from fewflips.network.channels import tie_channels
from fewflips.network.graph import Network
from fewflips.network.onnx import reader as adapter
from tests.network import build_onnx as models
from tests.network.build_onnx import QDQ, Builder, QOperators, save
from tests.network.test_onnx_reading import feeds_of
from tests.property_settings import examples

Known = tuple[str, int, int]
Permutations = dict[str, dict[int, NDArray[np.int64]]]


class Calibration(CalibrationDataReader):
    """A few random images."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._feeds = iter([{"image": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(4)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)


def shuffled(network: Network, seed: int = 0) -> Permutations:
    """What a random order of every free group does to the constants."""
    rng = np.random.default_rng(seed)
    groups = tie_channels(network)
    return groups.permutations({group: rng.permutation(groups.sizes[group]) for group in groups.free})


def free_channels(network: Network) -> list[int]:
    groups = tie_channels(network)
    return sorted(groups.sizes[group] for group in groups.free)


def outputs(path: Path, seed: int) -> list[NDArray[np.generic]]:
    session = OnnxRuntimeSession(str(path))
    return list(session.run(feeds_of(session, seed), session.outputs).values())


def assert_same(left: Path, right: Path, exactly: bool = True) -> None:
    for seed in range(3):
        for one, other in zip(outputs(left, seed), outputs(right, seed), strict=True):
            if exactly:
                assert np.array_equal(one, other)
            else:
                np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("build", "free"),
    [(models.qlinear_chain, [4, 6, 8, 9]), (models.dynamic_matmul, [16])],
)
def test_outputs_stay_bit_for_bit(build: Callable[[], onnx.ModelProto], free: list[int], tmp_path: Path) -> None:
    path = save(build(), tmp_path / "m.onnx")
    network = adapter.read(path)
    assert free_channels(network) == free
    moved = tmp_path / "moved.onnx"
    adapter.rewrite(network, shuffled(network), moved)
    assert moved.read_bytes() != path.read_bytes()
    assert_same(path, moved)


def test_channels_stay_around_grouped_convolutions(tmp_path: Path) -> None:
    network = adapter.read(save(models.grouped(), tmp_path / "m.onnx"))
    assert free_channels(network) == []
    assert network.notes[0].startswith("1 operator QLinearConv: channels are not followed through")


@pytest.mark.parametrize("build", [models.qdq, models.int4])
def test_qdq_networks_compute_the_same(build: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    path = save(build(), tmp_path / "m.onnx")
    network = adapter.read(path)
    assert free_channels(network) == ([8, 10] if build is models.qdq else [9])
    adapter.rewrite(network, shuffled(network), tmp_path / "moved.onnx")
    assert_same(path, tmp_path / "moved.onnx", exactly=executes_in_integers(str(path)))


@pytest.mark.parametrize("quantization", [QuantFormat.QOperator, QuantFormat.QDQ])
@pytest.mark.parametrize("per_channel", [False, True])
def test_what_quantize_static_writes(quantization: QuantFormat, per_channel: bool, tmp_path: Path) -> None:
    original = save(models.float_network(), tmp_path / "float.onnx")
    path = tmp_path / "m.onnx"
    quantize_static(
        original, path, Calibration(), quant_format=quantization, per_channel=per_channel, weight_type=QuantType.QInt8
    )
    network = adapter.read(path)
    assert [layer.n for layer in network.layers] == [8, 8, 8, 4, 6, 9, 5]
    assert all(layer.activation_zero_point is not None for layer in network.layers)
    assert free_channels(network) == [4, 6, 8, 9]
    adapter.rewrite(network, shuffled(network), tmp_path / "moved.onnx")
    assert executes_in_integers(str(path))
    assert_same(path, tmp_path / "moved.onnx")


@pytest.mark.parametrize("per_channel", [False, True])
def test_what_quantize_dynamic_writes(per_channel: bool, tmp_path: Path) -> None:
    original = save(models.float_network(), tmp_path / "float.onnx")
    path = tmp_path / "m.onnx"
    quantize_dynamic(original, path, per_channel=per_channel, weight_type=QuantType.QUInt8)
    network = adapter.read(path)
    assert {layer.operator for layer in network.layers} == {"ConvInteger", "MatMulInteger"}
    assert len(network.layers) == 7
    assert free_channels(network) == [4, 6, 8, 9]
    adapter.rewrite(network, shuffled(network), tmp_path / "moved.onnx")
    assert_same(path, tmp_path / "moved.onnx")


def test_external_data_go_to_one_file_beside_the_model(tmp_path: Path) -> None:
    path = save(models.qlinear_chain(), tmp_path / "m.onnx", external=True)
    network = adapter.read(path)
    folder = tmp_path / "new"
    folder.mkdir()
    adapter.rewrite(network, shuffled(network), folder / "moved.onnx")
    assert sorted(file.name for file in folder.iterdir()) == ["moved.onnx", "moved.onnx.data"]
    assert_same(path, folder / "moved.onnx")
    inside = save(models.qlinear_chain(), tmp_path / "inside.onnx")
    again = adapter.read(inside)
    adapter.rewrite(again, shuffled(again), tmp_path / "inside_moved.onnx")
    loaded, expected = onnx.load(folder / "moved.onnx"), onnx.load(tmp_path / "inside_moved.onnx")
    for tensor, other in zip(loaded.graph.initializer, expected.graph.initializer, strict=True):
        assert np.array_equal(numpy_helper.to_array(tensor), numpy_helper.to_array(other))


def test_external_data_of_the_original_are_not_overwritten(tmp_path: Path) -> None:
    path = save(models.qlinear_chain(), tmp_path / "m.onnx", external=True)
    network = adapter.read(path)
    with pytest.raises(InputError, match="choose another name or folder"):
        adapter.rewrite(network, {}, path)
    with pytest.raises(OutputError, match="give a path in an existing folder"):
        adapter.rewrite(network, {}, tmp_path / "missing" / "m.onnx")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.onnx", "m.onnx.weights"]


def test_only_the_named_constants_change(tmp_path: Path) -> None:
    path = save(models.qlinear_chain(), tmp_path / "m.onnx")
    network = adapter.read(path)
    permutations = shuffled(network)
    adapter.rewrite(network, permutations, tmp_path / "moved.onnx")
    before, after = onnx.load(path), onnx.load(tmp_path / "moved.onnx")
    for old, new in zip(before.graph.initializer, after.graph.initializer, strict=True):
        values = numpy_helper.to_array(old)
        for axis, order in permutations.get(old.name, {}).items():
            values = values.take(order, axis)
        assert np.array_equal(values, numpy_helper.to_array(new))
    del before.graph.initializer[:], after.graph.initializer[:]
    assert before == after


def test_nothing_to_move_gives_the_same_bytes(tmp_path: Path) -> None:
    path = save(models.qlinear_chain(), tmp_path / "m.onnx")
    adapter.rewrite(adapter.read(path), {}, tmp_path / "same.onnx")
    assert (tmp_path / "same.onnx").read_bytes() == path.read_bytes()


def test_values_kept_one_by_one_and_in_constant_nodes_move(tmp_path: Path) -> None:
    model = models.qlinear_chain()
    nodes = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        plain = helper.make_tensor(tensor.name, tensor.data_type, values.shape, values.reshape(-1).tolist())
        assert not plain.HasField("raw_data")
        nodes.append(helper.make_node("Constant", [], [tensor.name], value=plain))
    nodes += model.graph.node
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes)
    path = save(model, tmp_path / "m.onnx")
    network = adapter.read(path)
    adapter.rewrite(network, shuffled(network), tmp_path / "moved.onnx")
    assert free_channels(network) == [4, 6, 8, 9]
    assert_same(path, tmp_path / "moved.onnx")


def test_weights_of_4_bits_are_packed_again(tmp_path: Path) -> None:
    path = save(models.int4(), tmp_path / "m.onnx")
    network = adapter.read(path)
    order = np.array([3, 1, 0, 2, 6, 5, 4, 8, 7])
    adapter.rewrite(network, {"w_signed": {1: order}, "w_unsigned": {1: order}}, tmp_path / "moved.onnx")
    moved = adapter.read(tmp_path / "moved.onnx")
    assert np.array_equal(moved.layers[0].weights, network.layers[0].weights[order])
    assert np.array_equal(moved.layers[1].weights, network.layers[1].weights[:, order])


@pytest.mark.parametrize(
    ("permutations", "message"),
    [
        ({"missing": {0: np.arange(3)}}, "expected the name of an initializer or Constant node"),
        ({"w_signed": {2: np.arange(9)}}, r"constant 'w_signed' of shape \[7, 9\] has no axis 2"),
        ({"w_signed": {1: np.zeros(9, np.int64)}}, "axis 1: expected a permutation of 0 to 8"),
        ({"w_signed": {1: np.arange(8)}}, r"got an array of shape \[8\] and type int64"),
        ({"w_signed": {1: np.arange(9.0)}}, "and type float64"),
    ],
)
def test_permutations_that_do_not_fit(permutations: Permutations, message: str, tmp_path: Path) -> None:
    network = adapter.read(save(models.int4(), tmp_path / "m.onnx"))
    with pytest.raises(InputError, match=message):
        adapter.rewrite(network, permutations, tmp_path / "moved.onnx")
    assert not (tmp_path / "moved.onnx").exists()


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    network = adapter.read(save(models.int4(), tmp_path / "m.onnx"))
    with pytest.raises(InputError, match="the file has changed since it was read; read it again"):
        adapter.rewrite(dataclasses.replace(network, sha256="0"), {}, tmp_path / "moved.onnx")


def operators_between(build: QDQ) -> dict[str, Callable[[str], str]]:
    """Float operators on a tensor of shape (1, 8, 6, 6) through which channels are followed."""
    per_channel = build.constant(build.rng.standard_normal((1, 8, 1, 1)).astype(np.float32))
    vectors = [build.constant(0.5 + build.rng.random(8).astype(np.float32)) for _ in range(4)]
    scalar = build.constant(np.float32(0.4))
    slope = build.constant(build.rng.random((8, 1, 1)).astype(np.float32))
    pads = build.constant(np.array([0, 0, 1, 2, 0, 0, 0, 1], np.int64))
    sizes = build.constant(np.array([1, 1, 2, 1.5], np.float32))
    axes = build.constant(np.array([2, 3], np.int64))
    limits = [build.constant(np.float32(-1)), build.constant(np.float32(2))]
    return {
        "Mul": lambda x: build.node("Mul", [per_channel, x]),
        "Div": lambda x: build.node("Div", [x, scalar]),
        "PRelu": lambda x: build.node("PRelu", [x, slope]),
        "Clip": lambda x: build.node("Clip", [x, *limits]),
        "Sigmoid": lambda x: build.node("Sigmoid", [x]),
        "HardSwish": lambda x: build.node("HardSwish", [x]),
        "BatchNormalization": lambda x: build.node("BatchNormalization", [x, *vectors]),
        "AveragePool": lambda x: build.node("AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2]),
        "Pad": lambda x: build.node("Pad", [x, pads]),
        "Resize": lambda x: build.node("Resize", [x, "", sizes], mode="linear"),
        "ReduceMean": lambda x: build.node("ReduceMean", [x, axes], keepdims=1),
        "Gate": lambda x: build.node("Mul", [x, build.node("Sigmoid", [build.node("GlobalAveragePool", [x])])]),
        "Concat": lambda x: build.node("Concat", [x, build.node("Relu", [x])], axis=1),
        "Beside": lambda x: build.node("Concat", [x, x], axis=2),
        "Transpose": lambda x: build.node("Transpose", [build.node("Relu", [x])], perm=[0, 1, 3, 2]),
        "Squeeze": lambda x: build.node(
            "Unsqueeze", [build.node("Squeeze", [x, scalar_axis(build)]), scalar_axis(build)]
        ),
    }


def scalar_axis(build: Builder) -> str:
    return build.constant(np.array([0], np.int64))


@pytest.mark.parametrize("operator", sorted(operators_between(QDQ())))
def test_operators_through_which_channels_are_followed(operator: str, tmp_path: Path) -> None:
    build = QDQ(20)
    image = build.activation(build.input("image", TensorProto.FLOAT, [1, 3, 6, 6]))
    stem = build.node("Conv", [image, build.weights(build.int8(8, 3, 3, 3), 0), build.bias(8)], pads=[1] * 4)
    between = operators_between(build)[operator](build.activation(stem))
    depth = 16 if operator == "Concat" else 8
    last = [build.activation(between), build.weights(build.int8(4, depth, 1, 1), 0)]
    build.output(build.activation(build.node("Conv", last)), TensorProto.FLOAT)
    path = save(build.model(), tmp_path / "m.onnx")
    network = adapter.read(path)
    assert free_channels(network) == [8]
    adapter.rewrite(network, shuffled(network), tmp_path / "moved.onnx")
    assert_same(path, tmp_path / "moved.onnx", exactly=executes_in_integers(str(path)))


def test_operators_that_hold_channels_in_place(tmp_path: Path) -> None:
    build = QOperators(21)
    image = build.input("image", TensorProto.UINT8, [1, 3, 6, 6])
    stem = build.conv(image, 8, 3, 3)
    halves = [
        build.node("Slice", [stem, *(build.constant(np.array([v], np.int64)) for v in bounds)])
        for bounds in ((0, 4, 1), (4, 8, 1))
    ]
    build.output(build.conv(halves[0], 4, 4, 1), TensorProto.UINT8)
    build.output(build.conv(halves[1], 4, 4, 1), TensorProto.UINT8)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx"))
    assert free_channels(network) == []
    assert "2 operators Slice: channels are not followed through" in network.notes[0]


def test_tied_weights_move_together(tmp_path: Path) -> None:
    build = QOperators(22)
    left, right = (build.input(name, TensorProto.UINT8, [1, 3, 6, 6]) for name in ("left", "right"))
    first = build.conv(left, 8, 3, 3)
    shared = build.nodes[-1].input[1:]
    second = build.node("QLinearConv", [right, *shared])
    both = build.add(first, build.conv(second, 8, 8, 1))
    build.output(build.conv(both, 5, 8, 1), TensorProto.UINT8)
    path = save(build.model(), tmp_path / "m.onnx")
    network = adapter.read(path)
    assert free_channels(network) == [8]
    adapter.rewrite(network, shuffled(network), tmp_path / "moved.onnx")
    assert_same(path, tmp_path / "moved.onnx")


class RandomNetwork(QOperators):
    """A network of QLinear operators: each step takes earlier tensors, chosen by two numbers."""

    def __init__(self, steps: list[tuple[str, int, int]]) -> None:
        super().__init__(len(steps))
        image = self.input("image", TensorProto.UINT8, [1, 3, 6, 6])
        self.known = [(self.conv(image, 4, 3, 3, pads=[1] * 4), 4, 6)]
        for step, first, second in steps:
            source, other = self.known[first % len(self.known)], self.known[second % len(self.known)]
            made = getattr(self, f"step_{step}")(*source, *other)
            self.known += [made] if made else []
        last, channels, size = self.known[-1]
        self.output(self.gemm(self.node("Flatten", [last]), channels * size * size, 3), TensorProto.UINT8)

    def step_conv(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known:
        n = 4 + 2 * (more % 3)
        return self.conv(x, n, channels, 3, pads=[1] * 4), n, size

    def step_point(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known:
        return self.conv(x, channels, channels, 1, per_channel=False), channels, size

    def step_depthwise(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known:
        return self.conv(x, channels, 1, 3, pads=[1] * 4, group=channels), channels, size

    def step_grouped(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known:
        groups = 2 if channels % 2 == 0 else 1
        return self.conv(x, channels, channels // groups, 1, group=groups), channels, size

    def step_add(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known | None:
        return (self.add(x, y), channels, size) if (channels, size) == (more, height) else None

    def step_concat(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known | None:
        return (self.concat([x, y]), channels + more, size) if size == height else None

    def step_beside(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known | None:
        if (channels, size) != (more, height):
            return None
        both = self.concat([x, y], 2)
        return self.node("MaxPool", [both], kernel_shape=[2, 1], strides=[2, 1]), channels, size

    def step_pool(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known | None:
        pooled = self.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]) if size >= 2 else None
        return (pooled, channels, size // 2) if pooled else None

    def step_relu(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known:
        return self.node("Max", [x, self.zero]), channels, size

    def step_slice(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> Known | None:
        if channels == 1:  # nothing would be left
            return None
        bounds = [self.constant(np.array([value], np.int64)) for value in (0, channels - 1, 1)]
        return self.node("Slice", [x, *bounds]), channels - 1, size

    def step_flat(self, x: str, channels: int, size: int, y: str, more: int, height: int) -> None:
        flat = self.node("Reshape", [x, self.constant(np.array([1, -1], np.int64))])
        self.output(self.gemm(flat, channels * size * size, 5), TensorProto.UINT8)


STEPS = sorted(name.removeprefix("step_") for name in vars(RandomNetwork) if name.startswith("step_"))


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=12),
    seed=st.integers(0, 99),
)
def test_random_networks_stay_bit_for_bit(steps: list[tuple[str, int, int]], seed: int, tmp_path: Path) -> None:
    path = save(RandomNetwork(steps).model(), tmp_path / "m.onnx")
    network = adapter.read(path)
    adapter.rewrite(network, shuffled(network, seed), tmp_path / "moved.onnx")
    for one, other in zip(outputs(path, seed), outputs(tmp_path / "moved.onnx", seed), strict=True):
        assert np.array_equal(one, other)
