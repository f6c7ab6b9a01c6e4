"""DynamicQuantizeLSTM: its weights, checked by a float LSTM of ONNX Runtime that has the same ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import fewflips
from fewflips.errors import ModelError
from fewflips.execution.onnx_runtime import OnnxRuntimeSession
from fewflips.network.graph import OperationKind
from fewflips.network.layer import Layer
from fewflips.network.onnx import reader as adapter
from tests.network.build_onnx import LSTM_SIZES as SIZES
from tests.network.build_onnx import Builder, dynamic_lstm, save

FLOAT = TensorProto.FLOAT
STEPS, BATCH, WIDTH, HIDDEN = SIZES


def real_weights(layer: Layer) -> NDArray[np.float32]:
    assert layer.right.scales is not None
    steps = layer.weights.astype(np.float64) - layer.right.element_zero_points()
    return (steps * layer.right.scales.elements((layer.n, layer.k))).astype(np.float32)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_float_lstm_with_these_weights_computes_about_the_same(
    directions: int, per_channel: bool, tmp_path: Path
) -> None:
    path = save(dynamic_lstm(directions, per_channel), tmp_path / "m.onnx")
    network = adapter.read(path)
    *layers, behind = network.layers
    rows, gates = STEPS * BATCH, 4 * HIDDEN
    assert [(x.m, x.n, x.k) for x in layers] == [(rows, gates, WIDTH)] * directions + [
        (rows, gates, HIDDEN)
    ] * directions
    assert (behind.m, behind.k) == (rows * directions, HIDDEN)
    names = (
        ["lstm (input)", "lstm (state)"]
        if directions == 1
        else [f"lstm ({what}, {way})" for what in ("input", "state") for way in ("forward", "backward")]
    )
    assert [layer.name for layer in layers] == names
    assert not network.left_out
    assert network.operations[0].kind is OperationKind.OPAQUE

    build = Builder()
    source = build.input("x", FLOAT, [STEPS, BATCH, WIDTH])
    w, r = (np.stack([real_weights(x) for x in part]) for part in (layers[:directions], layers[directions:]))
    direction = "bidirectional" if directions == 2 else "forward"
    real = build.node("LSTM", [source, build.constant(w), build.constant(r)], hidden_size=HIDDEN, direction=direction)
    build.output(real, FLOAT)
    x = np.random.default_rng(5).standard_normal((STEPS, BATCH, WIDTH)).astype(np.float32)
    other = save(build.model(), tmp_path / "float.onnx")
    expected = OnnxRuntimeSession(str(other), [real]).run({"x": x}, [real])[real]
    got = OnnxRuntimeSession(str(path), ["all"]).run({"x": x}, ["all"])["all"]
    assert got.shape == network.tensors["all"].shape
    assert np.abs(got).max() > 0.3
    assert np.abs(got - expected).max() < 0.02


@pytest.mark.parametrize("per_channel", [False, True])
def test_what_quantize_dynamic_writes(per_channel: bool, tmp_path: Path) -> None:
    """Each weight is the float's nearest step."""
    build = Builder(9)
    source = build.input("x", FLOAT, [STEPS, BATCH, WIDTH])
    w, r = (build.rng.standard_normal((2, 4 * HIDDEN, k)).astype(np.float32) for k in (WIDTH, HIDDEN))
    operands = [source, build.constant(w), build.constant(r)]
    build.output(build.node("LSTM", operands, name="lstm", hidden_size=HIDDEN, direction="bidirectional"), FLOAT)
    quantize_dynamic(
        save(build.model(17, 8), tmp_path / "float.onnx"),
        tmp_path / "m.onnx",
        per_channel=per_channel,
        weight_type=QuantType.QInt8,
    )
    layers = adapter.read(tmp_path / "m.onnx").layers
    assert [layer.operator for layer in layers] == ["DynamicQuantizeLSTM"] * 4
    for layer, floats in zip(layers, (*w, *r), strict=True):
        assert layer.right.scales is not None
        step = layer.right.scales.elements((layer.n, layer.k))
        assert (np.abs(real_weights(layer) - floats) <= 0.51 * step).all()


def test_the_last_state_alone(tmp_path: Path) -> None:
    network = adapter.read(save(dynamic_lstm(1, last_only=True), tmp_path / "m.onnx"))
    assert [layer.m for layer in network.layers] == [STEPS * BATCH, STEPS * BATCH, BATCH]
    assert network.notes[0] == (
        "layer 'lstm' (DynamicQuantizeLSTM): it quantizes its input and its state itself, so that its activations are "
        "not known as integers"
    )


def test_a_schedule_is_made_and_checked(tmp_path: Path) -> None:
    network = fewflips.load(save(dynamic_lstm(2), tmp_path / "m.onnx"))
    report = fewflips.optimize(network, "edge16", mode="schedule").report
    assert len(report.layers) == 5
    assert report.totals.weights.optimized_flips < report.totals.weights.baseline_flips


def test_names_are_unique(tmp_path: Path) -> None:
    model = dynamic_lstm(1)
    model.graph.node[1].name = "lstm (state)"
    names = [layer.name for layer in adapter.read(save(model, tmp_path / "m.onnx")).layers]
    assert names == ["lstm (input)", "lstm (state)#2", "lstm (state)"]


def attribute(name: str, value: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        next(entry for entry in model.graph.node[0].attribute if entry.name == name).i = value

    return change


def constant(name: str, values: NDArray[np.generic]) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(entry for entry in model.graph.initializer if entry.name == name)
        tensor.CopyFrom(numpy_helper.from_array(values, name))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (attribute("hidden_size", 5), r"expected weights of its input of shape \[1, 10, 20\], got shape \[1, 10, 24\]"),
        (attribute("hidden_size", 2**62), "expected weights of its input of shape"),
        (attribute("hidden_size", -6), "expected weights of its input of shape"),
        (constant("w", np.zeros((1, 9, 24), np.int8)), r"got shape \[1, 9, 24\]"),
        (constant("r", np.zeros((2, 6, 24), np.int8)), r"expected weights of its state of shape \[1, 6, 24\]"),
        (constant("w_zero", np.zeros(3, np.int8)), "expected 1 or 1 x 24 zero points of its weights"),
        (constant("r_scale", np.zeros(3, np.float32)), "expected 1 or 1 x 24 scales of its weights"),
    ],
)
def test_what_does_not_fit_is_refused(damage: Callable[[onnx.ModelProto], None], message: str, tmp_path: Path) -> None:
    model = dynamic_lstm(1)
    damage(model)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=message) as error:
        adapter.read(path)
    assert "\n" not in str(error.value)


def test_float_weights_are_named(tmp_path: Path) -> None:
    model = dynamic_lstm(1)
    constant("w", np.zeros((1, 10, 24), np.float32))(model)
    network = adapter.read(save(model, tmp_path / "m.onnx"))
    (left_out,) = network.left_out
    assert left_out.reason == "its weights are not constants of 3 axes and at most 8 bits"
    assert left_out.macs == STEPS * BATCH * 4 * HIDDEN * (WIDTH + HIDDEN)
