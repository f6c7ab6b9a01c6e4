"""Bus-invert ports in the arithmetic units: decoders, encoders, and their energy, against plain loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.coding.bus_invert import BusInvert
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.datapath.bus_invert_encoder import encoder_name, encoder_verilog
from fewflips.datapath.icarus import simulate_verilog
from fewflips.errors import AcceleratorError
from fewflips.formats.codes import Codes
from fewflips.formats.number_formats import UINT8, NumberFormat
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.machine.buffers import Tiling
from fewflips.simulation.rtl import write_network_rtl
from fewflips.simulation.run import EnergyOptions
from fewflips.simulation.toggles import count_toggles
from fewflips.simulation.unit import build_unit
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.network import build_onnx as small
from tests.network_energy import unit_walk
from tests.network_energy.netlist_walk import toggles

CODED = Operand(coding="bus-invert")
PORTS = ("weights", "activations")


def machine(weights=CODED, activations=CODED, lanes=2, columns=2, **options):
    return Accelerator(name="coded", lanes=lanes, columns=columns, weights=weights, activations=activations, **options)


def unsigned(layer):
    magnitudes = np.abs(layer.weights.astype(np.int64)).astype(np.uint8)
    return altered(layer, weights=magnitudes, weight_type=UINT8)


def sent(words, bits=8):
    """Wires and flags of one lane, word by word, by the rule of Stan and Burleson."""
    wires, flag, found = 0, 0, []
    for word in words:
        invert = 2 * ((wires ^ word).bit_count() + flag) > bits
        wires, flag = (word ^ ((1 << bits) - 1) if invert else word), int(invert)
        found.append((wires, flag))
    return found


def walked(layer, array, rows):
    """Cycles of each column: what each port's wires and flags hold, and the partial sum."""
    flow = dataflow_of(array)
    segments = flow.segments(layer, array)
    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    units, _ = unit_walk.activation_stationary(
        rows, layer.weights.astype(int), pairs, array.lanes, array.columns, array.tiling.pixels, array.turns
    )
    for cycles in units:
        lanes = [[sent([cycle[port][lane] for cycle in cycles]) for lane in range(array.lanes)] for port in (0, 1)]
        yield [
            (*(tuple(lane[number] for lane in port) for port in lanes), cycle[2]) for number, cycle in enumerate(cycles)
        ]


def seen(layer, array, rows, part_cycles):
    """The same from the parts of the layer, and the encoders' cycles by port: (word, before)."""
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    operands = layer_operands(layer, rows, array, datapath)
    flow = dataflow_of(array)
    units, encoders = {}, {port: {} for port in PORTS}
    for part in flow.unit_parts(operands, flow.segments(layer, array), array, part_cycles):
        names = ("weights", "weights_invert", "activations", "activations_invert", "partial_sum")
        for unit, skip, cycles in zip(part.units, part.skip, rows_of(part.sequences, names), strict=True):
            units.setdefault(int(unit), []).extend(
                (tuple(zip(w, wi, strict=True)), tuple(zip(a, ai, strict=True)), *sums)
                for w, wi, a, ai, sums in cycles[skip:]
            )
        for port, encoder in part.encoders.items():
            lane = 0
            found = zip(encoder.units, encoder.skip, rows_of(encoder.sequences, ("word", "before")), strict=True)
            for number, (unit, skip, cycles) in enumerate(found):
                lane = number % array.lanes
                encoders[port].setdefault((int(unit), lane), []).extend(
                    (word[0], before[0]) for word, before in cycles[skip:]
                )
    return units, encoders


def rows_of(sequences, names):
    ends = [*sequences.first_passes[1:], len(sequences.lengths)]
    for first, end in zip(sequences.first_passes, ends, strict=True):
        rows = {name: [] for name in names}
        for name in names:
            port = sequences.inputs[name]
            at = [port.start[p] + port.stride * t for p in range(first, end) for t in range(sequences.lengths[p])]
            rows[name] = [port.words[at[max(0, cycle - port.delay)]].tolist() for cycle in range(len(at))]
        yield list(zip(*rows.values(), strict=True))


