"""Parts of units: by hand, against a plain walk, and against what toggles when only one operand moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.prepared import unit_netlist
from fewflips.gates.operands import OperandSequences, PortRows
from fewflips.gates.parasitics.wires import WireModel, fanout_wire_ff
from fewflips.gates.power.attribution import PARTS, Attribution, attribute, part_coefficients
from fewflips.gates.power.energy import EnergyModel, energy_model, scaled
from fewflips.gates.switching import compile_circuit, simulate
from fewflips.gates.timing import analyze_timing
from tests.gates.cone_walk import ConeWalk
from tests.gates.mapped_circuits import LIBRARY, circuit
from tests.property_settings import examples

SIGNED, UNSIGNED = Word(WordFormat.TWOS_COMPLEMENT, 4), Word(WordFormat.UNSIGNED, 3)
SIGNED_3 = Word(WordFormat.TWOS_COMPLEMENT, 3)
MAGNITUDE = Word(WordFormat.SIGN_MAGNITUDE, 3)
LANE_BITS = {"weights": 4, "activations": 3, "weights_invert": 1, "activations_invert": 1}
UNITS = {
    "multiplier": Datapath("multiplier", SIGNED, UNSIGNED),
    "mac": Datapath("mac", SIGNED, UNSIGNED, accumulator_bits=10),
    "mac, Booth": Datapath("mac", SIGNED, UNSIGNED, accumulator_bits=10, multiplier="booth"),
    "column": Datapath("column", SIGNED, UNSIGNED, lanes=3, accumulator_bits=11, partial_sum_input=True),
    "column, no partial sum": Datapath("column", SIGNED, MAGNITUDE, lanes=3, accumulator_bits=11),
    "column, one sum": Datapath(
        "column", SIGNED, UNSIGNED, lanes=3, accumulator_bits=11, partial_sum_input=True, adder="one-sum"
    ),
    "column, product registers": Datapath(
        "column", SIGNED, UNSIGNED, lanes=3, accumulator_bits=11, partial_sum_input=True, product_registers=True
    ),
    "column, Booth": Datapath(
        "column", SIGNED, UNSIGNED, lanes=2, accumulator_bits=11, partial_sum_input=True, multiplier="booth"
    ),
    "column, one lane": Datapath("column", SIGNED, UNSIGNED, lanes=1, accumulator_bits=11, partial_sum_input=True),
    "column, tree register": Datapath(
        "column", SIGNED, UNSIGNED, lanes=3, accumulator_bits=11, partial_sum_input=True, tree_register=True
    ),
    "column, offset sums": Datapath(
        "column",
        *(SIGNED, UNSIGNED),
        lanes=3,
        accumulator_bits=11,
        partial_sum_input=True,
        tree_register=True,
        offset_sums=True,
    ),
    "column, zero gating": Datapath(
        "column", SIGNED, UNSIGNED, lanes=3, accumulator_bits=11, partial_sum_input=True, zero_gating=True
    ),
    "column, bit planes": Datapath(
        "column", SIGNED, UNSIGNED, lanes=3, accumulator_bits=11, partial_sum_input=True, adder="bit-planes"
    ),
    "column, coded": Datapath(
        "column",
        *(SIGNED, UNSIGNED),
        lanes=3,
        accumulator_bits=11,
        partial_sum_input=True,
        bus_invert_ports=("weights", "activations"),
    ),
    "column, converter": Datapath(
        "column",
        *(SIGNED, SIGNED_3),
        lanes=3,
        accumulator_bits=11,
        partial_sum_input=True,
        activation_converter=True,
    ),
    "chain": Datapath("chain", SIGNED, UNSIGNED, lanes=3, accumulator_bits=11, partial_sum_input=True),
    "chain, no partial sum": Datapath("chain", SIGNED, UNSIGNED, lanes=3, accumulator_bits=11),
}
EXPECTED_PARTS = {
    "multiplier": {"multipliers"},
    "mac": {"multipliers", "partial sums", "registers"},
    "mac, Booth": {"multipliers", "partial sums", "registers"},
    "column, no partial sum": {"multipliers", "adders", "registers"},
    "column, one lane": {"multipliers", "partial sums", "registers"},
    "chain": {"multipliers", "partial sums", "registers"},
    "chain, no partial sum": {"multipliers", "partial sums", "registers"},
}


def named(netlist: Netlist, found: Attribution) -> tuple[dict[str, str], dict[str, str]]:
    """Parts of instances and of nets by name; constants are left out."""
    instances = {x.name: PARTS[part] for x, part in zip(netlist.instances, found.instances, strict=True)}
    nets = dict(zip(netlist.nets[2:], (PARTS[part] for part in found.nets[2:]), strict=True))
    return instances, nets


def model_of(netlist: Netlist, library=LIBRARY) -> EnergyModel:
    wires = WireModel.estimated(netlist, library)
    wire_ff = fanout_wire_ff(netlist, library, wires.per_fanout_ff, wires.base_ff)
    return energy_model(netlist, library, analyze_timing(netlist, library, wire_ff), wire_ff)


@pytest.mark.parametrize("name", UNITS)
def test_every_cell_and_net_of_a_unit_is_where_a_plain_walk_puts_it(name):
    datapath = UNITS[name]
    netlist, _ = unit_netlist(datapath, LIBRARY)
    running = datapath.kind == "chain"
    found = attribute(netlist, LIBRARY, LANE_BITS, running=running)
    walk = ConeWalk(netlist, LIBRARY, LANE_BITS, running)
    assert [PARTS[part] for part in found.instances] == [
        walk.instance_part(number) for number in range(len(netlist.instances))
    ]
    clock = set(netlist.inputs.get("clk", ()))
    nets = [net for net in range(2, len(netlist.nets)) if net not in clock]
    assert [PARTS[found.nets[net]] for net in nets] == [walk.net_part(net) for net in nets]
    assert {PARTS[part] for part in found.instances} == EXPECTED_PARTS.get(name, set(PARTS))


@pytest.mark.parametrize("name", UNITS)
def test_parts_add_up_for_every_net(name):
    netlist, _ = unit_netlist(UNITS[name], LIBRARY)
    model = model_of(netlist)
    generator = np.random.default_rng(5)
    shares = generator.uniform(size=len(netlist.instances)), generator.uniform(size=len(netlist.nets))
    found = attribute(netlist, LIBRARY, LANE_BITS)
    for one in (model, scaled(model, *shares)):
        parts = part_coefficients(one, found)
        assert parts.sum(axis=0) == pytest.approx(one.switching_fj + one.internal_fj, rel=1e-12)
        assert parts.min() == 0


def test_parts_of_a_placed_unit():
    """Two lanes of one bit, buffers before and behind registers, a clock tree, and a register behind the adder."""
    netlist = circuit(
        {"clk": "clk", "weights": "w0 w1", "activations": "a0 a1", "partial_sum": "s"},
        {"sum": "q"},
        [
            ("tree", "BUF_X1", "A=clk Z=clk1"),
            ("port", "BUF_X1", "A=w0 Z=w0b"),
            ("rw0", "DFF_X1", "D=w0b CK=clk1 Q=w0q"),
            ("rw1", "DFF_X1", "D=w1 CK=clk1 Q=w1q"),
            ("ra0", "DFF_X1", "D=a0 CK=clk1 Q=a0q"),
            ("ra1", "DFF_X1", "D=a1 CK=clk1 Q=a1q"),
            ("rs", "DFF_X1", "D=s CK=clk Q=sq"),
            ("repeat", "BUF_X1", "A=w0q Z=w0r"),
            ("m0", "AND2_X1", "A1=w0r A2=a0q ZN=p0"),
            ("m1", "AND2_X1", "A1=w1q A2=a1q ZN=p1"),
            ("add", "XOR2_X1", "A=p0 B=p1 Z=t"),
            ("rt", "DFF_X1", "D=t CK=clk Q=tq"),
            ("wide", "INV_X1", "A=tq ZN=tn"),
            ("late", "INV_X1", "A=sq ZN=sn"),
            ("total", "XOR2_X1", "A=tn B=sn Z=d"),
            ("rq", "DFF_X1", "D=d CK=clk Q=q"),
        ],
    )
    instances, nets = named(netlist, attribute(netlist, LIBRARY, {"weights": 1, "activations": 1}))
    assert {name for name, part in instances.items() if part == "multipliers"} == {"repeat", "m0", "m1"}
    assert {name for name, part in instances.items() if part == "adders"} == {"add", "wide"}
    assert {name for name, part in instances.items() if part == "partial sums"} == {"late", "total"}
    assert {name for name, part in nets.items() if part == "multipliers"} == {"w0r", "p0", "p1"}
    assert {name for name, part in nets.items() if part == "adders"} == {"t", "tn"}
    assert {name for name, part in nets.items() if part == "partial sums"} == {"sn", "d"}


def test_a_port_that_feeds_logic_belongs_to_the_logic():
    netlist = circuit(
        {"clk": "clk", "weights": "w", "activations": "a", "skip": "z"},
        {"product": "q"},
        [
            ("gate", "AND2_X1", "A1=w A2=z ZN=g"),
            ("fan", "INV_X1", "A=z ZN=zn"),
            ("rw", "DFF_X1", "D=g CK=clk Q=wq"),
            ("ra", "DFF_X1", "D=a CK=clk Q=aq"),
            ("rz", "DFF_X1", "D=zn CK=clk Q=zq"),
            ("both", "AND2_X1", "A1=wq A2=zq ZN=wz"),
            ("m", "AND2_X1", "A1=wz A2=aq ZN=p"),
            ("rq", "DFF_X1", "D=p CK=clk Q=q"),
        ],
    )
    by_lane = {"weights": 1, "activations": 1, "skip": 1}  # a flag for each lane
    instances, nets = named(netlist, attribute(netlist, LIBRARY, by_lane))
    assert {name for name, part in instances.items() if part == "multipliers"} == {"gate", "both", "m"}
    assert {name for name, part in nets.items() if part == "multipliers"} == {"w", "z", "g", "wz", "p"}
    assert nets["a"] == nets["zn"] == instances["fan"] == "registers"
    instances, nets = named(netlist, attribute(netlist, LIBRARY, {"weights": 1, "activations": 1}))
    assert {name for name, part in instances.items() if part == "partial sums"} == {"gate", "both", "m"}


def test_negative_figures_of_input_pins_count_with_the_net_in_front():
    library = load_cells("sky130hd")
    datapath = UNITS["mac"]
    netlist, _ = unit_netlist(datapath, library)
    model = model_of(netlist, library)
    assert (model.input_fj < 0).any()
    found = attribute(netlist, library, LANE_BITS)
    parts = part_coefficients(model, found)
    assert parts.min() == 0
    expected = np.zeros_like(parts)
    for net in range(len(netlist.nets)):
        expected[found.nets[net], net] += model.switching_fj[net] + model.output_fj[net]
    for figure, net, instance in zip(model.input_fj, model.input_nets, model.input_instances, strict=True):
        expected[found.nets[net] if figure < 0 else found.instances[instance], net] += figure
    assert parts == pytest.approx(expected)


def moving(datapath: Datapath, port: str, lanes: slice = slice(None)) -> OperandSequences:
    """Operands of which only some lanes of one port move."""
    generator = np.random.default_rng(3)
    bits = {"weights": (4, datapath.lanes), "activations": (3, datapath.lanes), "partial_sum": (11, 1)}
    cycles = 40
    inputs = {}
    for name, (width, lane_count) in bits.items():
        words = np.repeat(generator.integers(1 << width, size=(1, lane_count)), cycles, axis=0)
        if name == port:
            words[:, lanes] = generator.integers(1 << width, size=words[:, lanes].shape)
        inputs[name] = PortRows(words.astype(np.int32), width, np.zeros(1, np.int64), 1)
    return OperandSequences(np.array([cycles]), np.zeros(1, np.int64), inputs)


def test_only_parts_behind_what_moves_spend_energy():
    datapath = UNITS["column, product registers"]
    netlist, _ = unit_netlist(datapath, LIBRARY)
    model = model_of(netlist)
    wire_ff = np.zeros(len(netlist.nets))
    loads = analyze_timing(netlist, LIBRARY, wire_ff)
    unit = compile_circuit(netlist, LIBRARY, loads.delays_ps, 10.0)
    found = attribute(netlist, LIBRARY, LANE_BITS)
    coefficients = part_coefficients(model, found)

    def spent(*which) -> dict[str, float]:
        toggles = simulate(unit, moving(datapath, *which), "inertial").toggles
        return dict(zip(PARTS, coefficients @ toggles, strict=True))

    only_sums = spent("partial_sum")
    assert only_sums["multipliers"] == only_sums["adders"] == 0
    assert only_sums["partial sums"] > 0
    assert only_sums["registers"] > 0
    assert min(spent("weights").values()) > 0
    one, other, both = (spent("weights", slice(*lanes))["multipliers"] for lanes in ((0, 1), (1, 3), (0, 3)))
    assert 0 < one < both
    assert 0 < other < both


@st.composite
def random_units(draw: st.DrawFn) -> Netlist:
    """Gates and registers with any connections between them, but for loops without a register."""
    ports = ["w0", "w1", "a0", "a1", "s", "c"]
    registers = [f"q{number}" for number in range(draw(st.integers(0, 5)))]
    known, cells = [*ports, *registers], []
    for number in range(draw(st.integers(1, 10))):
        one, other = (draw(st.sampled_from(known)) for _ in range(2))
        kind, pins = draw(
            st.sampled_from(
                [
                    ("BUF_X1", f"A={one} Z=g{number}"),
                    ("INV_X1", f"A={one} ZN=g{number}"),
                    ("XOR2_X1", f"A={one} B={other} Z=g{number}"),
                    ("AND2_X1", f"A1={one} A2={other} ZN=g{number}"),
                ]
            )
        )
        cells.append((f"u{number}", kind, pins))
        known.append(f"g{number}")
    for register in registers:
        cells.append((f"r{register}", "DFF_X1", f"D={draw(st.sampled_from(known))} CK=clk Q={register}"))
    inputs = {"clk": "clk", "weights": "w0 w1", "activations": "a0 a1", "partial_sum": "s", "clear": "c"}
    return circuit(inputs, {"sum": draw(st.sampled_from(known))}, cells)


@pytest.mark.parametrize("running", [False, True])
@given(netlist=random_units())
@examples(150)
def test_random_units_are_told_apart_as_by_a_plain_walk(netlist, running):
    by_lane = {"weights": 1, "activations": 1}
    found = attribute(netlist, LIBRARY, by_lane, running=running)
    walk = ConeWalk(netlist, LIBRARY, by_lane, running)
    assert [PARTS[part] for part in found.instances] == [
        walk.instance_part(number) for number in range(len(netlist.instances))
    ]
    nets = [net for net, name in enumerate(netlist.nets) if net > 1 and name != "clk"]
    assert [PARTS[found.nets[net]] for net in nets] == [walk.net_part(net) for net in nets]
