"""Steps that are written outside the package and registered: optimize, the command line and the report take them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console

import fewflips
from fewflips.cli import main
from fewflips.dataflows import Segment
from fewflips.errors import FewflipsError, InputError, RuntimeFailure, VerificationError
from fewflips.machine import load_accelerator
from fewflips.optimization import Context, Evidence, Outcome, State, Step, register_step, step_names
from fewflips.optimization.registration import STEPS
from fewflips.optimization.steps.drop_in import DropInStep
from fewflips.optimization.steps.order import ScheduleStep
from fewflips.records.optimization import OptimizeReport, StageRecord
from fewflips.report.html.page import render_html
from fewflips.report.terminal.flips import result_table
from fewflips.simulation.run import EnergyOptions
from tests.network import build_onnx, build_tflite
from tests.patience import PATIENCE_S
from tests.steps.toy_steps import MOVED, Backwards, EvenWeights, SortedWords

LANES = COLUMNS = 4


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


@pytest.fixture
def onnx_model(tmp_path: Path) -> Path:
    return build_onnx.save(build_onnx.qdq(), tmp_path / "model.onnx")


Order = Callable[[list[list[int]]], list[list[int]]]
"""What a step makes of the words of one segment."""


def walk(layer: fewflips.Layer, order: Order) -> tuple[int, int]:
    """Flips of `edge4`'s weight registers within passes and at seams, in one inference, cycle by cycle."""
    codes = layer.weights.view(np.uint8).tolist()
    cycles = []
    for row in range(0, layer.m, COLUMNS):
        for first in range(0, layer.k, LANES):
            words = [code[first : first + LANES] for code in codes]
            for word in order(words):
                cycles.append(((row, first), word + [0] * (LANES - len(word))))
    flips = [0, 0]
    for (label, words), (after, later) in pairwise(cycles):
        flips[label != after] += sum((a ^ b).bit_count() for a, b in zip(words, later, strict=True))
    return flips[0], flips[1]


def counted(stage: StageRecord) -> list[tuple[int, int]]:
    """The same two figures of each layer, as a report gives them."""
    ports = [pair.weights for pair in stage.layers]
    return [(port.optimized_flips * port.repeats, port.optimized_seam_flips) for port in ports]


