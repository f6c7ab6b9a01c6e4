"""The main job, end to end."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewflips.api.measure import measure
from fewflips.api.optimize import optimize
from fewflips.api.verify import verify
from fewflips.errors import InputError, OutputError, RuntimeFailure, VerificationError
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import random_feeds
from fewflips.files.result_folder import MANIFEST
from fewflips.machine import Accelerator
from fewflips.network import load
from fewflips.network.tflite.file import TFLiteFile, decode
from fewflips.optimization.request import EnergyRequest
from fewflips.schedule.file import read_schedule
from tests.network import build_tflite as small
from tests.patience import PATIENCE_S
from tests.stand_in_runtime import stand_in

KWS = "mlperf_tiny_kws_dscnn_int8.tflite"
MACHINES = ["edge16", "edge4", "tpu16", "os16"]


@pytest.fixture
def branching(tmp_path: Path) -> Path:
    path = tmp_path / "branching.tflite"
    path.write_bytes(small.branching())
    return path


def tflite_file(path: Path) -> TFLiteFile:
    return decode(path.read_bytes(), path)


def outputs_of(model: Path, count: int = 3) -> list[np.ndarray]:
    with Runtime(model) as runtime:
        return [
            runtime.run(feeds, runtime.outputs)[name]
            for feeds in random_feeds(runtime.inputs, count, seed=7)
            for name in runtime.outputs
        ]


@pytest.mark.parametrize("machine", MACHINES)
def test_figures_are_those_of_the_files_that_are_written(branching: Path, tmp_path: Path, machine: str):
    result = optimize(branching, machine, seed=1, jobs=2)
    result.save(tmp_path / "out")
    report = result.report

    before, after = measure(branching, machine), measure(tmp_path / "out" / "model.tflite", machine)
    for layer, old, new in zip(report.layers, before.layers, after.layers, strict=True):
        assert layer.weights.baseline_flips == old.weights.flips
        assert layer.drop_in.weights.baseline_flips == old.weights.flips
        assert layer.drop_in.weights.optimized_flips == new.weights.flips
        assert layer.weights.lower_bound <= layer.weights.optimized_flips <= layer.weights.baseline_flips
        assert layer.drop_in.weights.lower_bound <= layer.drop_in.weights.optimized_flips
        assert layer.weights.proven_segments <= layer.weights.segments

    for first, second in zip(outputs_of(branching), outputs_of(tmp_path / "out" / "model.tflite"), strict=True):
        np.testing.assert_array_equal(first, second)
    totals = report.totals.weights
    assert totals.reduction == totals.baseline_flips / totals.optimized_flips >= 1


def test_scheduled_flips_by_plain_numpy(shared: Path, tmp_path: Path):
    network = load(shared / "models" / KWS)
    result = optimize(network, "edge16", mode="schedule")
    result.save(tmp_path)
    schedule = json.loads((tmp_path / "schedule.json").read_text())
    assert schedule["model_sha256"] == hashlib.sha256((shared / "models" / KWS).read_bytes()).hexdigest()
    for layer, scheduled, reported in zip(network.layers, schedule["layers"], result.report.layers, strict=True):
        flips = 0
        for segment in scheduled["segments"]:
            words = layer.weights[np.ix_(segment["order"], segment["lanes"])].view(np.uint8)
            flips += int(np.unpackbits(words[1:] ^ words[:-1]).sum())
        assert flips == reported.weights.optimized_flips
    assert not (tmp_path / "model.tflite").exists()


def test_same_seed_same_files(branching: Path, tmp_path: Path):
    for name, jobs in (("a", 1), ("b", 2)):
        optimize(branching, "edge4", seed=3, jobs=jobs).save(tmp_path / name)
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert names == [MANIFEST, "model.tflite", "report.html", "report.json", "schedule.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_drop_in_that_changed_after_its_check_is_not_written(branching: Path, tmp_path: Path):
    result = optimize(branching, mode="both")
    result.save(tmp_path / "before")
    file = next(Path(result.drop_in.files.folder.name).iterdir())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(VerificationError, match=r"model\.tflite is no longer the file that was checked"):
        result.save(tmp_path / "after")
    assert not (tmp_path / "after").exists()


def test_a_schedule_with_other_orders_than_the_checked_ones_is_not_written(branching: Path, tmp_path: Path):
    result = optimize(branching, mode="schedule")
    layer = result.schedule.layers[0]
    segment = layer.segments[0].model_copy(update={"order": layer.segments[0].order[::-1]})
    changed = layer.model_copy(update={"segments": (segment, *layer.segments[1:])})
    schedule = result.schedule.model_copy(update={"layers": (changed, *result.schedule.layers[1:])})
    with pytest.raises(VerificationError, match=r"schedule\.json does not hold the orders that were checked"):
        dataclasses.replace(result, schedule=schedule).save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_mode_leaves_no_file_of_the_one_before(branching: Path, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    optimize(branching, mode="both").save(tmp_path)
    optimize(branching, mode="schedule").save(tmp_path)
    kept = {MANIFEST, "branching.tflite", "notes.txt", "report.html", "report.json", "schedule.json"}
    assert {file.name for file in tmp_path.iterdir()} == kept


def test_a_model_beside_the_results_of_another_run_is_refused(branching: Path, tmp_path: Path):
    optimize(branching, mode="both").save(tmp_path)
    (tmp_path / "model.tflite").write_bytes(branching.read_bytes())
    for wanted in ("model.tflite", "schedule.json"):
        with pytest.raises(InputError, match=r"model\.tflite: expected the file of `fewflips optimize`") as caught:
            verify(branching, tmp_path / wanted)
        assert "\n" not in str(caught.value)


def test_the_modes_write_what_they_say(branching: Path, tmp_path: Path):
    optimize(branching, mode="drop-in").save(tmp_path / "d")
    assert not (tmp_path / "d" / "schedule.json").exists()
    report = json.loads((tmp_path / "d" / "report.json").read_text())
    assert report["schedule"] is None
    assert report["layers"][0]["weights"] == report["layers"][0]["drop_in"]["weights"]
    with pytest.raises(InputError, match="mode: expected one of schedule, drop-in, both, got 'all'"):
        optimize(branching, mode="all")


def test_verify_tells_models_apart(branching: Path, tmp_path: Path):
    other = tmp_path / "other.tflite"
    other.write_bytes(small.branching(seed=1))
    assert not verify(branching, other).check.bit_exact
    assert verify(branching, branching).check.bit_exact


def test_verify_executes_a_schedule(branching: Path, tmp_path: Path):
    optimize(branching, "os16", mode="schedule").save(tmp_path)
    assert verify(branching, tmp_path / "schedule.json").check.passed
    schedule = read_schedule(tmp_path / "schedule.json")
    assert schedule.layers[0].axes.order == "k"


@pytest.mark.parametrize("machine", ["edge4", "tpu16", "os16"])
def test_a_schedule_in_binary_beside_the_json(branching: Path, tmp_path: Path, machine: str):
    result = optimize(branching, machine, mode="schedule")
    plain = result.save(tmp_path / "plain")
    files = result.save(tmp_path / "out", binary_schedule=True)
    assert {file.name for file in files} == {file.name for file in plain} | {"schedule.bin"}
    for file in plain:
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes()
    assert read_schedule(tmp_path / "out" / "schedule.bin") == read_schedule(tmp_path / "out" / "schedule.json")
    checks = [verify(branching, tmp_path / "out" / name).check for name in ("schedule.bin", "schedule.json")]
    assert checks[0] == checks[1]
    assert checks[0].passed
    (tmp_path / "out" / "schedule.bin").write_bytes(b"another")
    with pytest.raises(InputError, match=r"schedule\.bin: expected the file of `fewflips optimize`"):
        read_schedule(tmp_path / "out" / "schedule.json")
    result.save(tmp_path / "out")
    assert not (tmp_path / "out" / "schedule.bin").exists()


def test_a_drop_in_alone_has_no_binary_schedule(branching: Path, tmp_path: Path):
    files = optimize(branching, mode="drop-in").save(tmp_path / "out", binary_schedule=True)
    assert [file.name for file in files] == ["model.tflite", "report.html", "report.json"]


def test_models_of_another_shape_are_not_compared(branching: Path, shared: Path):
    with pytest.raises(VerificationError, match="different inputs"):
        verify(branching, shared / "models" / KWS)


def test_a_rewritten_model_that_computes_something_else_is_not_given_out(branching: Path, monkeypatch):
    def wrong(network, permutations, destination):
        destination.write_bytes(small.branching(seed=1))

    monkeypatch.setattr("fewflips.optimization.steps.drop_in.rewrite", wrong)
    with pytest.raises(VerificationError, match=r"is not branching\.tflite with its channels moved"):
        optimize(branching, mode="drop-in")


def test_a_failure_while_saving_leaves_nothing_behind(branching: Path, tmp_path: Path, monkeypatch):
    result = optimize(branching, mode="schedule")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fewflips.files.result_folder.os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device; choose another --output"):
        result.save(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failure_while_replacing_puts_the_former_files_back(branching: Path, tmp_path: Path, monkeypatch):
    result = optimize(branching, mode="both")
    result.save(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    import os

    replace = os.replace

    def failing(source, target):
        if Path(target) == tmp_path / "schedule.json" and Path(source).parent.name.startswith(".fewflips-"):
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr("fewflips.files.result_folder.os.replace", failing)
    with pytest.raises(OutputError, match="Input/output error"):
        optimize(branching, mode="both", seed=5).save(tmp_path)
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("machine", ["edge16", "tpu16", "os16"])
def test_a_drop_in_never_has_more_weight_flips(branching: Path, machine: str):
    totals = optimize(branching, machine, mode="drop-in").report.totals.weights
    assert totals.optimized_flips <= totals.baseline_flips


def test_a_drop_in_on_an_odd_weight_stationary_array(branching: Path):
    array = Accelerator(name="odd", dataflow="weight-stationary", lanes=3, columns=5)
    totals = optimize(branching, array, mode="drop-in").report.totals.weights
    assert totals.lower_bound <= totals.optimized_flips <= totals.baseline_flips


STAND_INS = {
    "crashes": ("os.kill(os.getpid(), 11)", "LiteRT ended by signal 11 (SIGSEGV) on {model}: the file may be damaged"),
    "refuses": ("raise ValueError('an operator that it lacks')", "LiteRT failed on {model}: an operator that it lacks"),
    "hangs": ("time.sleep(600)", "LiteRT gave no answer within 3 s on {model}: the file may be damaged"),
}
"""What a stand-in for LiteRT does with a model, and what is said of it."""


@pytest.fixture(params=STAND_INS)
def failing(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stand-in for LiteRT that cannot run any model; gives what is said of it."""
    code, words = STAND_INS[request.param]
    stand_in(tmp_path, "failing_session", f"import os, time\ndef Session(path, fetch):\n    {code}\n", monkeypatch)
    monkeypatch.setattr("fewflips.api.optimize.LONGEST_RUN_S", 3.0 if request.param == "hangs" else PATIENCE_S)
    return words


