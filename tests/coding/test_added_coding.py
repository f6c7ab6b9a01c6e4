"""A coding that is written outside the package and registered: every command takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import fewflips
from fewflips.api.verify import verify
from fewflips.coding import coding_named, coding_names, register_coding
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import natural_orders
from fewflips.errors import AcceleratorError, FewflipsError
from fewflips.estimation.calibration.calibrate import CalibrationRequest, calibrate
from fewflips.execution.activations import lowered_rows, read_samples, run_samples
from fewflips.machine import Accelerator, Operand, builtin_accelerators, load_accelerator
from fewflips.machine.coding_names import CODINGS
from fewflips.report.terminal.flips import measurement_table, result_table
from fewflips.simulation.run import EnergyOptions
from tests.accelerator.cycle_simulation import activation_stationary
from tests.coding.bus_invert import BusInvert
from tests.coding.wire_walk import bus_invert_walk
from tests.network import build_onnx as small
from tests.patience import PATIENCE_S
from tests.report.test_table import printed

AS_SENT = "each pass once, on a coded port as often as it is sent"
SIZE = "lanes: 4\ncolumns: 4\n"
PLAIN_YAML = "name: toy\n" + SIZE
YAML = PLAIN_YAML + "weights: {coding: own-bus-invert}\nactivations: {coding: own-bus-invert}\n"


@pytest.fixture(autouse=True)
def _registered():
    register_coding(BusInvert)
    yield
    CODINGS.unregister(BusInvert.name)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "coded.yaml"
    path.write_text(YAML)
    return path


@pytest.fixture
def plain_machine(tmp_path: Path) -> Path:
    path = tmp_path / "plain.yaml"
    path.write_text(PLAIN_YAML)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small.save(small.qdq(), tmp_path / "model.onnx")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    path = tmp_path / "inputs.npz"
    np.savez(path, image=np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32))
    return path


def walks(network, array, orders, inputs):
    """Bus-invert wires of each layer over the whole inference: (weights, activations)."""
    samples, _ = read_samples(network, inputs)
    (tensors,) = run_samples(network, samples)
    for layer in network.layers:
        pairs = [(one.lanes.tolist(), one.order.tolist()) for one in orders[layer.name]]
        trace = activation_stationary(
            lowered_rows(layer, tensors), layer.weights, pairs, array.lanes, array.columns, layer.is_depthwise
        )
        yield bus_invert_walk(trace.weights, 8), bus_invert_walk(trace.activations, 8)


def measured(port):
    assert (port.repeats, port.flips) == (1, sum(port.bit_position_flips))
    return port.bit_position_flips, port.seam_flips


def test_measure(model: Path, machine: Path, plain_machine: Path, inputs: Path):
    report, plain = (fewflips.measure(model, array, inputs=inputs) for array in (machine, plain_machine))
    network, array = fewflips.load(model), load_accelerator(machine)
    expected = walks(network, array, natural_orders(network, array), inputs)
    for layer, before, (weights, activations) in zip(report.layers, plain.layers, expected, strict=True):
        assert measured(layer.weights) == weights
        assert measured(layer.activations) == activations
        assert (layer.repeats, layer.weights.bits) == (before.repeats, 8)
        assert layer.weights.transitions == before.weights.transitions * before.weights.repeats
        assert layer.estimated_energy == before.estimated_energy
    assert report.totals.weights.flips == sum(layer.weights.flips for layer in report.layers)
    assert report.totals.weights.flips < plain.totals.weights.flips  # random words: what the coding is for
    (note,) = set(report.notes) - set(plain.notes)
    assert note.startswith("Coded on the wires: weights (own-bus-invert) and activations (own-bus-invert).")
    assert note.endswith("Arithmetic units see decoded words; the energy of encoders and decoders is not counted.")
    assert (AS_SENT in printed(measurement_table(report)), AS_SENT in printed(measurement_table(plain))) == (
        True,
        False,
    )


def test_one_port_may_be_coded(model: Path, plain_machine: Path, inputs: Path):
    both = fewflips.measure(model, plain_machine, inputs=inputs)
    coded = load_accelerator(plain_machine).model_copy(update={"activations": Operand(coding="own-bus-invert")})
    one = fewflips.measure(model, coded, inputs=inputs)
    assert [layer.weights for layer in one.layers] == [layer.weights for layer in both.layers]
    assert [layer.activations for layer in one.layers] != [layer.activations for layer in both.layers]
    result = fewflips.optimize(model, coded, mode="schedule", inputs=inputs)
    assert all(layer.weights.lower_bound is not None for layer in result.report.layers)


def test_optimize_and_verify(model: Path, machine: Path, plain_machine: Path, inputs: Path, tmp_path: Path):
    result = fewflips.optimize(model, machine, inputs=inputs, seed=0)
    plain = fewflips.optimize(model, plain_machine, inputs=inputs, seed=0)
    assert result.schedule.layers == plain.schedule.layers  # orders of codes, whatever the wires are
    network, array = result.network, result.accelerator
    natural = list(walks(network, array, natural_orders(network, array), inputs))
    ordered = list(walks(network, array, result.run.scheduled.state.orders, inputs))
    rewritten = result.drop_in.network
    dropped = list(walks(rewritten, array, natural_orders(rewritten, array), inputs))
    for layer, before, after, tied in zip(result.report.layers, natural, ordered, dropped, strict=True):
        for port, number in ((layer.weights, 0), (layer.activations, 1)):
            assert (port.baseline_bit_position_flips, port.baseline_seam_flips) == before[number]
            assert (port.optimized_bit_position_flips, port.optimized_seam_flips) == after[number]
            assert (port.lower_bound, port.proven_segments) == (None, 0)
        for port, number in ((layer.drop_in.weights, 0), (layer.drop_in.activations, 1)):
            assert (port.optimized_bit_position_flips, port.optimized_seam_flips) == tied[number]
            assert (port.lower_bound, port.proven_segments) == (None, 0)
    totals = result.report.totals.weights
    assert (totals.lower_bound, totals.proven_segments) == (None, 0)
    assert totals.segments == plain.report.totals.weights.segments
    assert result.run.rewritten.certificates == plain.run.rewritten.certificates  # of the codes
    assert "no lower bound is known and nothing is proven" in result.report.notes[-1]
    assert plain.picture is not None
    assert result.picture is None  # the words are not what the wires hold
    result.save(tmp_path / "out")
    assert AS_SENT in printed(result_table(result.report))
    assert AS_SENT in (tmp_path / "out" / "report.html").read_text()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "report.schema.json").read_text())
    jsonschema.validate(report, schema)
    assert report["accelerator"]["weights"] == {"format": "as-stored", "bits": None, "coding": "own-bus-invert"}
    assert verify(model, tmp_path / "out" / "schedule.json", inputs=inputs).check.passed
    assert verify(model, tmp_path / "out" / "model.onnx").check.passed


def test_verify_refuses_a_coding_that_loses_bits(model: Path, machine: Path, inputs: Path, tmp_path: Path):
    fewflips.optimize(model, machine, mode="schedule").save(tmp_path / "out")

    class Lossy(BusInvert):
        def decode(self, wires, bits, state):
            return super().decode(wires, bits, state) & 0xFE

    register_coding(Lossy)
    for command in (
        lambda: verify(model, tmp_path / "out" / "schedule.json"),
        lambda: fewflips.measure(model, machine),
        lambda: fewflips.optimize(model, machine, mode="schedule"),
    ):
        expected = r"^weights of \S.*: coding own-bus-invert: expected decode to give the words back, got"
        with pytest.raises(AcceleratorError, match=expected):
            command()


def test_energy_and_calibration_see_decoded_words(model: Path, tmp_path: Path):
    options = EnergyOptions(share=0.25)
    port = Operand(coding="own-bus-invert")
    plain = Accelerator(name="toy", lanes=2, columns=2)
    coded = plain.model_copy(update={"weights": port, "activations": port})
    energies = [fewflips.energy(model, array, options=options) for array in (coded, plain)]
    assert energies[0].total == energies[1].total
    assert energies[0].layers == energies[1].layers
    assert energies[0].total.inertial.data_pj > 0
    assert set(energies[0].notes) - set(energies[1].notes) != set()
    one, other = (calibrate(model, array, CalibrationRequest(samples=1, options=options)) for array in (coded, plain))
    same = {"accelerator": plain, "notes": ()}
    assert one.model_copy(update=same) == other.model_copy(update=same)
    assert one.notes[-1].startswith("Coded on the wires")


def test_a_training_step_sees_decoded_words(machine: Path, plain_machine: Path):
    torch = pytest.importorskip("torch", reason="needs the extra `train`")
    from fewflips.training import HammingLoss

    def trained(path: Path):
        torch.manual_seed(0)
        layer = torch.nn.Linear(8, 12, bias=False)
        term = HammingLoss(torch.nn.Sequential(layer), load_accelerator(path), method="envelope")
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
        for _ in range(5):
            optimizer.zero_grad()
            term().backward()
            optimizer.step()
        return layer.weight.detach(), term.statistics()

    (weights, statistics), (plain, plain_statistics) = trained(machine), trained(plain_machine)
    assert torch.equal(weights, plain)
    assert statistics == plain_statistics


def test_an_entry_point_of_another_package_is_enough(model: Path, machine: Path, tmp_path: Path):
    """Without a line of Python: an installed package announces it, and the command line takes it."""
    package = tmp_path / "site"
    metadata = package / "toy_coding-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-coding\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[fewflips.codings]\nown-bus-invert = tests.coding.bus_invert:BusInvert\nanother = builtins:dict\n"
    )
    root = Path(__file__).parents[2]
    places = [str(package), str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}

    def run(yaml: str) -> subprocess.CompletedProcess[str]:
        machine.write_text(yaml)
        command = [sys.executable, "-m", "fewflips", "measure", str(model), "--accelerator", str(machine), "--json"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)

    done = run(YAML)
    assert done.returncode == 0, done.stderr
    here = fewflips.measure(model, machine).totals.weights.flips
    assert json.loads(done.stdout)["totals"]["weights"]["flips"] == here
    for name, words in (("another", "expected a fewflips.coding.Coding, got dict"), ("none", "got 'none'")):
        done = run(YAML.replace("own-bus-invert", name))
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_names_are_taken_once(machine: Path):
    assert coding_names() == ("plain", "bus-invert", "own-bus-invert")
    assert isinstance(coding_named("own-bus-invert"), BusInvert)
    with pytest.raises(FewflipsError, match="plain comes with fewflips; expected another name"):
        register_coding(type("Other", (BusInvert,), {"name": "plain"}))
    CODINGS.unregister("own-bus-invert")
    with pytest.raises(AcceleratorError, match=r"weights\.coding: .*expected one of plain"):
        load_accelerator(machine)


def test_a_plain_machine_is_written_as_before():
    """By hand: neither key nor value says that a port is plain; a file that says so is read."""
    operand = {"format": "as-stored", "bits": None}
    for array in builtin_accelerators().values():
        content = array.model_dump(mode="json")
        assert (content["weights"], content["activations"]) == (operand, operand)
        assert Accelerator.model_validate(content) == array
        said = {**content, "weights": {**operand, "coding": "plain"}}
        assert Accelerator.model_validate(said).model_dump_json() == array.model_dump_json()
    coded = Accelerator(name="a", lanes=1, columns=1, weights=Operand(coding="own-bus-invert"))
    assert Accelerator.model_validate_json(coded.model_dump_json()) == coded
    assert dataflow_of(coded).name == "activation-stationary"
