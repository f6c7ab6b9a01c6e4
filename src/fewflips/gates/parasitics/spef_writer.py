"""Writes wire capacitances as SPEF (IEEE 1481), one lumped capacitance per net."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.netlist import Netlist

_OHM = 0.001
_SPECIAL = re.compile(r"([^A-Za-z0-9_])")


def spef_text(netlist: Netlist, library: CellLibrary, wire_ff: Mapping[int, float], origin: str) -> str:
    """Wire capacitances as a SPEF file.

    Parameters
    ----------
    netlist : Netlist
        Names the nets and cells.
    library : CellLibrary
        Tells which pins drive.
    wire_ff : mapping of int to float
        Capacitance of each net's wire, in fF, by net number.
    origin : str
        The program that produced the figures.

    Returns
    -------
    str
        The text. A net's capacitance is at its driver, from where negligible resistances lead to its other ends,
        because readers that support networks expect them to be connected.
    """
    header = {
        "SPEF": "IEEE 1481-1998",
        "DESIGN": netlist.name,
        "DATE": "1970-01-01",  # the same figures give the same file
        "VENDOR": "fewflips",
        "PROGRAM": origin,
        "VERSION": "1",
        "DESIGN_FLOW": "NETLIST_TYPE_VERILOG",
    }
    lines = [f'*{key} "{value}"' for key, value in header.items()]
    lines += ["*DIVIDER /", "*DELIMITER :", "*BUS_DELIMITER [ ]", "*T_UNIT 1 PS", "*C_UNIT 1 FF", "*R_UNIT 1 OHM"]
    lines += ["*L_UNIT 1 HENRY", "", "*NAME_MAP"]
    buses = {net for _, net in _port_bits(netlist)}  # in other nets' names, brackets are part of the name
    lines += [f"*{net} {netlist.nets[net] if net in buses else _escaped(netlist.nets[net])}" for net in wire_ff]
    cells = len(netlist.nets)  # cells are numbered after the nets
    lines += [f"*{cells + i} {_escaped(instance.name)}" for i, instance in enumerate(netlist.instances)]
    connections = _connections(netlist, library, cells)
    for net, capacitance in wire_ff.items():
        ends = connections[net]
        driver = next(node for kind, node, direction in ends if (kind, direction) in (("*I", "O"), ("*P", "I")))
        sinks = [node for _, node, _ in ends if node != driver]
        lines += ["", f"*D_NET *{net} {capacitance:.5f}", "*CONN", *(" ".join(words) for words in ends)]
        lines += ["*CAP", f"1 {driver} {capacitance:.5f}", "*RES"]
        lines += [f"{i} {driver} {sink} {_OHM}" for i, sink in enumerate(sinks, 1)]
        lines += ["*END"]
    return "\n".join((*lines, ""))


def _connections(netlist: Netlist, library: CellLibrary, first_cell: int) -> dict[int, list[tuple[str, str, str]]]:
    """What each net connects: ports and pins, and whether they drive it."""
    found: dict[int, list[tuple[str, str, str]]] = {}
    for direction, net in _port_bits(netlist):
        found.setdefault(net, []).append(("*P", f"*{net}", direction))
    for i, instance in enumerate(netlist.instances):
        for pin, net in instance.pins.items():
            direction = "I" if library.cells[instance.cell].pins[pin].direction == "input" else "O"
            found.setdefault(net, []).append(("*I", f"*{first_cell + i}:{pin}", direction))
    return found


def _port_bits(netlist: Netlist) -> Iterator[tuple[str, int]]:
    for direction, ports in (("I", netlist.inputs), ("O", netlist.outputs)):
        for nets in ports.values():
            for net in nets:
                yield direction, net


def _escaped(name: str) -> str:
    return _SPECIAL.sub(r"\\\1", name)
