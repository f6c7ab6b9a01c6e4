"""What goes into the report of an optimization."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewflips.dataflows.orders import natural_orders
from fewflips.machine import load_accelerator
from fewflips.measurement.counting import LayerCount, count_network
from fewflips.network import Network, load
from fewflips.optimization.report import optimize_report
from fewflips.optimization.request import Request
from fewflips.optimization.segment_orders import SchedulePlan, plan_schedule
from fewflips.ordering import Effort
from fewflips.records.optimization import EnergyComparison, OptimizeReport
from fewflips.simulation.comparison import NetworkComparison
from tests.network import build_tflite
from tests.report import sample_reports

EXTRA = ("--energy", "--cells", "my cells.lib", "--clock-mhz", "400")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path: Path = tmp_path_factory.mktemp("model") / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    return load(path)


@pytest.fixture(scope="module")
def planned(network: Network) -> tuple[SchedulePlan, list[dict[str, LayerCount]]]:
    array = load_accelerator("edge16")
    plan = plan_schedule(network, array, effort=Effort.default(), seed=0, jobs=1)
    return plan, count_network(network, array, [natural_orders(network, array), plan.orders], None)


def built(network: Network, planned, energy: NetworkComparison | None, extra: tuple[str, ...] = ()) -> OptimizeReport:
    plan, counts = planned
    request = Request(
        model="model.tflite", accelerator="edge16", mode="schedule", inputs=None, prove=False, seed=0, extra=extra
    )
    array = load_accelerator("edge16")
    return optimize_report(network, array, request, counts, plan, None, None, None, ("a note",), energy)


def test_energies_stand_beside_their_layers(network, planned):
    names = [layer.name for layer in network.layers]
    comparisons = {
        name: EnergyComparison(
            baseline=sample_reports.layer_energy(name, macs), schedule=sample_reports.layer_energy(name, macs, 0.5)
        )
        for macs, name in enumerate(names[1:], start=100)
    }
    result = sample_reports.with_energy(sample_reports.optimize_report(2)).energy
    report = built(network, planned, NetworkComparison(result, comparisons, ("another note",)), EXTRA)
    assert report.layers[0].energy is None
    assert [layer.energy for layer in report.layers[1:]] == list(comparisons.values())
    assert report.energy == result
    assert report.notes == ("a note", "another note")
    assert report.settings.command.endswith("--seed 0 --energy --cells 'my cells.lib' --clock-mhz 400")


def test_no_energy_no_field_is_filled(network, planned):
    report = built(network, planned, None)
    assert report.energy is None
    assert all(layer.energy is None for layer in report.layers)
    assert report.notes == ("a note",)
    assert report.settings.command.endswith("--mode schedule --seed 0")
