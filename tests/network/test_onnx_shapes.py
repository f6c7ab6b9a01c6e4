"""Shapes of an ONNX graph's tensors, those that the graph computes among them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

from fewflips.errors import ModelError
from fewflips.execution.onnx_runtime import OnnxRuntimeSession
from fewflips.network.onnx import reader as adapter
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.shape_values import computed_values
from fewflips.network.onnx.shapes import infer
from tests.network.build_onnx import QDQ, Builder, expanded_network, save

INT64 = TensorProto.INT64
INPUT_LENGTHS = (2, 6, 4)


def test_a_product_behind_a_computed_shape_is_a_layer(tmp_path: Path) -> None:
    path = save(expanded_network(), tmp_path / "m.onnx")
    network = adapter.read(path)
    (layer,) = network.layers
    assert (layer.name, layer.m, layer.n, layer.k) == ("behind the reshape", 5, 6, 8)
    assert not any("not known" in note for note in network.notes)
    assert layer.input_tensor is not None
    session = OnnxRuntimeSession(str(path), [layer.input_tensor])
    ran = session.run({"x": np.ones((1, 1, 8), np.float32)}, [layer.input_tensor])[layer.input_tensor]
    assert ran.shape == network.tensors[layer.input_tensor].shape == (5, 8)


def test_every_weight_product_of_a_transformer_is_counted(shared: Path) -> None:
    path = shared / "models" / "minilm_l6_int8_qdq.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}: put the transformer there")
    network = adapter.read(path)
    assert len(network.layers) == 36
    assert sum(layer.macs for layer in network.layers) == 6 * 64 * (4 * 384 * 384 + 2 * 384 * 1536)
    assert not any("shape" in note for note in network.notes)


def test_shapes_of_a_transformer_do_not_depend_on_what_the_file_says(shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / "minilm_l6_int8_qdq.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}: put the transformer there")
    model = onnx.load(path)
    del model.graph.value_info[:]
    network = adapter.read(save(model, tmp_path / "m.onnx"))
    assert len(network.layers) == 36
    assert [product.macs for product in network.left_out] == [12 * 64 * 64 * 32] * 12


def test_a_symbol_of_the_batch_is_one_on_every_axis(tmp_path: Path) -> None:
    build = QDQ()
    build.input("turned", TensorProto.FLOAT, [8, "batch"])
    source = build.activation(build.input("x", TensorProto.FLOAT, ["batch", 8]))
    total = build.node("Add", [source, build.node("Transpose", ["turned"])])
    product = build.node("MatMul", [build.activation(total), build.weights(build.int8(8, 3), axis=1)])
    build.output(product, TensorProto.FLOAT)
    (layer,) = adapter.read(save(build.model(), tmp_path / "m.onnx")).layers
    assert (layer.m, layer.n, layer.k) == (1, 3, 8)


def test_a_length_that_several_inputs_share_is_fixed_by_its_symbol(tmp_path: Path) -> None:
    build = QDQ()
    source = build.input("tokens", TensorProto.FLOAT, ["batch", "length", 8])
    mask = build.input("mask", TensorProto.FLOAT, ["batch", "length", 1])
    total = build.activation(build.node("Mul", [source, mask]))
    build.output(build.node("MatMul", [total, build.weights(build.int8(8, 3), axis=1)]), TensorProto.FLOAT)
    path = save(build.model(), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"got 'length'; fix it with: .* --dim_param length --dim_value N IN\.onnx"):
        adapter.read(path)
    model = onnx.load(path)
    make_dim_param_fixed(model.graph, "length", 5)  # what the command does
    (layer,) = adapter.read(save(model, path)).layers
    assert layer.m == 5


def vector(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize(
    ("operator", "operands", "attributes"),
    [
        ("Cast", [np.float32([1.5, -2.5])], {"to": INT64}),
        ("Concat", [vector(1, 2), vector(3)], {"axis": 0}),
        ("Gather", [vector(5, 6, 7), np.int64(-1)], {}),
        ("Gather", [np.arange(6).reshape(2, 3), vector(0, 2)], {"axis": 1}),
        ("Slice", [np.arange(7), vector(1), vector(2**62)], {}),
        ("Slice", [np.arange(7), vector(-1), vector(-(2**62)), vector(0), vector(-2)], {}),
        ("Slice", [np.arange(12).reshape(3, 4), vector(0, 1), vector(2, -1), vector(0, 1)], {}),
        ("Squeeze", [vector(3), vector(0)], {}),
        ("Squeeze", [vector(3)], {}),
        ("Unsqueeze", [np.int64(3), vector(0)], {}),
        ("Reshape", [vector(1, 2, 3, 4), vector(2, -1)], {}),
        ("Expand", [vector(1, 2), vector(3, 1)], {}),
        ("Range", [np.int64(2), np.int64(9), np.int64(3)], {}),
        ("ReduceProd", [vector(2, 3, 4)], {"keepdims": 0}),
        ("ReduceProd", [np.arange(1, 7).reshape(2, 3), vector(1)], {}),
        ("Identity", [vector(4)], {}),
        ("Add", [vector(1, 2), np.int64(3)], {}),
        ("Sub", [vector(1, 2), np.int64(3)], {}),
        ("Mul", [vector(1, 2), np.int64(3)], {}),
        ("Div", [vector(7, 8), vector(2, 4)], {}),
        ("Div", [np.float32([7, 9]), np.float32([2, 2])], {}),
        ("Neg", [vector(4, -1)], {}),
        ("Abs", [vector(4, -1)], {}),
        ("Floor", [np.float32([1.7])], {}),
        ("Ceil", [np.float32([1.2])], {}),
        ("Min", [vector(4, 1), vector(2), vector(3)], {}),
        ("Max", [vector(4, 1), vector(2), vector(3)], {}),
        ("Equal", [vector(4, 1), vector(4)], {}),
        ("Less", [vector(4, 1), vector(4)], {}),
        ("LessOrEqual", [vector(4, 1), vector(4)], {}),
        ("Greater", [vector(4, 5), vector(4)], {}),
        ("GreaterOrEqual", [vector(4, 1), vector(4)], {}),
        ("Not", [np.array([True, False])], {}),
        ("And", [np.array([True, False]), np.array([True, True])], {}),
        ("Or", [np.array([True, False]), np.array([False, False])], {}),
        ("Where", [np.array([True, False]), vector(1, 2), np.int64(9)], {}),
        ("ConstantOfShape", [vector(2, 3)], {}),
        ("ConstantOfShape", [vector(2)], {"value": numpy_helper.from_array(vector(7))}),
        ("Shape", ["x"], {}),
        ("Shape", ["x"], {"start": -2, "end": 3}),
        ("Size", ["x"], {}),
    ],
)
def test_values_are_those_of_the_standard(
    operator: str, operands: list[Any], attributes: Mapping[str, Any], tmp_path: Path
) -> None:
    found, expected = values_of(operator, operands, attributes, tmp_path)
    assert found is not None
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


def values_of(
    operator: str, operands: list[Any], attributes: Mapping[str, Any], folder: Path
) -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """What is computed, and what the onnx package's own evaluator gives."""
    build = Builder()
    build.input("x", TensorProto.FLOAT, INPUT_LENGTHS)
    names = [operand if isinstance(operand, str) else build.constant(operand) for operand in operands]
    result = build.node(operator, names, **attributes)
    build.outputs.append(helper.make_empty_tensor_value_info(result))
    model = build.model()
    (expected,) = ReferenceEvaluator(model).run(None, {"x": np.zeros(INPUT_LENGTHS, np.float32)})
    return computed_values(OnnxFile(save(model, folder / "m.onnx")), {"x": INPUT_LENGTHS}).get(result), expected


