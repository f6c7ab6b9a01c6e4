"""The bill of layers and of their sum."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fewflips
from fewflips.api.energy import energy
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.hold_flags import hold_flags
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import code_widths, network_datapath
from fewflips.errors import AcceleratorError, InputError
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.gates.power.energy import Energy
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.machine.buffers import Buffer, Buffers, MemoryLevel, Tiling
from fewflips.simulation.bill import layer_bill, total_bill
from fewflips.simulation.memories import LayerMemories
from fewflips.simulation.register_memories import build_register_memories
from fewflips.simulation.run import EnergyOptions
from fewflips.simulation.setup import network_unit, samples_or_random, simulated_layers
from fewflips.streams.codes import weight_codes
from tests.dataflows.test_accesses import walk
from tests.network import build_tflite as small

ARRAY = Accelerator(name="tiny", lanes=2, columns=2)
UNITS = ("multipliers_pj", "adders_pj", "partial_sums_pj", "registers_pj", "clock_pj", "leakage_pj")
MEMORIES = ("weights", "activations", "partial_sums", "index_table", "register_files", "leakage")
NONE = LayerMemories()
ENERGY = Energy(6000.0, 4000.0, 2000.0, 500.0)


@pytest.fixture
def branching(tmp_path):
    path = tmp_path / "branching.tflite"
    path.write_bytes(small.branching())
    return path


def test_a_bill_by_hand():
    bill = layer_bill(ENERGY, np.array([5000.0, 3000.0, 1500.0, 500.0]), NONE)
    assert [getattr(bill.units, name) for name in UNITS] == [5.0, 3.0, 1.5, 0.5, 2.0, 0.5]
    assert (bill.datapath_pj, bill.whole_pj, bill.buffers, bill.estimated) == (12.5, 12.5, None, ())
    total = total_bill([bill, bill])
    assert [getattr(total.units, name) for name in UNITS] == [10.0, 6.0, 3.0, 1.0, 4.0, 1.0]
    assert (total.datapath_pj, total.whole_pj) == (25.0, 25.0)


def test_a_layer_without_a_bill_leaves_the_sum_unknown():
    bill = layer_bill(ENERGY, np.array([5000.0, 3000.0, 1500.0, 500.0]), NONE)
    assert total_bill([bill, None]) is None


def test_parts_that_do_not_add_up_are_refused():
    with pytest.raises(InputError, match="expected parts that add up to 10000 fJ, got 9000 fJ; use those of the same"):
        layer_bill(ENERGY, np.array([5000.0, 3000.0, 500.0, 500.0]), NONE)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([8000.0, 4500.0, 0.0, -2500.0], [6.4, 3.6, 0.0, 0.0]),
        ([10000.0, 0.0, -1e-13, 0.0], [10.0, 0.0, 0.0, 0.0]),
    ],
)
def test_a_part_below_zero_is_taken_from_the_others(parts, expected):
    units = layer_bill(ENERGY, np.array(parts), NONE).units
    assert [getattr(units, name) for name in UNITS[:4]] == pytest.approx(expected)
    assert units.registers_pj >= 0


def test_a_sum_below_zero_is_none():
    bill = layer_bill(Energy(100.0, -300.0, 1000.0, 0.0), np.array([100.0, -300.0, 0.0, 0.0]), NONE)
    assert [getattr(bill.units, name) for name in UNITS] == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def adds_up(layer):
    parts = [getattr(layer.bill.units, name) for name in UNITS]
    assert sum(parts) == pytest.approx(layer.inertial.total_pj, rel=1e-12)
    assert sum(parts[:4]) == pytest.approx(layer.inertial.data_pj, rel=1e-12)
    assert layer.bill.datapath_pj == pytest.approx(layer.inertial.total_pj, rel=1e-12)
    assert (layer.bill.units.clock_pj, layer.bill.units.leakage_pj) == pytest.approx(
        (layer.inertial.clock_pj, layer.inertial.leakage_pj)
    )


@pytest.mark.parametrize("forwarding", ["broadcast", "systolic"])
@pytest.mark.parametrize("dataflow", ["activation-stationary", "weight-stationary", "output-stationary"])
def test_every_layer_and_the_total_have_a_bill_that_adds_up(branching, dataflow, forwarding):
    array = ARRAY.model_copy(update={"dataflow": dataflow, "forwarding": forwarding})
    report = energy(branching, array)
    for layer in (*report.layers, report.total):
        adds_up(layer)
    for name in UNITS:
        of_layers = [getattr(layer.bill.units, name) for layer in report.layers]
        assert getattr(report.total.bill.units, name) == pytest.approx(sum(of_layers))
    has_adders = report.datapath.kind == "column"
    assert (report.total.bill.units.adders_pj > 0) is has_adders
    assert min(report.total.bill.units.multipliers_pj, report.total.bill.units.partial_sums_pj) > 0


def test_bills_of_samples_add_up(shared):
    model = shared / "models" / "mlperf_tiny_kws_dscnn_int8.tflite"
    array = Accelerator(name="small", lanes=4, columns=4)
    report = energy(model, array, options=EnergyOptions(share=1 / 64))
    assert report.total.sampled
    for layer in (*report.layers, report.total):
        adds_up(layer)


def test_a_netlist_without_the_names_of_synthesis_has_the_same_bill(branching, tmp_path):
    """Instances in another order, every inner net and instance renamed: as after place and route."""
    network = fewflips.load(branching)
    layers, _ = simulated_layers(network)
    unit = network_unit(layers, ARRAY, load_cells("nangate45"), EnergyOptions())
    netlist = unit.netlist
    ports = {net for nets in (*netlist.inputs.values(), *netlist.outputs.values()) for net in nets}
    nets = tuple(name if net < 2 or net in ports else f"n{net}" for net, name in enumerate(netlist.nets))
    instances = tuple(
        type(one)(f"u{number}", one.cell, one.pins) for number, one in enumerate(reversed(netlist.instances))
    )
    renamed = type(netlist)(netlist.name, nets, instances, netlist.inputs, netlist.outputs)
    path = tmp_path / "unit.v"
    path.write_text(netlist_verilog(renamed))
    stored, own = energy(network, ARRAY), energy(network, ARRAY, netlist=path)
    for name in UNITS:
        assert getattr(own.total.bill.units, name) == pytest.approx(getattr(stored.total.bill.units, name))


def test_the_bill_in_json(branching):
    record = json.loads(energy(branching, ARRAY).model_dump_json())
    for layer in (*record["layers"], record["total"]):
        assert set(layer["bill"]) == {"units", "buffers", "datapath_pj", "whole_pj", "estimated"}
        assert set(layer["bill"]["units"]) == set(UNITS)


def memory(pj: float, **fields) -> Buffer:
    """A memory of words of one bit, so that what an access costs is counted by bits."""
    return Buffer(size_kib=1024, word_bits=1, read_pj=pj, write_pj=2 * pj, leakage_uw=100 * pj, **fields)


def with_memories(array: Accelerator, **fields) -> Accelerator:
    sizes = {"weights": memory(1.0), "activations": memory(0.25), "partial_sums": memory(4.0)}
    return array.model_copy(update={"buffers": Buffers(**(sizes | {"index_table": memory(0.5)} | fields))})


@pytest.mark.parametrize("dataflow", ["activation-stationary", "weight-stationary", "output-stationary"])
def test_memories_are_those_of_a_walk_through_the_loop_nest(branching, dataflow):
    array = with_memories(ARRAY.model_copy(update={"dataflow": dataflow, "forwarding": "systolic"}))
    report = energy(branching, array, options=EnergyOptions(clock_mhz=100.0))
    network, flow = fewflips.load(branching), dataflow_of(array)
    sum_bits = report.datapath.accumulator_bits
    for layer, found in zip(network.layers, report.layers, strict=True):
        segments = flow.segments(layer, array)
        walked = walk(layer, segments, array).runs
        codes = {name: sum(run * times for run, times in runs.items()) for name, runs in walked.items()}
        buffers = found.bill.buffers
        assert buffers.weights_pj == pytest.approx(codes["weights"] * 8 * 1.0)
        results = codes["results"] * 8 * 0.5
        assert buffers.activations_pj == pytest.approx(codes["activations"] * 8 * 0.25 + results)
        sums = codes.get("partial sums read", 0) * 4.0 + codes.get("partial sums written", 0) * 8.0
        assert buffers.partial_sums_pj == pytest.approx(sums * sum_bits)
        assert buffers.index_table_pj == buffers.register_files_pj == 0
        microseconds = flow.unit_work(layer, segments, array).array_cycles / 100
        assert buffers.leakage_pj == pytest.approx((100 + 25 + 400 + 50) * microseconds)
        assert found.bill.whole_pj == pytest.approx(found.bill.datapath_pj + buffers.total_pj)
    plain = energy(branching, array.model_copy(update={"buffers": None}), options=EnergyOptions(clock_mhz=100.0))
    assert [layer.inertial for layer in plain.layers] == [layer.inertial for layer in report.layers]
    assert [layer.bill.units for layer in plain.layers] == [layer.bill.units for layer in report.layers]
    assert plain.total.bill.buffers is None
    assert any("Energy of" in note for note in report.notes)


def test_memories_of_the_total_are_the_sum_of_those_of_the_layers(branching):
    level = MemoryLevel(name="DRAM", size_kib=1e6, word_bits=64, read_pj=100.0, write_pj=100.0, leakage_uw=5.0)
    report = energy(branching, with_memories(ARRAY, beyond=(level,)))
    total = report.total.bill
    for name in ("weights_pj", "activations_pj", "partial_sums_pj", "leakage_pj", "total_pj"):
        of_layers = [getattr(layer.bill.buffers, name) for layer in report.layers]
        assert getattr(total.buffers, name) == pytest.approx(sum(of_layers))
        assert getattr(total.buffers, name) > 0
    (dram,) = total.buffers.beyond
    assert dram.name == "DRAM"
    for name in ("access_pj", "leakage_pj"):
        assert getattr(dram, name) == pytest.approx(
            sum(getattr(layer.bill.buffers.beyond[0], name) for layer in report.layers)
        )
    by_hand = sum(getattr(total.buffers, f"{name}_pj") for name in MEMORIES) + dram.access_pj + dram.leakage_pj
    assert total.whole_pj == pytest.approx(total.datapath_pj + by_hand)
    assert set(total.estimated) == {"buffers.weights_pj", "buffers.activations_pj", "buffers.partial_sums_pj"} | {
        "buffers.leakage_pj",
        "buffers.beyond",
    }


def test_the_index_table_is_on_the_bill_of_a_schedule_alone(branching, tmp_path):
    array = with_memories(ARRAY)
    fewflips.optimize(branching, array, mode="schedule", jobs=1).save(tmp_path / "out")
    schedule = tmp_path / "out" / "schedule.json"
    assert energy(branching, array).total.bill.buffers.index_table_pj == 0
    bill = energy(branching, schedule=schedule).total.bill
    assert bill.buffers.index_table_pj > 0
    assert "buffers.index_table_pj" in bill.estimated


def test_a_machine_that_cannot_hold_what_it_needs_is_refused_before_the_simulation(monkeypatch, branching):
    monkeypatch.setattr("fewflips.simulation.run.run_samples", lambda *_: pytest.fail("worked in vain"))
    with pytest.raises(AcceleratorError, match="has no buffer for them: describe buffers"):
        energy(branching, with_memories(ARRAY, partial_sums=None))


def test_memories_made_of_registers_are_simulated_with_the_words_of_each_layer(branching):
    tiled = ARRAY.model_copy(update={"tiling": Tiling(outputs=2, pixels=2)})
    small_file = Buffer(size_kib=1 / 32, word_bits=16, source="registers")
    array = with_memories(tiled, weights=small_file)
    report = energy(branching, array, options=EnergyOptions(jobs=1))
    assert set(report.total.bill.estimated) == {"buffers.activations_pj", "buffers.leakage_pj"}
    assert any("registers, 16 x 16 bits, simulated" in note for note in report.notes)
    network, flow = fewflips.load(branching), dataflow_of(array)
    datapath = network_datapath(network.layers, array)
    built = build_register_memories(array, datapath, load_cells("nangate45"))
    samples, _ = samples_or_random(network, None, 0)
    tensors = next(iter(run_samples(network, samples)))
    used = False
    for number, (layer, found) in enumerate(zip(network.layers, report.layers, strict=True)):
        segments = flow.segments(layer, array)
        operands = layer_operands(layer, lowered_rows(layer, tensors), array, datapath)
        figures = {label: one.energy for label, one in built.of_layer(operands, segments, seed=(0, number)).items()}
        accesses = flow.accesses(layer, segments, array, code_widths(layer, array, datapath))
        sums, file = accesses.register_files, figures["register_files"]
        expected = sums.codes_read * file.read_pj + sums.codes_written * file.write_pj
        assert found.bill.buffers.register_files_pj == pytest.approx(expected)
        words = accesses.weights.words(accesses.weights.read, 16)
        assert found.bill.buffers.weights_pj == pytest.approx(words * figures["weights"].read_pj)
        assert found.bill.buffers.partial_sums_pj == 0
        used |= expected > 0
    assert used


def test_clock_gates_are_marked_and_weights_that_repeat_are_not_fetched(branching):
    plain = with_memories(ARRAY)
    gated = plain.model_copy(update={"datapath": DatapathOptions(hold_flags=True)})
    bill = energy(branching, gated).total.bill
    assert "units.clock_pj" in bill.estimated
    assert "units.clock_pj" not in energy(branching, plain).total.bill.estimated
    network, flow = fewflips.load(branching), dataflow_of(gated)
    bits = 0
    for layer in network.layers:
        segments = flow.segments(layer, gated)
        stream = flow.weight_stream(layer, *weight_codes(layer, gated.weights), segments, gated)
        flags = hold_flags(stream)
        bits += flags.fetched * 8 + flags.flags
    assert bill.buffers.weights_pj == pytest.approx(bits)


def test_encoders_of_coded_ports_count_with_the_registers(branching):
    coded = ARRAY.model_copy(update={"weights": Operand(coding="bus-invert")})
    report = energy(branching, coded)
    assert report.datapath.bus_invert_ports == ("weights",)
    for layer in (*report.layers, report.total):
        adds_up(layer)
