"""Bad input ends in one line that says what to do, and exit code 2."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
import yaml

from fewflips.cli import main
from fewflips.errors import InputError, OutputError
from fewflips.training import loop, trainer
from fewflips.training.checkpoints import load_checkpoint, save_checkpoint
from fewflips.training.config import TrainingConfig
from fewflips.training.losses import DivergenceError
from fewflips.training.resuming import float_weights
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


def test_no_configuration(monkeypatch, capsys, tmp_path):
    for arguments in ([], ["--config", str(tmp_path / "none.yaml")]):
        monkeypatch.setattr(sys, "argv", ["fewflips", "train", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


# ----------------------------------------------------------------------------------------- divergence


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


# ---------------------------------------------------------------------------------------- checkpoints


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
        {"config": []},
    ):
        save_checkpoint(tmp_path / "checkpoint.pt", saved | changes)
        with pytest.raises(InputError, match=r"checkpoint\.pt") as caught:
            train(config, resume=True)
        assert "\n" not in str(caught.value)


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


# --------------------------------------------------------------------------------------------- output


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
