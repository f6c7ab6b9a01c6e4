"""All steps on a tiny network, and what can go wrong."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from PIL import Image
from scripts.reproduction.__main__ import main

import fewflips
from tests.network.build_onnx import QOperators

TEST_IMAGES = 20
ARRAY = "name: tiny\ndataflow: activation-stationary\nlanes: 2\ncolumns: 2\n"


class FewValues(QOperators):
    """Weights of four values in place of 256."""

    def int8(self, *shape: int) -> np.ndarray:
        return super().int8(*shape) // 64


def classifier(build: QOperators) -> onnx.ModelProto:
    """Convolution, depthwise convolution, convolution to ten logits; float images of 32 x 32 pixels."""
    image = build.input("image", TensorProto.FLOAT, ["N", 3, 32, 32])
    codes = build.node("QuantizeLinear", [image, build.scale, build.zero])
    stem = build.conv(codes, 4, 3, 3, strides=[12, 12])
    depthwise = build.conv(stem, 4, 1, 3, pads=[1] * 4, group=4)
    logits = build.average(build.conv(depthwise, 10, 4, 1))
    real = build.node("DequantizeLinear", [logits, build.scale, build.zero])
    build.output(build.node("Flatten", [real], axis=1), TensorProto.FLOAT, ["N", 10])
    return build.model()


def write_images(path: Path) -> None:
    generator = np.random.default_rng(0)
    files = []
    for _ in range(TEST_IMAGES):
        stream = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(stream, "JPEG")
        files.append(stream.getvalue())
    np.savez(
        path,
        test_jpeg=np.frombuffer(b"".join(files), np.uint8),
        test_offsets=np.cumsum([0, *map(len, files)]),
        test_labels=np.arange(TEST_IMAGES) % 10,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reproduction")
    (folder / "models").mkdir()
    onnx.save(classifier(QOperators(5)), folder / "models" / "baseline_8bit_seed0.onnx")
    onnx.save(classifier(FewValues(5)), folder / "models" / "hamming_8bit_seed0.onnx")
    np.savez(folder / "samples.npz", image=np.random.default_rng(1).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32))
    write_images(folder / "cifar10.npz")
    (folder / "tiny.yaml").write_text(ARRAY)
    return folder


def run(folder: Path, output: Path, *more: str) -> int:
    words = ["--no-train", "--pair", "8bit_seed0", "--jobs", "1", "--accelerator", str(folder / "tiny.yaml")]
    words += ["--models", str(folder / "models"), "--inputs", str(folder / "samples.npz"), "--output", str(output)]
    return main([*words, "--data", str(folder / "cifar10.npz"), *more])


@pytest.fixture(scope="module")
def results(folder) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWFLIPS_CACHE", str(folder / "cache"))
        output = folder / "results"
        output.mkdir()
        (output / "discussion.md").write_text("## By hand\n\nWords.\n")
        assert run(folder, output) == 0
        yield output


def test_the_figures_are_those_of_fewflips(folder, results):
    rows = {row["variant"]: row for row in json.loads((results / "reproduction.json").read_text())}
    networks = {"baseline": "baseline", "training only": "hamming"}
    for variant, training in networks.items():
        model, inputs = folder / "models" / f"{training}_8bit_seed0.onnx", folder / "samples.npz"
        total = fewflips.energy(model, folder / "tiny.yaml", inputs=inputs).total
        assert rows[variant]["inertial_data_pj"] == pytest.approx(total.inertial.data_pj, abs=0.06)
        assert rows[variant]["inertial_total_pj"] == pytest.approx(total.inertial.total_pj, abs=0.06)
        weights = fewflips.measure(model, folder / "tiny.yaml").totals.weights
        assert (rows[variant]["flips"], rows[variant]["seam_flips"]) == (weights.flips, weights.seam_flips)
    assert rows["both"]["inertial_data_pj"] < rows["post-training only"]["inertial_data_pj"]
    assert rows["both"]["flips"] < rows["training only"]["flips"]
    assert rows["post-training only"]["flips"] < rows["baseline"]["flips"]
    ratio = rows["baseline"]["inertial_data_pj"] / rows["both"]["inertial_data_pj"]
    assert rows["both"]["network_ratio"] == pytest.approx(ratio, rel=1e-3)


def test_accuracy_is_that_of_onnx_runtime(folder, results):
    rows = json.loads((results / "reproduction.json").read_text())
    with np.load(folder / "cifar10.npz") as data:
        ends, stream, labels = data["test_offsets"], data["test_jpeg"].tobytes(), data["test_labels"]
    pictures = [np.asarray(Image.open(io.BytesIO(stream[a:b]))) for a, b in pairwise(ends)]
    feed = ((np.stack(pictures).transpose(0, 3, 1, 2) - 128.0) / 128.0).astype(np.float32)
    session = onnxruntime.InferenceSession(folder / "models" / "hamming_8bit_seed0.onnx")
    (logits,) = session.run(None, {"image": feed})
    assert rows[-1]["accuracy_percent"] == pytest.approx(100 * np.mean(logits.argmax(1) == labels))


def test_the_page_ends_with_what_was_written_by_hand(results):
    assert (results / "reproduction.md").read_text().endswith("## By hand\n\nWords.\n")


def test_a_second_run_computes_nothing_and_writes_the_same(folder, results, monkeypatch):
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    monkeypatch.setattr("scripts.reproduction.energies.optimize", None)
    monkeypatch.setattr("scripts.reproduction.accuracy.count_hits", None)
    assert run(folder, results) == 0
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before


def test_without_images_accuracies_are_those_written_before(folder, results, capsys):
    before = (results / "reproduction.json").read_bytes()
    assert run(folder, results, "--data", str(folder / "none.npz")) == 0
    assert "its accuracy is the one that was written before" in capsys.readouterr().err
    assert (results / "reproduction.json").read_bytes() == before


def refused(capsys) -> str:
    """The one line that says why."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reproduction: ")]
    assert len(lines) == 1
    return lines[0]


def test_without_images_and_earlier_figures_it_is_refused(folder, results, tmp_path, capsys):
    assert run(folder, tmp_path, "--data", str(folder / "none.npz")) == 2
    assert "baseline_8bit_seed0: its accuracy is not known: expected CIFAR-10 in" in refused(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "nowhere"], "nowhere/baseline_8bit_seed0.onnx: expected a trained network, got no file"),
        (["--pair", "8bit"], "--pair: expected one of 8bit_seed0"),
        (["--inputs", "nowhere.npz"], "nowhere.npz: expected sample inputs, got no file"),
        (["--share", "0"], "share of cycles: expected a number above 0"),
        (["--accelerator", "nosuch"], "nosuch"),
    ],
)
def test_bad_input_is_refused_in_one_line(folder, tmp_path, capsys, words, message):
    assert run(folder, tmp_path, *words) == 2
    assert message in refused(capsys)


def test_damaged_images_and_figures_are_refused(folder, results, tmp_path, capsys):
    (tmp_path / "data.npz").write_bytes(b"no archive")
    assert run(folder, tmp_path, "--data", str(tmp_path / "data.npz")) == 2
    assert "data.npz: expected CIFAR-10 as an .npz of JPEG files" in refused(capsys)
    (tmp_path / "reproduction_layers.json").write_text('{"format": "other"}')
    assert run(folder, tmp_path) == 2
    assert "reproduction_layers.json: " in refused(capsys)
