"""The waterfall of --explain: figures after each step, in the record, the terminal and the page."""

from __future__ import annotations

import json
import os
import re
import sys
from html import unescape
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console

import fewflips
from fewflips.cli import main
from fewflips.optimization import register_step
from fewflips.optimization.registration import STEPS
from fewflips.records.optimization import OptimizeReport
from fewflips.records.waterfall import Figures, WaterfallStage
from fewflips.report.html.page import render_html
from fewflips.report.numbers import THIN_SPACE
from fewflips.report.terminal.flips import result_table
from fewflips.report.waterfall_words import as_change, drops, measures
from fewflips.simulation.run import EnergyOptions
from tests.network import build_onnx, build_tflite
from tests.steps.test_added_step import walk
from tests.steps.toy_steps import Backwards, EvenWeights, SortedWords

SHARE = 0.02


@pytest.fixture(autouse=True)
def _registered():
    for step in (SortedWords, Backwards, EvenWeights):
        register_step(step)
    yield
    for step in (SortedWords, Backwards, EvenWeights):
        STEPS.unregister(step.name)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    return path


def printed(report: OptimizeReport, width: int = 80) -> str:
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(result_table(report))
    return console.export_text()


def test_flips_after_each_step_are_those_of_the_loop_nest(model: Path):
    report = fewflips.optimize(model, "edge4", steps=("sorted", "backwards"), explain=True, jobs=1).report
    layers = fewflips.load(model).layers
    orders = (lambda words: words, sorted, lambda words: sorted(words)[::-1])
    assert [stage.name for stage in report.waterfall] == ["baseline", "sorted", "backwards"]
    for stage, order in zip(report.waterfall, orders, strict=True):
        walked = [walk(layer, order) for layer in layers]
        assert [(one.weight_flips, one.weight_seam_flips) for one in stage.layers] == walked
        assert stage.total.weight_flips == sum(within for within, _ in walked)
        assert stage.total.weight_seam_flips == sum(seams for _, seams in walked)
        assert stage.main
        assert stage.total.activation_flips is None
        assert stage.total.inertial_data_pj is None


def test_activations_are_counted_where_there_are_samples(model: Path, tmp_path: Path):
    np.savez(tmp_path / "inputs.npz", image=np.random.default_rng(0).integers(-128, 128, (2, 8, 8, 3), np.int8))
    report = fewflips.optimize(model, "edge4", inputs=tmp_path / "inputs.npz", explain=True, jobs=1).report
    for stage, record in zip(report.waterfall, report.stages, strict=True):
        assert stage.total.activation_flips == record.totals.activations.optimized_flips
        for one, pair in zip(stage.layers, record.layers, strict=True):
            assert one.activation_flips == pair.activations.optimized_flips * pair.activations.repeats
    assert "activ. flips" in printed(report)


def test_energy_of_each_layer_is_that_of_the_energy_command(model: Path, tmp_path: Path):
    options = EnergyOptions(share=SHARE, jobs=1)
    energy = fewflips.EnergyRequest(options=options)
    result = fewflips.optimize(model, "edge4", mode="both", energy=energy, explain=True, jobs=1)
    result.save(tmp_path / "out")
    runs = {
        "baseline": fewflips.energy(model, "edge4", options=options),
        "schedule": fewflips.energy(model, "edge4", schedule=tmp_path / "out" / "schedule.json", options=options),
        "drop-in": fewflips.energy(tmp_path / "out" / "model.tflite", "edge4", options=options),
    }
    assert [(stage.name, stage.main) for stage in result.report.waterfall] == [
        ("baseline", True),
        ("schedule", True),
        ("drop-in", False),
    ]
    for stage in result.report.waterfall:
        alone = runs[stage.name]
        for one, energies in zip((*stage.layers, stage.total), (*alone.layers, alone.total), strict=True):
            assert one.zero_delay_data_pj == pytest.approx(energies.zero_delay.data_pj)
            assert one.inertial_data_pj == pytest.approx(energies.inertial.data_pj)
            assert one.whole_pj == pytest.approx(energies.bill.whole_pj)
    table, page = printed(result.report), render_html(result.report)
    for text in (table, unescape(page)):
        words = " ".join(text.split())
        assert "Not among these: drop-in." in words
        assert "Energy was not simulated" not in words
    assert all(line in table for line in ("data, zero delay", "data, inertial", "whole bill"))
    assert page.count("<details>") == len(measures(result.report.waterfall)) == 4
    for measure in measures(result.report.waterfall):
        for drop in drops(result.report.waterfall, measure)[1:]:
            since = f"{measure.shown(drop.after, THIN_SPACE)}, {as_change(drop.change, THIN_SPACE)} since baseline"
            assert f"<title>{drop.name}: {since}</title>" in page


