"""From a layer's operands to its energy, against plain loops and a plain evaluation of the gates."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.formats.number_formats import UINT8
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.operands import Toggles
from fewflips.gates.power.attribution import PARTS
from fewflips.gates.power.energy import energy_of
from fewflips.machine import Accelerator
from fewflips.simulation.toggles import count_toggles
from fewflips.simulation.unit import build_unit
from tests.gates.cone_walk import ConeWalk
from tests.layers import dense_layer, random_rows
from tests.network_energy import unit_walk
from tests.network_energy.netlist_walk import toggles

WALKS = {
    "activation-stationary": unit_walk.activation_stationary,
    "output-stationary": unit_walk.output_stationary,
    "weight-stationary": unit_walk.weight_stationary,
}


def bus(words, bits=8):
    return sum(int(word) << (bits * lane) for lane, word in enumerate(words))


def ports_of(cycle, dataflow):
    if dataflow == "output-stationary":
        weight, activation, clear, _ = cycle
        return {"weights": weight, "activations": activation, "clear": clear}
    weights, activations, partial_sum = cycle
    return {"weights": bus(weights), "activations": bus(activations), "partial_sum": partial_sum}


def skewed(cycles):
    """Lane l as it is l cycles later, as a systolic chain expects it."""
    late = []
    for number, (_, _, partial_sum) in enumerate(cycles):
        weights, activations = (
            tuple(cycles[max(0, number - lane)][operand][lane] for lane in range(len(cycles[0][operand])))
            for operand in (0, 1)
        )
        late.append((weights, activations, partial_sum))
    return late


def parts_by_hand(unit, work, counted):
    """Energy of each part, net by net and pin by pin; what several units share counts with its share."""
    lane_bits = {"weights": unit.datapath.weights.bits, "activations": unit.datapath.activations.bits}
    walk = ConeWalk(unit.netlist, unit.library, lane_bits, running=unit.datapath.kind == "chain")
    shares = {"weights": work.weight_share, "activations": work.activation_share}
    of_nets = {net: shares.get(port, 1.0) for port, nets in unit.netlist.inputs.items() for net in nets}
    of_cells = {cell: shares[bank] for bank in shares for cell in unit.banks[bank]}
    parts, model = dict.fromkeys(PARTS, 0.0), unit.model
    for net, toggles_of_net in enumerate(counted):
        if net > 1 and not model.clock_nets[net]:
            driver = of_cells.get(walk.drivers.get(net), 1.0)
            per_toggle = model.switching_fj[net] * of_nets.get(net, 1.0) + model.output_fj[net] * driver
            parts[walk.net_part(net)] += per_toggle * toggles_of_net
    for figure, net, cell in zip(model.input_fj, model.input_nets, model.input_instances, strict=True):
        parts[walk.instance_part(cell)] += figure * of_cells.get(cell, 1.0) * counted[net]
    return parts


@pytest.mark.parametrize("dataflow", sorted(WALKS))
@pytest.mark.parametrize(
    ("part_cycles", "forwarding", "replay"),
    [
        (1, "systolic", "forward"),
        (10**6, "systolic", "forward"),
        (10**6, "broadcast", "forward"),
        (1, "systolic", "serpentine"),
        (10**6, "broadcast", "serpentine"),
    ],
)
def test_energy_of_a_layer(dataflow, part_cycles, forwarding, replay):
    layer = dense_layer(5, 4, 5, storage=UINT8)
    array = Accelerator(name="test", dataflow=dataflow, lanes=2, columns=2, forwarding=forwarding, replay=replay)
    rows = random_rows(layer)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    unit = build_unit(datapath, load_cells("nangate45"))
    segments = dataflow_of(array).segments(layer, array)
    parts = dataflow_of(array).unit_parts(layer_operands(layer, rows, array, datapath), segments, array, part_cycles)
    found = count_toggles(unit.circuit, parts, "zero-delay")

    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    turns = replay == "serpentine"
    units, _ = WALKS[dataflow](rows, layer.weights.astype(np.int64), pairs, array.lanes, array.columns, turns=turns)
    expected, transitions = np.zeros(len(unit.netlist.nets), dtype=np.int64), 0
    drain = {"mac": 0, "column": datapath.latency, "chain": datapath.latency + array.lanes - 1}[datapath.kind]
    for walked in units:
        held = walked + walked[-1:] * drain
        cycles = skewed(held) if datapath.kind == "chain" else held
        expected += toggles(unit.netlist, unit.library, [ports_of(cycle, dataflow) for cycle in cycles], settle=6)
        transitions += len(cycles) - 1
    clocks = unit.model.clock_nets
    assert found.exact.transitions == transitions
    assert found.exact.toggles[~clocks].tolist() == expected[~clocks].tolist()

    work = dataflow_of(array).unit_work(layer, segments, array)
    energy = unit.energy(found, work, clock_mhz=500.0)
    shared = unit.shared_model(work.weight_share, work.activation_share)
    by_hand = energy_of(shared, Toggles(expected, expected, transitions), 0.0, 0.0)
    assert energy.switching_fj == pytest.approx(by_hand.switching_fj)
    assert energy.internal_fj == pytest.approx(by_hand.internal_fj)
    assert energy.data_fj > 0
    by_part = unit.data_by_part(found, work)
    assert sum(by_part) == pytest.approx(energy.data_fj, rel=1e-12)
    assert dict(zip(PARTS, by_part, strict=True)) == pytest.approx(parts_by_hand(unit, work, expected))
    # every unit leaks in every cycle of the array (2 ns at 500 MHz), and registers that two units share do so once
    banks = {"activation-stationary": ["weights"], "weight-stationary": ["activations"]}
    halved = banks.get(dataflow, ["weights", "activations"]) if forwarding == "broadcast" else []
    leakage = unit.model.leakage_nw.copy()
    for bank in halved:
        leakage[unit.banks[bank]] /= 2
    units, cycles = {
        "activation-stationary": (2, 3 * (4 + 4 + 4)),  # three tiles of two pixels, three segments of four outputs
        "weight-stationary": (2, 3 * 2 * 5),  # three segments, two tiles of outputs, five pixels
        "output-stationary": (4, 3 * 2 * 5),  # three tiles of pixels, two of outputs, five products
    }[dataflow]
    assert (work.units, work.array_cycles) == (units, cycles)
    assert energy.leakage_fj == pytest.approx(sum(leakage) * units * cycles * 2e-9 * 1e6)
    registers = [i for i, x in enumerate(unit.netlist.instances) if unit.library.cells[x.cell].flip_flop is not None]
    clocked = np.full(len(unit.netlist.instances), work.unit_cycles)
    clocked[unit.banks["weights"]] = work.weight_loads
    clocked[unit.banks["activations"]] = work.activation_loads
    per_cycle = shared.clock_fj
    assert energy.clock_fj == pytest.approx(sum(per_cycle[i] * clocked[i] for i in registers))


def test_shared_registers_cost_their_share():
    layer = dense_layer(4, 4, 4, storage=UINT8)
    array = Accelerator(name="test", lanes=4, columns=4)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    unit = build_unit(datapath, load_cells("nangate45"))
    work = dataflow_of(array).unit_work(layer, dataflow_of(array).segments(layer, array), array)
    shared, own = unit.shared_model(work.weight_share, work.activation_share), unit.model
    weights = unit.banks["weights"]
    assert len(weights) == 4 * 8
    assert shared.clock_fj[weights] == pytest.approx(own.clock_fj[weights] / 4)
    port = list(unit.netlist.inputs["weights"])
    assert shared.switching_fj[port] == pytest.approx(own.switching_fj[port] / 4)
    outputs = [unit.netlist.instances[i].pins["Q"] for i in weights]
    assert shared.switching_fj[outputs] == pytest.approx(own.switching_fj[outputs])  # each column has its own wires
    activations = unit.banks["activations"]
    assert shared.clock_fj[activations] == pytest.approx(own.clock_fj[activations])
