"""Budgets held where the softmax at a network's end reads, against logits that the runtimes themselves give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fewflips import load, optimize
from fewflips.bundled import bundled_pair
from fewflips.errors import InputError
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.rounding.logits import logit_tensors
from tests.network import build_onnx, build_tflite

DB = 12
COUNT = 12


def tflite_logits(path: Path, images: NDArray[np.int8]) -> NDArray[np.float64]:
    """What SOFTMAX reads, dequantized."""
    runtime = Interpreter(model_path=str(path), experimental_preserve_all_tensors=True)
    runtime.allocate_tensors()
    (softmax,) = [op for op in runtime._get_ops_details() if op["op_name"] == "SOFTMAX"]
    details = {one["index"]: one for one in runtime.get_tensor_details()}[int(softmax["inputs"][0])]
    scale, zero_point = details["quantization"]
    found = []
    for image in images:
        runtime.set_tensor(runtime.get_input_details()[0]["index"], image)
        runtime.invoke()
        found.append(scale * (runtime.get_tensor(details["index"]).astype(np.float64).ravel() - zero_point))
    return np.stack(found)


def onnx_logits(path: Path, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """What Softmax reads."""
    model = onnx.load(path)
    (softmax,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    model.graph.output.append(helper.make_tensor_value_info(softmax.input[0], TensorProto.FLOAT, None))
    runtime = onnxruntime.InferenceSession(model.SerializeToString())
    return np.stack([runtime.run([softmax.input[0]], {"image": image})[0].ravel() for image in images]).astype(float)


def sqnr_db(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.square(before).sum() / np.square(after - before).sum()))


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_the_budget_holds_in_the_logits(form: str, tmp_path: Path) -> None:
    path, rng = tmp_path / f"model.{form}", np.random.default_rng(0)
    if form == "tflite":
        path.write_bytes(build_tflite.branching())
        shape = load(path).tensors[load(path).inputs[0]].shape
        images = rng.integers(-128, 128, (COUNT, *shape)).astype(np.int8)
        read, name = tflite_logits, load(path).inputs[0]
    else:
        onnx.save(build_onnx.qdq(), path)
        images = rng.uniform(-6, 6, (COUNT, 1, 3, 8, 8)).astype(np.float32)
        read, name = onnx_logits, "image"
    np.savez(tmp_path / "inputs.npz", **{name: images})
    result = optimize(
        path,
        "edge4",
        steps=["schedule", "round"],
        inputs=tmp_path / "inputs.npz",
        error_budget=f"logits:{DB}dB",
        jobs=1,
    )
    result.save(tmp_path / "out")
    before, after = read(path, images), read(tmp_path / "out" / f"model.{form}", images)
    assert not np.array_equal(before, after)
    assert sqnr_db(before, after) >= DB
    check = result.report.stages[-1].model_check
    assert check is not None
    assert f"within logits:{DB}dB" in check.method
    flips = result.report.totals.weights
    alone = optimize(path, "edge4", steps=["schedule"], jobs=1).report.totals.weights
    assert flips.optimized_flips < alone.optimized_flips


def test_networks_without_a_softmax() -> None:
    with bundled_pair() as pair, pytest.raises(InputError, match="expected a network that ends in a softmax"):
        logit_tensors(load(pair.baseline))


def test_budgets_in_logits() -> None:
    budget = ErrorBudget.parse(" Logits: 25 dB")
    assert budget == ErrorBudget(sqnr_db=25, in_logits=True)
    assert ErrorBudget.parse(str(budget)) == budget
    with pytest.raises(InputError, match="expected a ratio in dB, got points of accuracy"):
        ErrorBudget(accuracy_points=1, in_logits=True)
