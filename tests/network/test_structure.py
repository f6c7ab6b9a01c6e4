"""Files compared by what they hold: nothing but an order of channels passes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fewflips.api.optimize import optimize
from fewflips.api.verify import verify
from fewflips.errors import ModelError, VerificationError
from fewflips.network import load, rewrite
from fewflips.network.channels import tie_channels
from fewflips.network.onnx.file import OnnxFile
from fewflips.verification.structure import compare_structure
from tests.network import build_onnx, build_tflite
from tests.network.tampering import flip, moved, random_orders

BUNDLED = Path(__file__).parents[2] / "src/fewflips/data/mobilenet_v2_cifar10_int8.onnx"
SMALL: dict[str, Callable[[], bytes | onnx.ModelProto]] = {
    "branching.tflite": build_tflite.branching,
    "int4.tflite": lambda: build_tflite.branching(weight_type="INT4"),
    "qlinear.onnx": build_onnx.qlinear_chain,
    "grouped.onnx": build_onnx.grouped,
    "qdq.onnx": build_onnx.qdq,
    "int4.onnx": build_onnx.int4,
}
REAL = (
    "mlperf_tiny_kws_dscnn_int8.tflite",
    "mlperf_tiny_resnet8_int8.tflite",
    "mlperf_tiny_ad_autoencoder_int8.tflite",
    "mobilenet_v2_1.0_224_quant.tflite",
)


def small(name: str, folder: Path) -> Path:
    path, content = folder / name, SMALL[name]()
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return path


def test_bytes_that_no_name_covers_are_compared_where_nothing_else_differs(tmp_path: Path):
    first, longer, other = (tmp_path / f"{name}.tflite" for name in ("first", "longer", "other"))
    first.write_bytes(build_tflite.branching())
    longer.write_bytes(build_tflite.branching() + bytes(8))
    found = compare_structure(load(first), load(longer))
    assert (found.differing, found.differences) == (1, ("the bytes outside of the constants differ",))
    other.write_bytes(build_tflite.branching(weight_type="INT4") + bytes(8))
    found = compare_structure(load(first), load(other))
    assert not found.equal
    assert not any("the bytes outside" in difference for difference in found.differences)


def assert_flips_are_found(original: Path, folder: Path, tries: int) -> None:
    network = load(original)
    honest = moved(network, folder)
    assert compare_structure(network, load(honest)).equal
    tampered = folder / f"tampered{original.suffix}"
    for seed in range(tries):
        generator = np.random.default_rng(seed)
        shutil.copy(honest, tampered)
        name = flip(tampered, generator)
        try:
            other = load(tampered)
        except ModelError:
            continue  # a scale that is no number, a zero point out of range: refused on being read
        found = compare_structure(network, other)
        assert found.differing == 1, (seed, name, found.describe())
        assert name in found.differences[0] or "weights" in found.differences[0]


@pytest.mark.parametrize("name", SMALL)
def test_one_bit_is_found_in_small_networks(name: str, tmp_path: Path) -> None:
    assert_flips_are_found(small(name, tmp_path), tmp_path, 60)


def test_one_bit_is_found_in_the_bundled_network(tmp_path: Path) -> None:
    assert_flips_are_found(BUNDLED, tmp_path, 40)


@pytest.mark.parametrize("name", REAL)
def test_one_bit_is_found_in_real_networks(name: str, shared: Path, tmp_path: Path) -> None:
    assert_flips_are_found(shared / "models" / name, tmp_path, 20)


@pytest.mark.parametrize("name", SMALL)
def test_any_bit_of_a_file_counts(name: str, tmp_path: Path) -> None:
    """Not in constants alone: attributes, shapes, names, the graph. A bit without a meaning may remain."""
    original = small(name, tmp_path)
    network, data = load(original), original.read_bytes()
    generator = np.random.default_rng(5)
    unread = 0
    for _ in range(150):
        place = int(generator.integers(8 * len(data)))
        tampered = bytearray(data)
        tampered[place // 8] ^= 1 << place % 8
        (tmp_path / f"tampered{original.suffix}").write_bytes(tampered)
        try:
            other = load(tmp_path / f"tampered{original.suffix}")
        except ModelError:
            continue
        if compare_structure(network, other).equal:
            unread += 1
            assert original.suffix == ".onnx"  # a field that ONNX does not know
    assert unread <= 3


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("given", [False, True])
def test_an_order_of_channels_passes_both_ways(name: str, given: bool, tmp_path: Path) -> None:
    network = load(small(name, tmp_path))
    groups = tie_channels(network)
    orders = random_orders(groups, seed=3)
    other = load(moved(network, tmp_path, seed=3))
    forwards = compare_structure(network, other, orders if given else None)
    assert forwards.equal
    assert forwards.moved_groups == sum(not np.array_equal(order, np.sort(order)) for order in orders.values())
    assert compare_structure(other, network).equal
    assert compare_structure(network, network).describe().endswith("in the same order of channels")


def test_an_order_on_weights_but_not_on_their_biases(tmp_path: Path) -> None:
    network = load(BUNDLED)
    groups = tie_channels(network)
    permutations = groups.permutations(random_orders(groups))
    bias = next(name for name in permutations if "bias" in name)
    del permutations[bias]
    rewrite(network, permutations, tmp_path / "x.onnx")
    for orders in (random_orders(groups), None):
        found = compare_structure(network, load(tmp_path / "x.onnx"), orders)
        assert not found.equal


def test_orders_swapped_between_two_groups(tmp_path: Path) -> None:
    network = load(BUNDLED)
    groups = tie_channels(network)
    orders = random_orders(groups)
    first, second = next(
        (a, b) for a in groups.free for b in groups.free if a < b and groups.sizes[a] == groups.sizes[b]
    )
    swapped = orders | {first: orders[second], second: orders[first]}
    rewrite(network, groups.permutations(swapped), tmp_path / "x.onnx")
    other = load(tmp_path / "x.onnx")
    assert not compare_structure(network, other, orders).equal
    assert compare_structure(network, other, swapped).equal


def test_channels_that_are_all_alike(tmp_path: Path) -> None:
    """Any of the orders that explain the file will do."""
    model = build_onnx.qlinear_chain()
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 4:
            values = np.repeat(values[:1], len(values), axis=0)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path = build_onnx.save(model, tmp_path / "alike.onnx")
    network = load(path)
    assert compare_structure(network, load(moved(network, tmp_path))).equal


def test_external_data_count(tmp_path: Path) -> None:
    folder = tmp_path / "external"
    folder.mkdir()
    network = load(build_onnx.save(build_onnx.qlinear_chain(), folder / "model.onnx", external=True))
    other = moved(network, tmp_path)
    assert compare_structure(network, load(other)).equal
    data = next(file.external(t).path for file in (OnnxFile(other),) for t in file.model.graph.initializer)
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.write_bytes(content)
    assert compare_structure(network, load(other)).differing == 1


def test_a_difference_is_named_by_layer_and_index(tmp_path: Path) -> None:
    network = load(BUNDLED)
    layer = network.layers[4]
    model = onnx.load(BUNDLED)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == layer.weights_tensor)
    values = numpy_helper.to_array(tensor).copy()
    place = (7, 0, 1, 2)
    before = int(values[place])
    values[place] ^= 1
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "tampered.onnx")
    result = verify(BUNDLED, tmp_path / "tampered.onnx").check
    assert not result.passed
    assert result.structure.differing == 1
    expected = f"{layer.name}, weights[7, 0, 1, 2]: expected {before}, got {before ^ 1}"
    assert result.structure.differences == (expected,)
    assert result.method.startswith(
        f"structure: one difference in the same order of channels: {expected}; ONNX Runtime"
    )


def test_the_message_says_which_checks_were_made(tmp_path: Path) -> None:
    network = load(BUNDLED)
    result = verify(BUNDLED, moved(network, tmp_path)).check
    assert result.passed
    assert result.structure.equal
    assert result.intermediate_tensors == len({layer.input_tensor for layer in network.layers})
    assert result.method == (
        f"structure: all {result.structure.constants} constants and everything else in the files are equal after "
        f"{result.structure.channel_orders} channel orders were undone; ONNX Runtime (in integers) on 0 sample and 4 "
        f"random inputs: all 40 output values, and {result.intermediate_values} values of "
        f"{result.intermediate_tensors} tensors inside, are equal bit for bit"
    )


def test_another_graph_is_told(tmp_path: Path) -> None:
    model = onnx.load(BUNDLED)
    model.graph.node[3].name = "another"
    model.producer_name = "somebody"
    onnx.save(model, tmp_path / "renamed.onnx")
    result = verify(BUNDLED, tmp_path / "renamed.onnx").check
    assert not result.passed
    assert any("producer_name" in text for text in result.structure.differences)
    assert any("graph.node[3]" in text for text in result.structure.differences)


@pytest.mark.parametrize("name", ["branching.tflite", "qdq.onnx"])
def test_a_bit_that_flips_while_writing_is_never_handed_over(name: str, tmp_path: Path, monkeypatch) -> None:
    original = small(name, tmp_path)
    refused = 0
    for seed in range(20):

        def faulty(network, permutations, destination, seed=seed):
            rewrite(network, permutations, destination)
            flip(destination, np.random.default_rng(seed))

        monkeypatch.setattr("fewflips.optimization.steps.drop_in.rewrite", faulty)
        with pytest.raises(VerificationError, match=r"with its channels moved|cannot be read back"):
            optimize(original, "edge4", mode="drop-in", jobs=1)
        refused += 1
    assert refused == 20


def test_orders_that_are_not_the_planned_ones_are_refused(tmp_path: Path, monkeypatch) -> None:
    def reordered(network, permutations, destination):
        moved(network, tmp_path).rename(destination)

    monkeypatch.setattr("fewflips.optimization.steps.drop_in.rewrite", reordered)
    with pytest.raises(VerificationError, match="with its channels moved"):
        optimize(small("branching.tflite", tmp_path), "edge4", mode="drop-in", jobs=1)
