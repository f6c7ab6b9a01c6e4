from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fewflips.report.schemas import SCHEMAS, main, schema_text
from tests.report.sample_reports import measure_report, optimize_report

COMMITTED = Path(__file__).parents[2] / "schemas"


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((COMMITTED / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(("name", "model"), SCHEMAS, ids=[name for name, _ in SCHEMAS])
def test_committed_schemas_are_up_to_date(name, model):
    remedy = "run: python -m fewflips.report.schemas schemas"
    assert (COMMITTED / name).read_text() == schema_text(model), remedy


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


@pytest.mark.parametrize("name", ["report.schema.json", "measurement.schema.json"])
def test_every_field_is_documented(name):
    schema = json.loads((COMMITTED / name).read_text())
    fields = {field for record in [schema, *schema["$defs"].values()] for field in record.get("properties", ())}
    text = (COMMITTED.parent / "docs" / "report.md").read_text()
    assert sorted(field for field in fields if f"`{field}`" not in text) == []


def test_the_command_writes_every_schema(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(name for name, _ in SCHEMAS)
    assert len(capsys.readouterr().out.splitlines()) == len(SCHEMAS)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main([]) == 2
    assert main([str(tmp_path / "missing")]) == 2
    errors = capsys.readouterr().err
    assert "usage" in errors
    assert "cannot write" in errors
