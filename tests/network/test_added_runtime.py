"""A runtime that is written outside the package and registered: its models are run in a worker process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.errors import FewflipsError, RuntimeFailure
from fewflips.execution.runtimes import Runtime
from fewflips.execution.sessions import RUNTIMES
from fewflips.network.reading import READERS
from tests.network.matrices_reader import PIXELS, MatricesReader
from tests.network.matrices_runtime import SHIFT, MatricesRuntime
from tests.patience import PATIENCE_S


class ConnectedReader(MatricesReader):
    """The reader, with the tensors that its layers read."""

    def read(self, path: Path) -> fewflips.Network:
        network = super().read(path)
        tensors = ["x", *(f"after {layer.name}" for layer in network.layers)]
        layers = [
            replace(layer, left=replace(layer.left, tensor=tensor, zero_point=0))
            for layer, tensor in zip(network.layers, tensors, strict=False)
        ]
        return replace(network, layers=tuple(layers))


@pytest.fixture(autouse=True)
def _registered():
    fewflips.register_reader(ConnectedReader)
    fewflips.register_runtime(MatricesRuntime)
    yield
    RUNTIMES.unregister("npz")
    READERS.unregister("npz")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    generator = np.random.default_rng(7)
    path = tmp_path / "matrices.npz"
    np.savez(
        path,
        first=generator.integers(-128, 128, (6, 8), np.int8),
        second=generator.integers(-128, 128, (5, 6), np.int8),
    )
    return path


def activations(model: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """What the layers read, by plain loops."""
    with np.load(model) as archive:
        first = archive["first"].astype(int)
    sums = [[sum(int(a) * int(w) for a, w in zip(row, column, strict=True)) >> SHIFT for column in first] for row in x]
    return {"first": x, "second": np.array([[min(max(value, 0), 255) for value in row] for row in sums])}


def test_activations_are_measured_with_it(model: Path, tmp_path: Path):
    x = np.random.default_rng(1).integers(0, 256, (PIXELS, 8), np.uint8)
    np.savez(tmp_path / "samples.npz", x=x)
    machine = fewflips.Accelerator(name="loaded", dataflow="weight-stationary", lanes=4, columns=8)
    report = fewflips.measure(model, machine, inputs=tmp_path / "samples.npz")
    for layer in report.layers:
        rows = activations(model, x)[layer.name]
        # activations stream from pixel to pixel, once for each segment of four lanes
        expected = sum(
            (int(a) ^ int(b)).bit_count() for one, other in pairwise(rows) for a, b in zip(one, other, strict=True)
        )
        assert layer.activations is not None
        assert layer.activations.flips == expected


def test_it_runs_in_another_process(model: Path):
    with Runtime(model) as runtime:
        assert runtime.outputs == ("after second",)
        assert runtime.executes_in_integers()
        assert runtime._worker._process.pid != os.getpid()
        with pytest.raises(RuntimeFailure, match=r"NumPy failed on .*matrices\.npz: 'nothing'"):
            runtime.run({"x": np.zeros((PIXELS, 8), np.uint8)}, ["nothing"])


def test_a_format_without_one_is_told_of_all_there_are(model: Path):
    RUNTIMES.unregister("npz")
    with pytest.raises(
        RuntimeFailure, match=r"expected LiteRT \(tflite\) or ONNX Runtime \(onnx\), got npz: no runtime"
    ):
        Runtime(model)
    fewflips.register_runtime(MatricesRuntime)
    with pytest.raises(RuntimeFailure, match=r"or ONNX Runtime \(onnx\) or NumPy \(npz\), got other: no runtime"):
        Runtime(model, "other")


def test_what_cannot_be_registered():
    with pytest.raises(FewflipsError, match="onnx comes with fewflips; expected another name"):
        fewflips.register_runtime(type("Other", (MatricesRuntime,), {"file_format": "onnx"}))
    script = type("Own", (MatricesRuntime,), {"__module__": "__main__"})
    with pytest.raises(FewflipsError, match=r"runtime Own: expected a class in a module of its own, got one in"):
        fewflips.register_runtime(script)


def test_an_entry_point_of_another_package_is_enough(model: Path, tmp_path: Path):
    np.savez(tmp_path / "samples.npz", x=np.zeros((PIXELS, 8), np.uint8))
    metadata = tmp_path / "site" / "matrices-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: matrices\nVersion: 1.0\n")
    reader = "[fewflips.readers]\nnpz = tests.network.test_added_runtime:ConnectedReader\n"
    for runtime, code, words in (
        ("tests.network.matrices_runtime:MatricesRuntime", 0, "activation"),
        ("builtins:dict", 2, "runtime npz: expected a fewflips.ModelRuntime, got dict"),
        ("no.such:Runtime", 2, "cannot be loaded"),
    ):
        (metadata / "entry_points.txt").write_text(f"{reader}[fewflips.runtimes]\nnpz = {runtime}\n")
        places = [str(metadata.parent), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        done = subprocess.run(
            [sys.executable, "-m", "fewflips", "measure", str(model), "--inputs", str(tmp_path / "samples.npz")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert (done.returncode, words in done.stdout + done.stderr) == (code, True), done.stderr
