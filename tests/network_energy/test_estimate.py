"""The facade: whole networks, schedules, sampling, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.api.energy import energy
from fewflips.errors import AcceleratorError, InputError, ModelError, NetlistError
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import random_feeds
from fewflips.formats.number_formats import NumberFormat
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import Operand
from fewflips.simulation.run import EnergyOptions
from fewflips.simulation.setup import network_unit, simulated_layers
from tests.network import build_tflite as small

ARRAY = Accelerator(name="tiny", lanes=2, columns=2)
PARTS = ("switching_pj", "internal_pj", "clock_pj", "leakage_pj")


@pytest.fixture
def branching(tmp_path: Path) -> Path:
    path = tmp_path / "branching.tflite"
    path.write_bytes(small.branching())
    return path


def test_every_layer_and_their_sum(branching):
    report = energy(branching, ARRAY)
    network = fewflips.load(branching)
    assert [layer.name for layer in report.layers] == [layer.name for layer in network.layers]
    assert [layer.macs for layer in report.layers] == [layer.macs for layer in network.layers]
    for mode in ("zero_delay", "inertial"):
        total = getattr(report.total, mode)
        for part in PARTS:
            assert getattr(total, part) == pytest.approx(sum(getattr(getattr(x, mode), part) for x in report.layers))
        assert total.data_pj == pytest.approx(total.switching_pj + total.internal_pj)
        assert total.total_pj == pytest.approx(sum(getattr(total, part) for part in PARTS))
    assert report.total.inertial.switching_pj > report.total.zero_delay.switching_pj  # glitches
    assert report.total.inertial.clock_pj == report.total.zero_delay.clock_pj
    assert not report.total.sampled
    assert report.total.ci95_percent == 0
    assert any("one random input" in note for note in report.notes)
    assert report.coverage is not None
    assert (report.coverage.products, report.coverage.left_out_products) == (len(report.layers), 0)


def test_same_seed_same_energy_whatever_the_threads(branching):
    first = energy(branching, ARRAY, options=EnergyOptions(seed=3, jobs=1))
    second = energy(branching, ARRAY, options=EnergyOptions(seed=3, jobs=2))
    assert first.layers == second.layers
    other = energy(branching, ARRAY, options=EnergyOptions(seed=4))
    assert other.layers != first.layers  # another random input


def test_a_slower_clock_leaks_longer(branching):
    fast = energy(branching, ARRAY, options=EnergyOptions(clock_mhz=1000)).total.inertial
    slow = energy(branching, ARRAY, options=EnergyOptions(clock_mhz=10)).total.inertial
    assert slow.leakage_pj == pytest.approx(100 * fast.leakage_pj)
    assert slow.data_pj == fast.data_pj


def test_a_schedule_brings_its_accelerator_and_saves_energy(tmp_path):
    path = tmp_path / "chain.tflite"
    path.write_bytes(small.branching())
    result = fewflips.optimize(path, ARRAY, mode="schedule", jobs=1)
    result.save(tmp_path / "out")
    scheduled = energy(path, schedule=tmp_path / "out" / "schedule.json")
    stored = energy(path, ARRAY)
    assert scheduled.accelerator == ARRAY
    assert scheduled.settings.schedule.endswith("schedule.json")
    assert scheduled.total.macs == stored.total.macs
    assert scheduled.total.zero_delay.data_pj != stored.total.zero_delay.data_pj
    with pytest.raises(AcceleratorError, match="made for tiny, whose lanes, columns differ from those of edge4"):
        energy(path, "edge4", schedule=tmp_path / "out" / "schedule.json")


def test_optimize_with_energy_puts_both_into_the_report(branching):
    from fewflips.optimization.request import EnergyRequest

    options = EnergyOptions(jobs=1)
    report = fewflips.optimize(branching, ARRAY, energy=EnergyRequest(options=options), jobs=1).report
    alone = energy(branching, ARRAY, options=options)
    assert [layer.energy.baseline for layer in report.layers] == list(alone.layers)
    assert report.energy.total.baseline == alone.total
    for layer in report.layers:
        assert layer.energy.schedule.macs == layer.energy.drop_in.macs == layer.macs
    assert "--energy" in report.settings.command


def test_samples_stand_for_all_cycles_within_their_interval(shared):
    model = shared / "models" / "mlperf_tiny_kws_dscnn_int8.tflite"
    array = Accelerator(name="small", lanes=4, columns=4)
    whole = energy(model, array, options=EnergyOptions(share=1.0)).total
    part = energy(model, array, options=EnergyOptions(share=0.125)).total
    assert part.sampled
    assert 0 < part.ci95_percent < 5
    error = abs(part.inertial.data_pj / whole.inertial.data_pj - 1) * 100
    assert error < 2 * part.ci95_percent  # fails by chance once in some ten thousand seeds; the seed is fixed
    assert part.inertial.clock_pj == pytest.approx(whole.inertial.clock_pj)


def test_a_netlist_of_ones_own(branching, tmp_path):
    network = fewflips.load(branching)
    layers, _ = simulated_layers(network)
    from fewflips.gates.liberty.load import load_cells

    unit = network_unit(layers, ARRAY, load_cells("nangate45"), EnergyOptions())
    path = tmp_path / "unit.v"
    path.write_text(netlist_verilog(unit.netlist))
    own = energy(network, ARRAY, netlist=path)
    assert own.total.zero_delay.data_pj == pytest.approx(energy(network, ARRAY).total.zero_delay.data_pj)
    assert own.datapath.netlist == "unit.v"
    other = Accelerator(name="three", lanes=3, columns=2)
    with pytest.raises(NetlistError, match=r"expected input ports activations\[24\], .*, got activations\[16\]"):
        energy(network, other, netlist=path)


def test_a_netlist_that_computes_something_else(branching, tmp_path):
    network = fewflips.load(branching)
    layers, _ = simulated_layers(network)
    from fewflips.gates.liberty.load import load_cells

    unit = network_unit(layers, ARRAY, load_cells("nangate45"), EnergyOptions())
    text = netlist_verilog(unit.netlist)
    assert "AND2_X1" in text
    path = tmp_path / "unit.v"
    path.write_text(text.replace(" AND2_X1 ", " OR2_X1 ").replace("\nAND2_X1 ", "\nOR2_X1 "))
    with pytest.raises(NetlistError, match="sum differs from integer arithmetic in"):
        energy(network, ARRAY, netlist=path)


def test_an_input_that_no_unit_has(branching, tmp_path):
    network = fewflips.load(branching)
    layers, _ = simulated_layers(network)
    from fewflips.gates.liberty.load import load_cells

    unit = network_unit(layers, ARRAY, load_cells("nangate45"), EnergyOptions())
    path = tmp_path / "unit.v"
    text = netlist_verilog(unit.netlist)
    path.write_text(text.replace("clk,", "clk, te,", 1).replace("input clk;", "input clk;\n input te;", 1))
    if "input te" not in path.read_text():
        path.write_text(text.replace("input clk", "input te,\n input clk", 1))
    with pytest.raises(NetlistError, match=r"te\[1\].*other inputs tied"):
        energy(network, ARRAY, netlist=path)


def test_samples_of_several_inputs_are_drawn_apart(shared, tmp_path):
    model = shared / "models" / "mlperf_tiny_kws_dscnn_int8.tflite"
    with Runtime(model, "tflite") as runtime:
        (spec,) = runtime.inputs
        feeds = random_feeds(runtime.inputs, 1, 0)[0][spec.name]
    np.savez(tmp_path / "one.npz", feeds)
    np.savez(tmp_path / "four.npz", np.concatenate([feeds] * 4))
    array = Accelerator(name="small", lanes=4, columns=4)
    options = EnergyOptions(share=0.1)
    one = energy(model, array, inputs=tmp_path / "one.npz", options=options)
    four = energy(model, array, inputs=tmp_path / "four.npz", options=options)
    assert one.total.sampled
    assert four.total.inertial.data_pj != one.total.inertial.data_pj
    assert four.total.inertial.data_pj == pytest.approx(one.total.inertial.data_pj, rel=0.02)
    assert one.settings.share == 0.1
    assert 0.1 < one.settings.sampled_share < 1
    assert one.settings.zero_delay_share == 1


@pytest.mark.parametrize("dataflow", ["activation-stationary", "weight-stationary", "output-stationary"])
def test_a_layer_of_one_product(tmp_path, dataflow):
    path = tmp_path / "one.tflite"
    path.write_bytes(small.single("FULLY_CONNECTED", (1, 1), (1, 1), (1, 1)))
    array = Accelerator(name="tiny", lanes=2, columns=2, dataflow=dataflow, forwarding="systolic")
    report = energy(path, array)
    assert report.total.zero_delay.data_pj == 0  # operands that stand still toggle nothing
    assert report.total.zero_delay.clock_pj > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clock_mhz": 0}, "clock_mhz: expected 0.001 to 100000 MHz, got 0"),
        ({"time_limit_s": float("nan")}, "time_limit_s: expected 0.001 to 1e+07 seconds, got nan"),
        ({"step_ps": -1}, "step_ps: expected 0.01 to 1000 ps, got -1"),
        ({"share": 1.5}, "share of cycles: expected a number above 0, up to 1, got 1.5"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError) as raised:
        EnergyOptions(**options)
    assert str(raised.value) == message


def test_a_spef_alone_is_refused(branching, tmp_path):
    with pytest.raises(InputError, match="a SPEF file belongs to a netlist"):
        energy(branching, ARRAY, spef=tmp_path / "x.spef")


def test_units_of_other_formats_compute_the_same_layers(branching):
    formats = (NumberFormat.TWOS_COMPLEMENT, NumberFormat.SIGN_MAGNITUDE)
    for number_format in formats:
        operand = Operand(format=number_format)
        report = energy(branching, ARRAY.model_copy(update={"weights": operand, "activations": operand}))
        assert report.datapath.weights.format == number_format.value
        assert report.total.zero_delay.data_pj > 0


def test_the_report_is_plain_json(branching):
    record = json.loads(energy(branching, ARRAY).model_dump_json())
    assert set(record["layers"][0]) == {"name", "macs", "zero_delay", "inertial", "sampled", "ci95_percent", "bill"}
    assert set(record["total"]) == set(record["layers"][0])
    assert set(PARTS) < set(record["total"]["zero_delay"])
    assert np.isfinite(record["datapath"]["area_um2"])


def test_a_network_without_integer_activations(monkeypatch, branching):
    network = fewflips.load(branching)
    monkeypatch.setattr("fewflips.simulation.setup.measurable_layers", lambda network: [])
    with pytest.raises(ModelError, match="no layer's activations are integers in the file"):
        energy(network, ARRAY)
