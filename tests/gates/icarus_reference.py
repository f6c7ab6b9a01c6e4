"""Toggles by Icarus Verilog, from the same netlist, delays and operand sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.icarus import simulate_verilog
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.checks import clock_nets
from fewflips.gates.netlist.icarus_models import Delays, icarus_bench, row_layout, vcd_toggles
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.operands import OperandSequences, Toggles, Windows
from fewflips.gates.switching.circuit import Circuit
from fewflips.gates.switching.steps import Kind, netlist_steps
from tests.gates.netlist_building import port_values


def circuit_delays(circuit: Circuit) -> NDArray[np.int64]:
    """Delay of every net in time steps, as the circuit has it."""
    nets = len(circuit.netlist.nets)
    delays = np.zeros(nets, dtype=np.int64)
    own = circuit.outputs < nets
    delays[circuit.outputs[own]] = circuit.delays[own]
    return delays


def icarus_toggles(
    folder: Path,
    circuit: Circuit,
    library: CellLibrary,
    sequences: OperandSequences,
    windows: Windows,
    delays: Delays,
) -> NDArray[np.int64]:
    """Toggles of every net over the windows; 0 on nets that carry the clock.

    Every sequence begins with cycles in which inputs show what they show before cycle 0 and registers with feedback
    are held; they are not counted.
    """
    netlist = circuit.netlist
    lead = circuit.depth + 2
    lines, weights, row = _rows(netlist, library, sequences, windows, lead)
    half = max(time.bit_length() for time in circuit.event_times) + 2
    text = icarus_bench(netlist, library, row, circuit_delays(circuit), delays, len(lines), half)
    simulate_verilog([text], "testbench", {"rows.txt": "\n".join(lines) + "\n"}, folder)
    toggles = weights @ vcd_toggles(folder / "waves.vcd", len(netlist.nets), 2 * half, len(lines))
    toggles[list(clock_nets(netlist, library))] = 0
    return toggles


def _rows(netlist: Netlist, library: CellLibrary, sequences: OperandSequences, windows: Windows, lead: int):
    """Lines of the testbench's rows, how often each cycle counts, and which bit is what."""
    steps = netlist_steps(netlist, library)
    shown = {step.instance: (step.bit, step.inverts) for step in steps.steps if step.kind == Kind.CHECK}
    place = {port.first_bit + bit: (port.name, bit) for port in steps.ports for bit in range(port.width)}
    row = row_layout(netlist, library, sorted(shown))
    weights: list[NDArray[np.int64]] = []
    lines: list[str] = []
    for sequence, cycles in enumerate(sequences.sequence_cycles.tolist()):
        span = range(-lead, cycles)
        operands = {name: port_values(sequences, port, sequence, span) for name, port in sequences.inputs.items()}
        contents = {name: port_values(sequences, port, sequence, span) for name, port in sequences.registers.items()}
        for position, cycle in enumerate(span):
            word = int(cycle < 0)
            for instance, bit in row.states.items():
                (name, shift), inverted = place[shown[instance][0]], shown[instance][1]
                stored = contents[name][min(position + 1, len(span) - 1)]  # at the next edge, where held
                word |= ((stored >> shift & 1) ^ inverted) << bit
            for name, first in row.inputs.items():
                word |= operands[name][position] << first
            lines.append(f"{word:0{row.width}b}")
        weight = np.zeros(cycles + lead, dtype=np.int64)
        own = windows.sequence == sequence
        for begin, count in zip(windows.first[own], windows.transitions[own], strict=True):
            weight[lead + begin : lead + begin + count] += 1
        weights.append(weight)
    return lines, np.concatenate(weights), row


def assert_same_toggles(netlist: Netlist, ours: Toggles, theirs: NDArray[np.int64]) -> None:
    """Fail with the nets that differ."""
    different = np.flatnonzero(ours.toggles != theirs)
    shown = [f"{netlist.nets[net]}: {ours.toggles[net]} against {theirs[net]}" for net in different[:8]]
    assert not len(different), f"{len(different)} of {len(theirs)} nets differ: {'; '.join(shown)}"
