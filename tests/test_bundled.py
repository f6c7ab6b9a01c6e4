"""The model that comes with the package."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from fewflips.bundled import bundled_model
from fewflips.formats import INT8
from fewflips.network import load

ROOT = Path(__file__).parent.parent


def test_it_is_small_and_int8_with_inverted_residuals():
    with bundled_model() as (model, samples):
        assert model.stat().st_size <= 3_000_000
        network = load(model)
        assert {layer.weight_type for layer in network.layers} == {INT8}
        assert sum(layer.is_depthwise for layer in network.layers) >= 10
        assert all(layer.input_tensor is not None for layer in network.layers)
        with np.load(samples) as archive:
            assert network.inputs[0] in archive.files
            assert 4 <= len(archive[network.inputs[0]]) <= 32


def test_its_accuracy_in_onnx_runtime(shared: Path):
    script = ROOT / "scripts" / "evaluate_bundled_model.py"
    command = [sys.executable, str(script), "--data", str(shared / "data" / "cifar10_jpeg.npz")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    accuracy = float(re.search(r"([0-9.]+) %", output).group(1))
    assert accuracy >= 78.0, output
