from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import CellLibraryError, InputError, NetlistError
from fewflips.gates.liberty.cells import Table
from fewflips.gates.liberty.lookup import look_up, table_bank, values_at
from fewflips.gates.netlist.netlist import Instance, Netlist
from fewflips.gates.timing import analyze_timing

from .small_library import LIBRARY, netlist

CHAIN = netlist("u1 INV A=a Z=n\nu2 INV A=n Z=z", "a", "z")  # nets: 0, 1, a, n, z


def test_chain_of_inverters_worked_out_on_paper() -> None:
    timing = analyze_timing(CHAIN, LIBRARY, np.array([0.0, 0, 0, 1, 3]), input_slew_ps=20)
    assert timing.loads_ff.tolist() == [0, 0, 2, 3, 3]
    # n rises after a falls: 10 + 0.1 x 20 + 2 x 3 = 18; falls: 6 + 2 + 3 = 11
    # z rises after n falls (slew 3 + 1.5): 10 + 0.45 + 6; falls after n rises (slew 5 + 3): 6 + 0.8 + 3
    assert timing.rise_slews_ps == pytest.approx([20, 20, 20, 8, 8])
    assert timing.fall_slews_ps == pytest.approx([20, 20, 20, 4.5, 4.5])
    assert timing.slews_ps[3] == 6.25
    assert timing.delays_ps == pytest.approx([0, 0, 0, (18 + 11) / 2, (16.45 + 9.8) / 2])
    assert timing.arrivals_ps == pytest.approx([0, 0, 0, 18, 27.8])
    assert timing.critical_path_ps == pytest.approx(27.8)


def test_mean_delay_and_worst_slew_over_arcs() -> None:
    gate = netlist("u1 NAND2 A=a B=b Z=z", "a b", "z")
    timing = analyze_timing(gate, LIBRARY, input_slew_ps=0)
    # A: 10 and 6; B, which is 4 slower: 14 and 10
    assert timing.delays_ps[4] == pytest.approx(10)
    assert (timing.rise_slews_ps[4], timing.fall_slews_ps[4]) == (9, 7)
    assert timing.loads_ff[2:4].tolist() == [1, 3]


def test_output_that_follows_both_edges_takes_the_slower_input() -> None:
    timing = analyze_timing(netlist("u1 INV A=a Z=n\nu2 XOR2 A=n B=b Z=z", "a b", "z"), LIBRARY, input_slew_ps=10)
    # nets: 2 a, 3 b, 4 n, 5 z; n has load 4: rises at 10 + 1 + 8 = 19, slew 9; falls at 6 + 1 + 4 = 11, slew 5
    assert timing.arrivals_ps[5] == pytest.approx(19 + 10 + 0.9)
    edges = [10 + 0.9, 10 + 0.5, 6 + 0.9, 6 + 0.5, 10 + 1, 10 + 1, 6 + 1, 6 + 1]
    assert timing.delays_ps[5] == pytest.approx(np.mean(edges))


def test_register_starts_paths_at_its_clock_and_ends_them_at_its_data() -> None:
    ring = netlist("r DFF D=d CK=clk Q=q\nu INV A=q Z=d", "clk", "q")  # nets: 2 clk, 3 d, 4 q
    timing = analyze_timing(ring, LIBRARY, input_slew_ps=10)
    # q has load 2: from the rising clock to a rise 10 + 1 + 4, to a fall 6 + 1 + 2
    assert timing.delays_ps[4] == pytest.approx((15 + 9) / 2)
    assert timing.arrivals_ps[4] == pytest.approx(15)
    assert timing.loads_ff[2:].tolist() == [2, 1, 2]


def test_register_on_the_falling_edge_takes_the_slew_of_that_edge() -> None:
    cell = LIBRARY.cells["DFF"]
    assert cell.flip_flop is not None
    falling = type(cell)(
        "DFF", 1, 1, cell.pins, type(cell.flip_flop)("IQ", "IQN", "(!CK)", "D")
    )  # the same cell, clocked on the other edge
    library = type(LIBRARY)("l", "l", "0", "t", 1.0, 25.0, {**LIBRARY.cells, "DFF": falling})
    clocked = netlist("b BUF A=clk Z=c\nr DFF D=d CK=c Q=q", "clk d", "q")  # c has load 2: slews 7 and 4
    q = clocked.nets.index("q")
    assert analyze_timing(clocked, LIBRARY).delays_ps[q] == pytest.approx((10.7 + 6.7) / 2)
    assert analyze_timing(clocked, library).delays_ps[q] == pytest.approx((10.4 + 6.4) / 2)


