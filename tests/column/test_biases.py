"""Sums that start from the layer's bias end at the accumulators of the runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from fewflips.api.column import ColumnOptions, column
from fewflips.bundled import bundled_model
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.datapath.scheduled_column.testbench import column_bench, run_column
from fewflips.errors import AcceleratorError, InputError
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.machine import load_accelerator
from fewflips.network import Network, load
from fewflips.network.layer import Layer
from fewflips.schedule.file import schedule_orders
from fewflips.simulation.column_layer import ColumnLayer, column_layer
from fewflips.simulation.setup import samples_or_random
from tests.network import build_onnx, build_tflite

from .schedules import random_schedule, written

TINY = "name: tiny\nlanes: 3\ncolumns: 2\n"
MACHINES = {
    "as stored": TINY,
    "two's complement, offset": TINY
    + "weights: {format: twos-complement}\nactivations: {format: twos-complement}\n"
    + "datapath: {tree_register: true, offset_sums: true}\n",
    "unsigned activations": TINY + "activations: {format: unsigned}\n",
}
LAYERS = {
    "convolution": ("CONV_2D", (1, 5, 5, 4), (1, 5, 5, 6), (6, 3, 3, 4)),
    "depthwise": ("DEPTHWISE_CONV_2D", (1, 5, 5, 4), (1, 5, 5, 8), (1, 3, 3, 8)),
    "fully connected": ("FULLY_CONNECTED", (3, 20), (3, 7), (7, 20)),
}


def lowered(network: Network, layer: Layer, machine: Path | str, *, preload: bool = True) -> tuple[ColumnLayer, dict]:
    """A layer in random order on the activations of a random sample, and all tensors of that sample."""
    array = load_accelerator(machine)
    samples, _ = samples_or_random(network, None, seed=3)
    tensors = next(run_samples(network, samples))
    schedule = random_schedule(network, machine)
    orders = schedule_orders(schedule, network)
    rows = lowered_rows(layer, tensors)
    datapath = network_datapath(network.layers, array)
    return column_layer(layer, rows, orders[layer.name], array, datapath, preload=preload), tensors


def requantized(sums: np.ndarray, steps: np.ndarray, zero_point: int, lowest: int = -128) -> np.ndarray:
    """Codes of 8 bits of the runtime's accumulators, in float64; `steps` of the output for each step of a sum."""
    return np.clip(np.rint(sums * steps) + zero_point, lowest, lowest + 255)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("shapes", LAYERS.values(), ids=LAYERS)
def test_requantized_results_are_the_output_of_litert(shapes, machine: str, iverilog: str, tmp_path: Path) -> None:
    path, yaml = tmp_path / "one.tflite", tmp_path / "machine.yaml"
    path.write_bytes(build_tflite.single(*shapes, seed=1))
    yaml.write_text(machine)
    network = load(path)
    found, tensors = lowered(network, network.layers[0], yaml)
    assert run_column(column_bench(found.design, found.passes, found.codes, found.expected)).passed
    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    details = {one["name"]: one for one in interpreter.get_tensor_details()}
    interpreter.set_tensor(details["x"]["index"], tensors["x"])
    interpreter.invoke()
    output = details["y"]["quantization_parameters"]
    scales = details["y/weights"]["quantization_parameters"]["scales"].astype(np.float64)
    steps = scales * details["x"]["quantization_parameters"]["scales"][0] / output["scales"][0]
    codes = requantized(found.expected, steps, output["zero_points"][0])
    stored = interpreter.get_tensor(details["y"]["index"]).reshape(codes.shape)
    assert np.abs(codes - stored).max() <= 1  # LiteRT rounds scales to 31 bits
    bias = interpreter.get_tensor(details["y/bias"]["index"]).astype(np.int64)
    without = requantized(found.expected - bias, steps, output["zero_points"][0])
    assert np.abs(without - stored).max() > 1
    assert found.notes == (("Results carry the offset of the machine's sums.",) if "offset" in machine else ())


