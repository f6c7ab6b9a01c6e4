"""Whether a network got worse: against a budget, against an earlier report, and as the command says it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

import fewflips
from fewflips.cli import main
from fewflips.errors import InputError
from fewflips.records.budget import Limits, NetworkBudget, read_budget
from fewflips.records.quantities import quantities_of
from fewflips.records.reading import read_report
from tests.network import build_tflite as small
from tests.report.sample_reports import energy_report, measure_report, optimize_report, with_bills, with_energy

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("check") / "branching.tflite"
    path.write_bytes(small.branching())
    return path


@pytest.fixture(scope="module")
def measured(model: Path) -> fewflips.MeasureReport:
    return fewflips.measure(model)


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def flips(report: fewflips.MeasureReport, number: int) -> int:
    port = report.layers[number].weights
    return port.flips * port.repeats


def better(report: fewflips.MeasureReport, number: int, by: int) -> fewflips.MeasureReport:
    """The same report, whose layer had fewer flips."""
    layer = report.layers[number]
    weights = layer.weights.model_copy(update={"flips": layer.weights.flips - by})
    layers = list(report.layers)
    layers[number] = layer.model_copy(update={"weights": weights})
    return report.model_copy(update={"layers": tuple(layers)})


def test_a_network_is_as_good_as_itself(model, measured):
    report = fewflips.check(model, against=measured)
    assert report.passed
    assert report.worse == report.gone == report.added == ()
    assert report.layers == len(measured.layers)
    assert report.total.weight_flips == sum(flips(measured, number) for number in range(len(measured.layers)))


def test_one_flip_more_is_worse_and_a_tolerance_allows_it(model, measured):
    earlier = better(measured, 1, 1)
    report = fewflips.check(model, against=earlier)
    assert not report.passed
    (found,) = report.worse
    assert (found.layer, found.quantity) == (measured.layers[1].name, "weight_flips")
    assert (found.value, found.limit) == (flips(measured, 1), flips(earlier, 1))
    allowed = 100 * (flips(measured, 1) / flips(earlier, 1) - 1)
    assert fewflips.check(model, against=earlier, tolerance_percent=allowed * 1.01).passed
    assert not fewflips.check(model, against=earlier, tolerance_percent=allowed * 0.99).passed


def test_layers_that_have_no_counterpart_are_named(model, measured):
    first = measured.layers[0].model_copy(update={"name": "another"})
    report = fewflips.check(model, against=measured.model_copy(update={"layers": (first, *measured.layers[1:])}))
    assert (report.gone, report.added) == (("another",), (measured.layers[0].name,))
    assert report.layers == len(measured.layers) - 1
    with pytest.raises(InputError, match="layers of the same names"):
        fewflips.check(model, against=measured.model_copy(update={"layers": (first,)}))


def test_a_report_on_another_machine_is_refused(model, measured):
    with pytest.raises(InputError, match="expected a report on the machine tpu16, got one on edge16, which differs"):
        fewflips.check(model, against=measured, accelerator="tpu16")
    assert fewflips.check(model, against=measured, accelerator="edge16").passed


def test_the_own_limit_of_a_layer_comes_before_patterns_and_all(model, measured):
    names = [layer.name for layer in measured.layers]
    generous, none = Limits(weight_flips=1e12), Limits(weight_flips=0)
    pattern = names[0][:2] + "*"
    report = fewflips.check(model, budget=NetworkBudget(every_layer=none, layers={names[0]: generous}))
    assert [found.layer for found in report.worse] == [name for name in names[1:] if flips_of(report, name)]
    report = fewflips.check(model, budget=NetworkBudget(layers={names[0]: generous, pattern: none}))
    assert names[0] not in [found.layer for found in report.worse]


def flips_of(report, name: str) -> bool:
    return any(found.layer == name for found in report.worse)


def test_limits_for_each_mac(model, measured):
    layer = measured.layers[0]
    rate = flips(measured, 0) / layer.macs
    for limit, passed in ((rate * 1.001, True), (rate * 0.999, False)):
        budget = NetworkBudget(layers={layer.name: Limits(weight_flips_per_mac=limit)})
        assert fewflips.check(model, budget=budget).passed is passed
    total = NetworkBudget(network=Limits(weight_flips=measured.totals.weights.flips - 1))
    (found,) = fewflips.check(model, budget=total).worse
    assert (found.layer, found.value) == (None, measured.totals.weights.flips)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (NetworkBudget(), "expected at least one limit, got none"),
        (NetworkBudget(every_layer=Limits(activation_flips=1)), "give sample inputs"),
        (NetworkBudget(network=Limits(data_pj=1)), "--energy"),
        (NetworkBudget(layers={"nothing like it": Limits(weight_flips=1)}), "expected names or patterns"),
    ],
)
def test_budgets_that_say_nothing_of_the_network_are_refused(model, budget, message):
    with pytest.raises(InputError, match=message):
        fewflips.check(model, budget=budget)


def test_a_misspelt_layer_or_key_is_told(model, measured, tmp_path):
    name = measured.layers[0].name
    with pytest.raises(InputError, match="did you mean"):
        fewflips.check(model, budget=NetworkBudget(layers={name + "x": Limits(weight_flips=1)}))
    file = tmp_path / "budget.yaml"
    file.write_text("every_layer: {weight_flip: 3}\n")
    with pytest.raises(InputError, match="did you mean 'weight_flips'"):
        read_budget(file)


def test_either_a_budget_or_a_report_is_wanted(model, measured):
    with pytest.raises(InputError, match="got both or neither"):
        fewflips.check(model)
    with pytest.raises(InputError, match="got both or neither"):
        fewflips.check(model, budget=NetworkBudget(), against=measured)


def test_the_command_says_one_line_a_layer(monkeypatch, capsys, model, measured, tmp_path):
    file = tmp_path / "earlier.json"
    file.write_text(better(better(measured, 0, 1), 1, 2).model_dump_json())
    assert run(monkeypatch, "check", model, "--against", file) == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert [line.partition(": weight flips ")[0] for line in lines] == [layer.name for layer in measured.layers[:2]]
    assert summary.startswith(f"{model.name} on edge16: WORSE than earlier.json (weight flips")
    assert summary.endswith("2 of them worse")
    file.write_text(measured.model_dump_json())
    assert run(monkeypatch, "check", model, "--against", file) == 0
    assert "within earlier.json" in capsys.readouterr().out


def test_the_command_prints_json_of_the_schema(monkeypatch, capsys, model, tmp_path):
    file = tmp_path / "budget.yaml"
    file.write_text("every_layer: {weight_flips: 10}\nlayers:\n  '*': {weight_flips_per_mac: 0.001}\n")
    schema = json.loads((SCHEMAS / "budget.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(file.read_text()))
    assert run(monkeypatch, "check", model, "--budget", file, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / "check.schema.json").read_text())).validate(report)
    assert {found["quantity"] for found in report["worse"]} == {"weight_flips", "weight_flips_per_mac"}
    assert (report["basis"], report["outcome"], report["file"]) == ("budget", None, "budget.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ('{"format": "fewflips-demo"}', "got format 'fewflips-demo'"),
        ("[]", "got format None"),
        ('{"format": "fewflips-report"}', "Field required"),
    ],
)
def test_other_files_are_refused(monkeypatch, capsys, model, tmp_path, content, message):
    file = tmp_path / "other.json"
    file.write_text(content)
    assert run(monkeypatch, "check", model, "--against", file) == 2
    assert message in capsys.readouterr().err
    assert run(monkeypatch, "check", model, "--against", tmp_path / "absent.json") == 2
    assert "absent.json: cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("report", [optimize_report(3), measure_report(3), energy_report(3)])
def test_reports_are_read_as_they_were_written(report, tmp_path):
    (tmp_path / "report.json").write_text(report.model_dump_json())
    assert read_report(tmp_path / "report.json") == read_report(tmp_path) == report


def test_quantities_of_an_optimization_are_those_of_its_outcomes():
    report = with_bills(with_energy(optimize_report(4, activations=True)))
    for outcome in ("before", "schedule", "drop-in"):
        found = quantities_of(report, outcome)
        assert sum(layer.weight_flips for layer in found.layers.values()) == found.total.weight_flips
        assert found.total.activation_flips is not None
        for layer in report.layers:
            parts = {
                "before": layer.energy.baseline,
                "schedule": layer.energy.schedule,
                "drop-in": layer.energy.drop_in,
            }[outcome]
            own = found.layers[layer.name]
            assert (own.data_pj, own.datapath_pj) == (parts.inertial.data_pj, parts.inertial.total_pj)
            assert own.whole_pj == parts.bill.whole_pj
    before, tied = quantities_of(report, "before"), quantities_of(report, "drop-in")
    layer = report.layers[2]
    assert before.layers[layer.name].weight_flips == layer.weights.baseline_flips * layer.weights.repeats
    assert tied.layers[layer.name].weight_flips == layer.drop_in.weights.optimized_flips * layer.weights.repeats
    assert quantities_of(optimize_report(4, mode="schedule"), "drop-in") is None
    assert quantities_of(measure_report(2), "schedule") is None