def test_a_model_that_its_runtime_cannot_run_gets_a_schedule(branching: Path, tmp_path: Path, failing: str):
    words = failing.format(model=branching)
    result = optimize(branching, mode="both")
    assert result.schedule is not None
    assert result.drop_in is None
    assert result.report.drop_in is None
    (note,) = (note for note in result.report.notes if "drop-in" in note)
    assert note.startswith(f"no drop-in file, since the original cannot be run to compare its outputs: {words}")
    result.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(("model", "sched"))) == [
        "schedule.json"
    ]
    with pytest.raises(RuntimeFailure, match=re.escape(words)):
        optimize(branching, mode="drop-in")


def test_inputs_and_energy_need_a_runtime_that_runs_the_original(branching: Path, tmp_path: Path, failing: str):
    words = failing.format(model=branching)
    samples = tmp_path / "samples.npz"
    np.savez(samples, image=np.zeros((1, 8, 8, 3), np.int8))
    report = optimize(branching, mode="schedule", inputs=samples, energy=EnergyRequest()).report
    assert report.totals.activations is None
    assert report.energy is None
    notes = [note for note in report.notes if words in note]
    assert [note.partition(":")[0] for note in notes] == [
        "activations were not measured, since the original cannot be run on the sample inputs",
        "energy was not simulated, since the original cannot be run for its activations",
    ]


