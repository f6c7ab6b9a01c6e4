from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.registers import feedback_registers, gates_in_front, register_banks
from tests.gates.mapped_circuits import LIBRARY, circuit

# A one-bit mac as placed: names lost, a clock tree, buffers before registers.
PLACED_MAC = circuit(
    {"clk": "clk", "weights": "w", "activations": "a", "clear": "c"},
    {"accumulator": "acc"},
    [
        ("_1_", "BUF_X1", "A=clk Z=clk1"),
        ("_2_", "BUF_X1", "A=w Z=w1"),
        ("_3_", "INV_X1", "A=w1 ZN=w2"),
        ("_4_", "DFF_X1", "D=w2 CK=clk1 QN=wq"),
        ("_5_", "DFF_X1", "D=a CK=clk1 Q=aq"),
        ("_6_", "DFF_X1", "D=c CK=clk Q=cq"),
        ("_7_", "AND2_X1", "A1=wq A2=aq ZN=p"),
        ("_8_", "DFF_X1", "D=p CK=clk1 Q=pq"),
        ("_9_", "NOR2_X1", "A1=accn A2=cq ZN=kept"),
        ("_10_", "XOR2_X1", "A=kept B=pq Z=next"),
        ("_11_", "DFF_X1", "D=next CK=clk1 Q=acc QN=accn"),
        ("_12_", "DFF_X1", "D=1'b1 CK=clk Q=open"),
    ],
)


def test_banks_by_what_feeds_them() -> None:
    names = {
        bank: [PLACED_MAC.instances[index].name for index in members]
        for bank, members in register_banks(PLACED_MAC, LIBRARY).items()
    }
    assert names == {
        "weights": ["_4_"],
        "activations": ["_5_"],
        "clear": ["_6_"],
        "internal": ["_8_", "_11_", "_12_"],
    }


def test_gates_in_front_compute_from_one_port() -> None:
    def names(port: str) -> list[str]:
        return [PLACED_MAC.instances[index].name for index in gates_in_front(PLACED_MAC, LIBRARY, port)]

    assert names("weights") == ["_2_", "_3_"]
    assert names("clear") == []


def test_a_netlist_of_gates_has_an_empty_internal_bank() -> None:
    netlist = circuit({"a": "a"}, {"y": "y"}, [("u1", "INV_X1", "A=a ZN=y")])
    assert register_banks(netlist, LIBRARY) == {"internal": []}
    assert feedback_registers(netlist, LIBRARY) == frozenset()


def test_accumulators_feed_back() -> None:
    assert {PLACED_MAC.instances[index].name for index in feedback_registers(PLACED_MAC, LIBRARY)} == {"_11_"}


def test_a_register_that_stores_itself_feeds_back() -> None:
    netlist = circuit({"clk": "clk"}, {"y": "q"}, [("u1", "DFF_X1", "D=q CK=clk Q=q")])
    assert feedback_registers(netlist, LIBRARY) == {0}


def test_registers_around_feedback_do_not_feed_back() -> None:
    netlist = circuit(
        {"clk": "clk", "a": "a"},
        {"y": "q3"},
        [
            ("u1", "DFF_X1", "D=a CK=clk Q=q1"),
            ("u2", "XOR2_X1", "A=q1 B=q2 Z=d2"),
            ("u3", "DFF_X1", "D=d2 CK=clk Q=q2"),
            ("u4", "DFF_X1", "D=q2 CK=clk Q=q3"),
        ],
    )
    assert feedback_registers(netlist, LIBRARY) == {2}


@st.composite
def register_networks(draw: st.DrawFn) -> tuple[Netlist, list[tuple[int, int]]]:
    """Registers whose data is the exclusive or of two registers each, and those edges."""
    count = draw(st.integers(1, 8))
    edges: list[tuple[int, int]] = []
    gates = []
    for index in range(count):
        pair = [draw(st.integers(-1, count - 1)) for _ in range(2)]
        names = ["a" if source < 0 else f"q{source}" for source in pair]
        edges.extend((source, index) for source in pair if source >= 0)
        gates.append((f"x{index}", "XOR2_X1", f"A={names[0]} B={names[1]} Z=d{index}"))
        gates.append((f"r{index}", "DFF_X1", f"D=d{index} CK=clk Q=q{index}"))
    return circuit({"clk": "clk", "a": "a"}, {}, gates), edges


@given(register_networks())
def test_feedback_agrees_with_reachability(case: tuple[Netlist, list[tuple[int, int]]]) -> None:
    netlist, edges = case
    count = len(netlist.instances) // 2
    reach = [{target for source, target in edges if source == index} for index in range(count)]
    for _ in range(count):
        for index in range(count):
            reach[index] |= {further for target in reach[index] for further in reach[target]}
    cyclic = {index for index in range(count) if index in reach[index]}
    assert {index // 2 for index in feedback_registers(netlist, LIBRARY)} == cyclic
