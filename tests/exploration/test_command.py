"""The command `fewflips explore` as a user meets it."""

from __future__ import annotations

import csv
import io
import json

import pytest
import yaml

from tests.exploration.spaces import TINY, small_model
from tests.test_cli_gates import run


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "space.yaml").write_text(yaml.safe_dump({**TINY, "vary": {"columns": [2, 3]}}))
    store = ("--store", tmp_path / "store.sqlite", "--jobs", 1)
    return ["explore", small_model(tmp_path), "--space", tmp_path / "space.yaml", *store]


def test_table_and_files(monkeypatch, capsys, arguments, tmp_path):
    assert run(monkeypatch, *arguments, "--output", tmp_path / "out", "--against", "edge4") == 0
    output = capsys.readouterr().out
    assert "the front of 2 machines" in output
    assert "edge4 / best machine: whole energy" in output
    written = {line.removeprefix("wrote ") for line in output.splitlines() if line.startswith("wrote ")}
    for name in ("exploration.json", "exploration.csv", "exploration.html"):
        assert str(tmp_path / "out" / name) in written
    assert (tmp_path / "out" / "exploration.html").read_text().startswith("<!DOCTYPE html>")


def test_json_and_csv_agree(monkeypatch, capsys, arguments):
    assert run(monkeypatch, *arguments, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert run(monkeypatch, *arguments, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    energies = [machine["measures"]["whole_pj"] for machine in report["machines"]]
    assert [float(row["whole_pj"]) for row in rows] == energies


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--csv", "--json"), "--csv: expected alone, got --json as well."),
        (("--inputs", "a", "--inputs", "b"), "expected none, one for all networks, or one for each of 1, got 2"),
        (("--against", "edge5"), "accelerator 'edge5': expected one of"),
        (("--store", "/"), "File '/' is a directory"),
        (("--simulations", "0"), "--simulations"),
    ],
)
def test_bad_arguments_are_one_line(monkeypatch, capsys, arguments, given, words):
    assert run(monkeypatch, *arguments, *given) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_optuna_is_asked_for_where_it_is_missing(monkeypatch, capsys, arguments):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    assert run(monkeypatch, *arguments, "--search", "optuna") == 2
    assert "pip install 'fewflips[explore]'" in capsys.readouterr().err
