"""Misspelt names are answered with the nearest one that there is."""

from __future__ import annotations

import sys

import pytest

import fewflips
from fewflips.cli import main
from fewflips.errors import FewflipsError
from fewflips.near_misses import did_you_mean, nearest
from fewflips.optimization.registration import step_named


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_the_nearest_of_several_is_taken_whatever_its_case():
    assert nearest("Shedule", ["schedule", "drop-in", "scheduler"]) == "schedule"
    assert nearest("EDGE16", ["edge16", "edge8"]) == "edge16"
    assert nearest("x" * 201, ["x" * 200]) is None
    assert did_you_mean("entirely else", ["schedule"]) == ""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("name: a\nlane: 4\ncolumns: 4", "did you mean 'lanes'"),
        ("name: a\nlanes: 4\ncolumns: 4\nweights: {formt: unsigned}", "did you mean 'format'"),
        ("name: a\nlanes: 4\ncolumns: 4\ndatapath: {zero_gate: true}", "did you mean 'zero_gating'"),
        ("name: a\nlanes: 4\ncolumns: 4\ndataflow: activation-stationery", "did you mean 'activation-stationary'"),
        ("name: a\nlanes: 4\ncolumns: 4\nweights: {format: unsignd}", "did you mean 'unsigned'"),
    ],
)
def test_keys_and_values_of_machines_are_suggested(tmp_path, text, meant):
    file = tmp_path / "machine.yaml"
    file.write_text(text)
    with pytest.raises(FewflipsError, match=meant):
        fewflips.load_accelerator(file)


def test_machines_and_steps_are_suggested():
    with pytest.raises(FewflipsError, match="did you mean 'edge16'"):
        fewflips.load_accelerator("egde16")
    with pytest.raises(FewflipsError, match="did you mean 'drop-in'"):
        step_named("dropin")


def test_keys_of_a_training_configuration_are_suggested(tmp_path):
    pytest.importorskip("torch", reason="needs the extra train")
    from fewflips.training.config import load_config

    file = tmp_path / "train.yaml"
    file.write_text("networks: {}\n")
    with pytest.raises(FewflipsError, match="did you mean 'network'"):
        load_config(file)


def test_commands_and_options_are_suggested(monkeypatch, capsys):
    assert run(monkeypatch, "mesure") == 2
    assert "Did you mean 'measure'?" in capsys.readouterr().err
    assert run(monkeypatch, "measure", "x", "--accelarator", "edge16") == 2
    assert "--accelerator" in capsys.readouterr().err
