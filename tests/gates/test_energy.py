from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import CellLibraryError, InputError
from fewflips.gates.liberty.cells import Cell, FlipFlop, Pin
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.operands import Toggles
from fewflips.gates.power.energy import Energy, EnergyModel, energy_model, energy_of, scaled
from fewflips.gates.power.states import condition_probability, sensitized_probability
from fewflips.gates.timing import analyze_timing

from .small_library import LIBRARY, netlist


def _model(unit: Netlist, wire_ff: np.ndarray | None = None, activity: Toggles | None = None) -> EnergyModel:
    wire_ff = np.zeros(len(unit.nets)) if wire_ff is None else wire_ff
    return energy_model(unit, LIBRARY, analyze_timing(unit, LIBRARY, wire_ff), wire_ff, activity)


def _toggles(unit: Netlist, toggles: dict[str, int], high: dict[str, int], transitions: int) -> Toggles:
    counts = [np.array([given.get(name, 0) for name in unit.nets]) for given in (toggles, high)]
    return Toggles(counts[0], counts[1], transitions)


def test_inverters_worked_out_on_paper() -> None:
    unit = netlist("u1 INV A=a Z=n\nu2 INV A=n Z=z", "a", "z")
    model = _model(unit, np.array([0.0, 0, 0.5, 1, 3]))
    # 1/2 x C x (2 V)^2 = 2 V^2 C
    assert model.switching_fj.tolist() == [0, 0, 5, 6, 6]
    assert model.internal_fj.tolist() == [0, 0, 0, 2, 2]
    assert model.leakage_nw.tolist() == [1, 1]
    assert model.clock_fj.tolist() == [0, 0]
    energy = energy_of(model, Toggles(np.array([9, 9, 10, 20, 30]), np.zeros(5, np.int64), 100), 100, 1e-6)
    assert energy == Energy(50 + 120 + 180, 40 + 60, 0, 2e-9 * 1e-6 * 1e15)
    assert energy.data_fj == 450
    assert energy.total_fj == 452


def test_register_worked_out_on_paper() -> None:
    unit = netlist("r DFF D=d CK=clk Q=q", "clk d", "q")  # nets: 2 clk, 3 d, 4 q
    model = _model(unit, np.array([0.0, 0, 1, 0, 0]))
    # the clock's pin and wire: 2 toggles x 2 x (2 + 1); inside, D differs from Q half of the time: 2 x (5 + 2) / 2
    assert model.clock_fj.tolist() == [12 + 7]
    # D: (1 + 3) / 2 while the clock is low; Q: (4 + 6) / 2, and QN, which is open and toggles with it
    assert model.internal_fj.tolist() == [0, 0, 0, 1, 5 + 1]
    assert model.switching_fj.tolist() == [0, 0, 0, 2, 0]


def test_outputs_of_a_register_pay_for_themselves_where_both_are_connected() -> None:
    unit = netlist("r DFF D=d CK=clk Q=q QN=qn", "clk d", "q qn")
    assert _model(unit).internal_fj.tolist() == [0, 0, 0, 1, 5, 1]
    inverted = netlist("r DFF D=d CK=clk QN=qn", "clk d", "qn")
    assert _model(inverted).internal_fj.tolist() == [0, 0, 0, 1, 6]


def test_state_of_a_register_weighs_its_clock() -> None:
    unit = netlist("r DFF D=d CK=clk Q=q", "clk d", "q")
    stuck = _toggles(unit, {}, {"d": 100, "q": 100}, 100)
    assert _model(unit, activity=stuck).clock_fj.tolist() == [8 + 2 * 2]
    differs = _toggles(unit, {}, {"d": 100}, 100)
    assert _model(unit, activity=differs).clock_fj.tolist() == [8 + 2 * 5]


