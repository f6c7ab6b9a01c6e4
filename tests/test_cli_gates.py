"""Commands that go down to gates, as a user meets them."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import jsonschema
import pytest

from fewflips.cli import main
from tests.network import build_tflite as small

TINY = "name: tiny\nlanes: 2\ncolumns: 2\n"


@pytest.fixture
def branching(tmp_path: Path) -> Path:
    path = tmp_path / "branching.tflite"
    path.write_bytes(small.branching())
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_energy_prints_both_delay_models_with_and_without_clock(monkeypatch, capsys, branching, tiny):
    assert run(monkeypatch, "energy", branching, "--accelerator", tiny) == 0
    output = " ".join(capsys.readouterr().out.split())
    for words in ("zero delay", "inertial", "clock", "leak", "one random input", "NangateOpenCellLibrary"):
        assert words in output


def test_energy_as_json_follows_its_schema(monkeypatch, capsys, branching, tiny, tmp_path):
    activity = tmp_path / "activity"
    arguments = ("--accelerator", tiny, "--json", "--clock-mhz", 100, "--cells", "sky130hd", "--activity", activity)
    assert run(monkeypatch, "energy", branching, *arguments) == 0
    report = json.loads(capsys.readouterr().out)
    schema = json.loads((Path(__file__).parents[1] / "schemas" / "energy.schema.json").read_text())
    jsonschema.validate(report, schema)
    assert report["cells"]["voltage_v"] == 1.8
    assert report["settings"]["clock_mhz"] == 100
    assert sorted(file.name for file in activity.iterdir()) == [
        "inertial.saif",
        "inertial.vcd",
        "unit.spef",
        "unit.v",
        "zero_delay.saif",
    ]


def test_the_files_for_other_tools_go_in_again(monkeypatch, capsys, branching, tiny, tmp_path):
    activity = tmp_path / "activity"
    common = ("energy", branching, "--accelerator", tiny, "--json")
    assert run(monkeypatch, *common, "--activity", activity) == 0
    before = json.loads(capsys.readouterr().out)["total"]
    given = ("--netlist", activity / "unit.v", "--spef", activity / "unit.spef")
    assert run(monkeypatch, *common, *given) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["datapath"]["wires"] == "unit.spef"
    for mode in ("zero_delay", "inertial"):
        for part, energy_pj in before[mode].items():
            assert after["total"][mode][part] == pytest.approx(energy_pj, rel=1e-4)


def test_optimize_with_energy(monkeypatch, capsys, branching, tiny, tmp_path):
    arguments = ("--accelerator", tiny, "--output", tmp_path / "out", "--energy", "--jobs", 1)
    assert run(monkeypatch, "optimize", branching, *arguments) == 0
    assert "energy" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    for layer in report["layers"]:
        assert layer["energy"]["baseline"]["inertial"]["data_pj"] > 0
        assert layer["energy"]["schedule"]["inertial"]["data_pj"] > 0
    assert "--energy" in report["settings"]["command"]
    assert "Energy" in (tmp_path / "out" / "report.html").read_text()


def test_rtl_is_written_with_its_testbench(monkeypatch, capsys, branching, tiny, tmp_path, iverilog):
    folder = tmp_path / "rtl"
    assert run(monkeypatch, "rtl", branching, "--accelerator", tiny, "--output", folder, "--cycles", 50) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    import subprocess

    sources = sorted(str(file) for file in folder.glob("*.v"))
    subprocess.run([iverilog, "-g2005", "-o", "test.vvp", *sources], cwd=folder, check=True)
    printed = subprocess.run(["vvp", "test.vvp"], cwd=folder, check=True, capture_output=True, text=True).stdout
    assert "PASS" in printed


def test_a_unit_with_all_that_stands_behind_the_tree(monkeypatch, capsys, branching, tiny, tmp_path, iverilog):
    tiny.write_text(TINY + "datapath: {tree_register: true, offset_sums: true}\nweights: {format: sign-magnitude}\n")
    folder = tmp_path / "rtl"
    assert run(monkeypatch, "rtl", branching, "--accelerator", tiny, "--output", folder, "--cycles", 50) == 0
    import subprocess

    sources = sorted(str(file) for file in folder.glob("*.v"))
    subprocess.run([iverilog, "-g2005", "-o", "test.vvp", *sources], cwd=folder, check=True)
    printed = subprocess.run(["vvp", "test.vvp"], cwd=folder, check=True, capture_output=True, text=True).stdout
    assert "PASS" in printed
    capsys.readouterr()
    assert run(monkeypatch, "energy", branching, "--accelerator", tiny, "--json") == 0
    datapath = json.loads(capsys.readouterr().out)["datapath"]
    assert (datapath["tree_register"], datapath["offset_sums"]) == (True, True)


@pytest.mark.parametrize(
    ("machine", "option", "unit"),
    [
        ("dataflow: output-stationary", "offset_sums", "mac"),
        ("dataflow: weight-stationary\nforwarding: systolic", "tree_register", "chain"),
    ],
)
def test_options_of_columns_are_refused_elsewhere(monkeypatch, capsys, branching, tiny, machine, option, unit):
    tiny.write_text(f"{TINY}{machine}\nweights: {{format: sign-magnitude}}\ndatapath: {{{option}: true}}\n")
    assert run(monkeypatch, "energy", branching, "--accelerator", tiny) == 2
    name = option.replace("_", " ")
    expected = f"tiny: {name}: expected a column, got a {unit}; leave {option} out"
    assert capsys.readouterr().err.splitlines() == [f"fewflips: {expected}"]
    assert run(monkeypatch, "measure", branching, "--accelerator", tiny) == 0
    assert f"Energy was not estimated: {expected}" in " ".join(capsys.readouterr().out.split())


def test_cells_are_listed_and_distilled(monkeypatch, capsys, tmp_path, shared):
    assert run(monkeypatch, "cells", "list") == 0
    listed = capsys.readouterr().out
    assert "nangate45" in listed
    assert "sky130hd" in listed
    assert run(monkeypatch, "cells", "list", "--json") == 0
    assert {record["name"] for record in json.loads(capsys.readouterr().out)} == {"nangate45", "sky130hd"}
    table = tmp_path / "mine.json"
    assert run(monkeypatch, "cells", "distill", shared / "pdk" / "nangate45_typ.lib.gz", "--output", table) == 0
    assert "NangateOpenCellLibrary" in capsys.readouterr().out
    assert table.stat().st_size < 100_000


def test_a_memory_beside_the_standard_cells_is_left_out_and_said(monkeypatch, capsys, tmp_path, shared):
    """As in GF180's files."""
    memory = "cell (SRAM) {{ area : 1e5; bus (A) {{ bus_type : {}; direction : input; }} }}\n"
    with gzip.open(shared / "pdk" / "nangate45_typ.lib.gz", "rt") as file:
        whole = file.read()
    mixed, plain, table = tmp_path / "mixed.lib", shared / "pdk" / "nangate45_typ.lib.gz", tmp_path / "mine.json"
    mixed.write_text(whole[: whole.rindex("}")] + memory.format("address") + "}\n")
    assert run(monkeypatch, "cells", "distill", mixed, "--output", table) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "mixed.lib: 1 cell that cannot be read is left out: SRAM (line" in printed
    assert "cell 'SRAM': expected single pins, got a bus)" in printed
    expected = tmp_path / "expected.json"
    assert run(monkeypatch, "cells", "distill", plain, "--output", expected) == 0
    assert "left out" not in capsys.readouterr().out
    of_mixed, of_plain = json.loads(table.read_text()), json.loads(expected.read_text())
    assert of_mixed["cells"] == of_plain["cells"]
    assert run(monkeypatch, "cells", "list", mixed, plain) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("is left out: SRAM (line") == 1
    assert run(monkeypatch, "cells", "list", mixed, "--json") == 0
    records = {record["name"]: record for record in json.loads(capsys.readouterr().out)}
    assert list(records["mixed.lib"]["left_out"]) == ["SRAM"]
    assert records["mixed.lib"]["cells"] == 134
    assert records["nangate45"]["left_out"] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cells", "nowhere.lib"), "nowhere.lib"),
        (("--cells", "{tmp}/broken.lib"), "broken.lib"),
        (("--netlist", "{tmp}/nothing.v"), "nothing.v"),
        (("--netlist", "{tmp}/latch.v"), "DLH_X1"),
        (("--netlist", "{tmp}/loop.v"), "loop"),
        (("--netlist", "{tmp}/other.v"), "expected input ports activations[16]"),
        (("--spef", "{tmp}/x.spef"), "a SPEF file belongs to a netlist"),
        (("--schedule", "{tmp}/none.json"), "none.json"),
        (("--clock-mhz", "0"), "0"),
        (("--share", "2"), "2"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(monkeypatch, capsys, branching, tiny, tmp_path, arguments, message):
    (tmp_path / "broken.lib").write_text("library (x) { cell (y) {")
    (tmp_path / "other.v").write_text("module m(input a, output z); INV_X1 u(.A(a), .ZN(z)); endmodule\n")
    (tmp_path / "loop.v").write_text(
        "module m(input a, output z); wire y; NAND2_X1 u(.A1(a), .A2(z), .ZN(y)); INV_X1 v(.A(y), .ZN(z)); endmodule\n"
    )
    (tmp_path / "latch.v").write_text("module m(input a, g, output z); DLH_X1 u(.D(a), .G(g), .Q(z)); endmodule\n")
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    assert run(monkeypatch, "energy", branching, "--accelerator", tiny, *given) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert message in captured.err


def test_measure_estimates_energy(monkeypatch, capsys, shared):
    model = shared / "models" / "mobilenet_v2_1.0_224_quant.tflite"
    assert run(monkeypatch, "measure", model, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    estimate = report["estimated_energy"]
    assert estimate["calibration"]["activations"] == "calibration"
    assert estimate["total"]["inertial_data_pj"] > estimate["total"]["zero_delay_data_pj"] > 0
    assert sum(layer["estimated_energy"]["inertial_data_pj"] for layer in report["layers"]) == pytest.approx(
        estimate["total"]["inertial_data_pj"]
    )


def test_measure_goes_on_where_no_unit_can_be_built(monkeypatch, capsys, branching, tmp_path):
    narrow = tmp_path / "narrow.yaml"
    narrow.write_text(TINY + "datapath: {accumulator_bits: 8}\n")
    assert run(monkeypatch, "measure", branching, "--accelerator", narrow) == 0
    assert "Energy was not estimated: tiny: sums of this network take" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "content", ["", "{}", '{"format": "fewflips-calibration"}', "\0\0", "[" * 100_000], ids=str.__len__
)
def test_a_damaged_calibration_is_one_line(monkeypatch, capsys, branching, tmp_path, content):
    path = tmp_path / "calibration.json"
    path.write_text(content)
    assert run(monkeypatch, "measure", branching, "--calibration", path) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert "calibration.json" in captured.err


def test_a_missing_yosys_is_one_line(monkeypatch, capsys, branching, tiny, tmp_path):
    monkeypatch.setenv("FEWFLIPS_YOSYS", str(tmp_path / "yosys"))
    monkeypatch.setenv("FEWFLIPS_CACHE", str(tmp_path / "cache"))
    assert run(monkeypatch, "energy", branching, "--accelerator", tiny) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
