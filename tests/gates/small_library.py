"""A few cells whose figures are linear in slew and load, so that results can be worked out on paper."""

from __future__ import annotations

import numpy as np

from fewflips.gates.liberty.cells import Cell, CellLibrary, FlipFlop, InternalEnergy, Pin, Table, TimingArc
from fewflips.gates.netlist.netlist import Instance, Netlist

VOLTAGE_V = 2.0


def linear(base: float, per_slew: float = 0.0, per_load: float = 0.0) -> Table:
    axis = np.array([0.0, 100.0])
    return Table(axis, axis, base + per_slew * axis[:, None] + per_load * axis[None, :])


def constant(value: float) -> Table:
    return Table(np.zeros(1), np.zeros(1), np.full((1, 1), value))


def _arc(related: str, sense: str, slower: float = 0.0, when: str | None = None) -> TimingArc:
    """Rise 10 + 0.1 slew + 2 load, fall 6 + 0.1 slew + load; slews 5 + load and 3 + load / 2; all by so much slower."""
    return TimingArc(
        related,
        linear(10 + slower, 0.1, 2),
        linear(6 + slower, 0.1, 1),
        linear(5 + slower, 0, 1),
        linear(3 + slower, 0, 0.5),
        when,
        sense,  # type: ignore[arg-type]
    )


def _energy(related: str | None, rise: float, fall: float, when: str | None = None) -> InternalEnergy:
    return InternalEnergy(related, constant(rise), constant(fall), when)


def _cell(name: str, leakage_nw: float, *pins: Pin, flip_flop: FlipFlop | None = None) -> Cell:
    return Cell(name, 1.0, leakage_nw, {pin.name: pin for pin in pins}, flip_flop)


_CELLS = [
    _cell(
        "INV",
        1.0,
        Pin("A", "input", 2.0),
        Pin("Z", "output", function="!A", arcs=(_arc("A", "negative_unate"),), internal=(_energy("A", 3, 1),)),
    ),
    _cell(
        "SLOPED",
        1.0,
        Pin("A", "input", 2.0),
        Pin(
            "Z",
            "output",
            function="!A",
            arcs=(_arc("A", "negative_unate"),),
            internal=(InternalEnergy("A", linear(0, 1, 0.5), linear(0)),),
        ),
    ),
    _cell(
        "BUF",
        1.5,
        Pin("A", "input", 2.0, internal=(_energy(None, 0.25, 0.75),)),
        Pin("Z", "output", function="A", arcs=(_arc("A", "positive_unate"),), internal=(_energy("A", 2, 2),)),
    ),
    _cell(
        "NAND2",
        2.0,
        Pin("A", "input", 1.0),
        Pin("B", "input", 3.0),
        Pin(
            "Z",
            "output",
            function="!(A & B)",
            arcs=(_arc("A", "negative_unate"), _arc("B", "negative_unate", slower=4)),
            internal=(_energy("A", 2, 2), _energy("B", 8, 4)),
        ),
    ),
    _cell(
        "XOR2",
        3.0,
        Pin("A", "input", 4.0),
        Pin("B", "input", 4.0),
        Pin(
            "Z",
            "output",
            function="A ^ B",
            arcs=(_arc("A", "non_unate"), _arc("B", "non_unate")),
            internal=(
                _energy("A", 1, 3, "!B"),
                _energy("A", 5, 7, "B"),
                _energy("B", 9, 11, "!A"),
                _energy("B", 13, 15, "A"),
            ),
        ),
    ),
    _cell(
        "DFF",
        5.0,
        Pin("D", "input", 1.0, internal=(_energy(None, 1, 3, "!CK"), _energy(None, 0, 0, "CK"))),
        Pin("CK", "input", 2.0, is_clock=True, internal=(_energy(None, 6, 4, "D ^ Q"), _energy(None, 2, 2))),
        Pin("Q", "output", function="IQ", arcs=(_arc("CK", "non_unate"),), internal=(_energy("CK", 4, 6),)),
        Pin("QN", "output", function="IQN", arcs=(_arc("CK", "non_unate"),), internal=(_energy("CK", 1, 1),)),
        flip_flop=FlipFlop("IQ", "IQN", "CK", "D"),
    ),
]

LIBRARY = CellLibrary("small", "small.lib", "0" * 64, "typical", VOLTAGE_V, 25.0, {cell.name: cell for cell in _CELLS})


def netlist(text: str, inputs: str, outputs: str = "") -> Netlist:
    """A netlist from lines such as ``u1 INV A=a Z=n``; nets 0 and 1 are written as ``0`` and ``1``."""
    rows = [line.split() for line in text.strip().splitlines()]
    used = [name for row in rows for name in (pin.split("=")[1] for pin in row[2:])]
    names = ["1'b0", "1'b1", *inputs.split()]
    names += [name for name in dict.fromkeys(used) if name not in (*names, "0", "1")]
    numbers = {name: number for number, name in enumerate(names)} | {"0": 0, "1": 1}
    instances = tuple(
        Instance(row[0], row[1], {pin: numbers[net] for pin, net in (part.split("=") for part in row[2:])})
        for row in rows
    )
    ports = {name: (numbers[name],) for name in inputs.split()}
    return Netlist("unit", tuple(names), instances, ports, {name: (numbers[name],) for name in outputs.split()})
