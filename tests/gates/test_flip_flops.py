"""Words of flip-flops with gated clocks, added to logic that was synthesized without them."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.errors import NetlistError
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.checks import check_netlist
from fewflips.gates.netlist.flip_flops import smallest_flip_flop, with_entries
from fewflips.gates.netlist.netlist import Instance, Netlist
from fewflips.gates.netlist.registers import feedback_registers
from fewflips.gates.netlist.synthesis import synthesis_cells
from fewflips.gates.operands import OperandSequences, PortRows
from fewflips.gates.switching import Mode, compile_circuit, simulate

LIBRARY = load_cells("nangate45")
# Two words of two bits: word 0 takes the data where `take` is 1, word 1 where it is 0; their first bits are compared.
LOGIC = Netlist(
    name="two_words",
    nets=("1'b0", "1'b1", "take", *(f"contents[{bit}]" for bit in range(4)), "inverse", "same"),
    instances=(
        Instance("invert", "INV_X1", {"A": 2, "ZN": 7}),
        Instance("compare", "AND2_X1", {"A1": 3, "A2": 5, "ZN": 8}),
    ),
    inputs={"take": (2,), "contents": (3, 4, 5, 6)},
    outputs={"hold": (7, 2), "same": (8,)},
)


def two_words() -> Netlist:
    netlist = with_entries(LOGIC, LIBRARY.cells["DFF_X1"], contents="contents", hold="hold", data="word")
    check_netlist(netlist, LIBRARY)
    return netlist


def sequences(take: np.ndarray, words: np.ndarray, contents: np.ndarray) -> OperandSequences:
    cycles, start = len(take), np.zeros(1, dtype=np.int64)
    return OperandSequences(
        lengths=np.array([cycles]),
        first_passes=start,
        inputs={"take": PortRows(take[:, None], 1, start, 1), "word": PortRows(words, 1, start, 1)},
        registers={"contents": PortRows(contents, 1, start, 1)},
    )


def test_flip_flops_stand_between_the_data_and_the_contents():
    netlist = two_words()
    assert set(netlist.inputs) == {"clk", "take", "word"}
    assert set(netlist.outputs) == {"contents", "same"}
    stored = [instance for instance in netlist.instances if instance.cell == "DFF_X1"]
    assert [instance.pins["Q"] for instance in stored] == [3, 4, 5, 6]
    assert [instance.pins["D"] for instance in stored] == [*netlist.inputs["word"]] * 2
    assert {instance.pins["CK"] for instance in stored} == set(netlist.inputs["clk"])
    assert [netlist.holds[netlist.instances.index(instance)] for instance in stored] == [7, 7, 2, 2]
    assert feedback_registers(netlist, LIBRARY) == set(netlist.holds)


@pytest.mark.parametrize("mode", ["zero-delay", "inertial"])
def test_a_word_changes_only_where_it_is_not_held(mode: Mode):
    generator = np.random.default_rng(3)
    take, words = generator.integers(2, size=150), generator.integers(2, size=(150, 2))
    contents = np.zeros((150, 2, 2), dtype=np.int64)
    for cycle in range(1, 150):
        contents[cycle] = contents[cycle - 1]
        contents[cycle, 1 - take[cycle - 1]] = words[cycle - 1]
    flat, netlist = contents.reshape(150, 4), two_words()
    circuit = compile_circuit(netlist, LIBRARY)
    toggles = simulate(circuit, sequences(take, words, flat), mode).toggles
    assert toggles[3:7].tolist() == (flat[1:] != flat[:-1]).sum(axis=0).tolist()
    for cycle in range(2, 150):  # whichever bit is wrong, and when: a word that is held, one that is taken
        bit = int(generator.integers(4))
        wrong = flat.copy()
        wrong[cycle:, bit] ^= 1
        with pytest.raises(NetlistError, match=r"shown at contents.* does not hold what the netlist computes"):
            simulate(circuit, sequences(take, words, wrong), mode)


def test_contents_that_are_no_words():
    uneven = Netlist("uneven", LOGIC.nets, LOGIC.instances, {"take": (2,), "contents": (3, 4, 5)}, LOGIC.outputs)
    with pytest.raises(NetlistError, match="uneven: expected 2 words of the same width, got 3 bits"):
        with_entries(uneven, LIBRARY.cells["DFF_X1"], contents="contents", hold="hold", data="word")


def test_the_smallest_flip_flop_is_taken(shared):
    assert smallest_flip_flop(synthesis_cells(LIBRARY)).name == "DFF_X1"
    sky130 = synthesis_cells(load_cells(shared / "pdk" / "sky130hd_tt.lib.gz"))
    found = smallest_flip_flop(sky130)
    assert found.flip_flop is not None
    assert all(found.area_um2 <= cell.area_um2 for cell in sky130.cells.values() if cell.flip_flop)
