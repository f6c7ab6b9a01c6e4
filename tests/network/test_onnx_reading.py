"""Reading ONNX files, checked against what ONNX Runtime computes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fewflips.errors import FloatModelError, ModelError
from fewflips.execution.onnx_runtime import OnnxRuntimeSession
from fewflips.formats.number_formats import INT4, INT8, UINT4, UINT8
from fewflips.network.graph import Network, OperationKind
from fewflips.network.layer import Layer
from fewflips.network.onnx import reader as adapter
from tests.network import build_onnx as models
from tests.network.build_onnx import CONTRIB, QDQ, Builder, QOperators, save
from tests.property_settings import examples


def feeds_of(session: OnnxRuntimeSession, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(seed)
    result: dict[str, NDArray[np.generic]] = {}
    for spec in session.inputs:
        if spec.dtype.kind == "f":
            result[spec.name] = (rng.standard_normal(spec.shape) * 3).astype(spec.dtype)
        else:
            info = np.iinfo(spec.dtype)
            result[spec.name] = rng.integers(info.min, info.max + 1, spec.shape).astype(spec.dtype)
    return result


def product(layer: Layer, tensor: NDArray[np.integer], zero_point: int) -> NDArray[np.int64]:
    """Y of shape (M, N), in integers, without bias."""
    rows = layer.lowering.rows(tensor, layer.groups, zero_point).astype(np.int64) - zero_point
    weights = layer.weights.astype(np.int64) - layer.weight_zero_points[:, np.newaxis]
    grouped = weights.reshape(layer.groups, layer.n // layer.groups, layer.k)
    return np.concatenate([rows[g] @ grouped[g].T for g in range(layer.groups)], axis=1)


def as_rows(output: NDArray[np.generic], layer: Layer) -> NDArray[np.generic]:
    """An operator's output as (M, N)."""
    return (
        np.moveaxis(output, 1, -1).reshape(layer.m, layer.n) if output.ndim == 4 else output.reshape(layer.m, layer.n)
    )


def output_of(network: Network, layer: Layer) -> str:
    return next(op.outputs[0] for op in network.operations if op.name == layer.name)


def test_layers_of_a_qoperator_network(tmp_path: Path) -> None:
    network = adapter.read(save(models.qlinear_chain(), tmp_path / "m.onnx"))
    described = [(layer.operator, layer.m, layer.n, layer.k, layer.groups) for layer in network.layers]
    assert described == [
        ("QLinearConv", 64, 8, 27, 1),
        ("QLinearConv", 64, 8, 9, 8),
        ("QLinearConv", 64, 8, 8, 1),
        ("QLinearConv", 64, 4, 72, 1),
        ("QLinearConv", 4, 6, 108, 1),
        ("QGemm", 1, 9, 24, 1),
        ("QGemm", 1, 5, 9, 1),
    ]
    assert [layer.is_depthwise for layer in network.layers] == [False, True, False, False, False, False, False]
    assert {layer.activation_zero_point for layer in network.layers} == {117}
    assert {(layer.weight_type, layer.activation_type) for layer in network.layers} == {(INT8, UINT8)}
    assert (network.inputs, network.file_format, network.notes) == (("image",), "onnx", ())
    assert network.tensors["image"].shape == (1, 3, 8, 8)


@pytest.mark.parametrize("model", [models.qlinear_chain, models.grouped])
def test_products_give_the_runtimes_outputs_after_requantization(model, tmp_path: Path) -> None:
    path = save(model(), tmp_path / "m.onnx")
    network = adapter.read(path)
    proto = onnx.load(path)
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    nodes = {node.name: node for node in proto.graph.node}
    fetch = sorted({layer.input_tensor for layer in network.layers} | {output_of(network, x) for x in network.layers})
    session = OnnxRuntimeSession(str(path), fetch)
    got = session.run(feeds_of(session), fetch)
    for layer in network.layers:
        node = nodes[layer.name]
        bias = held[node.input[8 if layer.operator == "QLinearConv" else 6]]
        scale = held["act_scale"] * held[node.input[4]] / held["act_scale"]
        sums = product(layer, got[layer.input_tensor], layer.activation_zero_point) + bias
        expected = np.clip(np.rint(sums * scale) + 117, 0, 255)
        found = as_rows(got[output_of(network, layer)], layer).astype(np.int64)
        assert np.abs(found - expected).max() <= 1
        assert (found == expected).mean() > 0.99


