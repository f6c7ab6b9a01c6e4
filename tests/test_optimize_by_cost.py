"""``optimize`` by a cost of transitions: what is reported, and which files say what a transition costs."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console

import fewflips
from fewflips.cli import main
from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.errors import InputError
from fewflips.estimation.calibration_files import builtin_calibration, write_calibration
from fewflips.estimation.transition_cost_files import read_transition_cost
from fewflips.estimation.transition_costs import transition_cost_of
from fewflips.records.optimization import OptimizeReport
from fewflips.report.html.page import render_html
from fewflips.report.terminal.flips import headline, result_table
from fewflips.streams.transition_cost import TransitionCost
from tests.network import build_tflite

BITS = (58, 57, 64, 66, 63, 60, 60, 100)
COST = TransitionCost.per_bit(BITS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    return path


@pytest.fixture(scope="module")
def costed(model: Path) -> fewflips.Optimization:
    return fewflips.optimize(model, "edge4", cost=COST)


def walked(network: fewflips.Network, orders) -> list[int]:
    """Cost of each layer's passes on an activation-stationary array, bit by bit."""
    totals = []
    for layer in network.layers:
        total = 0
        for segment in orders[layer.name]:
            rows = layer.weights.view(np.uint8)[np.ix_(segment.order, segment.lanes)].tolist()
            for one, other in pairwise(rows):
                for a, b in zip(one, other, strict=True):
                    total += sum(cost for bit, cost in enumerate(BITS) if (a ^ b) >> bit & 1)
        totals.append(total)
    return totals


def test_the_report_has_the_cost_of_every_stage(costed: fewflips.Optimization):
    cost = costed.report.cost
    assert cost is not None
    assert (cost.source, cost.bits, cost.bit_costs) == (None, 8, BITS)
    assert [stage.name for stage in cost.stages] == ["baseline", "schedule", "drop-in"]
    natural = walked(costed.run.baseline.state.network, costed.run.baseline.state.orders)
    repeats = [layer.repeats for layer in costed.report.layers]
    for stage, run in zip(cost.stages, costed.run.stages, strict=True):
        after = walked(run.state.network, run.state.orders)
        assert [layer.baseline for layer in stage.layers] == natural
        assert [layer.optimized for layer in stage.layers] == after
        assert stage.total.optimized == sum(c * r for c, r in zip(after, repeats, strict=True))
        assert stage.total.baseline == sum(c * r for c, r in zip(natural, repeats, strict=True))
        bounds = [layer.lower_bound for layer in stage.layers]
        if stage.name == "baseline":
            assert set(bounds) == {None}
            continue
        assert all(0 <= bound <= cost for bound, cost in zip(bounds, after, strict=True))
        assert stage.total.lower_bound == sum(b * r for b, r in zip(bounds, repeats, strict=True))
        assert stage.total.optimized < stage.total.baseline
    assert costed.report.settings.command is None  # no command line can give an object


def test_no_bound_of_flips_is_claimed(costed: fewflips.Optimization):
    for stage in costed.report.stages:
        assert stage.totals.weights.lower_bound is None
        assert all(layer.weights.lower_bound is None for layer in stage.layers)
        assert all(layer.weights.proven_segments == 0 for layer in stage.layers)
    flips = [layer.weights.optimized_flips for layer in costed.report.layers]
    bits = [sum(layer.weights.optimized_bit_position_flips) for layer in costed.report.layers]
    assert flips == bits


def test_what_is_shown_says_what_orders_were_chosen_by(costed: fewflips.Optimization):
    console = Console(width=200, record=True)
    console.print(result_table(costed.report))
    table, first = console.export_text(), headline(costed.report)
    page = render_html(costed.report, costed.picture)
    words = "Orders were chosen by the costs of each bit&#39;s flips; tables count flips"
    assert words.replace("&#39;", "'") in " ".join(table.split())
    assert words in page
    for stage in ("schedule", "drop-in"):
        assert f"{stage}: transitions of weights cost" in first
        assert f"<dt>cost, {stage}</dt>" in page
    assert "above the lower bound" in first
    assert "segments proven cheapest" in first


def test_a_report_without_costs_is_as_before(model: Path, costed: fewflips.Optimization):
    report = fewflips.optimize(model, "edge4", mode="schedule").report
    assert report.cost is None
    assert "cost" not in json.loads(report.model_dump_json())
    assert "chosen by" not in headline(report)
    schema = json.loads((Path(__file__).parents[1] / "schemas/report.schema.json").read_text())
    for made in (report, costed.report):
        content = json.loads(made.model_dump_json())
        jsonschema.validate(content, schema)
        assert OptimizeReport.model_validate(content) == made


def test_costs_of_flips_give_the_orders_of_flips(model: Path):
    plain = fewflips.optimize(model, "edge4", mode="schedule")
    as_cost = fewflips.optimize(model, "edge4", mode="schedule", cost=TransitionCost.flips(8))
    assert as_cost.schedule == plain.schedule
    weights = plain.report.totals.weights
    assert as_cost.report.cost is not None
    total = as_cost.report.cost.stages[1].total
    assert (total.baseline, total.optimized, total.lower_bound, total.segments, total.proven_segments) == (
        weights.baseline_flips,
        weights.optimized_flips,
        weights.lower_bound,
        weights.segments,
        weights.proven_segments,
    )