def test_an_original_that_runs_once_only_is_not_blamed_on_the_copy(branching: Path, monkeypatch):
    def fails(network, *_, **__):
        raise RuntimeFailure("LiteRT ended by signal 11", network.path)

    monkeypatch.setattr("fewflips.optimization.checks.compare_outputs", fails)
    notes = optimize(branching, mode="both").report.notes
    assert (
        "no drop-in file, since the original cannot be run to compare its outputs: LiteRT ended by signal 11" in notes
    )
    with pytest.raises(RuntimeFailure):
        optimize(branching, mode="drop-in")


def test_a_copy_that_does_not_run_is_not_written(branching: Path, monkeypatch):
    def fails(network, other, *_, **__):
        raise RuntimeFailure("LiteRT ended by signal 11 on model.tflite", other.path)

    monkeypatch.setattr("fewflips.optimization.checks.compare_outputs", fails)
    with pytest.raises(VerificationError, match=r"on model\.tflite; it runs .*branching\.tflite, so the copy was not"):
        optimize(branching, mode="both")


def test_biases_that_litert_refuses_cost_the_drop_in_alone(branching: Path, tmp_path: Path):
    """One-dimensional biases with a quantized dimension of 3: TensorFlow Lite for Microcontrollers runs them."""
    model = tmp_path / "biases.tflite"
    model.write_bytes(small.biases_of_another_rank())
    assert [layer.weights for layer in measure(model).layers] == [layer.weights for layer in measure(branching).layers]
    result = optimize(model, mode="both")
    result.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(("model", "sched"))) == [
        "schedule.json"
    ]
    assert verify(model, tmp_path / "out" / "schedule.json").check.passed
    parameters, *others = (note for note in result.report.notes if "bias" in note or "drop-in" in note)
    assert parameters == (
        "tensor 'stem/bias' of shape [8] has the quantized dimension 3 (and 4 more like this): flips do not depend on "
        "these quantization parameters; constants that have such stay where they are"
    )
    assert len(others) == 1
    assert others[0].startswith(
        f"no drop-in file, since the original cannot be run to compare its outputs: LiteRT failed on {model}: "
        "quantized_dimension must be in range [0, 1). Was 3."
    )
    assert len(others[0]) < 500 + len(str(model))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_keyword_network_with_an_svdf_operator_end_to_end(tmp_path: Path, machine: str):
    model, samples = tmp_path / "keyword.tflite", tmp_path / "samples.npz"
    model.write_bytes(small.keyword(rank=2))
    np.savez(samples, x=np.random.default_rng(0).integers(-128, 128, (3, 1, 12)).astype(np.int8))
    report = measure(model, machine, inputs=samples)
    assert [(layer.name, layer.weights.bits, layer.activations.bits) for layer in report.layers] == [
        ("hidden", 8, 8),
        ("units (features)", 8, 8),
        ("units (time)", 16, 16),
        ("words", 8, 8),
    ]
    result = optimize(model, machine, inputs=samples)
    result.save(tmp_path / "out")
    assert result.report.drop_in.check.bit_exact
    assert verify(model, tmp_path / "out" / "model.tflite", inputs=samples).check.passed
    assert verify(model, tmp_path / "out" / "schedule.json", inputs=samples).check.passed