def printed(report: OptimizeReport) -> str:
    console = Console(width=300, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(result_table(report))
    return console.export_text()


def test_flips_of_each_stage_are_those_of_the_loop_nest(model: Path):
    result = fewflips.optimize(model, "edge4", steps=("sorted", "backwards"))
    baseline, by_value, backwards = result.report.stages
    layers = result.network.layers
    assert counted(baseline) == [walk(layer, lambda words: words) for layer in layers]
    assert counted(by_value) == [walk(layer, sorted) for layer in layers]
    assert counted(backwards) == [walk(layer, lambda words: sorted(words)[::-1]) for layer in layers]
    assert counted(by_value) != counted(backwards)  # their seams differ: the second step builds on the first
    assert [stage.start for stage in result.report.stages] == [None, "baseline", "sorted"]
    for stage in (by_value, backwards):
        assert stage.evidence.exact
        assert stage.order_check.bit_exact
        within, seams = (sum(flips) for flips in zip(*counted(stage), strict=True))
        totals = stage.totals.weights
        assert (totals.optimized_flips, totals.optimized_seam_flips) == (within, seams)
        assert totals.baseline_flips == sum(flips for flips, _ in counted(baseline))


def test_the_last_orders_are_the_schedule_and_every_stage_is_shown(model: Path, tmp_path: Path):
    result = fewflips.optimize(model, "edge4", steps=("sorted", "schedule", "backwards"))
    report = result.report
    backwards = report.stages[-1]
    assert backwards.start == "schedule"
    assert report.totals == backwards.totals
    assert [layer.weights for layer in report.layers] == [pair.weights for pair in backwards.layers]
    assert [stage.files for stage in report.stages] == [(), (), (), ("schedule.json",)]
    assert report.stages[2].totals.weights.lower_bound is not None
    assert report.settings.mode is None
    assert "--step sorted --step schedule --step backwards" in report.settings.command
    table, page = printed(report), render_html(report)
    for name, start in (("sorted", "baseline"), ("schedule", "baseline"), ("backwards", "schedule")):
        (line,) = (line for line in table.splitlines() if line.startswith(f"Stage {name}: "))
        assert line.rstrip().endswith(f"weight flips (exact since {start}).") or "as before (exact" in line
        assert f"<dt>stage {name}</dt>" in page
    result.save(tmp_path / "out")
    assert fewflips.verify(model, tmp_path / "out" / "schedule.json").check.passed
    written = json.loads((tmp_path / "out" / "schedule.json").read_text())["layers"]
    for layer in written:
        orders = [segment.order.tolist() for segment in result.run.stages[2].state.orders[layer["name"]]]
        assert [segment["order"] for segment in layer["segments"]] == [order[::-1] for order in orders]


def test_a_step_goes_on_from_a_rewritten_model(model: Path, tmp_path: Path):
    result = fewflips.optimize(model, "edge4", steps=(DropInStep(), SortedWords()))
    dropped, by_value = result.report.stages[1:]
    assert by_value.start == "drop-in"
    rewritten = result.drop_in.network
    assert counted(dropped) == [walk(layer, lambda words: words) for layer in rewritten.layers]
    assert counted(by_value) == [walk(layer, sorted) for layer in rewritten.layers]
    result.save(tmp_path / "out")
    out = tmp_path / "out"
    assert fewflips.verify(model, out / "model.tflite").check.passed
    assert fewflips.verify(out / "model.tflite", out / "schedule.json").check.passed
    with pytest.raises(InputError, match="was made for a model with SHA-256"):
        fewflips.verify(model, out / "schedule.json")


def test_outputs_within_a_bound(onnx_model: Path, tmp_path: Path):
    result = fewflips.optimize(onnx_model, "edge4", steps=["even", "backwards"])
    _, even, backwards = result.report.stages
    for layer, kept in zip(result.network.layers, result.drop_in.network.layers, strict=True):
        assert (kept.weights == layer.weights // 2 * 2).all()
    assert counted(even) == [walk(layer, lambda words: words) for layer in result.drop_in.network.layers]
    assert all(pair.weights.optimized_bit_position_flips[0] == 0 for pair in backwards.layers)
    assert (even.evidence.exact, even.evidence.bound, even.evidence.unit) == (False, 0.5, "of a probability")
    assert even.model_check.passed
    assert not even.model_check.bit_exact
    assert 0 < even.model_check.largest_difference <= 0.5
    assert even.files == ("model.onnx",)
    assert result.report.drop_in is None
    assert "Stage even: " in printed(result.report)
    assert "outputs within 0.50 of a probability since baseline" in printed(result.report)
    assert "the network as step even left it" in render_html(result.report)
    result.save(tmp_path / "out")
    found = fewflips.verify(onnx_model, tmp_path / "out" / "model.onnx").check
    assert found.largest_difference == even.model_check.largest_difference
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "report.schema.json").read_text())
    jsonschema.validate(json.loads((tmp_path / "out" / "report.json").read_text()), schema)


def test_a_model_alone_is_called_by_its_step(onnx_model: Path):
    report = fewflips.optimize(onnx_model, "edge4", steps=["even"]).report
    assert (report.schedule, report.drop_in) == (None, None)
    assert report.totals == report.stages[1].totals
    assert "weight flips within passes, after step even" in printed(report)
    assert "With the step even, one inference flips" in render_html(report)


@dataclass(frozen=True)
class Claims(Step):
    """A step that says that nothing is lost."""

    spoil: Callable[[State], State]

    name = "claims"

    def apply(self, state: State, context: Context) -> Outcome:
        return Outcome(self.spoil(state), MOVED)


def first_segment(change: Callable[[Segment], Segment]) -> Callable[[State], State]:
    """Orders whose first segment of the first layer is another one."""

    def spoil(state: State) -> State:
        name = state.network.layers[0].name
        first, *others = state.orders[name]
        return replace(state, orders={**state.orders, name: (change(first), *others)})

    return spoil


