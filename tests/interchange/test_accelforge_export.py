"""Simulated energies in AccelForge and hwcomponents, against the real packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fewflips
from fewflips.errors import InputError
from fewflips.interchange.accelforge_export import (
    accelforge_specification,
    component_figures,
    fanouts,
    hwcomponents_component,
    read_energy_report,
)
from fewflips.interchange.accelforge_import import read_accelforge
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.records.energy import EnergyReport
from tests.interchange.commands import run
from tests.interchange.packages import package
from tests.network import build_tflite as small

_PJ = 1e-12
BUFFER = {"size_kib": 8, "word_bits": 32, "read_pj": 5.0, "write_pj": 6.0, "leakage_uw": 2.0}
SMALLER = {"size_kib": 2, "word_bits": 16, "read_pj": 1.0, "write_pj": 2.0, "leakage_uw": 0.5}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, EnergyReport]:
    path = tmp_path_factory.mktemp("model") / "branching.tflite"
    path.write_bytes(small.branching())
    machine = Accelerator.model_validate(
        {
            "name": "tiny",
            "lanes": 2,
            "columns": 3,
            "buffers": {
                "weights": BUFFER,
                "activations": SMALLER,
                "partial_sums": BUFFER,
                "index_table": SMALLER,
                "beyond": [{**BUFFER, "name": "shared", "size_kib": 512}],
            },
        }
    )
    return fewflips.load(path), fewflips.energy(path, machine)


def test_energies_of_each_layer_in_accelforge(simulated, tmp_path):
    accelforge = package("accelforge")
    network, report = simulated
    path = tmp_path / "machine.yaml"
    path.write_text(accelforge_specification(report, network))
    specification = accelforge.Spec.from_yaml(str(path))
    layers = {layer.name: layer for layer in network.layers}
    assert len(specification.workload.einsums) == len(report.layers)
    for einsum, energy in zip(specification.workload.einsums, report.layers, strict=True):
        costs = specification.calculate_component_costs(einsum_name=einsum.name)
        compute = costs.arch.find("MAC").actions["compute"]
        dynamic = energy.inertial.total_pj - energy.inertial.leakage_pj
        assert compute.energy * energy.macs == pytest.approx(dynamic * _PJ)
        layer = layers[energy.name]
        sizes = einsum.rank_sizes
        operations = 1
        for size in sizes.values():
            operations *= int(size)
        assert operations == energy.macs == layer.macs


def test_mapper_of_accelforge_takes_the_specification(simulated, tmp_path):
    accelforge = package("accelforge")
    network, report = simulated
    one = report.model_copy(update={"layers": report.layers[:1]})
    path = tmp_path / "machine.yaml"
    path.write_text(accelforge_specification(one, network))
    specification = accelforge.Spec.from_yaml(str(path))
    specification.mapper.metrics = accelforge.Metrics.ENERGY
    mapped = specification.map_workload_to_arch(print_progress=False)
    energies = mapped.energy(per_component=True, per_action=True)
    dynamic = report.layers[0].inertial.total_pj - report.layers[0].inertial.leakage_pj
    assert energies["MAC", "compute"] == pytest.approx(dynamic * _PJ, rel=1e-6)


def test_machine_is_read_back_from_its_own_specification(simulated, tmp_path):
    package("accelforge")
    network, report = simulated
    path = tmp_path / "machine.yaml"
    path.write_text(accelforge_specification(report, network))
    machine = read_accelforge(path).accelerator
    assert (machine.dataflow, machine.lanes, machine.columns) == ("activation-stationary", 2, 3)
    assert machine.buffers is not None
    assert machine.buffers.weights.model_dump(include=set(BUFFER)) == pytest.approx(BUFFER)
    assert machine.buffers.activations.model_dump(include=set(SMALLER)) == pytest.approx(SMALLER)


def test_component_for_hwcomponents(simulated, tmp_path):
    hwcomponents = package("hwcomponents")
    network, report = simulated
    path = tmp_path / "component.py"
    path.write_text(hwcomponents_component(report, network))
    models = hwcomponents.get_models(str(path), include_installed=False)
    for energy in (*report.layers, report.total):
        component = hwcomponents.get_model(
            "FewflipsDatapath", {"layer": energy.name}, required_actions=["compute"], models=models
        )
        dynamic = energy.inertial.total_pj - energy.inertial.leakage_pj
        assert component.compute().energy * energy.macs == pytest.approx(dynamic * _PJ)
    multipliers = 2 * 3
    assert component.area * multipliers == pytest.approx(report.datapath.area_um2 * report.datapath.units * 1e-12)


def test_leakage_power_leaks_what_was_simulated(simulated):
    """Cycles counted from the loop nest: tiles of three pixels, segments of two indices, all outputs of a group."""
    network, report = simulated
    figures = component_figures(report, network)
    cycles = 0
    for layer in network.layers:
        tiles, segments = -(-layer.m // 3), -(-layer.k // 2)
        cycles += tiles * segments * layer.n
    seconds = cycles / (report.settings.clock_mhz * 1e6)
    assert figures.leakage_w * 2 * 3 * seconds == pytest.approx(report.total.inertial.leakage_pj * _PJ)


def test_component_text_is_python_without_hwcomponents(simulated):
    network, report = simulated
    compile(hwcomponents_component(report, network), "component.py", "exec")


def test_report_of_another_model(simulated, tmp_path):
    network, report = simulated
    other = report.model_copy(update={"model": report.model.model_copy(update={"sha256": "0" * 64})})
    with pytest.raises(InputError, match="expected the model of the energy report"):
        accelforge_specification(other, network)


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", '{"format": "fewflips-energy"}', "\x00"])
def test_file_that_is_no_energy_report(tmp_path: Path, text: str):
    path = tmp_path / "energy.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"fewflips energy --json"):
        read_energy_report(path)


def test_commands_there_and_back(monkeypatch, capsys, simulated, tmp_path):
    package("accelforge")
    network, report = simulated
    energy, written, machine = (tmp_path / name for name in ("energy.json", "machine.yaml", "back.yaml"))
    energy.write_text(report.model_dump_json())
    component = tmp_path / "component.py"
    arguments = (network.path, "--energy", energy, "--output", written, "--component", component)
    assert run(monkeypatch, "accelforge", "export", *arguments) == 0
    assert capsys.readouterr().out.split() == ["wrote", str(written), "wrote", str(component)]
    assert run(monkeypatch, "accelforge", "import", written, "--output", machine) == 0
    assert run(monkeypatch, "energy", network.path, "--accelerator", machine, "--json") == 0


def test_importing_without_the_package_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "accelforge", None)
    assert run(monkeypatch, "accelforge", "import", tmp_path / "arch.yaml") == 2
    said = capsys.readouterr().err
    assert "fewflips[accelforge]" in said
    assert said.count("\n") == 1


def test_dataflow_without_counterpart_is_refused(simulated):
    _, report = simulated
    other = report.accelerator.model_copy(update={"dataflow": "row-stationary"})
    with pytest.raises(InputError, match="--component"):
        fanouts(other)