def test_an_svdf_operator_that_litert_misreads_gets_a_schedule(tmp_path: Path):
    """Time weights and state of 8 bits, as TensorFlow Lite for Microcontrollers has them."""
    model = tmp_path / "keyword.tflite"
    model.write_bytes(small.keyword("INT8"))
    assert [layer.weights.bits for layer in measure(model).layers] == [8, 8, 8, 8]
    result = optimize(model, mode="both")
    result.save(tmp_path / "out")
    assert not (tmp_path / "out" / "model.tflite").exists()
    assert verify(model, tmp_path / "out" / "schedule.json").check.passed
    assert (
        f"no drop-in file, since the original cannot be run to compare its outputs: LiteRT failed on {model}: expected "
        "int16 time weights and an int16 state of the SVDF operator 'units', got int8 and int8, which LiteRT would "
        "misread; TensorFlow Lite for Microcontrollers runs it"
    ) in result.report.notes
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.zeros((1, 12), np.int8))
    with pytest.raises(RuntimeFailure, match=r"would misread; .*; leave out the sample inputs to count weights alone$"):
        measure(model, inputs=samples)


def mean_flips_of_pixels(model: Path, tensor: str, images: np.ndarray) -> int:
    """Flips of a tensor of 8 channels from one pixel to the next, mean of all images."""
    flips = []
    with Runtime(model, fetch=[tensor]) as runtime:
        for image in images:
            pixels = runtime.run({"image": image[np.newaxis]}, [tensor])[tensor].reshape(-1, 8)
            flips.append(np.unpackbits((pixels[1:] ^ pixels[:-1]).view(np.uint8)).sum())
    return round(np.mean(flips))