LIES = {
    "a word left out": (
        first_segment(lambda one: Segment(one.lanes, one.order[1:])),
        r"step claims: .*: the schedule leaves out \d+ of \d+ weights; it was not written",
    ),
    "a word twice": (
        first_segment(lambda one: Segment(one.lanes, np.append(one.order, one.order[0]))),
        "step claims: .*visits an index twice",
    ),
    "an index outside": (
        first_segment(lambda one: Segment(one.lanes, np.append(one.order[1:], 10**6))),
        "step claims: .*indices outside the layer",
    ),
    "a layer without orders": (
        lambda state: replace(state, orders=dict(list(state.orders.items())[1:])),
        "step claims: .*: expected an order of its segments, got none",
    ),
    "more lanes than there are": (
        lambda state: replace(
            state,
            orders={layer.name: (Segment(np.arange(layer.k), np.arange(layer.n)),) for layer in state.network.layers},
        ),
        r"step claims: .*a segment has \d+ lanes, edge4 has room for 4",
    ),
    "another machine": (
        lambda state: replace(state, accelerator=load_accelerator("edge16")),
        "step claims: expected the machine that it was given, got another one",
    ),
    "fewer layers": (
        lambda state: replace(state, network=replace(state.network, layers=state.network.layers[1:])),
        "step claims: expected layers of the shapes that it was given, got others",
    ),
    "a network without files": (
        lambda state: replace(state, network=replace(state.network)),
        "step claims: gives another network; expected a step that says `rewrites = True`",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_step_that_breaks_what_it_was_given_is_refused(model: Path, lie: str):
    spoil, words = LIES[lie]
    with pytest.raises(VerificationError, match=words):
        fewflips.optimize(model, "edge4", steps=[Claims(spoil)])


def test_orders_that_nobody_checked_are_executed(model: Path, monkeypatch: pytest.MonkeyPatch):
    """The second net below the first: the sums themselves."""
    monkeypatch.setattr("fewflips.optimization.checks.check_coverage", lambda *_: None)
    with pytest.raises(VerificationError, match="sums differ when its segments are executed in scheduled order"):
        fewflips.optimize(model, "edge4", steps=[Claims(LIES["a word left out"][0])])


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (Evidence.exact("nothing changed"), r"model\.onnx is not model\.onnx with its channels moved: structure: "),
        (
            Evidence.bounded(1e-9, "of a probability", "hope"),
            r"step even: expected outputs that differ by 1e-09 at most, as its evidence says; got .*largest difference",
        ),
    ],
    ids=["exact", "bounded"],
)
def test_a_step_whose_model_computes_something_else_is_refused(onnx_model: Path, evidence: Evidence, words: str):
    with pytest.raises(VerificationError, match=words):
        fewflips.optimize(onnx_model, "edge4", steps=[EvenWeights(evidence)])


def test_a_rewriting_step_is_left_out_where_the_original_does_not_run(
    onnx_model: Path, monkeypatch: pytest.MonkeyPatch
):
    failure = RuntimeFailure("it does not run", fewflips.load(onnx_model).path)
    monkeypatch.setattr("fewflips.api.optimize._refusal", lambda *_: failure)
    report = fewflips.optimize(onnx_model, "edge4", steps=["sorted", "even"]).report
    assert [stage.name for stage in report.stages] == ["baseline", "sorted"]
    note = "no even file, since the original cannot be run to compare its outputs: it does not run"
    assert note in report.notes
    for steps in (["even"], ["even", "sorted"]):  # nothing is left, or what is left builds on it
        with pytest.raises(RuntimeFailure, match="it does not run"):
            fewflips.optimize(onnx_model, "edge4", steps=steps)


