"""The estimate of a clock gate against the clock gate that a library has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fewflips.errors import CellLibraryError
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.liberty.reader import read_liberty
from fewflips.gates.power.clock_gates import clock_gate, resting_gate

WIRE_FF, SLEW_PS, BITS = 1.5, 20.0, 8


def of_library(library: CellLibrary, name: str, flip_flop: str, load_share: float) -> float:
    """Energy in fJ of a library's own clock gate in a mean cycle, from its tables."""
    pins = library.cells[name].pins
    clock, enable, out = pins["CK"], pins["E"], pins["GCK"]
    register = next(pin for pin in library.cells[flip_flop].inputs if pin.is_clock)
    load_ff = BITS * (register.capacitance_ff + WIRE_FF)

    def both_edges(pin, state: str) -> float:
        (group,) = (group for group in pin.internal if group.when == state)
        return group.rise_fj.at(SLEW_PS, load_ff) + group.fall_fj.at(SLEW_PS, load_ff)

    charging = (clock.capacitance_ff + WIRE_FF) * library.voltage_v**2
    held = charging + both_edges(clock, "!E & !GCK")
    loading = charging + both_edges(clock, "E & !GCK") + both_edges(out, "E")
    flag = both_edges(enable, "!CK & !GCK") / 2 + (enable.capacitance_ff + WIRE_FF) * library.voltage_v**2 / 2
    toggles = 2 * load_share * (1 - load_share)
    return held * (1 - load_share) + loading * load_share + flag * toggles


@pytest.mark.parametrize("load_share", [0.1, 0.34, 0.9])
def test_estimate_is_at_least_that_of_the_clock_gate_of_nangate45(shared: Path, load_share: float) -> None:
    library = read_liberty(shared / "pdk" / "nangate45_typ.lib.gz")
    expected = of_library(library, "CLKGATE_X1", "DFF_X1", load_share)
    for cells in (library, load_cells("nangate45")):
        gate = clock_gate(cells, cells.cells["DFF_X1"], BITS, WIRE_FF)
        toggles = 2 * load_share * (1 - load_share)
        found = gate.cycle_fj + gate.load_fj * load_share + gate.flag_fj * toggles
        assert expected < found < 1.6 * expected
        assert gate.leakage_nw > library.cells["CLKGATE_X1"].leakage_nw
        assert gate.area_um2 > library.cells["CLKGATE_X1"].area_um2


def test_more_flip_flops_cost_more() -> None:
    cells = load_cells("nangate45")
    few, many = (clock_gate(cells, cells.cells["DFF_X1"], bits, WIRE_FF) for bits in (4, 16))
    assert few.load_fj < many.load_fj
    assert few.cycle_fj == many.cycle_fj


def test_library_without_an_and_gate() -> None:
    cells = load_cells("nangate45")
    kept = {name: cell for name, cell in cells.cells.items() if not name.startswith("AND2")}
    with pytest.raises(CellLibraryError, match=r"library .*: expected an AND gate of two inputs"):
        clock_gate(replace(cells, cells=kept), cells.cells["DFF_X1"], BITS, WIRE_FF)


def test_library_without_an_or_gate() -> None:
    cells = load_cells("nangate45")
    kept = {name: cell for name, cell in cells.cells.items() if not name.startswith("OR2")}
    with pytest.raises(CellLibraryError, match=r"library .*: expected an OR gate of two inputs.* tiles of outputs"):
        resting_gate(replace(cells, cells=kept), 20.0, WIRE_FF)


def test_a_clock_that_rests_is_cheaper_to_hold() -> None:
    """Without a latch in front of it, a held gate spends what its one clock pin does."""
    cells = load_cells("nangate45")
    latched = clock_gate(cells, cells.cells["DFF_X1"], BITS, WIRE_FF)
    resting = resting_gate(cells, BITS * (cells.cells["DFF_X1"].pins["CK"].capacitance_ff + WIRE_FF), WIRE_FF)
    assert resting.cycle_fj < latched.cycle_fj / 2
    assert resting.clock_pin_ff < latched.clock_pin_ff
    assert resting.load_fj == pytest.approx(latched.load_fj, rel=0.1)