@pytest.mark.parametrize(
    ("operator", "operands"),
    [
        ("ConstantOfShape", [vector(2**30)]),
        ("ConstantOfShape", [vector(-1)]),
        ("Expand", [vector(1), vector(2**31, 2**31)]),
        ("Range", [np.int64(0), np.int64(2**62), np.int64(1)]),
        ("Range", [np.int64(0), np.int64(5), np.int64(0)]),
        ("Add", [np.zeros((1, 1024), np.int64), np.zeros((1024, 1), np.int64)]),
        ("Div", [vector(1), vector(0)]),
        ("Gather", [vector(1, 2), vector(2)]),
        ("Reshape", [vector(1, 2), vector(3)]),
        ("Unsqueeze", [vector(1), np.arange(70)]),
        ("Identity", ["x"]),
        ("Identity", [np.zeros(2000, np.int64)]),
    ],
)
def test_what_is_too_large_or_makes_no_sense_is_not_computed(
    operator: str, operands: list[Any], tmp_path: Path
) -> None:
    build = Builder()
    build.input("x", TensorProto.FLOAT, INPUT_LENGTHS)
    names = [operand if isinstance(operand, str) else build.constant(operand) for operand in operands]
    result = build.node(operator, names)
    build.outputs.append(helper.make_empty_tensor_value_info(result))
    file = OnnxFile(save(build.model(), tmp_path / "m.onnx"))
    assert computed_values(file, {"x": INPUT_LENGTHS}) == {}


@pytest.mark.parametrize("opset", [9, 12])
def test_parameters_of_older_operator_sets(opset: int, tmp_path: Path) -> None:
    build = Builder()
    build.input("x", TensorProto.FLOAT, INPUT_LENGTHS)
    shape = build.node("Shape", ["x"])
    if opset < 10:
        part = build.node("Slice", [shape], starts=[1], ends=[2])
    else:
        part = build.node("Slice", [shape, build.constant(vector(1)), build.constant(vector(2))])
    single = build.node("Squeeze", [part], axes=[0])
    build.output(build.node("Unsqueeze", [single], axes=[0]), INT64)
    file = OnnxFile(save(build.model(opset), tmp_path / "m.onnx"))
    values = computed_values(file, {"x": INPUT_LENGTHS})
    assert [values[name].tolist() for name in (shape, part, single)] == [[2, 6, 4], [6], 6]
    assert infer(file)[file.outputs[0]].shape == (1,)
