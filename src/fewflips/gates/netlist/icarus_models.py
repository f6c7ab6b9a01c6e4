"""Verilog models of library cells, and a netlist with its delays, for event-driven simulation by Icarus Verilog.

This is the independent reference of :mod:`fewflips.gates.switching`: cells are written only from their functions,
delays are integers of time steps per instance, and toggles are counted from the VCD that Icarus writes.

Every clock cycle reads its row from a file: bit 0 is `hold`, then come the contents of registers with feedback
(stored at the next edge if `hold` is set), then the bits of the input ports. Rows are applied by nonblocking
assignments at the rising edge, like flip-flops, so that data and clock do not race.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import CellLibraryError, ToolError
from fewflips.gates.liberty.cells import Cell, CellLibrary
from fewflips.gates.netlist.checks import clock_nets
from fewflips.gates.netlist.netlist import ONE_NET, ZERO_NET, Netlist

Delays = Literal["zero-delay", "transport", "inertial", "inertial-expressions"]
"""How models represent delays.

Continuous assignments without delay; nonblocking assignments with a delay, which let every pulse pass; continuous
assignments with a delay, which swallow shorter pulses. In all of these the function settles at once, except with
"inertial-expressions", ``assign #(d) y = expression``: there the operators of an expression are evaluated one after
another in zero time, and Icarus Verilog lets zero-width pulses between them cancel a pending change.
"""

_TOKEN = re.compile(r"[A-Za-z_]\w*|[01]|[!'^&*|+()]")
_OPERATORS = {"!": "~", "*": "&", "+": "|"}
# Macros, not literals: to Icarus they are variables, whose initial values are events that every process sees.
_CONSTANTS = {"0": "`ZERO", "1": "`ONE"}
_CONSTANT_VARIABLES = "`define ZERO testbench.constants[0]\n`define ONE testbench.constants[1]\n"


def verilog_expression(expression: str) -> str:
    """A Liberty expression as Verilog, constants as the macros ``ZERO`` and ``ONE``.

    Examples
    --------
    >>> verilog_expression("!(A1 A2)' + B*C'")
    '~~(A1 & A2) | B & ~C'
    """
    written: list[str] = []
    opened: list[int] = []
    operand = 0  # where the last operand begins in `written`
    after_operand = False
    for token in _TOKEN.findall(expression):
        if after_operand and (token[0].isalnum() or token[0] in "_!("):
            written.append(" & ")
            after_operand = False
        if token == "'":
            written.insert(operand, "~")
        elif token == "(":
            opened.append(len(written))
            written.append("(")
        elif token == ")":
            operand = opened.pop() if opened else 0
            written.append(")")
            after_operand = True
        elif token == "!":
            written.append("~")
        elif token in "^&*|+":
            written.append(f" {_OPERATORS.get(token, token)} ")
            after_operand = False
        else:
            operand = len(written)
            written.append(_CONSTANTS.get(token, token))
            after_operand = True
    return "".join(written)


def cell_models(library: CellLibrary, names: Sequence[str], delays: Delays) -> str:
    """Verilog modules of cells.

    Each output pin Z has a parameter ``D_Z``, its delay in time steps. Flip-flops have a parameter ``STATE``: the
    bit of the testbench's row that they store if `hold` is set, or -1.

    Parameters
    ----------
    library : CellLibrary
        The cells' functions.
    names : sequence of str
        Which cells.
    delays : Delays
        How they represent delays.

    Raises
    ------
    CellLibraryError
        If a cell has an output without a function.
    """
    return "\n".join(_model(library.cells[name], delays) for name in names)


def _model(cell: Cell, delays: Delays) -> str:
    parameters = [f"D_{pin.name} = 1" for pin in cell.outputs]
    if cell.flip_flop is not None:
        parameters.append("STATE = -1")
    ports = [f"input {pin.name}" for pin in cell.inputs] + [f"output {pin.name}" for pin in cell.outputs]
    body: list[str] = []
    for pin in cell.outputs:
        if pin.function is None:
            raise CellLibraryError(f"cell {cell.name}: expected a function of its output {pin.name}, got none")
        if cell.flip_flop is None:
            body += _gate(pin.name, verilog_expression(pin.function), delays if cell.inputs else "zero-delay")
        else:
            body += _flip_flop_output(cell, pin.name, pin.function, delays)
    header = f"module {cell.name} #(parameter {', '.join(parameters)}) ({', '.join(ports)});"
    return "\n".join([header, *(f"  {line}" for line in body), "endmodule"])


def _gate(output: str, function: str, delays: Delays) -> list[str]:
    """Statements that drive the output of a gate."""
    if delays == "zero-delay":
        return [f"assign {output} = {function};"]
    if delays == "transport":
        return [
            f"reg r_{output};",
            f"assign {output} = r_{output};",
            f"always @* r_{output} <= #(D_{output}) {function};",
        ]
    if delays == "inertial-expressions":
        return [f"assign #(D_{output}) {output} = {function};"]
    return [
        f"reg f_{output};",
        f"always @* f_{output} = {function};",
        f"assign #(D_{output}) {output} = f_{output};",
    ]


def _flip_flop_output(cell: Cell, output: str, function: str, delays: Delays) -> list[str]:
    """Statements that store the state for one output."""
    flip_flop = cell.flip_flop
    if flip_flop is None:
        return []
    clock = next(pin.name for pin in cell.inputs if pin.is_clock)
    data = verilog_expression(flip_flop.next_state)
    wait = "" if delays == "zero-delay" else f"#(D_{output}) "
    state, inverse = flip_flop.state, flip_flop.inverted_state
    shown = re.sub(rf"\b({state}|{inverse})\b", rf"\1_{output}", verilog_expression(function))
    return [
        f"wire d_{output} = (STATE >= 0 && testbench.hold) ? testbench.row[STATE < 0 ? 0 : STATE] : ({data});",
        f"reg s_{output};",
        f"always @(posedge {clock}) s_{output} <= {wait}d_{output};",
        f"wire {state}_{output} = s_{output};",
        f"wire {inverse}_{output} = ~s_{output};",
        f"assign {output} = {shown};",
    ]


@dataclass(frozen=True)
class Row:
    """The meaning of the bits of a testbench's row; bit 0 is `hold`.

    Parameters
    ----------
    states : mapping of int to int
        Bit of each flip-flop instance with feedback.
    inputs : mapping of str to int
        For each input port except the clock, the position of its least significant bit.
    width : int
        Bits of a row.
    """

    states: Mapping[int, int] = field(repr=False)
    inputs: Mapping[str, int]
    width: int


def row_layout(netlist: Netlist, library: CellLibrary, feedback: Sequence[int]) -> Row:
    """Bits of a row: `hold`, the flip-flops given, then the input ports in the netlist's order."""
    clocks = clock_nets(netlist, library)
    states = {instance: 1 + position for position, instance in enumerate(feedback)}
    inputs: dict[str, int] = {}
    width = 1 + len(states)
    for name, nets in netlist.inputs.items():
        if not clocks.intersection(nets):
            inputs[name] = width
            width += len(nets)
    return Row(states, inputs, width)


