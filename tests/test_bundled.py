"""The networks that come with the package."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from scripts.audit.figures import read_audit
from scripts.figures.facts import facts
from scripts.figures.prose import PageRegistry, renewed, unregistered

from fewflips.api.measure import measure
from fewflips.bundled import ACCURACY_PROPERTY, PAIR_REMARK, bundled_model, bundled_pair, stated_accuracy_percent
from fewflips.errors import ModelError
from fewflips.formats.number_formats import INT8
from fewflips.network import load
from tests.network import build_onnx as small

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "evaluate_bundled_model.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluate_bundled_model", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stating(path: Path, **properties: str) -> Path:
    proto = small.qdq()
    onnx.helper.set_model_props(proto, properties)
    return small.save(proto, path)


def test_both_are_small_and_int8_with_inverted_residuals():
    with bundled_pair() as pair:
        for model in (pair.baseline, pair.hd_trained):
            assert model.stat().st_size <= 3_000_000
            network = load(model)
            assert {layer.weight_type for layer in network.layers} == {INT8}
            assert sum(layer.is_depthwise for layer in network.layers) >= 10
            assert all(layer.input_tensor is not None for layer in network.layers)
            with np.load(pair.samples) as archive:
                assert network.inputs[0] in archive.files
                assert 4 <= len(archive[network.inputs[0]]) <= 32


def test_they_differ_in_their_weights_alone():
    with bundled_pair() as pair:
        networks = [load(model) for model in (pair.baseline, pair.hd_trained)]
    shapes = [
        [(layer.name, layer.m, layer.n, layer.k, layer.groups) for layer in network.layers] for network in networks
    ]
    assert shapes[0] == shapes[1]
    pairs = zip(networks[0].layers, networks[1].layers, strict=True)
    assert any(not np.array_equal(ours.weights, theirs.weights) for ours, theirs in pairs)


def test_training_for_few_flips_left_fewer():
    with bundled_pair() as pair:
        flips = [measure(model).totals.weights.flips for model in (pair.baseline, pair.hd_trained)]
    assert flips[1] < flips[0]


def test_their_accuracy_in_onnx_runtime_is_what_they_state(shared: Path):
    command = [sys.executable, str(SCRIPT), "--data", str(shared / "data" / "cifar10_jpeg.npz")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [[float(figure) for figure in re.findall(r"([0-9.]+) %", line)] for line in output.splitlines()]
    with bundled_pair() as pair:
        stated = [stated_accuracy_percent(model) for model in (pair.baseline, pair.hd_trained)]
    assert [line[1] for line in found] == stated
    for measured, claimed in found:
        assert measured == pytest.approx(claimed, abs=0.1)  # another build of ONNX Runtime may round differently
        assert measured >= 78.0, output


def test_the_bundled_model_is_the_baseline():
    with bundled_model() as (model, samples), bundled_pair() as pair:
        assert (model, samples) == (pair.baseline, pair.samples)


def test_a_stated_accuracy_is_read(tmp_path):
    assert stated_accuracy_percent(stating(tmp_path / "a.onnx", **{ACCURACY_PROPERTY: "87.65"})) == 87.65
    assert stated_accuracy_percent(stating(tmp_path / "b.onnx", dataset="CIFAR-10")) is None


@pytest.mark.parametrize("stated", ["high", "nan", "-1", "100.5", ""])
def test_an_impossible_accuracy_is_refused(tmp_path, stated):
    path = stating(tmp_path / "model.onnx", **{ACCURACY_PROPERTY: stated})
    with pytest.raises(ModelError, match=f"expected a number from 0 to 100, got '{stated}'"):
        stated_accuracy_percent(path)


def test_no_model_no_accuracy(tmp_path):
    (tmp_path / "text.onnx").write_bytes(b"\xff" * 100)
    for name in ("text.onnx", "absent.onnx"):
        with pytest.raises(ModelError, match=f"{name}: expected an ONNX file"):
            stated_accuracy_percent(tmp_path / name)


def test_the_script_states_an_accuracy_and_leaves_the_rest(tmp_path, script):
    with bundled_model() as (model, _):
        copy = Path(shutil.copy(model, tmp_path))
    script.state_accuracy(copy, 12.345)
    assert stated_accuracy_percent(copy) == pytest.approx(12.345, abs=0.006)
    before, after = onnx.load(model), onnx.load(copy)
    assert after.graph == before.graph
    for proto in (before, after):
        kept = {entry.key: entry.value for entry in proto.metadata_props if entry.key != ACCURACY_PROPERTY}
        onnx.helper.set_model_props(proto, kept)
    assert after == before


HELD = (
    """both together take {audit/headroom given to both, 8 bits, seed 0, natural/network:.2f}x less energy, not
        {audit/edge4/network:.2f}x (mean of the layers:
        {audit/headroom given to both, 8 bits, seed 0, natural/mean:.2f}x, not {audit/edge4/mean:.2f}x)""",
    """wider arrays reach {audit/wider arrays/smallest network:.2f}x to {audit/wider arrays/largest network:.2f}x, and
        with 8 KB buffers on the bill edge4 reaches {audit/edge4/with_buffers:.2f}x""",
    "with those between passes {pair/all flips:.2f}x, not {pair/flips:.2f}x",
    "an index table of {pair/index table_kib:.0f} KiB",
)


def test_the_remark_on_the_pair_has_the_figures_of_the_records():
    known = dict(facts())
    rows = [f"reproduction/8 bits, seed 0, {variant}" for variant in ("baseline", "both")]
    flips, seams = ([known[f"{row}/{what}"] for row in rows] for what in ("flips", "seam_flips"))
    known["pair/flips"] = flips[0] / flips[1]
    known["pair/all flips"] = (flips[0] + seams[0]) / (flips[1] + seams[1])
    run = next(
        run
        for run in read_audit(ROOT / "results" / "audit.json").runs
        if (run.network, run.machine, run.weight_bits) == ("hamming_8bit_seed0", "edge4", None)
    )
    known["pair/index table_kib"] = run.index_table_bits / 8 / 1024
    assert renewed(PAIR_REMARK, HELD, known) == PAIR_REMARK
    buffers = ("8 KB buffers",)
    left = unregistered(PAIR_REMARK, PageRegistry(HELD), PageRegistry())
    assert [one for one in left if not any(text in one for text in buffers)] == []
    weights = sum(layer.weights.size for layer in load(bundled_model_path()).layers)
    assert run.index_table_bits / 8 == pytest.approx(weights / 4, rel=0.05)


def bundled_model_path() -> Path:
    with bundled_model() as (model, _):
        return model


def test_the_readme_says_how_far_the_ranges_go():
    """Quantizers behind ReLU6 begin at 0; what the data's README says of their ends is what the files hold."""
    text = " ".join((ROOT / "src" / "fewflips" / "data" / "README.md").read_text().split())
    said = re.search(r"ends at (\d+) or below in the baseline, at up to (\d+) in the HD-trained network", text)
    with bundled_pair() as pair:
        found = [max(ends_from_zero(model)) for model in (pair.baseline, pair.hd_trained)]
    assert found == pytest.approx([float(end) for end in said.groups()], rel=1e-5)


def ends_from_zero(model: Path) -> list[float]:
    """Upper ends of the ranges of quantizers behind convolutions, those that begin at 0."""
    graph = onnx.load(model).graph
    values = {constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer}
    convolved = {node.output[0] for node in graph.node if node.op_type == "Conv"}
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in convolved]
    return [255 * float(values[node.input[1]]) for node in quantizers if not values[node.input[2]]]
