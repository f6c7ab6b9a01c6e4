"""Running ONNX files by ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from fewflips.errors import InputError, ModelError
from fewflips.execution import onnx_runtime as ort
from fewflips.execution.onnx_runtime import OnnxRuntimeSession, executes_in_integers
from tests.network import build_onnx as models
from tests.network.build_onnx import QDQ, save
from tests.network.test_onnx_reading import feeds_of


def test_inputs_have_shape_type_and_quantization(tmp_path: Path) -> None:
    session = OnnxRuntimeSession(str(save(models.qlinear_chain(), tmp_path / "m.onnx")))
    (spec,) = session.inputs
    assert (spec.name, spec.shape, spec.dtype) == ("image", (1, 3, 8, 8), np.dtype(np.uint8))
    assert spec.scale == pytest.approx(0.05)
    assert spec.zero_point == 117
    assert len(session.outputs) == 1


def test_float_inputs_have_no_quantization(tmp_path: Path) -> None:
    (spec,) = OnnxRuntimeSession(str(save(models.qdq(), tmp_path / "m.onnx"))).inputs
    assert (spec.dtype, spec.scale, spec.zero_point) == (np.dtype(np.float32), None, None)


@pytest.mark.parametrize("external", [False, True])
def test_intermediate_tensors_inputs_and_outputs_can_be_fetched(external: bool, tmp_path: Path) -> None:
    model = models.qlinear_chain()
    inner = model.graph.node[0].output[0]
    path = save(model, tmp_path / "m.onnx", external=external)
    session = OnnxRuntimeSession(str(path), ["image", inner])
    assert inner not in session.outputs
    feeds = feeds_of(session)
    got = session.run(feeds, ["image", inner, *session.outputs])
    assert np.array_equal(got["image"], feeds["image"])
    assert got[inner].shape == (1, 8, 8, 8)
    plain = OnnxRuntimeSession(str(path))
    assert np.array_equal(got[session.outputs[0]], plain.run(feeds, plain.outputs)[plain.outputs[0]])


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    path = str(save(models.qlinear_chain(), tmp_path / "m.onnx"))
    with pytest.raises(InputError, match="expected names of tensors of the network, got 'missing'"):
        OnnxRuntimeSession(path, ["missing"])
    session = OnnxRuntimeSession(path)
    with pytest.raises(InputError, match=r"expected a value for the input 'image', got \[\]"):
        session.run({}, session.outputs)
    with pytest.raises(InputError, match=r"expected shape \(1, 3, 8, 8\) and type uint8, got \(1,\) and float64"):
        session.run({"image": np.zeros(1)}, session.outputs)
    with pytest.raises(InputError, match="was not asked for when the session was opened"):
        session.run(feeds_of(session), ["inner"])


def test_whether_products_are_computed_in_integers(tmp_path: Path) -> None:
    for model, expected in ((models.qlinear_chain, True), (models.dynamic_matmul, True), (models.int4, False)):
        assert executes_in_integers(str(save(model(), tmp_path / "m.onnx"))) is expected


def test_a_convolution_whose_output_stays_float_is_computed_in_float(tmp_path: Path) -> None:
    build = QDQ(30)
    image = build.activation(build.input("image", TensorProto.FLOAT, [1, 3, 6, 6]))
    conv = build.node("Conv", [image, build.weights(build.int8(4, 3, 3, 3), 0)])
    build.output(build.node("Sigmoid", [conv]), TensorProto.FLOAT)
    assert not executes_in_integers(str(save(build.model(), tmp_path / "m.onnx")))


def test_float_layers_of_the_file_itself_do_not_count(tmp_path: Path) -> None:
    build = QDQ(31)
    image = build.activation(build.input("image", TensorProto.FLOAT, [1, 3, 6, 6]))
    conv = build.activation(build.node("Conv", [image, build.weights(build.int8(4, 3, 3, 3), 0)]))
    build.output(build.node("Conv", [conv, build.constant(np.ones((2, 4, 1, 1), np.float32))]), TensorProto.FLOAT)
    assert executes_in_integers(str(save(build.model(), tmp_path / "m.onnx")))


def executes_after_loading(path: Path) -> None:
    ort._load(path)


def test_what_is_no_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    save(models.conv_integer(), path)
    session = OnnxRuntimeSession(str(path))
    path.write_bytes(b"garbage")
    assert session.inputs[0].name == "x"
    with pytest.raises(ModelError, match="cannot be decoded"):
        executes_after_loading(path)