def icarus_bench(
    netlist: Netlist,
    library: CellLibrary,
    row: Row,
    delay_steps: NDArray[np.int64],
    delays: Delays,
    cycles: int,
    half_period: int,
) -> str:
    """A complete Verilog text: models, the netlist with its delays, and a testbench.

    It reads ``rows.txt`` (one binary number per line) and writes ``waves.vcd``, both in the working folder. Cycle i
    begins at time ``2 * half_period * (i + 1)``. With ``+quiet`` it writes no VCD.

    Parameters
    ----------
    netlist : Netlist
        What to simulate.
    library : CellLibrary
        Its cells.
    row : Row
        Bits of the testbench's rows.
    delay_steps : ndarray of int64, shape (nets,)
        Delay of the output that drives each net.
    delays : Delays
        How the models represent delays.
    cycles : int
        Rows to apply.
    half_period : int
        Half a clock period in time steps; the netlist has to settle within a period.
    """
    names = sorted({instance.cell for instance in netlist.instances})
    clocks = clock_nets(netlist, library)
    clock_ports = [name for name, nets in netlist.inputs.items() if clocks.intersection(nets)]
    connections = [f".{name}(row[{first} +: {len(netlist.inputs[name])}])" for name, first in row.inputs.items()]
    connections += [f".{name}(clk)" for name in clock_ports]
    bench = f"""{_CONSTANT_VARIABLES}`timescale 1ps/1ps
module testbench;
  reg clk = 0;
  reg [{row.width - 1}:0] rows [0:{cycles - 1}];
  reg [{row.width - 1}:0] row;
  reg hold;
  reg [1:0] constants;
  integer i;
  dut dut({", ".join(connections)});
  initial begin
    $readmemb("rows.txt", rows);
    #1 constants = 2'b10;
    row = rows[0];
    hold = rows[0][0];
    if (!$test$plusargs("quiet")) begin
      $dumpfile("waves.vcd");
      $dumpvars(1, dut);
    end
    for (i = 0; i < {cycles}; i = i + 1) begin
      #({half_period} - (i == 0)) clk = 0;
      #{half_period} clk = 1;
      row <= rows[i];
      hold <= rows[i][0];
    end
    #{2 * half_period - 1} $finish;
  end
endmodule
"""
    return "\n".join([bench, *_netlist_lines(netlist, library, row, delay_steps), cell_models(library, names, delays)])