def test_energy_of_a_stage_is_that_of_its_schedule(model: Path, tmp_path: Path):
    options = EnergyOptions(share=0.02)
    result = fewflips.optimize(model, "edge4", steps=["sorted"], energy=fewflips.EnergyRequest(options=options))
    result.save(tmp_path / "out")
    alone = fewflips.energy(model, "edge4", schedule=tmp_path / "out" / "schedule.json", options=options)
    _, stage = result.report.stages
    assert stage.energy.zero_delay.data_pj == pytest.approx(alone.total.zero_delay.data_pj)
    assert result.report.energy.total.schedule == stage.energy
    assert "data energy" in printed(result.report)


def test_a_mode_is_two_stages_that_start_from_the_baseline(model: Path, tmp_path: Path):
    result = fewflips.optimize(model, "edge4")
    report = result.report
    assert [(stage.name, stage.start) for stage in report.stages] == [
        ("baseline", None),
        ("schedule", "baseline"),
        ("drop-in", "baseline"),
    ]
    _, schedule, dropped = report.stages
    assert (report.totals, report.drop_in.totals) == (schedule.totals, dropped.totals)
    assert [layer.weights for layer in report.layers] == [pair.weights for pair in schedule.layers]
    assert [layer.drop_in for layer in report.layers] == list(dropped.layers)
    assert (report.schedule.check, report.drop_in.check) == (schedule.order_check, dropped.model_check)
    assert "Stage " not in printed(report)
    assert "<dt>stage " not in render_html(report)
    by_name = fewflips.optimize(model, "edge4", steps=("schedule", "drop-in")).report
    assert by_name.stages == report.stages
    assert by_name.layers == report.layers


def test_a_report_of_before_there_were_stages_is_read(model: Path):
    report = fewflips.optimize(model, "edge4", mode="schedule").report
    older = json.loads(report.model_dump_json())
    del older["stages"], older["settings"]["steps"]
    read = OptimizeReport.model_validate(older)
    assert read.layers == report.layers
    assert read.stages == ()
    assert printed(read) == printed(report)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_the_command_line_takes_steps(monkeypatch, capsys, model: Path, tmp_path: Path):
    command = ("optimize", model, "--accelerator", "edge4", "--output", tmp_path / "out")
    assert run(monkeypatch, *command, "--step", "sorted", "--step", "backwards") == 0
    assert "Stage backwards: " in capsys.readouterr().out
    for wrong, words in (
        (("--mode", "both", "--step", "sorted"), "expected either a mode or steps, got mode both and steps as well"),
        (("--step", "sorted", "--step", "sorted"), "expected each step once, got sorted 2 times"),
        (
            ("--step", "nothing"),
            "expected one of schedule, drop-in, joint-drop-in, sorted, backwards, even, got 'nothing'",
        ),
    ):
        assert run(monkeypatch, *command, *wrong) == 2
        assert words in capsys.readouterr().err


def test_an_entry_point_of_another_package_is_enough(model: Path, tmp_path: Path):
    """Without a line of Python: an installed package announces it, and the command line takes it."""
    package = tmp_path / "site"
    metadata = package / "toy_step-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-step\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[fewflips.steps]\nsorted = tests.steps.toy_steps:SortedWords\nanother = builtins:dict\n"
    )
    root = Path(__file__).parents[2]
    places = [str(package), str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}

    def optimized(step: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fewflips", "optimize", str(model), "--accelerator", "edge4", "--json"]
        command += ["--output", str(tmp_path / "out"), "--step", step]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)

    done = optimized("sorted")
    assert done.returncode == 0, done.stderr
    here = fewflips.optimize(model, "edge4", steps="sorted").report.totals.weights.optimized_flips
    assert json.loads(done.stdout)["totals"]["weights"]["optimized_flips"] == here
    done = optimized("another")
    assert done.returncode == 2
    assert "step another: expected a fewflips.Step, got dict" in done.stderr


@dataclass(frozen=True)
class Named(Step):
    """A step of any name that does nothing."""

    name: str

    def apply(self, state: State, context: Context) -> Outcome:
        return Outcome(state, MOVED)


