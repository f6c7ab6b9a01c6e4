"""Products of ONNX Runtime's own domain, checked against what the runtime computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import fewflips
from fewflips.execution.onnx_runtime import OnnxRuntimeSession
from fewflips.network.graph import LeftOut, OperationKind
from fewflips.network.layer import Layer
from fewflips.network.onnx import reader as adapter
from tests.network.build_onnx import CONTRIB, Builder, NBits, products_to_floats, quantized_attention, save

FLOAT = TensorProto.FLOAT


def integer_product(layer: Layer, codes: NDArray[np.integer], zero_point: int) -> NDArray[np.int64]:
    rows = codes.reshape(layer.m, layer.k).astype(np.int64) - zero_point
    return rows @ (layer.weights.astype(np.int64) - layer.right.element_zero_points()).T


def test_products_that_give_floats(tmp_path: Path) -> None:
    path = save(products_to_floats(), tmp_path / "m.onnx")
    network = adapter.read(path)
    first, second = network.layers
    assert [(layer.m, layer.n, layer.k) for layer in network.layers] == [(3, 16, 12), (3, 7, 16)]
    assert (first.input_tensor, first.activation_zero_point, second.input_tensor) == ("codes", None, None)
    assert network.notes == (
        "layer 'second' (DynamicQuantizeMatMul): it quantizes its input itself, so that its activations are not known "
        "as integers",
    )
    products = {operation.name: operation for operation in network.operations if operation.name in ("first", "second")}
    assert {operation.kind for operation in products.values()} == {OperationKind.PRODUCT}
    fetch = ["codes", "scale", "zero", "again", "again scale", "again zero", products["first"].outputs[0]]
    fetch.append(network.outputs[0])
    x = np.random.default_rng(1).standard_normal((3, 12)).astype(np.float32)
    codes, scale, zero, again, again_scale, again_zero, hidden, last = (
        OnnxRuntimeSession(str(path), fetch).run({"x": x}, fetch)[name] for name in fetch
    )
    assert first.right.scales is not None
    bias = numpy_helper.to_array(next(t for t in onnx.load(path).graph.initializer if t.name == first.bias.name))
    steps = first.right.scales.values[:, 0].astype(np.float64) * float(scale)
    assert np.allclose(integer_product(first, codes, int(zero)) * steps + bias, hidden, rtol=1e-5, atol=1e-5)
    expected = integer_product(second, again, int(again_zero)) * float(again_scale) * 0.01
    assert np.allclose(expected, last, rtol=1e-5, atol=1e-5)


def test_their_channels_move(tmp_path: Path) -> None:
    result = fewflips.optimize(fewflips.load(save(products_to_floats(), tmp_path / "m.onnx")), "edge16", mode="drop-in")
    report = result.report
    assert report.totals.weights.optimized_flips < report.totals.weights.baseline_flips
    assert report.drop_in is not None
    assert report.drop_in.check.passed


def test_attention_is_its_weights_and_the_rest_is_named(tmp_path: Path) -> None:
    path = save(quantized_attention(), tmp_path / "m.onnx")
    network = adapter.read(path)
    (layer,) = network.layers
    assert (layer.m, layer.n, layer.k, layer.input_tensor, layer.activation_zero_point) == (10, 24, 8, "x", 117)
    reason = "beside its weights it multiplies activations with each other"
    assert network.left_out == (LeftOut("all", "QAttention", reason, 2 * 2 * (5 * 5 * 4 + 5 * 5 * 4)),)
    assert network.notes[0] == f"layer 'all' (QAttention): passed over: {reason}"
    assert network.operations[0].kind is OperationKind.OPAQUE
    assert network.tensors["y"].shape == (2, 5, 8)
    x = np.random.default_rng(2).integers(0, 256, (2, 5, 8)).astype(np.uint8)
    got = OnnxRuntimeSession(str(path), ["y"]).run({"x": x}, ["y"])["y"]
    bias = numpy_helper.to_array(next(t for t in onnx.load(path).graph.initializer if t.name == "b"))
    joint = (integer_product(layer, x, 117) * 0.05 * 0.01 + bias).reshape(2, 5, 3, 2, 4)
    for batch in range(2):
        for head in range(2):
            queries, keys, values = (joint[batch, :, part, head] for part in range(3))
            scores = np.exp(queries @ keys.T / 2)
            expected = scores / scores.sum(axis=1, keepdims=True) @ values
            assert np.allclose(got[batch, :, 4 * head : 4 * head + 4], expected, rtol=1e-4, atol=1e-4)


def test_attention_to_earlier_calls_has_no_known_number_of_products(tmp_path: Path) -> None:
    network = adapter.read(save(quantized_attention(past=True), tmp_path / "m.onnx"))
    assert [product.macs for product in network.left_out] == [None]
    assert network.layers[0].macs == 10 * 24 * 8


def test_a_table_that_is_looked_up_is_named(tmp_path: Path) -> None:
    build = Builder()
    ids = build.input("ids", TensorProto.INT64, [1, 5])
    table = [
        build.packed(build.rng.integers(-8, 8, (7, 32)), TensorProto.INT4),
        ids,
        build.constant(build.scales(7, 1)),
    ]
    rows = build.node("GatherBlockQuantized", table, CONTRIB, "table", block_size=32, gather_axis=0, quantize_axis=1)
    weights = [build.constant(build.int8(32, 4)), build.constant(np.float32(0.5))]
    build.output(build.node("DynamicQuantizeMatMul", [rows, *weights], CONTRIB), FLOAT)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx"))
    assert (network.layers[0].m, network.left_out) == (5, ())
    remark = "a table of integers from which rows are looked up; it multiplies nothing"
    assert f"layer 'table' (GatherBlockQuantized): {remark}" in network.notes


@pytest.mark.parametrize("packed", [True, False])
def test_a_block_of_a_language_model_is_read_whole(packed: bool, tmp_path: Path) -> None:
    """Two heads share keys and values; heads of 8 channels; products of 4 bits before and behind the attention."""
    build, first, second = Builder(), NBits(n=64, k=32, blocks=2), NBits(n=16, k=32, blocks=2)
    x = build.input("x", FLOAT, [1, 5, 32])
    earlier = [build.input(name, FLOAT, [1, 2, 3, 8]) for name in ("past_key", "past_value")]
    gamma = build.constant(build.scales(32))
    normal = build.node("SimplifiedLayerNormalization", [x, gamma], axis=-1)
    if packed:
        parts = [first.node(build, normal), "", ""]
    else:
        parts = [NBits(n=n, k=32, blocks=2).node(build, normal) for n in (32, 16, 16)]
    lengths = [build.constant(np.array([7], np.int32)), build.constant(np.array([8], np.int32))]
    heads = {"num_heads": 4, "kv_num_heads": 2}
    build.nodes.append(
        helper.make_node(
            "GroupQueryAttention", [*parts, *earlier, *lengths], ["a", "k", "v"], "attend", domain=CONTRIB, **heads
        )
    )
    skip = build.node(
        "SkipSimplifiedLayerNormalization",
        [second.node(build, "a"), second.node(build, x), build.constant(build.scales(16))],
        CONTRIB,
    )
    build.output(skip, FLOAT)
    path = save(build.model(), tmp_path / "m.onnx")
    network = adapter.read(path)
    assert [(layer.m, layer.n) for layer in network.layers] == [(5, 64)] * packed + [
        (5, n) for n in (32, 16, 16) if not packed
    ] + [(5, 16)] * 2
    assert [(product.operator, product.macs) for product in network.left_out] == [("GroupQueryAttention", None)]
    feeds = {"x": np.ones((1, 5, 32), np.float32)} | {name: np.ones((1, 2, 3, 8), np.float32) for name in earlier}
    got = OnnxRuntimeSession(str(path), ["a", skip]).run(feeds, ["a", skip])
    assert {name: value.shape for name, value in got.items()} == {
        name: network.tensors[name].shape for name in ("a", skip)
    }


@pytest.mark.parametrize(
    ("operator", "position", "values", "message"),
    [
        ("MatMulIntegerToFloat", 1, np.zeros((11, 16), np.int8), "expected an input with 11 columns"),
        ("MatMulIntegerToFloat", 5, np.zeros(5, np.int8), "expected 1 or 16 zero points of its weights, got 5"),
        ("DynamicQuantizeMatMul", 1, np.zeros((0, 7), np.int8), r"got shape \[0, 7\]"),
    ],
)
def test_what_does_not_fit_is_refused(
    operator: str, position: int, values: NDArray[np.generic], message: str, tmp_path: Path
) -> None:
    model = products_to_floats()
    node = next(node for node in model.graph.node if node.op_type == operator)
    tensor = next(entry for entry in model.graph.initializer if entry.name == node.input[position])
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(fewflips.errors.ModelError, match=message) as error:
        adapter.read(path)
    assert "\n" not in str(error.value)