@pytest.mark.parametrize("part_cycles", [1, 40, 10**6])
@pytest.mark.parametrize(
    "layer", [dense_layer(7, 5, 5, storage=UINT8), unsigned(depthwise_layer(6, 5, (1, 3)))], ids=str
)
@pytest.mark.parametrize("tiling", [Tiling(), Tiling(outputs=2, pixels=2)], ids=["whole", "tiled"])
@pytest.mark.parametrize("replay", ["forward", "serpentine"])
def test_units_and_encoders_see_the_wires_of_a_walk(layer, part_cycles, tiling, replay):
    array, rows = machine(tiling=tiling, replay=replay), random_rows(layer)
    units, encoders = seen(layer, array, rows, part_cycles)
    expected = list(walked(layer, array, rows))
    latency = 2
    assert [units[unit] for unit in sorted(units)] == [cycles + cycles[-1:] * latency for cycles in expected]
    assert {unit for unit, _ in encoders["weights"]} == {0}  # columns share them
    assert {unit for unit, _ in encoders["activations"]} == {0, 1}
    for port, of_port in enumerate(PORTS):
        for (unit, lane), found in encoders[of_port].items():
            wires = [cycle[port][lane] for cycle in expected[unit]]
            decoded = [word ^ 255 * flag for word, flag in wires]
            before = [word | flag << 8 for word, flag in [wires[0], *wires[:-1]]]
            cycles = list(zip(decoded, before, strict=True))
            drained = [(decoded[-1], wires[-1][0] | wires[-1][1] << 8)] * latency
            assert [word for word, _ in found] == [word for word, _ in cycles + drained]
            assert found[1:] == (cycles + drained)[1:]


def test_energy_of_a_layer_is_that_of_its_wires():
    layer, array = dense_layer(4, 3, 4, storage=UINT8), machine(activations=Operand())
    rows = random_rows(layer)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    assert datapath.bus_invert_ports == ("weights",)
    unit = build_unit(datapath, load_cells("nangate45"))
    flow = dataflow_of(array)
    segments = flow.segments(layer, array)
    operands = layer_operands(layer, rows, array, datapath)
    parts = list(flow.unit_parts(operands, segments, array))
    found = count_toggles(unit.circuit, parts, "zero-delay")
    expected = np.zeros(len(unit.netlist.nets), dtype=np.int64)
    units = list(walked(layer, array, rows))
    for cycles in units:
        held = cycles + cycles[-1:] * datapath.latency
        ports = [
            {
                "weights": sum(word << 8 * lane for lane, (word, _) in enumerate(weights)),
                "weights_invert": sum(flag << lane for lane, (_, flag) in enumerate(weights)),
                "activations": sum((word ^ 255 * flag) << 8 * lane for lane, (word, flag) in enumerate(activations)),
                "partial_sum": partial_sum,
            }
            for weights, activations, partial_sum in held
        ]
        expected += toggles(unit.netlist, unit.library, ports, settle=6)
    data = ~unit.model.clock_nets
    assert found.exact.toggles[data].tolist() == expected[data].tolist()

    encoder = unit.encoders["weights"]
    counted = count_toggles(encoder.circuit, (part.encoders["weights"] for part in parts), "zero-delay")
    of_encoders = np.zeros(len(encoder.netlist.nets), dtype=np.int64)
    held = units[0] + units[0][-1:] * datapath.latency
    for lane in range(2):
        wires = [cycle[0][lane] for cycle in held]
        before = [wires[0], *wires[:-1]]
        ports = [
            {"word": word ^ 255 * flag, "before": old | old_flag << 8}
            for (word, flag), (old, old_flag) in zip(wires, before, strict=True)
        ]
        of_encoders += toggles(encoder.netlist, unit.library, ports, settle=2)
    assert counted.exact.toggles.tolist() == of_encoders.tolist()
    work = flow.unit_work(layer, segments, array)
    energy = unit.encoder_energy("weights", counted, work, 200.0)
    per_toggle = encoder.model.switching_fj + encoder.model.internal_fj
    assert energy.data_fj == pytest.approx(per_toggle @ of_encoders)
    assert energy.clock_fj == 0
    # two lanes, which the columns share, leak for 2 tiles of 2 segments of 3 words, 5 ns each
    assert energy.leakage_fj == pytest.approx(encoder.model.leakage_nw.sum() * 2 * 12 * 5e-9 * 1e6)
    assert unit.banks["weights_invert"]
    shared = unit.shared_model(work.weight_share, work.activation_share)
    flags = [*unit.banks["weights"], *unit.banks["weights_invert"]]
    assert shared.clock_fj[flags] == pytest.approx(unit.model.clock_fj[flags] / 2)
    assert unit.area_um2 > sum(unit.library.cells[i.cell].area_um2 for i in unit.netlist.instances)