def test_clock_tree_belongs_to_the_clock() -> None:
    unit = netlist("b BUF A=clk Z=c\nr1 DFF D=d CK=c Q=q\nr2 DFF D=q CK=c Q=p", "clk d", "p")
    wire = np.zeros(len(unit.nets))
    wire[unit.nets.index("c")] = 3.0
    model = _model(unit, wire)
    assert [unit.nets[net] for net in np.flatnonzero(model.clock_nets)] == ["clk", "c"]
    # the buffer: 2 toggles of its pin (2 fF), (0.25 + 0.75) / 2 at the input, 2 at the output; a register: 2 + 1.5 fF
    assert model.clock_fj.tolist() == [8 + 1 + 4, 14 + 7, 14 + 7]
    assert model.switching_fj[model.clock_nets].tolist() == [0, 0]
    assert model.internal_fj[model.clock_nets].tolist() == [0, 0]
    everywhere = Toggles(np.full(len(unit.nets), 7), np.zeros(len(unit.nets), np.int64), 10)
    energy = energy_of(model, everywhere, np.array([10.0, 10, 0]), 0.0)
    assert energy.clock_fj == 10 * (13 + 21)


def test_slew_of_the_causing_edge_and_load_of_the_output() -> None:
    unit = netlist("u1 INV A=a Z=n\nu2 SLOPED A=n Z=z", "a", "z")  # n has load 2: slews 7 and 4
    model = _model(unit, np.array([0.0, 0, 0, 0, 6]))
    # z rises after n falls: slew 4 and 0.5 x load 6; its fall costs nothing
    assert model.internal_fj[4] == pytest.approx((4 + 3) / 2)


def test_figures_without_activity_count_alike() -> None:
    assert _model(netlist("u NAND2 A=a B=b Z=z", "a b")).internal_fj[4] == pytest.approx((2 + 6) / 2)
    assert _model(netlist("u XOR2 A=a B=b Z=z", "a b")).internal_fj[4] == pytest.approx((2 + 6 + 10 + 14) / 4)


def test_activity_weighs_related_pins_and_states() -> None:
    nand = netlist("u NAND2 A=a B=b Z=z", "a b")
    activity = _toggles(nand, {"a": 300, "b": 100}, {"a": 500, "b": 200}, 1000)
    # A's toggles pass while B is 1: 300 x 0.2; B's while A is 1: 100 x 0.5
    assert _model(nand, activity=activity).internal_fj[4] == pytest.approx((60 * 2 + 50 * 6) / 110)
    xor = netlist("u XOR2 A=a B=b Z=z", "a b")
    weights = [300 * 0.8, 300 * 0.2, 100 * 0.5, 100 * 0.5]
    expected = np.average([2, 6, 10, 14], weights=weights)
    assert _model(xor, activity=activity).internal_fj[4] == pytest.approx(expected)


def test_pins_that_cannot_toggle_have_no_weight() -> None:
    assert _model(netlist("u XOR2 A=a B=1 Z=z", "a")).internal_fj[3] == pytest.approx(6)
    nand = netlist("u NAND2 A=a B=b Z=z", "a b")
    silent = _toggles(nand, {}, {}, 10)
    assert _model(nand, activity=silent).internal_fj[4] == pytest.approx(4)  # no weights at all: all alike
    assert _model(nand, activity=Toggles(np.zeros(5, int), np.zeros(5, int), 0)).internal_fj[4] == pytest.approx(4)


def test_shares_scale_what_is_inside_by_instance_and_switching_by_net() -> None:
    unit = netlist("r DFF D=d CK=clk Q=q\nu BUF A=q Z=z", "clk d", "z")  # nets: 2 clk, 3 d, 4 q, 5 z
    model = _model(unit)
    assert model.internal_fj.tolist() == [0, 0, 0, 1, 6 + 0.5, 2]
    assert model.switching_fj.tolist() == [0, 0, 0, 2, 4, 0]
    shared = scaled(model, np.array([0.25, 1.0]), np.array([1, 1, 1, 0.25, 1.0, 1]))
    assert shared.switching_fj.tolist() == [0, 0, 0, 0.5, 4, 0]
    assert shared.internal_fj.tolist() == [0, 0, 0, 0.25, 1.5 + 0.5, 2]
    assert shared.clock_fj.tolist() == [15 / 4, 0]
    assert shared.leakage_nw.tolist() == [5 / 4, 1.5]


