"""``fewflips rtl --column`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from fewflips.api import column as task
from fewflips.cli import main
from fewflips.datapath.scheduled_column.testbench import ColumnResult
from fewflips.network import load
from tests.network import build_tflite

from .schedules import random_schedule, written

TINY = "name: tiny\nlanes: 2\ncolumns: 2\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def schedule(model: Path, tiny: Path, tmp_path: Path) -> Path:
    return written(random_schedule(load(model), tiny), tmp_path / "schedule.bin")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", "rtl", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_the_files_are_a_testbench_that_passes(monkeypatch, capsys, model, tiny, tmp_path, iverilog) -> None:
    folder = tmp_path / "rtl"
    assert run(monkeypatch, model, "--output", folder, "--accelerator", tiny) == 0  # those of the unit alone go
    alone = {path.name for path in folder.glob("*.hex")}
    assert run(monkeypatch, model, "--output", folder, "--accelerator", tiny, "--column", "--layer", "second") == 0
    printed = capsys.readouterr().out
    files = [line.removeprefix("wrote ") for line in printed.splitlines() if line.startswith("wrote ")]
    assert {Path(file).name for file in files[3:]} | {"fewflips-manifest.json"} == {
        path.name for path in folder.iterdir()
    }
    assert alone.isdisjoint({path.name for path in folder.iterdir()})
    sources = sorted(str(file) for file in folder.glob("*.v"))
    subprocess.run([iverilog, "-g2005", "-s", "testbench", "-o", "test.vvp", *sources], cwd=folder, check=True)
    shown = subprocess.run(["vvp", "test.vvp"], cwd=folder, check=True, capture_output=True, text=True).stdout
    assert shown.startswith("PASS scheduled_column_2_lanes")


def test_the_report_names_figures(monkeypatch, capsys, model, schedule, tmp_path, iverilog) -> None:
    arguments = (
        "--column",
        "--schedule",
        schedule,
        "--run",
        "--synthesize",
        "--layer",
        "logits",
        "--flip-flop-bits",
        200,
    )
    assert run(monkeypatch, model, "--output", tmp_path / "rtl", *arguments) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in (
        "branching.tflite on tiny: a scheduled column runs logits",
        "5 channels x 40 products, 1 of 1 pixels, in the order of",
        "20 passes with 100 words a pixel",
        "the order takes 300 bits as an index table",
        "% of it the controller; critical path",
        "NangateOpenCellLibrary, Yosys",
        "PASS: all 5 results are equal to the integer matrix product (Icarus Verilog",
    ):
        assert words in printed


def test_json_follows_its_schema(monkeypatch, capsys, model, schedule, tmp_path, iverilog) -> None:
    arguments = (
        "--column",
        "--schedule",
        schedule,
        "--run",
        "--synthesize",
        "--preload",
        "--pixels",
        3,
        "--columns",
        2,
    )
    assert run(monkeypatch, model, "--output", tmp_path / "rtl", "--json", *arguments) == 0
    report = json.loads(capsys.readouterr().out)
    jsonschema.validate(report, json.loads((Path(__file__).parents[2] / "schemas" / "column.schema.json").read_text()))
    assert (report["pixels"], report["pixels_of_layer"], report["columns"]) == (3, 64, 2)
    assert report["simulation"]["passed"]
    assert report["simulation"]["results"] == 3 * report["n"]
    assert report["cycles"] == report["simulation"]["cycles"]
    assert [memory["name"] for memory in report["memories"]] == [
        "passes",
        "indices",
        "weights",
        "activations",
        "starts",
        "sums",
    ]
    assert report["gates"]["area_um2"] > report["gates"]["unit"]["area_um2"] > 0
    assert sorted(report["files"]) == sorted(path.name for path in (tmp_path / "rtl").glob("*.[vh]*"))


EVERYTHING = (
    "weights: {coding: bus-invert}\nactivations: {coding: bus-invert}\n"
    "datapath: {hold_flags: true, sign_flags: true, offset_sums: true}\n"
)


def test_the_report_of_a_column_with_everything(monkeypatch, capsys, model, tiny, tmp_path, iverilog) -> None:
    tiny.write_text(TINY + EVERYTHING)
    arguments = ("--accelerator", tiny, "--column", "--layer", "second", "--preload", "--run", "--synthesize")
    assert run(monkeypatch, model, "--output", tmp_path / "rtl", *arguments, "--pixels", 6, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    jsonschema.validate(report, json.loads((Path(__file__).parents[2] / "schemas" / "column.schema.json").read_text()))
    holds, gates = report["holds"], report["gates"]
    assert holds["flags"] == 6 * 2 * report["words"]
    assert holds["fetched"] + holds["held"] == holds["flags"]
    assert report["simulation"]["fetched"] == holds["fetched"]
    assert {memory["name"]: memory["copies"] for memory in report["memories"]}["weights"] == 2
    encoders = gates["weight_encoders"]["area_um2"] + gates["activation_encoders"]["area_um2"]
    total = gates["unit"]["area_um2"] + gates["control"]["area_um2"] + encoders
    assert gates["area_um2"] == pytest.approx(total)
    assert run(monkeypatch, model, "--output", tmp_path / "rtl", *arguments, "--pixels", 6) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in (
        f"Lanes fetch {holds['fetched']} of {holds['flags']} weights; the others repeat, as their flags say.",
        "encoders, weights",
        "encoders, activations",
        "PASS: all",
    ):
        assert words in printed


def test_a_testbench_that_fails_is_an_error(monkeypatch, capsys, model, tiny, tmp_path, iverilog) -> None:
    wrong = ColumnResult(False, 512, 3, 1000, ("pixel 0, channel 1: expected 00, got 01",))
    monkeypatch.setattr(task, "run_column", lambda bench: wrong)
    assert run(monkeypatch, model, "--output", tmp_path / "rtl", "--accelerator", tiny, "--column", "--run") == 2
    captured = capsys.readouterr()
    assert "FAIL: 3 of 512 results differ" in captured.out
    assert "pixel 0, channel 1: expected 00, got 01" in captured.out
    assert captured.err.endswith("3 of 512 results of the column differ from the integer matrix product\n")
    assert len(captured.err.splitlines()) == 1


def test_a_changed_schedule_is_refused(monkeypatch, capsys, model, schedule, tmp_path) -> None:
    content = bytearray(schedule.read_bytes())
    content[-40] ^= 1
    schedule.write_bytes(content)
    assert run(monkeypatch, model, "--output", tmp_path / "rtl", "--column", "--schedule", schedule) == 2
    captured = capsys.readouterr()
    assert "its checksum does not fit, so it was cut off or changed" in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not (tmp_path / "rtl").exists()


def test_without_icarus_nothing_is_written(monkeypatch, capsys, model, tiny, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(monkeypatch, model, "--output", tmp_path / "rtl", "--accelerator", tiny, "--column", "--run") == 2
    assert "iverilog was not found on the path" in capsys.readouterr().err
    assert not (tmp_path / "rtl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--schedule", "s.bin"), "--schedule belongs to a column: give --column too"),
        (("--run",), "--run belongs to a column: give --column too"),
        (("--synthesize",), "--synthesize belongs to a column: give --column too"),
        (("--flip-flop-bits", "10"), "--flip-flop-bits belongs to a column: give --column too"),
        (("--json",), "--json belongs to a column: give --column too"),
        (("--column", "--cycles", "5"), "--cycles is for the testbench of a unit alone: with --column give --pixels"),
        (("--column", "--cells", "sky130hd"), "--cells is for synthesis: give --synthesize too"),
        (("--column", "--flip-flop-bits", "10"), "memories are built where a column is synthesized"),
        (("--column", "--synthesize", "--cells", "no.lib"), "no.lib"),
        (("--column", "--schedule", "no.bin"), "no.bin"),
        (("--column", "--accelerator", "os16"), "os16: a column needs an activation-stationary machine"),
        (("--column", "--layer", "nothing"), "layer 'nothing': expected one of stem"),
        (("--column", "--columns", "0"), "0"),
        (("--column", "--pixels", "0"), "0"),
        (("--column", "--output", "{model}"), "branching.tflite"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(monkeypatch, capsys, model, tmp_path, arguments, message) -> None:
    given = [argument.format(model=model) for argument in arguments]
    assert run(monkeypatch, model, "--output", tmp_path / "rtl", *given) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert message in captured.err
