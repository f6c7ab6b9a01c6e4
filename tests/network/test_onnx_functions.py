"""Functions that a model defines for itself are read in place of their calls."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fewflips.api.optimize import optimize
from fewflips.api.verify import verify
from fewflips.execution.onnx_runtime import OnnxRuntimeSession
from fewflips.network.graph import LeftOut
from fewflips.network.onnx import reader as adapter
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.functions import inlined
from tests.network.build_onnx import QDQ, block_network, function, save, with_functions

FLOAT = TensorProto.FLOAT


def test_products_in_functions_are_layers(tmp_path: Path) -> None:
    path = save(block_network(), tmp_path / "m.onnx")
    network = adapter.read(path)
    assert [(layer.operator, layer.m, layer.n, layer.k) for layer in network.layers] == [
        ("MatMul", 2, 12, 8),
        ("MatMul", 2, 6, 12),
    ]
    assert network.left_out == ()
    assert network.notes == (
        "the bodies of 2 functions of the model are read in place of each call, and a drop-in file has them there",
    )
    names = [layer.input_tensor for layer in network.layers if layer.input_tensor]
    assert len(names) == 2
    session = OnnxRuntimeSession(str(path), names)
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)}
    values = session.run(feeds, [*names, *session.outputs])
    assert [values[name].shape for name in names] == [(2, 8), (2, 12)]
    plain = OnnxRuntimeSession(str(path)).run(feeds, session.outputs)
    np.testing.assert_array_equal(values[session.outputs[0]], plain[session.outputs[0]])


def test_a_drop_in_file_of_a_model_with_functions_computes_the_same(tmp_path: Path) -> None:
    path = save(block_network(), tmp_path / "m.onnx")
    result = optimize(path, "edge4", mode="drop-in")
    assert result.report.drop_in is not None
    assert result.report.drop_in.permuted_groups == 1
    check = result.report.drop_in.check
    assert (check.passed, check.bit_exact) == (True, True)
    assert check.structure is not None
    assert check.structure.equal
    result.save(tmp_path / "out")
    written = onnx.load(tmp_path / "out" / "model.onnx")
    assert len(written.functions) == 0
    assert verify(path, tmp_path / "out" / "model.onnx").check.passed


def test_a_function_of_another_operator_set_is_named(tmp_path: Path) -> None:
    """It would have to be converted, which may change what it computes."""
    build = QDQ(2)
    layer = build.node(
        "MatMul", [build.activation(build.input("x", FLOAT, [2, 8])), build.weights(build.int8(8, 3), 1)]
    )
    build.output(layer, FLOAT)
    called = build.node("Old", [layer, layer], "local")
    build.output(called, FLOAT)
    body = [helper.make_node("MatMul", ["p", "q"], ["y"], name="inside")]
    model = with_functions(build, function("Old", body, ["p", "q"], opset=13))
    network = adapter.read(save(model, tmp_path / "m.onnx"))
    assert len(network.layers) == 1
    assert network.left_out == (
        LeftOut("inside", "MatMul", "it is inside the function Old, which is not inlined", None),
    )


@pytest.mark.parametrize("calls", [2, 40])
def test_functions_that_would_become_too_large_stay(calls: int, tmp_path: Path) -> None:
    """Thirty functions, each of which calls the next one a few times."""
    build = QDQ(3)
    layer = build.node(
        "MatMul", [build.activation(build.input("x", FLOAT, [2, 8])), build.weights(build.int8(8, 3), 1)]
    )
    build.output(build.node("F0", [layer], "local"), FLOAT)
    functions = []
    for number in range(30):
        names = ["x", *(f"t{i}" for i in range(calls - 1)), "y"]
        operator, domain = (f"F{number + 1}", "local") if number < 29 else ("Relu", "")
        nodes = [helper.make_node(operator, [a], [b], domain=domain) for a, b in pairwise(names)]
        functions.append(function(f"F{number}", nodes, ["x"]))
    model = with_functions(build, *functions)
    assert inlined(model) is model
    network = adapter.read(save(model, tmp_path / "m.onnx"))
    assert len(network.layers) == 1
    assert network.left_out[0].reason == "it is inside the function F0, which is not inlined"


def test_functions_nested_too_deep_stay() -> None:
    build = QDQ(4)
    build.output(build.node("F0", [build.input("x", FLOAT, [2])], "local"), FLOAT)
    functions = [
        function(f"F{number}", [helper.make_node(f"F{number + 1}", ["x"], ["y"], domain="local")], ["x"])
        for number in range(3000)
    ]
    model = with_functions(build, *functions)
    assert inlined(model) is model


def test_functions_of_the_same_name_stay() -> None:
    build = QDQ(6)
    build.output(build.node("F", [build.input("x", FLOAT, [2])], "local"), FLOAT)
    same = function("F", [helper.make_node("Relu", ["x"], ["y"])], ["x"])
    model = with_functions(build, same, same)
    assert inlined(model) is model


def test_a_model_without_functions_is_itself(tmp_path: Path) -> None:
    model = QDQ(5).model()
    assert inlined(model) is model
    assert OnnxFile(save(block_network(), tmp_path / "m.onnx")).inlined_functions == 2
