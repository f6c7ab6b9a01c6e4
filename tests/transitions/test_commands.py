"""Orders by measured energy: `optimize --cost energy`, `calibrate --costs`, and what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import fewflips
from fewflips.api.costs import chosen_cost, measured_cost
from fewflips.cli import main
from fewflips.errors import InputError
from fewflips.estimation.transition_cost_files import read_transition_cost, write_transition_cost
from fewflips.estimation.transition_costs import EnergyCost
from fewflips.estimation.transitions import machine as measuring
from fewflips.machine import load_accelerator
from fewflips.machine.accelerator import Operand
from fewflips.records.optimization import OptimizeReport
from fewflips.report.terminal.flips import headline, result_table
from fewflips.streams.transition_cost import TransitionCost
from tests.network import build_tflite


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    return path


@pytest.fixture(scope="module")
def measured(model: Path) -> EnergyCost:
    return measured_cost(model, "edge4", jobs=2)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_orders_are_chosen_by_the_energy_that_is_measured(model: Path, measured: EnergyCost) -> None:
    by_name = fewflips.optimize(model, "edge4", cost="energy")
    by_object = fewflips.optimize(model, "edge4", cost=measured.cost)
    assert by_name.schedule == by_object.schedule
    cost, other = by_name.report.cost, by_object.report.cost
    assert cost is not None
    assert other is not None
    assert (cost.source, cost.bit_costs, cost.stages) == ("energy", None, other.stages)
    for stage in cost.stages[1:]:
        assert stage.total.lower_bound is not None
        assert stage.total.lower_bound <= stage.total.optimized < stage.total.baseline
    assert "--cost energy" in by_name.report.settings.command
    words = "Orders were chosen by the energy of the steps between two codes, measured in the machine's unit"
    console = Console(width=200, record=True)
    console.print(result_table(by_name.report))
    assert words in " ".join(console.export_text().split())
    assert "above the lower bound" in headline(by_name.report)


def test_a_network_takes_less_energy_in_their_order(model: Path) -> None:
    """Every cycle of all layers, simulated: against orders of the fewest flips, and the network as stored."""
    request = fewflips.EnergyRequest(options=fewflips.EnergyOptions(share=1.0, jobs=2))
    energies = {}
    for cost in (None, "energy"):
        report = fewflips.optimize(model, "edge4", mode="schedule", cost=cost, energy=request).report
        assert report.energy is not None
        energies[cost] = report.energy.total
    stored = energies[None].baseline.inertial.data_pj
    by_flips, by_energy = (energies[cost].schedule.inertial.data_pj for cost in (None, "energy"))
    assert by_energy < by_flips < stored


def test_the_command_line_measures_and_keeps_costs(
    model: Path, measured: EnergyCost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    kept = tmp_path / "costs.json"
    machine = ["--accelerator", "edge4"]
    assert run(monkeypatch, "calibrate", str(model), *machine, "--costs", str(kept), "--jobs", "2") == 0
    assert f"wrote {kept}" in capsys.readouterr().out
    assert read_transition_cost(kept) == measured.cost
    assert json.loads(kept.read_text())["joules_per_unit"] == measured.joules_per_unit
    folders = {"energy": tmp_path / "measured", str(kept): tmp_path / "kept"}
    for cost, folder in folders.items():
        assert run(monkeypatch, "optimize", str(model), *machine, "--output", str(folder), "--cost", cost) == 0
    reports = [OptimizeReport.model_validate_json((f / "report.json").read_bytes()) for f in folders.values()]
    assert reports[0].cost is not None
    assert reports[1].cost is not None
    assert reports[0].cost.stages == reports[1].cost.stages
    schedules = [(folder / "schedule.json").read_bytes() for folder in folders.values()]
    assert schedules[0] == schedules[1]


def test_files_of_costs_that_stand_for_energy(tmp_path: Path) -> None:
    for cost in (TransitionCost.per_bit([3, 5]), TransitionCost.from_table([[0, 7], [7, 0]])):
        write_transition_cost(EnergyCost(cost, 1e-15), tmp_path / "cost.json")
        assert read_transition_cost(tmp_path / "cost.json") == cost
    with pytest.raises(InputError, match=r"cost\.yaml: expected a file of costs to end in \.json"):
        write_transition_cost(EnergyCost(cost, 1e-15), tmp_path / "cost.yaml")


def test_what_cannot_be_measured_is_refused_in_a_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out = ["--output", str(tmp_path / "out")]
    for arguments, words in (
        (["optimize", str(model), *out, "--accelerator", "tpu16", "--cost", "energy"], "weights stream, in units of"),
        (["optimize", str(model), *out, "--cost", "energy:"], "expected cells behind the colon, got nothing"),
        (["optimize", str(model), *out, "--cost", "energy:none.lib"], "none.lib"),
        (["calibrate", "--costs", str(tmp_path / "a.json")], "--costs: expected a MODEL"),
        (["calibrate", str(model), "--costs", str(tmp_path / "a.yaml")], "expected a file of costs to end in .json"),
    ):
        assert run(monkeypatch, *arguments) == 2
        error = capsys.readouterr().err
        assert words in " ".join(error.split())
    assert not (tmp_path / "out").exists()


def test_codes_too_wide_for_a_table_are_refused(model: Path) -> None:
    wide = Operand.model_validate({"format": "twos-complement", "bits": 10})
    machine = load_accelerator("edge4").model_copy(update={"weights": wide})
    with pytest.raises(InputError, match="expected weights of at most 9 bits, got 10"):
        fewflips.optimize(model, machine, mode="schedule", cost="energy")


def test_other_cells_are_those_named_or_those_of_the_energy(
    model: Path, measured: EnergyCost, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    plain = measuring.load_cells
    monkeypatch.setattr(measuring, "load_cells", lambda cells: asked.append(cells) or plain("nangate45"))
    request = fewflips.EnergyRequest(cells="sky130hd", options=fewflips.EnergyOptions(share=0.01, jobs=2))
    for cost, energy, cells in (
        ("energy", None, "nangate45"),
        (Path("energy:asap7"), None, "asap7"),
        ("energy", request, "sky130hd"),
        ("energy:asap7", request, "asap7"),
    ):
        found = chosen_cost(cost, fewflips.load(model), load_accelerator("edge4"), energy, seed=0, jobs=2)
        assert found == measured.cost
        assert asked.pop() == cells
    assert np.array_equal(found.table, found.table.T)