@pytest.mark.parametrize("machine", ["edge4", "tpu16"])
def test_sixteen_bit_activations_end_to_end(tmp_path: Path, machine: str):
    model, samples = tmp_path / "wide.tflite", tmp_path / "samples.npz"
    model.write_bytes(small.branching("INT8", "INT16"))
    images = np.random.default_rng(0).integers(-32768, 32768, (2, 8, 8, 3)).astype(np.int16)
    np.savez(samples, image=images)

    before = measure(model, machine, inputs=samples)
    assert {layer.activations.bits for layer in before.layers} == {16}
    assert {layer.weights.bits for layer in before.layers} == {8}
    if machine == "tpu16":  # the 64 pixels of a 1 x 1 convolution follow each other
        counted = next(layer for layer in before.layers if layer.name == "project").activations
        assert (counted.flips, counted.repeats) == (mean_flips_of_pixels(model, "depthwise", images), 1)

    result = optimize(model, machine, inputs=samples, seed=1)
    result.save(tmp_path / "out")
    comparison = result.report.drop_in.check
    assert comparison.bit_exact
    assert "LiteRT (in integers)" in comparison.method
    after = measure(tmp_path / "out" / "model.tflite", machine, inputs=samples)
    for layer, new in zip(result.report.layers, after.layers, strict=True):
        assert layer.drop_in.weights.optimized_flips == new.weights.flips
        assert layer.drop_in.activations.optimized_flips == new.activations.flips
    old, new = (tflite_file(path) for path in (model, tmp_path / "out" / "model.tflite"))
    biases = [index for index, tensor in enumerate(old.tensors) if tensor.dtype == "INT64"]
    assert any((old.tensors[i].codes() != new.tensors[i].codes()).any() for i in biases)
    assert all((np.sort(old.tensors[i].codes()) == np.sort(new.tensors[i].codes())).all() for i in biases)
    assert verify(model, tmp_path / "out" / "model.tflite").check.passed
    assert verify(model, tmp_path / "out" / "schedule.json").check.passed


def test_verify_says_what_was_compared_where_the_runtime_refuses(branching: Path, tmp_path: Path, monkeypatch):
    other = tmp_path / "other.tflite"
    other.write_bytes(small.branching(seed=1))

    def crashing(runtime, feeds, fetch):
        raise RuntimeFailure("LiteRT crashed")

    monkeypatch.setattr("fewflips.execution.runtimes.Runtime.run", crashing)
    with pytest.raises(
        VerificationError, match=r"structure: \d+ differences .*; but outputs were not compared: LiteRT crashed"
    ):
        verify(branching, other)
    said = r"structure: all \d+ constants and everything else .*; but outputs were not compared: LiteRT crashed"
    with pytest.raises(VerificationError, match=said):
        verify(branching, branching)


def test_files_of_different_formats_are_compared_by_their_outputs_alone(branching: Path, monkeypatch):
    networks = iter([load(branching), replace(load(branching), file_format="onnx")])
    monkeypatch.setattr("fewflips.api.verify.load", lambda path: next(networks))
    monkeypatch.setattr("fewflips.verification.equivalence.Runtime", lambda path, *_: Runtime(path, "tflite"))
    check = verify(branching, branching).check
    assert check.structure is None
    assert "structure: not compared, since the files are of different formats" in check.method
    assert check.passed