def test_it_is_there_on_request_alone(model: Path):
    plain, explained = (
        fewflips.optimize(model, "edge4", steps=["sorted"], explain=explain, jobs=1).report for explain in (False, True)
    )
    assert "waterfall" not in json.loads(plain.model_dump_json())
    assert "What each step is worth" not in printed(plain) + render_html(plain)
    content = json.loads(explained.model_dump_json())
    assert len(content.pop("waterfall")) == 2
    for report, command in ((plain, False), (explained, True)):
        assert ("--explain" in report.settings.command) is command
    content["settings"]["command"] = plain.settings.command
    assert content == json.loads(plain.model_dump_json())
    words = " ".join(printed(explained).split())
    assert "Energy was not simulated: --energy shows what each step is worth in energy." in words
    assert OptimizeReport.model_validate_json(explained.model_dump_json()) == explained


def test_each_step_states_its_evidence(tmp_path: Path):
    model = build_onnx.save(build_onnx.qdq(), tmp_path / "model.onnx")
    result = fewflips.optimize(model, "edge4", steps=["even", "backwards"], explain=True, jobs=1)
    for text in (printed(result.report), re.sub("<[^>]+>", " ", unescape(render_html(result.report)))):
        words = " ".join(text.split())
        assert "outputs within 0.50 of a probability since baseline: measured on many inputs of this network" in words
        assert (
            "exact since even: words stream in another order, and each of them is still there; checked: every" in words
        )
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "report.schema.json").read_text())
    jsonschema.validate(json.loads(result.report.model_dump_json()), schema)


def figures(flips: int, energy: float | None = None) -> Figures:
    return Figures(
        weight_flips=flips,
        weight_seam_flips=0,
        activation_flips=None,
        zero_delay_data_pj=energy,
        inertial_data_pj=energy,
        whole_pj=None,
    )


def stage(name: str, start: str | None, flips: int, energy: float | None = None, main: bool = True) -> WaterfallStage:
    one = figures(flips, energy)
    return WaterfallStage(name=name, start=start, main=main, total=one, layers=(one,))


def test_changes_add_up_along_the_main_line():
    stages = (
        stage("baseline", None, 1000, 50.0),
        stage("first", "baseline", 800, 45.0),
        stage("second", "first", 900, 30.0),
        stage("aside", "baseline", 500, 25.0, main=False),
    )
    flips, zero_delay, inertial = measures(stages)
    assert [measure.key for measure in (flips, zero_delay, inertial)] == ["weight-flips", "zero-delay", "inertial"]
    assert [drop.change for drop in drops(stages, flips)] == pytest.approx([None, -0.2, 0.1, -0.5])
    assert [drop.ratio for drop in drops(stages, flips)] == pytest.approx([1, 1.25, 10 / 9, 2])
    changes = [drop.change for drop in drops(stages, inertial, 0)]
    assert sum(changes[1:3]) == pytest.approx(30 / 50 - 1)
    assert [drop.before for drop in drops(stages, inertial)] == [50.0, 50.0, 45.0, 50.0]


def test_a_layer_without_flips_has_no_shares():
    stages = (stage("baseline", None, 0), stage("first", "baseline", 0))
    assert [(drop.change, drop.ratio) for drop in drops(stages, measures(stages)[0])] == [(None, None)] * 2


def test_six_stages_fit_a_terminal_of_80_columns(model: Path):
    report = fewflips.optimize(model, "edge4", steps=["sorted"], explain=True, jobs=1).report
    names = ("schedule", "cluster", "signs", "round", "drop-in")
    layers = (figures(123_456_789, 1.5e6),) * len(report.layers)
    total = figures(1_234_567_890, 1.234e7)
    stages = [WaterfallStage(name="baseline", start=None, main=True, total=total, layers=layers)]
    stages += [WaterfallStage(name=name, start="baseline", main=True, total=total, layers=layers) for name in names]
    table = printed(report.model_copy(update={"waterfall": tuple(stages)}))
    shown = table[table.index("What each step is worth, all layers") :]
    assert "\u2026" not in shown
    assert all(name in shown for name in names)


def test_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys, model: Path, tmp_path: Path):
    arguments = ["optimize", str(model), "--accelerator", "edge4", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["fewflips", *arguments, "--steps", "sorted", "--explain", "--jobs", "1"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert "What each step is worth, all layers" in capsys.readouterr().out
    assert "What each step is worth" in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["waterfall"][1]["name"] == "sorted"