CONV_INTEGER_CASES = st.fixed_dictionaries(
    {
        "group_sizes": st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
        "size": st.tuples(st.integers(5, 10), st.integers(5, 10)),
        "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "strides": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "dilations": st.tuples(st.integers(1, 2), st.integers(1, 2)),
        "pads": st.tuples(*[st.integers(0, 2)] * 4),
        "auto_pad": st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]),
        "batch": st.integers(1, 2),
        "signed": st.booleans(),
    }
)


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=CONV_INTEGER_CASES)
def test_conv_integer_of_any_geometry_is_reproduced_exactly(case, tmp_path: Path) -> None:
    groups, depth, outputs = case["group_sizes"]
    dilations = (1, 1) if case["auto_pad"].startswith("SAME") else case["dilations"]  # the runtime refuses others
    attributes = {"group": groups, "strides": case["strides"], "dilations": dilations}
    attributes |= {"pads": case["pads"]} if case["auto_pad"] == "NOTSET" else {"auto_pad": case["auto_pad"]}
    model = models.conv_integer(
        (case["batch"], groups * depth, *case["size"]),
        (groups * outputs, depth, *case["kernel"]),
        signed=case["signed"],
        **attributes,
    )
    path = save(model, tmp_path / "m.onnx")
    (layer,) = adapter.read(path).layers
    session = OnnxRuntimeSession(str(path))
    feeds = feeds_of(session)
    (output,) = session.run(feeds, session.outputs).values()
    assert np.array_equal(product(layer, feeds["x"], layer.activation_zero_point), as_rows(output, layer))
    assert layer.weight_type == (INT8 if case["signed"] else UINT8)


def test_matmul_integer_with_dynamic_activations(tmp_path: Path) -> None:
    path = save(models.dynamic_matmul(), tmp_path / "m.onnx")
    network = adapter.read(path)
    assert [(layer.name, layer.m, layer.n, layer.k) for layer in network.layers] == [
        ("product16", 5, 16, 12),
        ("product7", 5, 7, 16),
    ]
    for layer in network.layers:
        assert layer.activation_zero_point is None
        zero = f"q{layer.n}_zero"
        fetch = [layer.input_tensor, zero, output_of(network, layer)]
        session = OnnxRuntimeSession(str(path), fetch)
        got = session.run(feeds_of(session), fetch)
        sums = product(layer, got[layer.input_tensor], int(got[zero]))
        assert np.array_equal(sums, as_rows(got[fetch[2]], layer))


def test_qdq_layers_read_the_integers_before_dequantization(tmp_path: Path) -> None:
    path = save(models.qdq(), tmp_path / "m.onnx")
    network = adapter.read(path)
    assert [(x.operator, x.m, x.n, x.k, x.groups) for x in network.layers] == [
        ("Conv", 64, 8, 27, 1),
        ("Conv", 64, 8, 9, 8),
        ("Gemm", 1, 10, 8, 1),
        ("MatMul", 1, 6, 10, 1),
    ]
    assert [layer.activation_zero_point for layer in network.layers] == [3, -128, 3, 3]
    proto = onnx.load(path)
    producers = {name: node for node in proto.graph.node for name in node.output}
    for layer in network.layers:
        weights = next(op for op in proto.graph.node if op.name == layer.name).input[1]
        assert layer.weights_tensor == producers[weights].input[0]
        assert producers[layer.input_tensor].op_type == "QuantizeLinear"
    session = OnnxRuntimeSession(str(path), [layer.input_tensor for layer in network.layers])
    got = session.run(feeds_of(session), [layer.input_tensor for layer in network.layers])
    assert all(got[layer.input_tensor].dtype == np.int8 for layer in network.layers)


def test_qdq_products_give_the_runtimes_float_outputs(tmp_path: Path) -> None:
    path = save(models.qdq(), tmp_path / "m.onnx")
    network = adapter.read(path)
    proto = onnx.load(path)
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    producers = {name: node for node in proto.graph.node for name in node.output}
    for layer in network.layers:
        node = producers[output_of(network, layer)]
        session = OnnxRuntimeSession(str(path), [layer.input_tensor, node.output[0]])
        got = session.run(feeds_of(session), [layer.input_tensor, node.output[0]])
        scales = held[producers[node.input[1]].input[1]] * held[producers[node.input[0]].input[1]]
        bias = 0.0
        if len(node.input) > 2:
            parts = producers[node.input[2]].input
            bias = held[parts[0]] * held[parts[1]]
        sums = product(layer, got[layer.input_tensor], layer.activation_zero_point) * scales + bias
        np.testing.assert_allclose(as_rows(got[node.output[0]], layer), sums, rtol=1e-3, atol=1e-3)