@pytest.mark.parametrize("bits", [2, 7, 8, 16])
def test_encoder_sends_what_the_coding_sends(iverilog, bits):
    words = np.random.default_rng(bits).integers(0, 1 << bits, (300, 1)).astype(np.uint16)
    coding = BusInvert()
    wires, _ = coding.encode(Codes(words, bits), coding.start(1, bits))
    lanes, flags = wires.lanes.words[:, 0].tolist(), wires.side[0].words[:, 0].tolist()
    lines = [
        f'word = {word}; #1 if ({{flag, wires}} !== {flag << bits | lane}) $display("wrong"); before = {{flag, wires}};'
        for word, lane, flag in zip(words[:, 0].tolist(), lanes, flags, strict=True)
    ]
    bench = [
        f"module bench; reg [{bits - 1}:0] word; reg [{bits}:0] before; wire [{bits - 1}:0] wires; wire flag;",
        f"{encoder_name(bits)} encoder (.word(word), .before(before), .wires(wires), .flag(flag));",
        "initial begin before = 0;",
        *lines,
        '$display("done"); $finish; end endmodule',
    ]
    assert simulate_verilog([encoder_verilog(bits), "\n".join(bench)], "bench").split() == ["done"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small.save(small.qdq(), tmp_path / "model.onnx")


def test_energy_of_a_model_counts_encoders_and_decoders(model: Path, iverilog, tmp_path: Path):
    options = EnergyOptions(jobs=1)
    plain = fewflips.energy(model, machine(Operand(), Operand()), options=options)
    coded = fewflips.energy(model, machine(), options=options)
    assert coded.datapath.bus_invert_ports == PORTS
    assert coded.datapath.registers > plain.datapath.registers
    assert coded.total.inertial.data_pj > plain.total.inertial.data_pj
    assert coded.total.inertial.leakage_pj > plain.total.inertial.leakage_pj
    assert coded.datapath.area_um2 > plain.datapath.area_um2
    (note,) = set(coded.notes) - set(plain.notes)
    assert "Encoders and decoders are part of the energy" in note
    assert json.loads(coded.model_dump_json())["datapath"]["bus_invert_ports"] == list(PORTS)
    files = write_network_rtl(model, machine(datapath=DatapathOptions(hold_flags=True)), tmp_path / "rtl", cycles=200)
    texts = [file.read_text() for file in files if file.suffix == ".v"]
    stimulus = {file.name: file.read_text() for file in files if file.suffix == ".hex"}
    assert "PASS" in simulate_verilog(texts, "testbench", stimulus)


def test_other_dataflows_see_decoded_words(model: Path):
    array = machine(dataflow="output-stationary")
    report = fewflips.energy(model, array, options=EnergyOptions(jobs=1))
    assert report.datapath.bus_invert_ports == ()
    assert "the energy of encoders and decoders is not counted." in "".join(report.notes)


def test_words_are_converted_or_coded():
    magnitudes = Operand(format=NumberFormat.SIGN_MAGNITUDE, coding="bus-invert")
    array = machine(activations=magnitudes, datapath=DatapathOptions(activation_converter=True))
    with pytest.raises(
        AcceleratorError, match=r"^coded: bus-invert: expected activations that are not converted, got both;"
    ):
        unit_datapath([dense_layer(2, 2, 2)], array, common_word([(UINT8, 8)], array.activations))
