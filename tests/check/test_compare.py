"""Runs beside each other: as records, in the terminal, on a page, as CSV; and results as tables."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

import fewflips
from fewflips.cli import main
from fewflips.errors import InputError
from fewflips.report.csv_text import layers_csv
from fewflips.report.html.comparison_page import render_comparison
from fewflips.report.quantity_words import main_quantity
from fewflips.report.terminal.comparison import comparison_table
from tests.report.sample_reports import energy_report, measure_report, optimize_report, with_bills, with_energy

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "comparison.schema.json").read_text())


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def text(renderable: object) -> str:
    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_the_main_outcome_of_each_is_compared():
    first, second = optimize_report(4, mode="both"), optimize_report(4, mode="drop-in")
    report = fewflips.compare(first, second)
    assert [one.outcome for one in report.runs] == ["schedule", "drop-in"]
    assert report.runs[0].compared.weight_flips == first.totals.weights.optimized_flips
    assert report.runs[0].before.weight_flips == first.totals.weights.baseline_flips
    layer = second.layers[1]
    assert report.layers[1].runs[1].weight_flips == layer.weights.optimized_flips * layer.weights.repeats
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(report.model_dump_json()))


def test_layers_that_one_run_lacks_are_there_and_told():
    first, second = optimize_report(names=["a", "b"]), optimize_report(names=["b", "c"])
    report = fewflips.compare(first, second)
    assert [layer.name for layer in report.layers] == ["a", "b", "c"]
    assert [[found is not None for found in layer.runs] for layer in report.layers] == [
        [True, False],
        [True, True],
        [False, True],
    ]
    assert any("2 layers are in" in note for note in report.notes)


def test_energy_comes_first_where_all_know_it():
    with_joules = with_bills(with_energy(optimize_report(3)))
    assert main_quantity(fewflips.compare(with_joules, with_joules)) == "data_pj"
    assert main_quantity(fewflips.compare(with_joules, optimize_report(3))) == "weight_flips"
    assert main_quantity(fewflips.compare(energy_report(3), energy_report(3))) == "data_pj"


def test_labels_are_files_or_folders_and_unlike(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(optimize_report(2).model_dump_json())
    (tmp_path / "two.json").write_text(measure_report(2).model_dump_json())
    files = (tmp_path / "one", tmp_path / "two" / "report.json", tmp_path / "two.json")
    assert [one.label for one in fewflips.compare(*files).runs] == ["one", "two (2)", "two (3)"]
    with pytest.raises(InputError, match="two or more reports"):
        fewflips.compare(files[0])
    with pytest.raises(InputError, match="expected 2 different ones"):
        fewflips.compare(*files[:2], labels=["a", "a"])


def test_the_terminal_says_how_many_times_less():
    report = fewflips.compare(measure_report(2), measure_report(2), labels=["old", "new"])
    half = report.runs[1].compared.model_copy(update={"weight_flips": report.runs[0].compared.weight_flips // 2})
    runs = (report.runs[0], report.runs[1].model_copy(update={"compared": half}))
    shown = text(comparison_table(report.model_copy(update={"runs": runs})))
    assert "1: old, " in shown
    assert "2.00x" in shown


def test_the_page_has_every_layer_and_escapes_names():
    names = ["<img src=x>", "b"]
    reports = [with_bills(with_energy(optimize_report(names=names))) for _ in range(3)]
    page = render_comparison(fewflips.compare(*reports, labels=["<b>", "two", "three"]))
    assert "<img" not in page
    assert "<b>" not in page
    assert page.count("<tr><td") == len(names) + 1  # and the total
    assert page == render_comparison(fewflips.compare(*reports, labels=["<b>", "two", "three"]))


def test_the_command_writes_page_json_and_csv(monkeypatch, capsys, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(optimize_report(3, activations=True).model_dump_json())
    files = (tmp_path / "a.json", tmp_path / "b.json")
    page = tmp_path / "page.html"
    assert run(monkeypatch, "compare", *files, "--page", page, "--by", "activation-flips") == 0
    assert "By layer: activation flips" in capsys.readouterr().out
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert run(monkeypatch, "compare", *files, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
    assert run(monkeypatch, "compare", *files, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 3
    assert rows[0]["a weight_flips"] == rows[0]["b weight_flips"]
    assert run(monkeypatch, "compare", *files, "--csv", "--json") == 2
    assert "got both" in capsys.readouterr().err
    assert run(monkeypatch, "compare", files[0]) == 2


def test_csv_has_figures_in_full_and_no_formulas():
    report = with_energy(optimize_report(names=["=1+1", "b"], mode="schedule"), unknown=(1,))
    first, second = csv.DictReader(io.StringIO(layers_csv(report)))
    layer = report.layers[0]
    assert first["layer"] == "'=1+1"
    assert int(first["before_weight_flips"]) == layer.weights.baseline_flips * layer.weights.repeats
    assert float(first["schedule_data_pj"]) == layer.energy.schedule.inertial.data_pj
    assert second["schedule_data_pj"] == ""
    assert "before_activation_flips" not in first
    measured = next(csv.DictReader(io.StringIO(layers_csv(measure_report(1)))))
    assert "weight_flips" in measured


def test_layers_become_a_data_frame():
    pandas = pytest.importorskip("pandas", reason="needs the extra dataframe")
    report = measure_report(3)
    frame = fewflips.to_dataframe(report)
    assert isinstance(frame, pandas.DataFrame)
    assert frame["weight_flips"].tolist() == [layer.weights.flips * layer.weights.repeats for layer in report.layers]
    assert frame["layer"].tolist() == [layer.name for layer in report.layers]


def test_without_pandas_a_data_frame_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"pip install 'fewflips\[dataframe\]'"):
        fewflips.to_dataframe(measure_report(1))
