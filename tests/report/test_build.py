"""What goes into the report of an optimization."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewflips.machine import load_accelerator
from fewflips.network import Network, load
from fewflips.optimization.pipeline import Run, count_stages, run_steps
from fewflips.optimization.report import optimize_report
from fewflips.optimization.request import Request
from fewflips.optimization.state import State
from fewflips.optimization.step import Context
from fewflips.optimization.steps.order import ScheduleStep
from fewflips.ordering import Effort
from fewflips.records.optimization import EnergyComparison, OptimizeReport
from fewflips.simulation.comparison import VariantEnergies
from tests.network import build_tflite
from tests.report import sample_reports

EXTRA = ("--energy", "--cells", "my cells.lib", "--clock-mhz", "400")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path: Path = tmp_path_factory.mktemp("model") / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    return load(path)


@pytest.fixture(scope="module")
def planned(network: Network) -> Run:
    context = Context(None, Effort.default(), seed=0, jobs=1)
    return count_stages(run_steps(State.stored(network, load_accelerator("edge16")), [ScheduleStep()], context), None)


def built(planned: Run, energies: VariantEnergies | None, extra: tuple[str, ...] = ()) -> OptimizeReport:
    request = Request(
        model="model.tflite",
        accelerator="edge16",
        mode="schedule",
        steps=("schedule",),
        inputs=None,
        prove=False,
        seed=0,
        extra=extra,
    )
    return optimize_report(planned, request, None, ("a note",), energies)


def test_energies_stand_beside_their_layers(network, planned):
    names = tuple(layer.name for layer in network.layers)[1:]
    baseline = tuple(sample_reports.layer_energy(name, macs) for macs, name in enumerate(names, start=100))
    scheduled = tuple(sample_reports.layer_energy(name, macs, 0.5) for macs, name in enumerate(names, start=100))
    totals = {"baseline": baseline[0], "schedule": scheduled[1]}
    sample = sample_reports.with_energy(sample_reports.optimize_report(2)).energy
    energies = VariantEnergies(
        settings=sample.settings,
        datapath=sample.datapath,
        cells=sample.cells,
        layers=names,
        variants={"baseline": baseline, "schedule": scheduled},
        totals=totals,
        notes=("another note",),
    )
    report = built(planned, energies, EXTRA)
    assert report.layers[0].energy is None
    assert [layer.energy for layer in report.layers[1:]] == [
        EnergyComparison(baseline=before, schedule=after) for before, after in zip(baseline, scheduled, strict=True)
    ]
    assert report.energy == sample.model_copy(update={"total": EnergyComparison(**totals)})
    assert [stage.energy for stage in report.stages] == [*totals.values()]
    assert report.notes == ("a note", "another note")
    assert report.settings.command.endswith("--seed 0 --energy --cells 'my cells.lib' --clock-mhz 400")


def test_no_energy_no_field_is_filled(planned):
    report = built(planned, None)
    assert report.energy is None
    assert all(layer.energy is None for layer in report.layers)
    assert report.notes == ("a note",)
    assert report.settings.command.endswith("--mode schedule --seed 0")
