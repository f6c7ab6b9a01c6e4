from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fewflips.report.schemas import INPUT_SCHEMAS, SCHEMAS, input_schema_text, main, schema_text
from tests.report.sample_reports import energy_report, measure_report, optimize_report, with_energy

COMMITTED = Path(__file__).parents[2] / "schemas"


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((COMMITTED / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(("name", "model"), SCHEMAS, ids=[name for name, _ in SCHEMAS])
def test_committed_schemas_are_up_to_date(name, model):
    remedy = "run: python -m fewflips.report.schemas schemas"
    assert (COMMITTED / name).read_text() == schema_text(model), remedy


@pytest.mark.parametrize(("name", "model"), INPUT_SCHEMAS, ids=[name for name, _ in INPUT_SCHEMAS])
def test_committed_schemas_of_inputs_are_up_to_date(name, model):
    assert (COMMITTED / name).read_text() == input_schema_text(model)


@pytest.mark.parametrize("layers", [1, 12, 150])
@pytest.mark.parametrize("activations", [False, True])
@pytest.mark.parametrize("mode", ["schedule", "drop-in", "both"])
def test_reports_are_valid(layers, activations, mode):
    report = optimize_report(layers, mode=mode, activations=activations)
    validator("report.schema.json").validate(json.loads(report.model_dump_json()))


@pytest.mark.parametrize("activations", [False, True])
def test_measurements_are_valid(activations):
    report = measure_report(12, activations=activations)
    validator("measurement.schema.json").validate(json.loads(report.model_dump_json()))


@pytest.mark.parametrize("mode", ["schedule", "drop-in", "both"])
def test_reports_with_energy_are_valid(mode):
    report = with_energy(optimize_report(12, mode=mode), unknown=(1,), ci95_percent=1.0)
    validator("report.schema.json").validate(json.loads(report.model_dump_json()))


@pytest.mark.parametrize("ci95_percent", [None, 2.5])
def test_energies_are_valid(ci95_percent):
    report = energy_report(12, ci95_percent=ci95_percent)
    validator("energy.schema.json").validate(json.loads(report.model_dump_json()))


def drop(*path: Any) -> Callable[[Any], None]:
    def damage(report: Any) -> None:
        for part in path[:-1]:
            report = report[part]
        del report[path[-1]]

    return damage


def put(value: Any, *path: Any) -> Callable[[Any], None]:
    def damage(report: Any) -> None:
        for part in path[:-1]:
            report = report[part]
        report[path[-1]] = value

    return damage


DAMAGES = {
    "no format": drop("format"),
    "another format": put("fewflips-measurement", "format"),
    "a later version": put(2, "version"),
    "no layers": drop("layers"),
    "no name": drop("layers", 0, "name"),
    "no bound": drop("layers", 0, "weights", "lower_bound"),
    "no flips": drop("layers", 0, "weights", "optimized_flips"),
    "negative flips": put(-1, "layers", 0, "weights", "baseline_flips"),
    "flips as text": put("12", "layers", 0, "weights", "baseline_flips"),
    "half a flip": put(0.5, "layers", 0, "weights", "baseline_flips"),
    "an unknown key": put(1, "layers", 0, "weights", "flops"),
    "a short checksum": put("7e", "model", "sha256"),
    "no reduction": drop("totals", "weights", "reduction"),
    "an unknown mode": put("magic", "settings", "mode"),
    "more than all values equal": put(1.1, "schedule", "check", "equal_share"),
    "an empty accelerator": put({}, "accelerator"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_reports_are_rejected(damage):
    report = json.loads(optimize_report(2).model_dump_json())
    damaged = copy.deepcopy(report)
    damage(damaged)
    with pytest.raises(jsonschema.ValidationError):
        validator("report.schema.json").validate(damaged)


def test_what_the_issue_asks_for_is_required():
    schema = json.loads((COMMITTED / "report.schema.json").read_text())["$defs"]
    assert {"name", "operator", "n", "k", "macs", "repeats", "weights"} <= set(schema["LayerResult"]["required"])
    port = {"baseline_flips", "optimized_flips", "lower_bound", "segments", "proven_segments"}
    assert port <= set(schema["PortResult"]["required"])


ENERGY_DAMAGES = {
    "no layers": drop("layers"),
    "no total": drop("total"),
    "no inertial energy": drop("layers", 0, "inertial"),
    "no clock": drop("layers", 0, "zero_delay", "clock_pj"),
    "negative switching": put(-1.0, "layers", 0, "inertial", "switching_pj"),
    "no word on sampling": drop("layers", 0, "sampled"),
    "negative confidence": put(-0.1, "total", "ci95_percent"),
    "an unknown unit": put("alu", "datapath", "kind"),
    "no cells": drop("cells"),
    "an unknown key": put(1, "layers", 0, "joules"),
    "more than all cycles": put(1.5, "settings", "sampled_share"),
}


@pytest.mark.parametrize("damage", ENERGY_DAMAGES.values(), ids=ENERGY_DAMAGES.keys())
def test_damaged_energies_are_rejected(damage):
    report = json.loads(energy_report(2).model_dump_json())
    damage(report)
    with pytest.raises(jsonschema.ValidationError):
        validator("energy.schema.json").validate(report)


def test_energies_have_the_keys_that_scripts_rely_on():
    report = json.loads(energy_report(2).model_dump_json())
    assert {"layers", "total", "datapath", "cells"} <= set(report)
    for energy in (*report["layers"], report["total"]):
        assert {"name", "macs", "zero_delay", "inertial", "sampled", "ci95_percent", "bill"} == set(energy)
        for model in (energy["zero_delay"], energy["inertial"]):
            assert {"switching_pj", "internal_pj", "clock_pj", "leakage_pj"} <= set(model)


@pytest.mark.parametrize("name", ["report.schema.json", "measurement.schema.json", "energy.schema.json"])
def test_every_field_is_documented(name):
    schema = json.loads((COMMITTED / name).read_text())
    fields = {field for record in [schema, *schema["$defs"].values()] for field in record.get("properties", ())}
    text = (COMMITTED.parent / "docs" / "report.md").read_text()
    assert sorted(field for field in fields if f"`{field}`" not in text) == []


def test_the_command_writes_every_schema(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    names = sorted(name for name, _ in (*SCHEMAS, *INPUT_SCHEMAS))
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert len(capsys.readouterr().out.splitlines()) == len(names)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main([]) == 2
    assert main([str(tmp_path / "missing")]) == 2
    errors = capsys.readouterr().err
    assert "usage" in errors
    assert "cannot write" in errors