def test_names_are_taken_once(model: Path):
    assert step_names()[:2] == ("schedule", "drop-in")
    with pytest.raises(FewflipsError, match="drop-in comes with fewflips; expected another name"):
        register_step(type("Other", (Backwards,), {"name": "drop-in"}))
    with pytest.raises(InputError, match="steps: expected one step or more, got none"):
        fewflips.optimize(model, steps=[])
    with pytest.raises(InputError, match="baseline is what the network as stored is called"):
        fewflips.optimize(model, steps=[Named("baseline")])


def test_a_step_that_does_nothing_leaves_the_baseline(model: Path, tmp_path: Path):
    result = fewflips.optimize(model, "edge4", steps=[Named("idle")])
    assert counted(result.report.stages[1]) == counted(result.report.stages[0])
    assert sorted(file.name for file in result.save(tmp_path / "out")) == ["report.html", "report.json"]


def test_a_report_says_which_stage_a_schedule_starts_from_and_gives_no_command_for_it(model: Path):
    result = fewflips.optimize(model, "edge4", steps=["drop-in", ScheduleStep(start="stage before")])
    report = result.report
    assert [stage.start for stage in report.stages] == [None, "baseline", "drop-in"]
    assert report.settings.command is None  # `--step drop-in --step schedule` would start from the baseline
    page = render_html(report, result.picture)
    assert "a step was given that no command line can ask for" in page
    for text in (printed(report), page):
        assert "since drop-in" in " ".join(text.split())
    again = fewflips.optimize(model, "edge4", steps=["drop-in", "schedule"]).report
    assert again.settings.command.endswith("--step drop-in --step schedule --seed 0")
    assert "since" not in printed(again)


def test_an_unregistered_step_has_no_command(model: Path):
    STEPS.unregister("backwards")
    report = fewflips.optimize(model, "edge4", steps=[Backwards()]).report
    assert (report.settings.steps, report.settings.command) == (("backwards",), None)
    STEPS.register("backwards")(Backwards)


class Nameless(Step):
    def apply(self, state: State, context: Context) -> Outcome:
        raise AssertionError("it is not applied")


class Silent(Step):
    name = "silent"

    def apply(self, state: State, context: Context) -> None:
        return None


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (5, "steps: expected names of steps or steps, got int"),
        ([5], "steps: expected a name or a step, got int"),
        ([ScheduleStep], r"got the class ScheduleStep; give ScheduleStep\(\)"),
        ([Nameless()], "step Nameless: expected a class with a `name`"),
        (
            [ScheduleStep(start="nonsense")],
            "step schedule: start: expected one of baseline, stage before, got 'nonsense'",
        ),
        ([Silent()], "step silent: expected an Outcome, got NoneType"),
    ],
)
def test_what_is_no_step_is_refused_in_words(model: Path, steps: object, words: str):
    with pytest.raises(FewflipsError, match=words):
        fewflips.optimize(model, "edge4", steps=steps)


def test_a_class_without_a_name_is_not_registered():
    with pytest.raises(InputError, match="Nameless: expected a class with a `name`"):
        register_step(Nameless)


@pytest.mark.parametrize("choice", [("--mode", "drop-in"), ("--step", "drop-in")])
def test_a_binary_schedule_needs_a_schedule(monkeypatch, capsys, model: Path, tmp_path: Path, choice: tuple[str, ...]):
    assert run(monkeypatch, "optimize", model, "--output", tmp_path / "out", *choice, "--binary-schedule") == 2
    assert "expected a mode or a step that gives a schedule" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["schedule", "drop-in", "both"])
def test_results_are_saved_where_the_model_is_gone(model: Path, tmp_path: Path, mode: str):
    result = fewflips.optimize(model, "edge4", mode=mode)
    model.unlink()
    assert {"report.html", "report.json"} < {file.name for file in result.save(tmp_path / "out")}


def test_a_damaged_binary_schedule_is_no_model(model: Path, tmp_path: Path):
    file = tmp_path / "schedule.bin"
    file.write_bytes(b"\x88FFS" + bytes(100))
    with pytest.raises(InputError, match="expected a fewflips schedule"):
        fewflips.verify(model, file)
