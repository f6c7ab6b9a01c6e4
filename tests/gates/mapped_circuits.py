"""Small circuits of library cells, models of the cells for Icarus Verilog, and comparison of netlists."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fewflips.gates.liberty.cells import Cell, CellLibrary
from fewflips.gates.liberty.functions import truth_table
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.netlist import Instance, Netlist
from tests.patience import PATIENCE_S

LIBRARY = load_cells("nangate45")


def circuit(
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    gates: Sequence[tuple[str, str, str]],
    library: CellLibrary = LIBRARY,
    name: str = "circuit",
) -> Netlist:
    """A netlist from text: ports as ``{"a": "a0 a1"}``, gates as ``("u1", "NAND2_X1", "A1=a0 A2=a1 ZN=y")``."""
    names = ["1'b0", "1'b1"]

    def net(text: str) -> int:
        if text not in names:
            names.append(text)
        return names.index(text)

    ins = {port: tuple(net(bit) for bit in bits.split()) for port, bits in inputs.items()}
    instances = [
        Instance(gate, cell, {pin: net(name) for pin, name in (pair.split("=") for pair in pins.split())})
        for gate, cell, pins in gates
    ]
    outs = {port: tuple(net(bit) for bit in bits.split()) for port, bits in outputs.items()}
    return Netlist(name, tuple(names), tuple(instances), ins, outs)


def by_names(netlist: Netlist) -> object:
    """A netlist without its numbering: equal for netlists that differ in that alone."""
    return (
        netlist.name,
        {name: [netlist.nets[net] for net in nets] for name, nets in netlist.inputs.items()},
        {name: [netlist.nets[net] for net in nets] for name, nets in netlist.outputs.items()},
        {
            instance.name: (instance.cell, {pin: netlist.nets[net] for pin, net in instance.pins.items()})
            for instance in netlist.instances
        },
    )


def cell_models(library: CellLibrary, used: set[str]) -> str:
    """Verilog of cells from their truth tables; flip-flops store at the rising edge."""
    return "\n".join(_model(library.cells[name]) for name in sorted(used))


def _model(cell: Cell) -> str:
    ports = ", ".join(f"{pin.direction} {pin.name}" for pin in cell.pins.values())
    lines = [f"module {cell.name} ({ports});"]
    names = [pin.name for pin in cell.inputs]
    if cell.flip_flop is not None:
        state = cell.flip_flop
        lines.append(f"  reg {state.state} = 0; wire {state.inverted_state} = ~{state.state};")
        lines.append(f"  always @(posedge {state.clocked_on}) {state.state} <= {state.next_state};")
        lines.extend(f"  assign {pin.name} = {pin.function};" for pin in cell.outputs)
    else:
        for pin in cell.outputs:
            table = truth_table(pin.function or "0", names)
            index = "{" + ", ".join(reversed(names)) + "}" if names else "1'b0"
            lines.append(f"  wire [{2 ** len(names) - 1}:0] t_{pin.name} = {2 ** len(names)}'h{table:x};")
            lines.append(f"  assign {pin.name} = t_{pin.name}[{index}];")
    lines.append("endmodule")
    return "\n".join(lines)


def run_icarus(iverilog: str, folder: Path, *texts: str) -> str:
    """What a testbench named `bench` prints."""
    sources = []
    for number, text in enumerate(texts):
        source = folder / f"part{number}.v"
        source.write_text(text)
        sources.append(str(source))
    program = folder / "bench.vvp"
    subprocess.run([iverilog, "-g2005", "-s", "bench", "-o", str(program), *sources], check=True, timeout=PATIENCE_S)
    shown = subprocess.run(["vvp", "-n", str(program)], check=True, capture_output=True, text=True, timeout=PATIENCE_S)
    return shown.stdout
