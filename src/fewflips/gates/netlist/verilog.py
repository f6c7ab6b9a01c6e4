"""Writes a netlist as structural Verilog for Icarus Verilog, Yosys and OpenSTA."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.netlist import ONE_NET, ZERO_NET, Netlist

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
# Keywords of Verilog-2005 and SystemVerilog that might plausibly be the name of a net or an instance.
_KEYWORD_LINES = (
    "alias always and assert assign assume automatic before begin bind bit break buf byte case cell chandle",
    "checker class clocking config const constraint context continue cover cross deassign default defparam",
    "design disable dist do edge else end endcase endfunction endgenerate endmodule endtask enum event expect",
    "export extends extern final first_match for force foreach forever fork function generate genvar global",
    "highz0 highz1 if iff ifnone implies import incdir include initial inout input inside instance int integer",
    "interface intersect join large let liblist library local localparam logic longint macromodule matches",
    "medium modport module nand negedge new nor not null or output package packed parameter posedge primitive",
    "priority program property protected pull0 pull1 pulldown pullup pure rand real realtime ref reg reject_on",
    "release repeat restrict return scalared sequence shortint shortreal signed small solve specify static",
    "string strong0 strong1 struct super supply0 supply1 table tagged task this throughout time timescale tran",
    "tri tri0 tri1 triand trior trireg type typedef union unique unsigned until untyped use uwire var vectored",
    "virtual void wait wand weak0 weak1 while wildcard wire with within wor xnor xor",
)
_KEYWORDS = frozenset(word for line in _KEYWORD_LINES for word in line.split())


def netlist_verilog(netlist: Netlist, library: CellLibrary | None = None) -> str:
    """A netlist as one module of structural Verilog.

    Ports of several bits are vectors; every other net is a scalar, escaped if its name requires it. If a net
    goes to several bits of output ports, or is a constant, the remaining bits are assigned.

    Parameters
    ----------
    netlist : Netlist
        The netlist.
    library : CellLibrary, optional
        Gives the order of the pins, inputs before outputs; by default they are written as stored.

    Returns
    -------
    str
        The text; :func:`~fewflips.gates.netlist.reader.read_netlist` reads the same netlist from it.
    """
    references = _references(netlist)
    lines = [f"module {identifier(netlist.name)} ("]
    declarations = [
        f"    {direction} {f'[{len(nets) - 1}:0] ' if len(nets) > 1 else ''}{identifier(name)}"
        for direction, ports in (("input", netlist.inputs), ("output", netlist.outputs))
        for name, nets in ports.items()
    ]
    lines.append(",\n".join(f"{line}" for line in declarations))
    lines.append(");")
    on_ports = {net for ports in (netlist.inputs, netlist.outputs) for nets in ports.values() for net in nets}
    lines.extend(
        f"  wire {references[net]};"
        for net in range(len(netlist.nets))
        if net not in on_ports and net not in (ZERO_NET, ONE_NET)
    )
    for instance in netlist.instances:
        ordered = _pins(instance.cell, instance.pins, library)
        pins = ", ".join(f".{identifier(pin)}({references[net]})" for pin, net in ordered)
        lines.append(f"  {identifier(instance.cell)} {identifier(instance.name)} ({pins});")
    lines.extend(
        f"  assign {bit} = {references[net]};"
        for name, nets in netlist.outputs.items()
        for bit, net in zip(_bits(name, len(nets)), nets, strict=True)
        if references[net] != bit
    )
    lines.append("endmodule")
    return "\n".join(lines) + "\n"


def identifier(name: str) -> str:
    r"""A name in Verilog syntax: escaped, with the blank that ends it, unless it is a plain identifier.

    Examples
    --------
    >>> identifier("sum"), identifier("sum[3]")
    ('sum', '\\sum[3] ')
    """
    if _IDENTIFIER.fullmatch(name) and name not in _KEYWORDS:
        return name
    return "\\" + "".join(name.split()) + " "


def _references(netlist: Netlist) -> dict[int, str]:
    """How each net is written: as a bit of an input port, else of an output port, else by its own name."""
    references = {net: identifier(name) for net, name in enumerate(netlist.nets)}
    for ports in (netlist.outputs, netlist.inputs):
        named = [
            (bit, net) for name, nets in ports.items() for bit, net in zip(_bits(name, len(nets)), nets, strict=True)
        ]
        references.update((net, bit) for bit, net in reversed(named))
    references[ZERO_NET], references[ONE_NET] = "1'b0", "1'b1"
    return references


def _bits(name: str, width: int) -> Iterator[str]:
    if width == 1:
        yield identifier(name)
    else:
        yield from (f"{identifier(name)}[{bit}]" for bit in range(width))


def _pins(cell: str, pins: Mapping[str, int], library: CellLibrary | None) -> list[tuple[str, int]]:
    known = library.cells.get(cell) if library is not None else None
    if known is None:
        return list(pins.items())
    order = {pin.name: position for position, pin in enumerate((*known.inputs, *known.outputs))}
    return sorted(pins.items(), key=lambda item: order.get(item[0], len(order)))
