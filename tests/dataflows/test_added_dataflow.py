"""A dataflow that is written outside the package and registered: every command takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.api.verify import verify
from fewflips.dataflows import dataflow_names, dataflow_of, register_dataflow
from fewflips.dataflows.accesses import CodeWidths
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.errors import AcceleratorError, FewflipsError
from fewflips.estimation.activity import ActivationStatistics, layer_activity
from fewflips.estimation.calibration.calibrate import CalibrationRequest, calibrate
from fewflips.formats.number_formats import UINT8
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.dataflow_names import DATAFLOWS
from fewflips.simulation.run import EnergyOptions
from fewflips.simulation.toggles import count_toggles
from fewflips.simulation.unit import build_unit
from fewflips.streams.codes import activation_codes, weight_codes
from fewflips.streams.counting import count_flips
from tests.dataflows.access_walk import Registers
from tests.dataflows.row_stationary import ROW, RowStationary
from tests.layers import dense_layer, depthwise_layer, random_rows
from tests.network import build_onnx as small
from tests.network_energy.netlist_walk import toggles
from tests.network_energy.test_energy_of_a_layer import bus
from tests.patience import PATIENCE_S

YAML = "name: toy\ndataflow: row-stationary\nlanes: 4\ncolumns: 4\n"


@pytest.fixture(autouse=True)
def _registered():
    register_dataflow(RowStationary)
    yield
    DATAFLOWS.unregister(RowStationary.name)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(YAML)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small.save(small.qdq(), tmp_path / "model.onnx")


def walk(x, w, segments, lanes, columns, width):
    """The loop nest of `row_stationary`, cycle by cycle: (label, words) of both ports, what columns see, and sums."""
    (groups, m_total, _), n_total = x.shape, len(w)
    per_group = n_total // groups
    weights, activations, seen, sums = [], [], defaultdict(list), defaultdict(int)
    for row in range(0, m_total, ROW * columns):
        for s, (ks, order) in enumerate(segments):
            for n in order:
                held = [int(w[n, k]) for k in ks] + [0] * (lanes - len(ks))
                weights.append(((row, s), held))
                for first in range(row, min(m_total, row + ROW * columns), columns):
                    registers = []
                    for column in range(columns):
                        m = first + column
                        values = [int(x[n // per_group, m, k]) for k in ks] if m < m_total else []
                        registers += values + [0] * (lanes - len(values))
                        if m < m_total:
                            now = tuple(registers[-lanes:])
                            seen[column].append((tuple(held), now, sums[m, n]))
                            sums[m, n] += sum(a * b for a, b in zip(held, now, strict=True))
                    activations.append(((row, s, n), registers))
    return weights, activations, [seen[column] for column in sorted(seen)], sums


def flips(cycles):
    """Within passes and at seams."""
    counts = [0, 0]
    for (label, words), (after, later) in pairwise(cycles):
        changed = sum((a ^ b).bit_count() for a, b in zip(words, later, strict=True))
        counts[label != after] += changed
    return tuple(counts)


LAYERS = {
    "dense": dense_layer(14, 5, 7, storage=UINT8),
    "grouped": dense_layer(5, 6, 5, groups=2, storage=UINT8),
    "depthwise": depthwise_layer(9, 4, (3, 3)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_flips_are_those_of_the_loop_nest(kind: str):
    layer, array = LAYERS[kind], Accelerator(name="t", dataflow="row-stationary", lanes=3, columns=2)
    rows, flow = random_rows(layer), dataflow_of(array)
    segments = flow.segments(layer, array)
    codes, bits = weight_codes(layer, array.weights)
    held, held_bits = activation_codes(layer, rows, array.activations)
    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    weights, activations, _, _ = walk(held, codes, pairs, 3, 2, bits)
    count = count_flips(flow.weight_stream(layer, codes, bits, segments, array))
    assert (count.within * count.repeats, count.seams) == flips(weights)
    count = count_flips(flow.activation_stream(layer, held, held_bits, segments, array))
    assert (count.within * count.repeats, count.seams) == flips(activations)


@pytest.mark.parametrize("m", [3, 5, 9])
@pytest.mark.parametrize("kind", LAYERS)
def test_accesses_are_those_of_the_loop_nest(kind: str, m: int):
    """Code by code, with a look into the registers; with 5 and 9 pixels on 2 columns, rows of one step occur."""
    layer = replace(LAYERS[kind], left=replace(LAYERS[kind].left, shape=(m, LAYERS[kind].k)))
    array = Accelerator(name="t", dataflow="row-stationary", lanes=3, columns=2)
    flow = dataflow_of(array)
    segments = flow.segments(layer, array)
    counts: dict[str, int] = defaultdict(int)
    weights, activations = Registers(), [Registers(), Registers()]
    begun = set()
    for row in range(0, m, ROW * 2):
        for segment in segments:
            ks = segment.lanes.tolist()
            for n in segment.order.tolist():
                counts["weights"] += weights.load({lane: (n, k) for lane, k in enumerate(ks)})
                for pixel in range(row, min(m, row + ROW * 2)):
                    group = n // (layer.n // layer.groups)
                    held = {lane: (group, pixel, k) for lane, k in enumerate(ks)}
                    counts["activations"] += activations[(pixel - row) % 2].load(held)
                    counts["sums"] += (pixel, n) in begun
                    begun.add((pixel, n))
    found = flow.accesses(layer, segments, array, CodeWidths(8, 8, 20))
    assert found.weights.codes_read == counts["weights"]
    assert found.activations.codes_read == counts["activations"]
    assert found.partial_sums.codes_read == found.partial_sums.codes_written == counts["sums"]
    assert found.results.codes_written == len(begun)


def test_toggles_are_those_of_the_loop_nest():
    layer = dense_layer(5, 3, 5, storage=UINT8)
    array = Accelerator(name="t", dataflow="row-stationary", lanes=2, columns=2)
    rows, flow = random_rows(layer), dataflow_of(array)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    unit = build_unit(datapath, load_cells("nangate45"))
    segments = flow.segments(layer, array)
    found = count_toggles(
        unit.circuit, flow.unit_parts(layer_operands(layer, rows, array, datapath), segments, array), "zero-delay"
    )
    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    _, _, units, sums = walk(rows, layer.weights, pairs, 2, 2, 8)
    assert [[sums[m, n] for n in range(3)] for m in range(5)] == (
        rows[0].astype(int) @ layer.weights.T.astype(int)
    ).tolist()
    expected = np.zeros(len(unit.netlist.nets), np.int64)
    for walked in units:
        cycles = walked + walked[-1:] * datapath.latency
        ports = [{"weights": bus(w), "activations": bus(a), "partial_sum": s} for w, a, s in cycles]
        expected += toggles(unit.netlist, unit.library, ports, settle=6)
    clocks = unit.model.clock_nets
    assert found.exact.toggles[~clocks].tolist() == expected[~clocks].tolist()


@pytest.mark.parametrize("kind", LAYERS)
def test_phases_add_up_to_the_cycles_of_the_units(kind: str):
    layer, array = LAYERS[kind], Accelerator(name="t", dataflow="row-stationary", lanes=3, columns=2)
    flow = dataflow_of(array)
    segments = flow.segments(layer, array)
    codes, bits = weight_codes(layer, array.weights)
    known = ActivationStatistics(rates=np.full(8, 0.3))
    activity = layer_activity(layer, segments, array, codes, bits, known)
    work = flow.unit_work(layer, segments, array)
    assert sum(phase.cycles for phase in activity.phases) == work.unit_cycles
    assert activity.sum_nhd is not None


def test_measure_optimize_and_verify(model: Path, machine: Path, tmp_path: Path):
    before = fewflips.measure(model, machine)
    result = fewflips.optimize(model, machine, seed=0)
    assert result.report.drop_in.check.passed
    assert result.report.totals.weights.optimized_flips < before.totals.weights.flips
    network, array = fewflips.load(model), load_accelerator(machine)
    for layer, found in zip(network.layers, before.layers, strict=True):
        codes, bits = weight_codes(layer, array.weights)
        pairs = [(one.lanes.tolist(), one.order.tolist()) for one in dataflow_of(array).segments(layer, array)]
        nothing = np.zeros((layer.groups, layer.m, layer.k), np.uint8)
        weights, _, _, _ = walk(nothing, codes, pairs, 4, 4, bits)
        assert (found.weights.flips * found.weights.repeats, found.weights.seam_flips) == flips(weights)
    result.save(tmp_path / "out")
    assert verify(model, tmp_path / "out" / "schedule.json").check.passed


def test_energy_and_calibration(model: Path, machine: Path):
    options = EnergyOptions(time_limit_s=2)
    report = fewflips.energy(model, machine, options=options)
    assert report.datapath.kind == "column"
    assert all(layer.inertial.data_pj > layer.zero_delay.switching_pj > 0 for layer in report.layers)
    calibration = calibrate(model, machine, CalibrationRequest(samples=1, options=options))
    assert calibration.held_operand == "weights"
    assert calibration.network is not None


def test_a_training_step(machine: Path):
    torch = pytest.importorskip("torch", reason="needs the extra `train`")
    from fewflips.training import HammingLoss

    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 12, bias=False)
    term = HammingLoss(torch.nn.Sequential(layer), load_accelerator(machine), method="envelope")
    before = term.statistics()["flips"]
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        term().backward()
        optimizer.step()
    assert term.statistics()["flips"] < before


def test_an_entry_point_of_another_package_is_enough(model: Path, machine: Path, tmp_path: Path):
    """Without a line of Python: an installed package announces it, and the command line takes it."""
    package = tmp_path / "site"
    metadata = package / "toy_dataflow-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-dataflow\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[fewflips.dataflows]\nrow-stationary = tests.dataflows.row_stationary:RowStationary\n"
        "broken = no.such.module:Flow\nanother = builtins:dict\n"
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
    for name, words in (("broken", "cannot be loaded: No module named 'no'"), ("another", "expected a")):
        done = run(YAML.replace("row-stationary", name))
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_names_are_taken_once(machine: Path):
    assert dataflow_names()[-1] == "row-stationary"
    with pytest.raises(FewflipsError, match="weight-stationary comes with fewflips; expected another name"):
        register_dataflow(type("Other", (RowStationary,), {"name": "weight-stationary"}))
    DATAFLOWS.unregister("row-stationary")
    with pytest.raises(AcceleratorError, match=r"expected one of .*output-stationary, got 'row-stationary'"):
        load_accelerator(machine)