def test_weights_of_4_bits_are_unpacked(tmp_path: Path) -> None:
    network = adapter.read(save(models.int4(), tmp_path / "m.onnx"))
    first, second = network.layers
    rng = np.random.default_rng(5)
    expected = rng.integers(-8, 8, (7, 9))
    assert (first.weight_type, second.weight_type) == (INT4, UINT4)
    assert np.array_equal(first.weights, expected.T)
    assert second.weights.shape == (3, 9)
    assert int(second.weights.max()) <= 15
    assert second.weight_zero_points.tolist() == [7, 7, 7]


@pytest.mark.parametrize("transposed", [False, True])
def test_transposed_and_float_weights_that_the_graph_quantizes(transposed: bool, tmp_path: Path) -> None:
    build = QDQ(7)
    source = build.activation(build.input("x", TensorProto.FLOAT, [2, 4]))
    floats = build.rng.standard_normal((5, 4)).astype(np.float32)
    scale, zero = build.scales(5) * 5, np.zeros(5, np.int8)
    parameters = [build.constant(scale), build.constant(zero)]
    values = build.constant(floats if transposed else floats.T.copy(), "floats")
    axis = 0 if transposed else 1
    codes = build.node("QuantizeLinear", [values, *parameters], axis=axis)
    weights = build.node("DequantizeLinear", [codes, *parameters], axis=axis)
    if transposed:
        weights = build.node("Transpose", [weights], perm=[1, 0])
    build.output(build.node("MatMul", [source, weights]), TensorProto.FLOAT)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx"))
    (layer,) = network.layers
    assert np.array_equal(layer.weights, np.clip(np.rint(floats / scale[:, np.newaxis]), -128, 127))
    assert layer.weights_tensor == "floats"
    assert "the file holds its weights as floats" in network.notes[0]
    moving = {(axis.tensor, axis.axis, axis.follows) for op in network.operations for axis in op.constant_axes}
    assert ("floats", 1 - axis, "input") in moving
    assert (parameters[0], 0, "output") in moving


def test_weight_only_quantization_has_no_integer_activations(tmp_path: Path) -> None:
    build = QDQ(8)
    source = build.input("x", TensorProto.FLOAT, [2, 4])
    build.output(build.node("MatMul", [source, build.weights(build.int8(4, 3), 1)], name="only"), TensorProto.FLOAT)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx"))
    assert network.layers[0].input_tensor is None
    reason = "its input is not the output of DequantizeLinear, so that its activations are not known as integers"
    assert network.notes == (f"layer 'only' (MatMul): {reason}",)


def test_blocks_of_weights_with_scales_of_their_own_do_not_move(tmp_path: Path) -> None:
    build = QDQ(9)
    source = build.activation(build.input("x", TensorProto.FLOAT, [2, 8]))
    scale = build.constant(build.scales(2, 3))
    weights = build.node("DequantizeLinear", [build.constant(build.int8(8, 3)), scale], axis=0, block_size=4)
    build.output(build.node("MatMul", [source, weights]), TensorProto.FLOAT)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx"))
    assert network.layers[0].k == 8
    assert network.operations[-1].kind is OperationKind.OPAQUE


def test_a_constant_with_another_use_does_not_move(tmp_path: Path) -> None:
    build = QOperators(10)
    image = build.input("image", TensorProto.UINT8, [1, 3, 6, 6])
    build.conv(image, 4, 3, 1)
    weights = build.nodes[-1].input[3]
    build.output(build.nodes[-1].output[0], TensorProto.UINT8)
    build.output(build.node("Gather", [weights, build.constant(np.array([0], np.int64))], axis=0), TensorProto.INT8)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx"))
    assert network.operations[0].kind is OperationKind.OPAQUE
    assert network.operations[0].constant_axes == ()