def test_requantized_results_are_the_codes_of_onnx_runtime(iverilog: str, tmp_path: Path) -> None:
    """The first layer of the bundled network, whose bias is dequantized in the file."""
    with bundled_model() as (path, _):
        network, model = load(path), onnx.load(path)
    layer, yaml = network.layers[0], tmp_path / "machine.yaml"
    yaml.write_text(TINY)
    found, _ = lowered(network, layer, yaml)
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    assert layer.bias is not None
    assert layer.bias.name == "features.0.bias.values"
    assert np.array_equal(layer.bias.load(layer.n), constants["features.0.bias.codes"])
    codes = onnx.helper.make_tensor_value_info("features.0.output.codes", onnx.TensorProto.UINT8, None)
    model.graph.output.append(codes)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    samples, _ = samples_or_random(network, None, seed=3)
    feeds = dict(samples.feeds[0])
    (stored,) = session.run([codes.name], feeds)
    scale = {name: constants[f"{name}.scale"].astype(np.float64) for name in ("input.output", "features.0.weight")}
    steps = scale["input.output"] * scale["features.0.weight"] / constants["features.0.output.scale"]
    expected = requantized(found.expected, steps, int(constants["features.0.output.zero_point"]), 0)
    assert np.abs(expected - stored[0].reshape(layer.n, -1).T).max() <= 1


def test_the_whole_way_from_a_file(iverilog: str, tmp_path: Path) -> None:
    path, yaml = tmp_path / "branching.tflite", tmp_path / "machine.yaml"
    path.write_bytes(build_tflite.branching())
    yaml.write_text(TINY)
    schedule = written(random_schedule(load(path), yaml), tmp_path / "schedule.bin")
    for preload in (False, True):
        options = ColumnOptions(layer="second", preload=preload, simulate=True, columns=2)
        report = column(path, tmp_path / "rtl", schedule=schedule, options=options)
        assert report.simulation is not None
        assert report.simulation.passed
        assert ("starts" in {memory.name for memory in report.memories}) == preload


def one_convolution(bias: np.ndarray | None, **attributes: float) -> bytes:
    """A product in QDQ form, its bias as floats or dequantized integers."""
    build = build_onnx.QDQ(2)
    source = build.activation(build.input("x", onnx.TensorProto.FLOAT, [2, 5]))
    inputs = [source, build.weights(build.int8(4, 5), 0)]
    if bias is not None and bias.dtype == np.int32:
        scale = build.constant(np.float32(0.01))
        inputs.append(build.node("DequantizeLinear", [build.constant(bias), scale]))
    elif bias is not None:
        inputs.append(build.constant(bias))
    build.output(build.node("Gemm", inputs, transB=1, **attributes), onnx.TensorProto.FLOAT)
    return build.model()


BIASES = {
    "none": (None, {}, [0, 0, 0, 0]),
    "one a channel": (np.array([5, -1, 2, 9], np.int32), {}, [5, -1, 2, 9]),
    "one a channel, as a row": (np.array([[5, -1, 2, 9]], np.int32), {}, [5, -1, 2, 9]),
    "one in all": (np.array(7, np.int32), {}, [7, 7, 7, 7]),
    "floats": (np.array([0.5, 1, 2, 3], np.float32), {}, None),
    "a row for each row": (np.ones((2, 4), np.int32), {}, None),
    "not as it is": (np.array([5, -1, 2, 9], np.int32), {"beta": 2.0}, None),
}


@pytest.mark.parametrize(("bias", "attributes", "values"), BIASES.values(), ids=BIASES)
def test_forms_of_a_bias(bias, attributes, values, tmp_path: Path) -> None:
    network = load(build_onnx.save(one_convolution(bias, **attributes), tmp_path / "one.onnx"))
    layer, yaml = network.layers[0], tmp_path / "machine.yaml"
    yaml.write_text(TINY)
    with_bias, _ = lowered(network, layer, yaml)
    plain, _ = lowered(network, replace(layer, bias=None), yaml)
    assert (with_bias.expected - plain.expected).tolist() == [values or [0, 0, 0, 0]] * 2
    left_out = ("Results are without the layer's bias, which the file does not hold as integers.",)
    assert with_bias.notes == (left_out if values is None else ())
    if values is None:
        with pytest.raises(InputError, match=r"^bias '.*': expected integers in the file, got floats"):
            layer.bias.load(4)


def test_sums_that_do_not_fit_with_their_bias_are_refused(tmp_path: Path) -> None:
    large = np.array([0, 1 << 21, 0, -(1 << 21)], np.int32)
    network = load(build_onnx.save(one_convolution(large), tmp_path / "one.onnx"))
    yaml = tmp_path / "machine.yaml"
    yaml.write_text(TINY)
    with pytest.raises(AcceleratorError) as caught:
        lowered(network, network.layers[0], yaml)
    assert "take 23 bits, its units have 18: set datapath.accumulator_bits to 23" in str(caught.value)
    yaml.write_text(TINY + "datapath: {accumulator_bits: 23}\n")
    lowered(network, network.layers[0], yaml)
    yaml.write_text(TINY)
    lowered(network, network.layers[0], yaml, preload=False)