@pytest.mark.parametrize("machine", ["tpu16", "os16"])
@pytest.mark.parametrize("cost", [COST, TransitionCost.from_table(np.abs(np.subtract.outer(*[np.arange(256)] * 2)))])
def test_other_dataflows_are_ordered_by_costs(model: Path, machine: str, cost: TransitionCost, tmp_path: Path):
    result = fewflips.optimize(model, machine, mode="schedule", cost=cost)
    assert result.report.cost is not None
    assert (result.report.cost.bit_costs is None) == (cost.bit_costs is None)
    for layer in result.report.cost.stages[1].layers:
        assert layer.lower_bound <= layer.optimized <= layer.baseline
    result.save(tmp_path / "out")
    assert fewflips.verify(model, tmp_path / "out" / "schedule.json").check.passed


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_the_command_line_takes_a_file_and_repeats_it(
    model: Path, costed: fewflips.Optimization, tmp_path: Path, monkeypatch, capsys
):
    file = tmp_path / "cost.yaml"
    file.write_text(f"bit_costs: {list(BITS)}\n")
    arguments = ["optimize", str(model), "--output", str(tmp_path / "out"), "--accelerator", "edge4"]
    assert run(monkeypatch, *arguments, "--cost", str(file)) == 0
    assert "transitions of weights cost" in " ".join(capsys.readouterr().out.split())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["cost"]["source"] == str(file)
    assert report["cost"]["stages"] == json.loads(costed.report.model_dump_json())["cost"]["stages"]
    assert f"--cost {file}" in report["settings"]["command"]
    assert run(monkeypatch, *arguments, "--cost", str(tmp_path / "none.yaml")) == 2
    assert "none.yaml: cannot be read: No such file or directory" in capsys.readouterr().err


def test_costs_of_another_width_are_refused(model: Path):
    with pytest.raises(InputError, match=r"expected one for codes of 8 bits, as weights of .* got one for 4 bits"):
        fewflips.optimize(model, "edge4", cost=TransitionCost.per_bit([1, 2, 3, 4]))


def test_files_of_costs(tmp_path: Path):
    table = np.abs(np.subtract.outer(np.arange(256), np.arange(256)))
    for name, text, expected in (
        ("a.yaml", "bit_costs: [1, 2, 3]", TransitionCost.per_bit([1, 2, 3])),
        ("b.json", '{"bit_costs": [0, 4]}', TransitionCost.per_bit([0, 4])),
        ("c.json", json.dumps({"table": table.tolist()}), TransitionCost.from_table(table)),
        ("d.yml", "table:\n- [0, 7]\n- [7, 0]\n", TransitionCost.from_table([[0, 7], [7, 0]])),
    ):
        (tmp_path / name).write_text(text)
        assert read_transition_cost(tmp_path / name) == expected
    weights, activations = Word(WordFormat.TWOS_COMPLEMENT, 8), Word(WordFormat.UNSIGNED, 8)
    calibration = builtin_calibration(Datapath("column", weights, activations, lanes=16, partial_sum_input=True))
    assert calibration is not None
    write_calibration(calibration, tmp_path / "calibration.json")
    assert read_transition_cost(tmp_path / "calibration.json") == transition_cost_of(calibration).cost


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "bit_costs: [1, 2.5]", "bit_costs.1: Input should be a valid integer"),
        ("a.yaml", "bit_costs: [1, -2]", "costs of bits: expected integers from 0 to 32768"),
        ("a.yaml", "bit_costs: []", "costs of bits: expected 1 to 16 integers"),
        ("a.yaml", "bit_costs: [true]", "bit_costs.0: Input should be a valid integer"),
        ("a.yaml", "bit_costs: [1]\ntable: [[0, 1], [1, 0]]", "expected either bit_costs or table"),
        ("a.yaml", "{}", "expected either bit_costs or table"),
        ("a.yaml", "[1, 2]", "Input should be a valid dictionary"),
        ("a.yaml", "costs: [1]", "costs: Extra inputs are not permitted"),
        ("a.yaml", "table: [[0, 1], [2, 0]]", "table of costs: expected a symmetric one"),
        ("a.yaml", "table: [[0, 1], [1]]", "table of costs: expected rows of the same length, all of integers"),
        ("a.yaml", "table: []", "table of costs: expected 2 to 512 rows and columns"),
        ("a.yaml", "bit_costs: [36893488147419103232]", "expected integers from 0 to 32768"),
        ("a.json", "{", "EOF while parsing"),
        ("a.json", '{"format": "fewflips-calibration"}', "expected a fewflips calibration"),
        ("a.yaml", " " * 70000, "expected at most 65536 bytes"),
    ],
)
def test_files_that_hold_no_costs(name: str, text: str, words: str, tmp_path: Path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_transition_cost(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    (tmp_path / name).write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(InputError):
        read_transition_cost(tmp_path / name)
