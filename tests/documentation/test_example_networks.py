"""The networks of the tutorials do what the tutorials say, in both formats."""

from __future__ import annotations

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from scripts.example_networks import FOLDER, SAMPLES, drawn_shapes

IMAGES, LABELS = drawn_shapes(120, seed=99)


def in_onnx_runtime() -> NDArray[np.int64]:
    session = onnxruntime.InferenceSession(FOLDER / "shapes.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"image": IMAGES[:, None] / np.float32(256)})[0].argmax(1)


def in_litert() -> NDArray[np.int64]:
    interpreter = Interpreter(str(FOLDER / "shapes.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    source, target = (
        found[0]["index"] for found in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    scores = []
    for image in IMAGES:
        interpreter.set_tensor(source, (image[None, ..., None].astype(np.int16) - 128).astype(np.int8))
        interpreter.invoke()
        scores.append(interpreter.get_tensor(target)[0])
    return np.argmax(scores, 1)


def test_shapes_that_were_not_trained_on_are_told_apart() -> None:
    assert (in_onnx_runtime() == LABELS).mean() > 0.9
    assert (in_litert() == LABELS).mean() > 0.9


def test_both_files_are_the_same_network() -> None:
    assert (in_onnx_runtime() == in_litert()).mean() > 0.97


def test_both_files_of_sample_inputs_hold_the_same_images() -> None:
    pixels = np.load(FOLDER / "shapes_onnx.npz")["image"] * 256
    codes = np.load(FOLDER / "shapes_tflite.npz")["image"]
    assert pixels.shape == (SAMPLES, 1, 16, 16)
    np.testing.assert_array_equal(pixels[:, 0], codes[..., 0].astype(np.int16) + 128)