def _netlist_lines(netlist: Netlist, library: CellLibrary, row: Row, delay_steps: NDArray[np.int64]) -> Iterator[str]:
    """The netlist as module ``dut``, its nets as ``n0``, ``n1``, ..."""
    yield f"module dut({', '.join(netlist.inputs)});"
    for name, nets in netlist.inputs.items():
        yield f"  input [{len(nets) - 1}:0] {name};"
    for net in range(len(netlist.nets)):
        yield f"  wire n{net};"
    yield f"  assign n{ZERO_NET} = `ZERO;"
    yield f"  assign n{ONE_NET} = `ONE;"
    for name, nets in netlist.inputs.items():
        for bit, net in enumerate(nets):
            yield f"  assign n{net} = {name}[{bit}];"
    for index, instance in enumerate(netlist.instances):
        outputs = {pin.name for pin in library.cells[instance.cell].outputs}
        parameters = [f".D_{pin}({delay_steps[net]})" for pin, net in instance.pins.items() if pin in outputs]
        if index in row.states:
            parameters.append(f".STATE({row.states[index]})")
        given = f"#({', '.join(parameters)}) " if parameters else ""
        wires = {pin: f"n{net}" for pin, net in instance.pins.items()}
        if index in netlist.holds:  # its clock rests at 1
            clock = next(pin.name for pin in library.cells[instance.cell].inputs if pin.is_clock)
            wires[clock] += f" | n{netlist.holds[index]} & ~testbench.hold"
        pins = ", ".join(f".{pin}({wire})" for pin, wire in wires.items())
        yield f"  {instance.cell} {given}u{index}({pins});"
    yield "endmodule"


def vcd_toggles(path: Path, nets: int, period: int, cycles: int) -> NDArray[np.int64]:
    """Toggles of each net in each cycle, from a VCD written by the testbench.

    Parameters
    ----------
    path : Path
        The VCD.
    nets : int
        Nets of the netlist.
    period : int
        Time steps of a cycle; cycle i begins at ``period * (i + 1)``.
    cycles : int
        Cycles simulated.

    Returns
    -------
    ndarray of int64, shape (cycles, nets)
        Changes between 0 and 1 from each cycle's clock edge until before the next.

    Raises
    ------
    ToolError
        If a net is unknown (x or z) in the last cycle.
    """
    identifiers: dict[str, int] = {}
    toggles = np.zeros((cycles + 1, nets), dtype=np.int64)
    values = ["x"] * nets
    cycle = 0
    with path.open(encoding="ascii") as lines:
        for line in lines:
            first = line[0]
            if first in "01xz":
                net = identifiers.get(line[1:].rstrip())
                if net is not None and values[net] != first:
                    if values[net] in "01" and first in "01":
                        toggles[cycle, net] += 1
                    values[net] = first
            elif first == "#":
                cycle = int(line[1:]) // period
            elif line.startswith("$var"):
                words = line.split()
                if words[4][0] == "n" and words[4][1:].isdigit() and words[2] == "1":
                    identifiers[words[3]] = int(words[4][1:])
    if len(identifiers) != nets or any(value not in "01" for value in values):
        unknown = next((net for net, value in enumerate(values) if value not in "01"), nets)
        raise ToolError(
            f"{path.name}: expected a known value of all {nets} nets in the last cycle, net {unknown} has none"
        )
    return toggles[1:]
