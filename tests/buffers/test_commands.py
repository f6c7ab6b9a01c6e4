"""Machines whose memories contradict themselves or do not suffice, as a user meets them: one line, exit code 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fewflips.cli import main
from fewflips.dataflows import Dataflow, register_dataflow
from fewflips.estimation.calibration.calibrate import CalibrationRequest, calibrate
from fewflips.machine import load_accelerator
from fewflips.machine.dataflow_names import DATAFLOWS
from tests.dataflows.row_stationary import RowStationary
from tests.network import build_tflite as small

HEAD = "name: tiny\nlanes: 2\ncolumns: 2\n"
BUFFERS = HEAD + (
    "buffers:\n"
    "  weights: {size_kib: 8, word_bits: 16}\n"
    "  activations: {size_kib: 8, word_bits: 16}\n"
    "  partial_sums: {size_kib: 8, word_bits: 32}\n"
    "  index_table: {size_kib: 8, word_bits: 16}\n"
)


@pytest.fixture
def branching(tmp_path: Path) -> Path:
    path = tmp_path / "branching.tflite"
    path.write_bytes(small.branching())
    return path


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, branching):
    """Run a command on a machine; its exit code, and what it wrote to both streams."""

    def command(yaml: str, name: str, *options: object) -> tuple[int, str, str]:
        machine = tmp_path / "machine.yaml"
        machine.write_text(yaml)
        words = ["fewflips", name, branching, "--accelerator", machine, *options]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code, printed.out, printed.err

    return command


def changed(line: str, by: str) -> str:
    """The machine with one buffer described differently."""
    lines = [by if each.strip().startswith(f"{line}:") else each for each in BUFFERS.splitlines()]
    return "\n".join(lines) + "\n"


DESCRIPTIONS = {
    "not a number": (
        changed("weights", "  weights: {size_kib: .nan, word_bits: 16}"),
        "buffers.weights.size_kib: Input should be a finite number, got nan",
    ),
    "infinite": (
        changed("weights", "  weights: {size_kib: .inf, word_bits: 16}"),
        "buffers.weights.size_kib: Input should be",
    ),
    "no size": (
        changed("weights", "  weights: {size_kib: 0, word_bits: 16}"),
        "buffers.weights.size_kib: Input should be greater than 0, got 0",
    ),
    "absurd size": (
        changed("weights", "  weights: {size_kib: 1.0e+30, word_bits: 16}"),
        "buffers.weights.size_kib: Input should be less than or equal to 1073741824",
    ),
    "negative energy": (
        changed("weights", "  weights: {size_kib: 8, word_bits: 16, read_pj: -1}"),
        "buffers.weights.read_pj: Input should be greater than or equal to 0, got -1",
    ),
    "energy that is not a number": (
        changed("weights", "  weights: {size_kib: 8, word_bits: 16, write_pj: .nan}"),
        "buffers.weights.write_pj: Input should be a finite number, got nan",
    ),
    "absurd leakage": (
        changed("weights", "  weights: {size_kib: 8, word_bits: 16, leakage_uw: .inf}"),
        "buffers.weights.leakage_uw: Input should be",
    ),
    "a word of no bits": (
        changed("weights", "  weights: {size_kib: 8, word_bits: 0}"),
        "buffers.weights.word_bits: Input should be greater than or equal to 1, got 0",
    ),
    "a word wider than its bank": (
        changed("weights", "  weights: {size_kib: 0.25, word_bits: 1025, banks: 2}"),
        "expected a word that fits into a bank, got word_bits 1025 in a bank of 1024 bits",
    ),
    "an unknown source": (
        changed("weights", "  weights: {size_kib: 8, word_bits: 16, source: guess}"),
        "buffers.weights.source: Value error, expected one of table",
    ),
    "an unknown key": (
        changed("weights", "  weights: {size_kib: 8, word_bits: 16, ports: 2}"),
        "buffers.weights.ports: Extra inputs are not permitted, got 2",
    ),
    "an unknown buffer": (
        changed("index_table", "  indices: {size_kib: 8, word_bits: 16}"),
        "buffers.indices: Extra inputs are not permitted",
    ),
    "no buffer of weights": (changed("weights", ""), "buffers.weights: Field required"),
    "a level for an unknown operand": (
        BUFFERS + "  beyond: [{name: L2, size_kib: 32, word_bits: 64, holds: [bias]}]\n",
        "buffers.beyond.0.holds.0: Input should be 'weights', 'activations', 'partial-sums' or 'index-table'",
    ),
    "two levels with one name": (
        BUFFERS + "  beyond: [{name: L2, size_kib: 32, word_bits: 64}, {name: L2, size_kib: 64, word_bits: 64}]\n",
        "beyond: expected a different name for each level, got L2, L2",
    ),
    "a tile of no outputs": (BUFFERS + "tiling: {outputs: 0}\n", "tiling.outputs: Input should be greater than"),
}


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_description_that_contradicts_itself(run, case):
    yaml, words = DESCRIPTIONS[case]
    code, out, error = run(yaml, "measure")
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert words in error


MEMORIES = {
    "no buffer of partial sums": (
        changed("partial_sums", ""),
        "partial sums and has no buffer for them: describe buffers.partial_sums",
    ),
    "sums that do not fit": (
        changed("partial_sums", "  partial_sums: {size_kib: 0.01, word_bits: 32, read_pj: 1, write_pj: 1}"),
        "its partial sums that are not complete take",
    ),
    "a size that is not in the table": (
        changed("weights", "  weights: {size_kib: 2, word_bits: 16}"),
        "buffers.weights: the built-in table has banks of 8 to 1024 KiB, got 2 KiB: state read_pj and write_pj",
    ),
    "a level that is smaller than the weights": (
        BUFFERS + "  beyond: [{name: L2, size_kib: 0.01, word_bits: 8, holds: [weights], read_pj: 1, write_pj: 1}]\n",
        "its weights take",
    ),
}


@pytest.mark.parametrize("command", ["energy", "optimize"])
@pytest.mark.parametrize("case", MEMORIES)
def test_memories_that_do_not_suffice(run, tmp_path, case, command):
    yaml, words = MEMORIES[case]
    options = () if command == "energy" else ("--output", tmp_path / "out", "--energy", "--jobs", 1)
    code, out, error = run(yaml, command, *options)
    assert (code, out) == (2, "")
    assert words in error.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_no_index_table(run, tmp_path, branching):
    without = changed("index_table", "")
    code, _, error = run(without, "optimize", "--output", tmp_path / "out")
    assert code == 2
    assert "tiny: expected an index table for the orders of a schedule, got none" in error
    assert run(without, "optimize", "--output", tmp_path / "drop_in", "--mode", "drop-in")[0] == 0
    assert run(BUFFERS, "optimize", "--output", tmp_path / "out", "--mode", "schedule")[0] == 0
    code, _, error = run(without, "energy", "--schedule", tmp_path / "out" / "schedule.json")
    assert code == 2
    assert "tiny has no index table, and the layer is scheduled: describe buffers.index_table" in error.splitlines()[-1]


def test_a_dataflow_that_does_not_count_its_accesses(run):
    class Silent(RowStationary):
        name = "silent"
        accesses = Dataflow.accesses

    register_dataflow(Silent)
    try:
        code, _, error = run(BUFFERS + "dataflow: silent\n", "energy")
    finally:
        DATAFLOWS.unregister("silent")
    assert code == 2
    assert "tiny: dataflow silent does not say what it reads and writes: define its `accesses`" in error


def test_reports_name_buffers_only_where_there_are_some(run):
    for yaml, expected in ((HEAD, False), (BUFFERS, True)):
        code, out, _ = run(yaml, "measure", "--json")
        assert code == 0
        assert ("buffers" in json.loads(out)["accelerator"]) is expected
        assert "tiling" not in json.loads(out)["accelerator"]


def test_a_calibration_is_of_the_units_alone():
    found = calibrate(None, load_accelerator("edge4"), CalibrationRequest())
    assert found.accelerator.buffers is None


def test_the_example_of_the_page_is_a_machine(run):
    page = (Path(__file__).parents[2] / "docs" / "memories.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    code, out, _ = run(example, "measure", "--json")
    assert code == 0
    levels = json.loads(out)["accelerator"]["buffers"]["beyond"]
    assert [(level["name"], level["holds"]) for level in levels if "holds" in level] == [("DRAM", ["weights"])]
