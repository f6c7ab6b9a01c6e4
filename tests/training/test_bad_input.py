"""Bad input ends in one line that says what to do, and exit code 2."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from fewflips.cli import main
from fewflips.errors import AcceleratorError, InputError, OutputError
from fewflips.machine import load_accelerator
from fewflips.training import trainer
from fewflips.training.checkpoints import load_checkpoint, save_checkpoint
from fewflips.training.checks import new_network
from fewflips.training.config import TrainingConfig
from fewflips.training.resuming import float_weights
from fewflips.training.stages import loop
from fewflips.training.stages.losses import DivergenceError
from fewflips.training.trainer import train
from tests.training.small_datasets import fashion, settings


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return fashion(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "out"
    train(TrainingConfig.model_validate(settings(data, folder)))
    return folder


@pytest.fixture
def failing(monkeypatch, capsys, data, tmp_path):
    """Run the command; it is to fail with one line, which is returned."""

    def command(*options: object, **changes) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(settings(data, tmp_path / "out") | changes))
        monkeypatch.setattr(sys, "argv", ["fewflips", "train", "--config", str(path), *map(str, options)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line and " epoch " not in line[:20]]
        assert len(lines) == 1, lines
        return lines[0]

    return command


@pytest.mark.parametrize(
    ("size", "classes", "words"),
    [
        (1, 10, "dataset.image_size: expected at least "),
        (28, 1, "network.classes: expected 2 or more, got 1"),
    ],
)
def test_the_section_of_what_does_not_fit_a_network_is_named(size: int, classes: int, words: str, data, tmp_path):
    config = TrainingConfig.model_validate(settings(data, tmp_path))
    dataset = SimpleNamespace(image_shape=(size, size, 1), classes=("a",) * classes)
    with pytest.raises(InputError) as caught:
        new_network(config, dataset)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"name": "alexnet"}}, "network.name"),
        ({"network": {"name": "resnet", "depth": 9}}, "network.depth: expected 6 n + 2"),
        ({"network": {"name": "resnet", "early_strides": True}}, "network.early_strides"),
        ({"network": {"name": "mobilenet_v2", "depth": 20}}, "network.depth"),
        ({"network": {"name": "mobilenet_v2", "width": 100}}, "network.width"),
        ({"float_stage": {"batch": 49}}, "float_stage.batch: expected at most 48"),
        ({"quantized_stage": {"batch": 1000}}, "quantized_stage.batch: expected at most 48"),
        ({"quantized_stage": {"weight_bits": 1}}, "quantized_stage.weight_bits"),
        ({"quantized_stage": {"batch": 8, "weight_bits": {"conv*": 4}}}, "quantized_stage.weight_bits: 'conv*'"),
        ({"hamming": {"accelerator": "edge1000"}}, "accelerator 'edge1000'"),
        ({"hamming": {}, "quantized_stage": None}, "hamming"),
        ({"hamming": {"strength": 1e300}}, "hamming.strength"),
        ({"float_stage": {"batch": 1}}, "float_stage.batch"),
        ({"output": "a\0b"}, "output"),
        ({"dataset": {"name": "fashion-mnist", "path": "a\udcff"}}, "half a surrogate pair in 'a\\udcff'"),
        ({"dataset": {"name": "fashion-mnist", "path": "/nowhere"}}, "dataset.path"),
        (
            {"initial": {"checkpoint": "/nowhere/float.pt"}},
            "initial.checkpoint: /nowhere/float.pt: expected",
        ),
        ({"initial": {"onnx": "/nowhere/model.onnx"}}, "initial.onnx: /nowhere/model.onnx"),
        ({"output": None}, "output: expected a folder"),
    ],
)
def test_impossible_configurations(failing, changes, words):
    assert words in failing(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hamming": {"accelerator": "tpu16"}}, "hamming: tpu16: weights stand still"),
        ({"hamming": {"include": ["conv*"]}}, "hamming: "),
        ({"hamming": {"bit_costs": [1, 2]}}, "expected a cost of 8 bits"),
        ({"quantized_stage": {"batch": 8, "weight_bits": {"conv*": 4}}}, "quantized_stage.weight_bits: 'conv*'"),
        ({"quantized_stage": {"batch": 49}}, "quantized_stage.batch"),
        ({"quantized_stage": {"batch": 8, "distillation": {"teacher": "/nowhere.onnx"}}}, "distillation.teacher"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--pareto", "0,0.5")])
def test_what_is_found_before_the_float_stage(failing, tmp_path, monkeypatch, changes, words, options):
    monkeypatch.setattr(loop.StageLoop, "run", lambda self: pytest.fail("trained"))
    assert words in failing(*options, **changes)


@pytest.mark.parametrize("value", ['!!bool "x"', '!!timestamp "x"', '!!int ""'])
@pytest.mark.parametrize("section", ["seed", "accelerator"])
def test_values_that_do_not_fit_their_yaml_tag(data, tmp_path, section, value):
    path = tmp_path / "config.yaml"
    content = settings(data, tmp_path / "out")
    if section == "seed":
        path.write_text(yaml.safe_dump(content) + f"seed: {value}\n")
        with pytest.raises(InputError, match="not valid YAML"):
            train(path)
    else:
        path.write_text(f"name: {value}\n")
        with pytest.raises(AcceleratorError, match="not valid YAML"):
            load_accelerator(str(path))


def test_an_output_that_is_not_utf8(failing):
    assert "output" in failing("--output", "o\udcff")


def test_classes_whose_names_are_not_utf8(failing, tmp_path):
    folder = tmp_path / "images"
    for name in (b"cat", b"cl\xff"):
        for part in (b"train", b"test"):
            os.makedirs(os.path.join(os.fsencode(folder), part, name))
    assert "names in UTF-8" in failing(dataset={"name": "folder", "path": str(folder)})


def test_too_little_memory_is_said(failing, monkeypatch):
    def allocate(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(loop.StageLoop, "run", allocate)
    assert "out of memory: choose a smaller batch" in failing()


def test_weights_that_diverge_under_the_hd_term_name_stage_and_step(failing):
    stage = {"epochs": 2, "batch": 8, "learning_rate": 1e38, "optimizer": "sgd"}
    line = failing(quantized_stage=stage, hamming={"every": 1})
    assert "quantized stage, epoch 1, step " in line
    assert "quantized_stage.learning_rate" in line


def test_no_configuration(monkeypatch, capsys, tmp_path):
    for arguments in ([], ["--config", str(tmp_path / "none.yaml")]):
        monkeypatch.setattr(sys, "argv", ["fewflips", "train", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_learning_rate_that_diverges_stops_the_run(failing, tmp_path):
    line = failing(float_stage={"epochs": 2, "batch": 8, "learning_rate": 1e30})
    assert line.startswith("fewflips: float stage, epoch 1, step ")
    assert "task loss" in line or "weights" in line
    assert f"{tmp_path}/out/checkpoint.pt still holds the last good checkpoint" in line
    assert "float_stage.learning_rate" in line
    saved = load_checkpoint(tmp_path / "out" / "checkpoint.pt")
    assert all(torch.isfinite(value).all() for value in saved["network"].values())


def test_the_quantized_stage_that_diverges_keeps_its_last_good_checkpoint(failing, tmp_path):
    line = failing(quantized_stage={"epochs": 2, "batch": 8, "learning_rate": 1e38, "optimizer": "sgd"})
    assert "quantized stage, epoch 1, step " in line
    assert "quantized_stage.learning_rate" in line
    saved = load_checkpoint(tmp_path / "out" / "checkpoint.pt")
    assert (saved["stage"], saved["epoch"]) == ("quantized", 0)
    parameters = [value for name, value in saved["network"].items() if name.endswith("weight")]
    assert all(torch.isfinite(value).all() for value in parameters)


@pytest.mark.parametrize("term", ["task", "distillation", "hamming"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_term_that_diverges_is_named(data, tmp_path, monkeypatch, term, value):
    original, steps = loop.Objective.terms, []

    def spoiled(self, *arguments):
        terms = original(self, *arguments)
        steps.append(None)
        return terms | {term: terms["task"] * value} if len(steps) == 5 else terms

    monkeypatch.setattr(loop.Objective, "terms", spoiled)
    with pytest.raises(DivergenceError, match=f"epoch 1, step 5: the {term} loss became {value}"):
        train(TrainingConfig.model_validate(settings(data, tmp_path / "out")))
    saved = load_checkpoint(tmp_path / "out" / "checkpoint.pt")
    assert (saved["epoch"], saved["step"]) == (0, 4)
    assert all(torch.isfinite(value).all() for value in saved["network"].values())


class Hostile:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return (os.system, (f"touch {self.proof}",))


def test_a_hostile_checkpoint_is_refused_and_not_run(failing, tmp_path):
    proof, folder = tmp_path / "proof", tmp_path / "out"
    folder.mkdir()
    for write in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
        write({"network": Hostile(proof)}, folder / "checkpoint.pt")
        line = failing("--resume")
        assert "checkpoint.pt: expected a checkpoint of tensors and plain values" in line
        assert "not loaded" in line
        assert not proof.exists()


def test_the_hostile_pickle_would_have_created_a_file(tmp_path):
    pickle.loads(pickle.dumps(Hostile(tmp_path / "proof")))
    assert (tmp_path / "proof").exists()


def test_a_packed_checkpoint_is_not_unpacked(tmp_path, monkeypatch):
    stored, packed = tmp_path / "stored.pt", tmp_path / "packed.pt"
    save_checkpoint(stored, {"network": torch.zeros(1_000_000)})
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert packed.stat().st_size < 50_000
    assert load_checkpoint(stored)["network"].shape == (1_000_000,)
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: {})  # is not reached
    with pytest.raises(
        InputError, match=r"packed\.pt: expected a checkpoint of tensors and plain values, got a file that"
    ):
        load_checkpoint(packed)


def test_checkpoints_that_are_cut_off_anywhere(finished, tmp_path):
    content = (finished / "checkpoint.pt").read_bytes()
    path = tmp_path / "checkpoint.pt"
    for size in (0, 1, 10, len(content) // 3, len(content) - 100, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"checkpoint\.pt: expected a checkpoint") as caught:
            load_checkpoint(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "got list"),
        ({"a": 1}, "version 1, got None"),
        ({"format": "fewflips-checkpoint", "version": 2}, "version 1, got fewflips-checkpoint, version 2"),
        ({"format": "fewflips-checkpoint", "version": 1}, "without config"),
    ],
)
def test_files_of_torch_that_are_no_run(failing, tmp_path, content, words):
    (tmp_path / "out").mkdir()
    torch.save(content, tmp_path / "out" / "checkpoint.pt")
    assert words in failing("--resume")


def test_a_run_whose_parts_were_tampered_with(data, finished, tmp_path):
    config = TrainingConfig.model_validate(settings(data, tmp_path))
    saved = load_checkpoint(finished / "checkpoint.pt")
    for changes in (
        {"optimizer": {}},
        {"tally": {"unknown": 1}},
        {"network": {}},
        {"network": 5},
        {"epoch": "x"},
        {"epoch": float("inf")},
        {"epoch": 3, "step": 1},
        {"step": 10**9},
        {"stage": "other"},
        {"config": []},
        {"config": saved["config"] | {"seed": torch.zeros(2)}},
        {"inputs": None},
        {"random": {}},
        {"random": saved["random"] | {"torch": torch.zeros(3, dtype=torch.uint8)}},
        {"epochs": 5},
        {"epochs": [{}]},
        {"accuracies": 5},
        {"accuracies": {"unknown": 1.0}},
    ):
        save_checkpoint(tmp_path / "checkpoint.pt", saved | changes)
        with pytest.raises(InputError, match=r"checkpoint\.pt") as caught:
            train(config, resume=True)
        assert "\n" not in str(caught.value)


def test_an_hd_term_whose_state_was_tampered_with(data, tmp_path, monkeypatch):
    config = TrainingConfig.model_validate(settings(data, tmp_path, hamming={"every": 2, "freeze": 0.5}))
    monkeypatch.setattr(loop.StageLoop, "_end_epoch", _stop_in_quantized(loop.StageLoop._end_epoch))
    with pytest.raises(_Stopped):
        train(config)
    monkeypatch.undo()
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    term = saved["hamming"]
    assert term["assigned"]
    without = {name: value for name, value in term.items() if name != "squares"}
    far = [[order + 1000 for order in layer] for layer in term["orders"]]
    twice = [[torch.zeros_like(order) for order in layer] for layer in term["orders"]]
    large = [torch.full_like(codes, 300) for codes in term["assigned"]]
    damaged = [None, 5, without, term | {"orders": far}, term | {"orders": twice}, term | {"orders": []}]
    damaged += [term | {"assigned": term["assigned"][:1]}, term | {"assigned": large}, term | {"squares": [1.0]}]
    damaged += [term | {"value": float("nan")}, term | {"sensitivity": {}}, term | {"step": "x"}]
    for state in damaged:
        save_checkpoint(tmp_path / "checkpoint.pt", saved | {"hamming": state})
        with pytest.raises(InputError, match=r"checkpoint\.pt: cannot be resumed") as caught:
            train(config, resume=True)
        assert "\n" not in str(caught.value)


class _Stopped(BaseException):
    pass


def _stop_in_quantized(end_epoch):
    def stopping(self):
        end_epoch(self)
        if self.stage.name == "quantized":
            raise _Stopped

    return stopping


def test_a_float_network_of_another_width(failing, finished):
    line = failing(initial={"checkpoint": str(finished)}, network={"name": "resnet", "depth": 8, "width": 1.0})
    assert "features.0.conv.weight of shape [16, 1, 3, 3], got of shape [8, 1, 3, 3]" in line
    assert "another architecture or width" in line


def test_only_finished_float_stages_are_shared(failing, finished, tmp_path):
    assert "expected the float.pt" in failing(initial={"checkpoint": str(finished / "checkpoint.pt")})
    half = tmp_path / "half.pt"
    torch.save({"stage": "float", "network": {}}, half)
    with pytest.raises(InputError, match=r"expected the float\.pt"):
        float_weights(half)


def test_a_checkpoint_that_is_resumed_as_another_network(failing, finished, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint.pt").write_bytes((finished / "checkpoint.pt").read_bytes())
    line = failing("--resume", network={"name": "resnet", "depth": 14, "width": 0.5})
    assert "with network.depth 14, got one with 8" in line


def test_a_damaged_result_is_said(data, finished, tmp_path):
    for name in ("checkpoint.pt", "config.yaml"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    (tmp_path / "result.json").write_text('{"format": "fewflips-training"')
    with pytest.raises(InputError, match=r"result\.json.*remove it"):
        train(TrainingConfig.model_validate(settings(data, tmp_path)), resume=True)


def test_an_output_that_cannot_be_written(failing, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be made" in failing("--output", tmp_path / "file" / "out")


def test_a_full_disk(data, tmp_path, monkeypatch):
    original, written = trainer.save_checkpoint, []

    def full(path, content):
        written.append(path)
        if len(written) == 3:
            monkeypatch.setattr(os, "fsync", _no_space)
        original(path, content)

    monkeypatch.setattr(trainer, "save_checkpoint", full)
    with pytest.raises(OutputError, match=r"cannot write .*checkpoint\.pt: No space left on device"):
        train(TrainingConfig.model_validate(settings(data, tmp_path / "out")))
    saved = load_checkpoint(tmp_path / "out" / "checkpoint.pt")
    assert (saved["epoch"], saved["step"]) == (0, 2)  # the one before it
    assert not list((tmp_path / "out").glob(".*.part"))


def _no_space(_):
    import errno

    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