def test_constant_inputs_have_no_edges() -> None:
    gate = netlist("u1 NAND2 A=a B=1 Z=z\nu2 INV A=0 Z=t", "a", "z t")
    timing = analyze_timing(gate, LIBRARY, input_slew_ps=0)
    assert timing.delays_ps[3] == pytest.approx(8)  # the arc of A alone
    assert timing.delays_ps[4] == 0
    assert timing.critical_path_ps == pytest.approx(10)


def test_loop_is_reported() -> None:
    loop = netlist("u1 INV A=x Z=y\nu2 INV A=y Z=x", "a")
    with pytest.raises(NetlistError) as error:
        analyze_timing(loop, LIBRARY)
    assert (
        str(error.value)
        == "netlist unit: expected gates without a loop, got one through net x (2 nets); break it by a register"
    )


def test_unknown_cell_and_pin_are_reported() -> None:
    with pytest.raises(CellLibraryError) as error:
        analyze_timing(netlist("u1 AOI9 A=a Z=z", "a"), LIBRARY)
    assert (
        str(error.value) == "instance u1: expected a cell of the library small.lib, got AOI9;"
        " give the library that the netlist was mapped to"
    )
    with pytest.raises(NetlistError) as pin_error:
        analyze_timing(netlist("u1 INV IN=a Z=z", "a"), LIBRARY)
    assert (
        str(pin_error.value)
        == "instance u1: expected pins of INV (A, Z), got IN; give the library that the netlist was mapped to"
    )


@pytest.mark.parametrize(
    ("wire_ff", "message"),
    [
        (np.zeros(3), "wire_ff: expected one capacitance for each of 5 nets, got shape (3,)"),
        (
            np.array([0, 0, 0, -1.0, 0]),
            "wire_ff: expected finite capacitances of at least 0 fF; check the wire model or SPEF file",
        ),
        (
            np.array([0, 0, 0, np.nan, 0]),
            "wire_ff: expected finite capacitances of at least 0 fF; check the wire model or SPEF file",
        ),
    ],
)
def test_unusable_wires_are_reported(wire_ff: np.ndarray, message: str) -> None:
    with pytest.raises(InputError) as error:
        analyze_timing(CHAIN, LIBRARY, wire_ff)
    assert str(error.value) == message


@pytest.mark.parametrize("slew", [-1.0, np.inf, np.nan])
def test_unusable_slew_is_reported(slew: float) -> None:
    with pytest.raises(InputError) as error:
        analyze_timing(CHAIN, LIBRARY, input_slew_ps=slew)
    assert str(error.value) == f"input_slew_ps: expected a finite slew of at least 0 ps, got {slew}"


axes = st.lists(st.integers(0, 1000), min_size=1, max_size=5, unique=True).map(lambda a: np.array(sorted(a), float))


@given(axes, axes, st.integers(0, 2**32 - 1))
def test_lookups_agree_with_the_table(slews: np.ndarray, loads: np.ndarray, seed: int) -> None:
    random = np.random.default_rng(seed)
    table = Table(slews, loads, random.uniform(-5, 50, (len(slews), len(loads))))
    other = Table(loads, slews, random.uniform(-5, 50, (len(loads), len(slews))))
    points = random.uniform(-100, 1200, (2, 20))
    points[0, : len(slews)] = slews  # on the grid as well
    expected = [table.at(slew, load) for slew, load in points.T]
    bank = table_bank([other, table])
    assert values_at(table, points[0], points[1]) == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert [look_up(bank, 1, slew, load) for slew, load in points.T] == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_ten_thousand_gates() -> None:
    random = np.random.default_rng(0)
    gates = 10_000
    sources = np.column_stack([random.integers(2, np.arange(2, gates + 2) + 1), random.integers(2, 4, gates)])
    instances = tuple(
        Instance(f"u{gate}", "NAND2" if gate % 2 else "XOR2", {"A": int(a) + 1, "B": int(b), "Z": gate + 4})
        for gate, (a, b) in enumerate(sources)
    )
    nets = tuple(f"n{net}" for net in range(gates + 4))
    timing = analyze_timing(Netlist("random", nets, instances, {"a": (2,), "b": (3,)}, {}), LIBRARY)
    assert (timing.delays_ps[4:] > 0).all()