def test_figures_of_another_netlist_are_reported() -> None:
    unit = netlist("u INV A=a Z=z", "a", "z")
    model, timing = _model(unit), analyze_timing(unit, LIBRARY)
    with pytest.raises(InputError, match=r"^wire_ff: expected figures of 4 nets, got shape \(3,\); use those of the"):
        energy_model(unit, LIBRARY, timing, np.zeros(3))
    with pytest.raises(InputError, match=r"^toggles: expected those of 4 nets, got shape \(3,\); use toggles of the"):
        energy_of(model, Toggles(np.zeros(3, int), np.zeros(3, int), 1), 1, 0.0)
    with pytest.raises(InputError, match=r"^clock_cycles: expected one, or 1 for instances, got shape \(2,\)"):
        energy_of(model, Toggles(np.zeros(4, int), np.zeros(4, int), 1), np.zeros(2), 0.0)
    with pytest.raises(InputError, match=r"^shares: expected one for each of 1 instances and 4 nets, got shapes"):
        scaled(model, np.ones(2), np.ones(4))


terms = st.floats(-1e6, 1e6)
energies = st.builds(Energy, terms, terms, terms, terms)


@given(energies, energies, st.floats(-100, 100))
def test_energies_add_up_and_scale(first: Energy, second: Energy, factor: float) -> None:
    assert (first + second).total_fj == pytest.approx(first.total_fj + second.total_fj, abs=1e-6)
    assert (factor * first).total_fj == pytest.approx(factor * first.total_fj, abs=1e-6)
    assert first * factor == factor * first


@given(st.integers(0, 2**32 - 1))
def test_energy_is_linear_in_toggles(seed: int) -> None:
    random = np.random.default_rng(seed)
    unit = netlist("r DFF D=d CK=clk Q=q\nu XOR2 A=q B=d Z=z\nv NAND2 A=z B=q Z=y", "clk d", "y")
    model = _model(unit, random.uniform(0, 5, len(unit.nets)))
    first, second = (
        Toggles(random.integers(0, 1000, len(unit.nets)), random.integers(0, 100, len(unit.nets)), 100)
        for _ in range(2)
    )
    parts = energy_of(model, first, 100, 1e-6) + energy_of(model, second, 100, 1e-6)
    whole = energy_of(model, first + second, 200, 2e-6)
    for term in ("switching_fj", "internal_fj", "clock_fj", "leakage_fj"):
        assert getattr(whole, term) == pytest.approx(getattr(parts, term))


FULL_ADDER = Cell(
    "FA",
    1.0,
    1.0,
    {
        **{name: Pin(name, "input") for name in "ABC"},
        "S": Pin("S", "output", function="A ^ B ^ C"),
        "CO": Pin("CO", "output", function="(A & B) | (C & (A | B))"),
    },
)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_probabilities_against_all_states(duties: list[float]) -> None:
    def duty(name: str) -> np.ndarray:
        return np.array([duties["ABC".index(name)]])

    holds, passes = 0.0, 0.0
    for a, b, c in itertools.product((0, 1), repeat=3):
        chance = np.prod([d if bit else 1 - d for d, bit in zip(duties, (a, b, c), strict=True)])
        holds += chance * (not a and a + b + c >= 2)
        passes += chance * (b != c)  # A decides the carry
    assert condition_probability(FULL_ADDER, "!A & CO", duty) == pytest.approx(holds, abs=1e-12)
    assert sensitized_probability(FULL_ADDER, "(A & B) | (C & (A | B))", "A", duty) == pytest.approx(passes, abs=1e-12)


@pytest.mark.parametrize(("function", "when"), [(9000, 4000), (1_000_000, 1), (1, 1_000_000)])
def test_conditions_that_grow_without_end_are_refused(function: int, when: int) -> None:
    pins = {"A": Pin("A", "input"), "Z": Pin("Z", "output", function="A" + " A" * (function // 2))}
    tracemalloc.start()
    with pytest.raises(CellLibraryError, match="expected at most 10000 characters, got"):
        condition_probability(Cell("C", 1.0, 1.0, pins), "Z" + " Z" * (when // 2), lambda name: np.ones(1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_outputs_of_a_register_are_never_equal() -> None:
    pins = {"Q": Pin("Q", "output", function="IQ"), "QN": Pin("QN", "output", function="IQN")}
    cell = Cell("DFF", 1.0, 1.0, pins, FlipFlop("IQ", "IQN", "CK", "D"))

    def duty(name: str) -> np.ndarray:
        return np.array([{"IQ": 0.3}[name]])

    assert condition_probability(cell, "Q & QN", duty) == pytest.approx(0)
    assert condition_probability(cell, "Q & !QN", duty) == pytest.approx(0.3)
    assert sensitized_probability(cell, "IQ", "CK", duty) is None
