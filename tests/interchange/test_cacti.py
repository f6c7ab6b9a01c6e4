"""Figures of memories from CACTI: against the program itself, and where it is missing or fails."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fewflips.buffers import memory_energy
from fewflips.errors import AcceleratorError, ToolError
from fewflips.machine.buffers import Buffer, MemoryLevel
from tests.interchange.commands import run
from tests.interchange.packages import package
from tests.network import build_tflite as small

NEEDS = {
    "-size (bytes)": 8192,
    "-block size (bytes)": 8,
    "-read-write port": 1,
    "-technology (u)": 0.045,
    "-output/input bus width": 64,
    "-UCA bank count": 1,
    "-cache type": '"ram"',
    "-tag size (b)": 0,
    "-associativity": 1,
}


@pytest.fixture(autouse=True)
def no_kept_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEWFLIPS_CACHE", str(tmp_path / "cache"))


def sram(size_kib: float, word_bits: int = 64, **rest: Any) -> Buffer:
    return Buffer(size_kib=size_kib, word_bits=word_bits, source="cacti", **rest)


def test_figures_are_those_of_the_program(tmp_path):
    """An SRAM of 8 KiB that CACTI takes as it is, run with a configuration of our own."""
    installed = package("hwcomponents_cacti")
    folder = Path(installed.__file__).parent
    lines = [
        *(folder / "default_cfg.cfg").read_text().splitlines(),
        *(f"{key} {value}" for key, value in NEEDS.items()),
    ]
    configuration = tmp_path / "sram.cfg"
    configuration.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["./cacti", "-infile", configuration], cwd=folder / "cacti", capture_output=True, text=True, check=False
    )
    results = Path(f"{configuration}.out")
    assert results.exists(), done.stdout[-500:] + done.stderr[-500:]
    row = list(csv.DictReader(results.read_text().splitlines()))[-1]
    found = memory_energy(sram(8), "buffers.weights")
    assert found.read_pj == pytest.approx(float(row[" Dynamic read energy (nJ)"]) * 1e3)
    assert found.write_pj == pytest.approx(float(row[" Dynamic write energy (nJ)"]) * 1e3)
    assert found.leakage_uw == pytest.approx(float(row[" Standby leakage per bank(mW)"]) * 1e3)
    assert not found.simulated
    assert "CACTI" in found.origin


def test_larger_memories_and_older_technologies_cost_more():
    package("hwcomponents_cacti")
    energies = [memory_energy(sram(size), "x").read_pj for size in (8, 64, 1024)]
    assert energies == sorted(energies)
    nodes = [memory_energy(sram(8, technology_nm=node), "x").read_pj for node in (22, 45, 65)]
    assert nodes == sorted(nodes)


def test_banks_leak_together_and_are_read_one_at_a_time():
    package("hwcomponents_cacti")
    one, four = memory_energy(sram(8), "x"), memory_energy(sram(32, banks=4), "x")
    assert four.read_pj == one.read_pj
    assert one.leakage_uw is not None
    assert four.leakage_uw == pytest.approx(4 * one.leakage_uw)


def test_stated_figures_need_no_cacti():
    found = memory_energy(sram(8, read_pj=1.0, write_pj=2.0, leakage_uw=0.0), "buffers.weights")
    assert (found.read_pj, found.write_pj) == (1.0, 2.0)


def test_dram_is_refused():
    level = MemoryLevel(name="main", kind="dram", size_kib=1 << 20, word_bits=64, source="cacti")
    with pytest.raises(AcceleratorError, match="DRAM"):
        memory_energy(level, "buffers.beyond.main")


def test_missing_package_is_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "hwcomponents_cacti", None)
    assert run(monkeypatch, "energy", *_model_and_machine(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "fewflips[memory]" in said
    assert said.count("\n") == 1


class _Failing:
    """CACTI that ends with an error when it is asked for figures."""

    def __init__(self, **_: object) -> None:
        self.leak_power = 0.0

    def read(self) -> object:
        raise Exception("CACTI failed with exit code 1.\nPlease check /somewhere")


class _Nonsense:
    """CACTI whose figures cannot be."""

    leak_power = 1.0

    def __init__(self, **_: object) -> None:
        self.read = self.write = lambda: SimpleNamespace(energy=float("nan"))


@pytest.mark.parametrize(("model", "words"), [(_Failing, "CACTI failed"), (_Nonsense, "expected energies")])
def test_cacti_that_fails(monkeypatch, capsys, tmp_path, model, words):
    installed = ModuleType("hwcomponents_cacti")
    installed.SRAM = model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hwcomponents_cacti", installed)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0")
    with pytest.raises(ToolError, match=words):
        memory_energy(sram(8), "buffers.weights")
    assert run(monkeypatch, "energy", *_model_and_machine(tmp_path)) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def _model_and_machine(folder: Path) -> tuple[object, ...]:
    model, machine = folder / "branching.tflite", folder / "machine.yaml"
    model.write_bytes(small.branching())
    memory = "{size_kib: 8, word_bits: 64, source: cacti}"
    machine.write_text(
        f"name: tiny\nlanes: 2\ncolumns: 2\nbuffers:\n  weights: {memory}\n  activations: {memory}\n"
        f"  partial_sums: {memory}\n"
    )
    return model, "--accelerator", machine
