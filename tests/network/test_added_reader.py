"""A reader that is written outside the package and registered: its files go through the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.errors import FewflipsError, ModelError, RuntimeFailure
from fewflips.network.load import read_contents, rewrite
from fewflips.network.reading import READERS
from tests.network import build_onnx, build_tflite
from tests.network.matrices_reader import MatricesReader
from tests.patience import PATIENCE_S

LANES = 4  # of edge4


@pytest.fixture(autouse=True)
def _registered():
    fewflips.register_reader(MatricesReader)
    yield
    READERS.unregister(MatricesReader.name)


def matrices() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(7)
    return {name: generator.integers(-128, 128, size=shape).astype(np.int8) for name, shape in SHAPES.items()}


SHAPES = {"first": (9, 6), "second": (5, 4)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "matrices.npz"
    np.savez(path, **matrices())
    return path


def flips(weights: np.ndarray, orders: list[list[int]]) -> int:
    """Flips within passes on 4 lanes, over all passes, by a loop over what the lanes see."""
    count = 0
    for first, order in zip(range(0, weights.shape[1], LANES), orders, strict=True):
        for n, after in pairwise(order):
            for k in range(first, min(first + LANES, weights.shape[1])):
                count += ((int(weights[n, k]) & 255) ^ (int(weights[after, k]) & 255)).bit_count()
    return count


def test_its_files_are_measured(model: Path):
    report = fewflips.measure(model, "edge4")
    assert report.model.format == "npz"
    for layer in report.layers:
        weights = matrices()[layer.name]
        natural = [list(range(len(weights)))] * -(-weights.shape[1] // LANES)
        assert layer.weights.flips == flips(weights, natural), layer.name
    assert "The file has matrices alone: no channel is moved." in report.notes


def test_its_files_are_scheduled(model: Path, tmp_path: Path):
    result = fewflips.optimize(model, "edge4", mode="schedule")
    result.save(tmp_path / "out")
    schedule = json.loads((tmp_path / "out" / "schedule.json").read_text())
    assert [layer["name"] for layer in schedule["layers"]] == list(SHAPES)
    for layer in schedule["layers"]:
        weights = matrices()[layer["name"]]
        orders = [segment["order"] for segment in layer["segments"]]
        assert all(sorted(order) == list(range(len(weights))) for order in orders)
        assert flips(weights, orders) < flips(weights, [list(range(len(weights)))] * len(orders))
    assert fewflips.verify(model, tmp_path / "out" / "schedule.json").check.passed


def test_what_it_cannot_do_is_said(model: Path, tmp_path: Path):
    network = fewflips.load(model)
    words = "expected a format that can be rewritten, got npz, which is only read; ask for the schedule alone"
    with pytest.raises(ModelError, match=words):
        rewrite(network, {}, tmp_path / "new.npz")
    with pytest.raises(ModelError, match=words):
        read_contents(model, "npz")
    with pytest.raises(
        RuntimeFailure, match=r"expected LiteRT \(tflite\) or ONNX Runtime \(onnx\), got npz: no runtime"
    ):
        fewflips.optimize(model, "edge4", mode="drop-in")
    np.savez(tmp_path / "vectors.npz", first=np.zeros(3, np.int8))
    with pytest.raises(ModelError, match=r"first: expected a matrix of int8, got shape \(3,\)"):
        fewflips.load(tmp_path / "vectors.npz")


def test_files_of_the_package_s_readers_are_theirs(tmp_path: Path):
    (tmp_path / "a.npz").write_bytes(build_tflite.branching())
    onnx = build_onnx.save(build_onnx.qdq(), tmp_path / "b.npz")
    assert [fewflips.load(path).file_format for path in (tmp_path / "a.npz", onnx)] == ["tflite", "onnx"]


def test_without_the_reader_a_file_is_taken_for_onnx(model: Path):
    READERS.unregister(MatricesReader.name)
    with pytest.raises(ModelError, match="ONNX"):
        fewflips.load(model)


def test_an_entry_point_of_another_package_is_enough(model: Path, tmp_path: Path):
    metadata = tmp_path / "site" / "matrices-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: matrices\nVersion: 1.0\n")

    def measured(entry: str) -> subprocess.CompletedProcess[str]:
        (metadata / "entry_points.txt").write_text(f"[fewflips.readers]\nnpz = {entry}\n")
        places = [str(metadata.parent), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, "-m", "fewflips", "measure", str(model), "--accelerator", "edge4", "--json"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    done = measured("tests.network.matrices_reader:MatricesReader")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["weights"] == json.loads(
        fewflips.measure(model, "edge4").totals.weights.model_dump_json()
    )
    for entry, words in (
        ("no.such:Reader", "cannot be loaded"),
        ("builtins:dict", "expected a fewflips.network.Reader"),
    ):
        done = measured(entry)
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_names_are_taken_once():
    assert READERS.names[:2] == ("tflite", "onnx")
    with pytest.raises(FewflipsError, match="onnx comes with fewflips; expected another name"):
        fewflips.register_reader(type("Other", (MatricesReader,), {"name": "onnx"}))