def test_constant_nodes_are_constants(tmp_path: Path) -> None:
    model = models.conv_integer()
    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *kept])
    network = adapter.read(save(model, tmp_path / "m.onnx"))
    assert network.layers[0].activation_zero_point == 9
    assert [op.operator for op in network.operations] == ["ConvInteger"]


def test_initializers_that_a_caller_may_replace_are_no_constants(tmp_path: Path) -> None:
    model = models.conv_integer()
    name = model.graph.node[0].input[1]
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    model.graph.input.append(helper.make_tensor_value_info(weights.name, weights.data_type, weights.dims))
    path = save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="it multiplies two activations"):
        adapter.read(path)
    model.ir_version = 3
    assert len(adapter.read(save(model, path)).layers) == 1


def test_names_of_layers_are_unique(tmp_path: Path) -> None:
    model = models.qlinear_chain()
    for node in model.graph.node:
        node.name = "same"
    names = [layer.name for layer in adapter.read(save(model, tmp_path / "m.onnx")).layers]
    assert len(set(names)) == len(names)
    assert names[0] == model.graph.node[0].output[0]


def test_a_float_model_says_how_to_quantize_it(tmp_path: Path) -> None:
    with pytest.raises(FloatModelError, match=r"got a float model: quantize it first, with .*quantize_static") as error:
        adapter.read(save(models.float_network(), tmp_path / "m.onnx"))
    assert "\n" not in str(error.value)


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    build = Builder()
    build.output(build.node("Relu", [build.input("x", TensorProto.FLOAT, [1, 4])]), TensorProto.FLOAT)
    with pytest.raises(ModelError, match="expected at least one QLinearConv"):
        adapter.read(save(build.model(), tmp_path / "m.onnx"))


def test_a_symbolic_axis_other_than_the_batch_is_refused(tmp_path: Path) -> None:
    model = models.qlinear_chain()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(
        ModelError, match=r"input 'image': expected a fixed length in dimension 2, got 'height'; fix it .*1,3,N,8 IN"
    ):
        adapter.read(save(model, tmp_path / "m.onnx"))


def test_unsupported_operators_are_passed_over_with_a_note(tmp_path: Path) -> None:
    build = QOperators(11)
    image = build.input("image", TensorProto.UINT8, [1, 3, 6, 6])
    stem = build.conv(image, 4, 3, 1)
    strange = build.node("Strange", [stem], domain="example.org")
    build.output(build.conv(stem, 4, 4, 1), TensorProto.UINT8)
    build.output(strange, TensorProto.UINT8)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx", external=False))
    assert network.notes == (
        "layer 'Strange_6' (Strange): passed over: what it computes is not known",
        "1 operator Strange: channels are not followed through; those that it touches stay in place",
    )
    assert network.operations[1].inputs == (stem,)


def test_subgraphs_hold_the_channels_that_they_read(tmp_path: Path) -> None:
    build = QOperators(12)
    image = build.input("image", TensorProto.UINT8, [1, 3, 6, 6])
    choice = build.input("choice", TensorProto.BOOL, [1])
    stem = build.conv(image, 4, 3, 1)
    branch = helper.make_graph(
        [helper.make_node("Identity", [stem], ["inner"])], "branch", [], [helper.make_empty_tensor_value_info("inner")]
    )
    chosen = build.node("If", [choice], then_branch=branch, else_branch=branch)
    build.output(chosen, TensorProto.UINT8)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx"))
    assert network.operations[-1].kind is OperationKind.OPAQUE
    assert set(network.operations[-1].inputs) == {stem, "choice"}


def test_what_convolutions_in_other_dimensions_become(tmp_path: Path) -> None:
    build = QOperators(13)
    volume = build.input("volume", TensorProto.UINT8, [1, 3, 9, 9, 9])
    inputs = [
        volume,
        build.scale,
        build.zero,
        build.constant(build.int8(4, 3, 3, 3, 3)),
        build.scale,
        build.constant(np.int8(0)),
    ]
    build.output(build.node("QLinearConv", [*inputs, build.scale, build.zero], name="volume"), TensorProto.UINT8)
    with pytest.raises(
        ModelError,
        match=r"layer 'volume' \(QLinearConv\): passed over: it is a convolution in 3 dimensions; those in 1",
    ):
        adapter.read(save(build.model(), tmp_path / "m.onnx"))


def test_contrib_domain_is_used() -> None:
    assert {node.domain for node in models.qlinear_chain().graph.node} == {"", CONTRIB}
