"""``fewflips train`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fewflips.cli import main
from tests.patience import PATIENCE_S
from tests.training.small_datasets import fashion, settings


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return fashion(tmp_path_factory.mktemp("data"))


@pytest.fixture
def config_file(data, tmp_path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings(data, tmp_path / "out")))
    return path


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_it_prints_accuracies_and_says_epochs_on_stderr(monkeypatch, capsys, config_file, tmp_path):
    assert run(monkeypatch, "train", "--config", config_file) == 0
    captured = capsys.readouterr()
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert f"{result['accuracies']['exported_percent']:.2f}" in captured.out
    assert f"wrote {tmp_path}/out/model.onnx" in captured.out
    epochs = [line for line in captured.err.splitlines() if " epoch " in line]
    assert len(epochs) == 5
    assert epochs[0].startswith("float epoch 1/3: loss task ")


def test_options_replace_the_files_values(monkeypatch, capsys, config_file, tmp_path):
    options = ["--output", tmp_path / "here", "--seed", 5, "--threads", 1, "--device", "cpu", "--json"]
    assert run(monkeypatch, "train", "--config", config_file, *options) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["config"]["seed"], result["config"]["output"]) == (5, str(tmp_path / "here"))
    assert not (tmp_path / "out").exists()
    assert result == json.loads((tmp_path / "here" / "result.json").read_text())


def test_a_finished_run_is_shown_again(monkeypatch, capsys, config_file):
    assert run(monkeypatch, "train", "--config", config_file, "--json") == 0
    first = capsys.readouterr().out
    assert run(monkeypatch, "train", "--config", config_file, "--json") == 2
    error = capsys.readouterr().err
    assert "--resume" in error
    assert run(monkeypatch, "train", "--config", config_file, "--resume", "--json") == 0
    assert capsys.readouterr().out == first


def test_what_it_exports_can_be_optimized(monkeypatch, capsys, config_file, tmp_path):
    assert run(monkeypatch, "train", "--config", config_file) == 0
    model, samples = tmp_path / "out" / "model.onnx", tmp_path / "out" / "samples.npz"
    words = ["--inputs", samples, "--output", tmp_path / "optimized", "--mode", "schedule", "--jobs", 1, "--json"]
    capsys.readouterr()
    assert run(monkeypatch, "optimize", model, *words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schedule"]["check"]["passed"]
    totals = report["totals"]["schedule"]["weights"] if "schedule" in report["totals"] else None
    assert totals is None or totals["optimized_flips"] <= totals["baseline_flips"]


def test_help_does_not_load_torch():
    code = "import sys; from fewflips.cli import cli; cli(['train', '--help'], standalone_mode=False)\n"
    code += "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert "--resume" in shown.stdout


def test_without_torch_one_line_says_what_to_install(monkeypatch, capsys, config_file):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else find(name, *rest))
    assert run(monkeypatch, "train", "--config", config_file) == 2
    assert "fewflips[train]" in capsys.readouterr().err


def test_energy_goes_with_pareto(monkeypatch, capsys, config_file):
    assert run(monkeypatch, "train", "--config", config_file, "--energy") == 2
    assert "--pareto" in capsys.readouterr().err
