"""The cost of a clock gate in front of a bank of flip-flops, estimated from cells of the library.

An integrated clock gate is a latch, transparent while the clock is low, and an AND gate of its output and the clock.
Cell tables have neither latches nor clock gates, and netlists with them are not simulated, so that the gate is always
estimated: the latch clocks and stores like one of the flip-flops (it has half of their latches, and an inverter of its
own for the clock), and the AND gate is the library's smallest. Both go through the same energy model as a netlist.

Where the flag settles while the clock is high, as one does that a few gates compute from registers, an OR gate of clock
and flag does without the latch. The clock that it passes on rests at 1, so that the flip-flops behind it are deaf to
their data, and what toggles there charges the pins alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewflips.errors import CellLibraryError
from fewflips.gates.liberty.cells import Cell, CellLibrary
from fewflips.gates.liberty.functions import truth_table
from fewflips.gates.netlist.netlist import Instance, Netlist
from fewflips.gates.power.energy import energy_model
from fewflips.gates.timing import analyze_timing

_AND, _OR = 0b1000, 0b1110
_CLOCK, _COPY, _FLAG, _LATCHED, _GATED = range(2, 7)


@dataclass(frozen=True)
class ClockGate:
    """What one clock gate costs.

    Parameters
    ----------
    cycle_fj : float
        In each clock cycle.
    load_fj : float
        In addition, in each cycle that it passes on; the flip-flops' clock pins and their wire are not part of it.
    flag_fj : float
        For each toggle of its flag, wire included.
    leakage_nw : float
        Leakage power.
    area_um2 : float
        Area.
    clock_pin_ff : float
        Capacitance of its clock pin and the wire to it.
    """

    cycle_fj: float
    load_fj: float
    flag_fj: float
    leakage_nw: float
    area_um2: float
    clock_pin_ff: float


def clock_gate(library: CellLibrary, flip_flop: Cell, flip_flops: int, wire_ff: float) -> ClockGate:
    """Estimate a clock gate.

    Parameters
    ----------
    library : CellLibrary
        Cells.
    flip_flop : Cell
        The cell of the bank, a plain flip-flop.
    flip_flops : int
        How many the gate drives.
    wire_ff : float
        Capacitance of the wire to one pin, in fF.

    Returns
    -------
    ClockGate
        Its cost.

    Raises
    ------
    CellLibraryError
        If the library has no AND gate of two inputs.
    """
    and_gate = _smallest(library, _AND, "an AND")
    (clock_pin,) = (pin for pin in flip_flop.inputs if pin.is_clock)
    (data_pin,) = (pin for pin in flip_flop.inputs if not pin.is_clock)
    first, second = and_gate.inputs
    latch = {clock_pin.name: _CLOCK, data_pin.name: _FLAG, flip_flop.outputs[0].name: _LATCHED}
    passing = {first.name: _COPY, second.name: _LATCHED, and_gate.outputs[0].name: _GATED}
    netlist = Netlist(
        name="clock_gate",
        nets=("1'b0", "1'b1", "clk", "copy", "flag", "latched", "gated"),
        instances=(Instance("latch", flip_flop.name, latch), Instance("passing", and_gate.name, passing)),
        inputs={"clk": (_CLOCK,), "copy": (_COPY,), "flag": (_FLAG,)},
        outputs={"gated": (_GATED,)},
    )
    wires = np.full(len(netlist.nets), wire_ff)
    wires[_GATED] = flip_flops * (clock_pin.capacitance_ff + wire_ff)
    model = energy_model(netlist, library, analyze_timing(netlist, library, wires), wires)
    per_toggle = model.switching_fj + model.internal_fj
    return ClockGate(
        cycle_fj=float(model.clock_fj.sum() + 2 * per_toggle[_COPY]),
        load_fj=float(2 * model.internal_fj[_GATED]),
        flag_fj=float(per_toggle[_FLAG] + per_toggle[_LATCHED]),
        leakage_nw=float(model.leakage_nw.sum()),
        area_um2=flip_flop.area_um2 + and_gate.area_um2,
        clock_pin_ff=clock_pin.capacitance_ff + first.capacitance_ff + 2 * wire_ff,
    )


def resting_gate(library: CellLibrary, load_ff: float, wire_ff: float) -> ClockGate:
    """A clock gate whose clock rests at 1: an OR gate of the clock and a flag that settles while the clock is high.

    Parameters
    ----------
    library : CellLibrary
        Cells.
    load_ff : float
        Capacitance that it drives, in fF.
    wire_ff : float
        Capacitance of the wire to one pin, in fF.

    Returns
    -------
    ClockGate
        Its cost, in which the charge of what it drives is left out, and that of its flag is in.

    Raises
    ------
    CellLibraryError
        If the library has no OR gate of two inputs.
    """
    or_gate = _smallest(library, _OR, "an OR")
    first, second = or_gate.inputs
    netlist = Netlist(
        name="resting_gate",
        nets=("1'b0", "1'b1", "clk", "flag", "gated"),
        instances=(Instance("passing", or_gate.name, {first.name: 2, second.name: 3, or_gate.outputs[0].name: 4}),),
        inputs={"clk": (2,), "flag": (3,)},
        outputs={"gated": (4,)},
    )
    wires = np.array([0.0, 0.0, wire_ff, wire_ff, load_ff])
    model = energy_model(netlist, library, analyze_timing(netlist, library, wires), wires)
    clock_fj, flag_fj = (model.switching_fj + model.internal_fj)[[2, 3]]
    return ClockGate(
        cycle_fj=float(2 * clock_fj),
        load_fj=float(2 * model.internal_fj[4]),
        flag_fj=float(flag_fj),
        leakage_nw=float(model.leakage_nw.sum()),
        area_um2=or_gate.area_um2,
        clock_pin_ff=first.capacitance_ff + wire_ff,
    )


def _smallest(library: CellLibrary, table: int, what: str) -> Cell:
    """The smallest gate of two inputs with this truth table."""
    found = [cell for cell in library.cells.values() if _computes(cell, table)]
    if not found:
        raise CellLibraryError(
            f"library {library.name}: expected {what} gate of two inputs, from which clock gates are estimated, got "
            "none: give a library that has one, or leave out what gates clocks (datapath.hold_flags, tiles of outputs, "
            "buffers made of registers)"
        )
    return min(found, key=lambda cell: (cell.area_um2, cell.name))


def _computes(cell: Cell, table: int) -> bool:
    if cell.flip_flop is not None or cell.is_latch or cell.dont_use or len(cell.inputs) != 2 or len(cell.outputs) != 1:
        return False
    function = cell.outputs[0].function
    try:
        return function is not None and truth_table(function, [pin.name for pin in cell.inputs]) == table
    except CellLibraryError:
        return False  # a function of internal nodes
