"""Register files at gate level: synthesized, and simulated with the sums and addresses of a layer.

Of every layer a sample is simulated: blocks of consecutive cycles around random ones, in a number of independent
replicates whose spread gives a confidence interval. Flip-flops are cells of the library, on the bus of the words that
are written; the decoder of addresses and the selection of what is read are synthesized around them. The clock of an
entry counts only in cycles in which it is written. Clock gates stand beside the netlist, which has one clock: they are
OR gates of the library (:func:`fewflips.gates.power.clock_gates.resting_gate`), one for each entry, whose clock pins
toggle in cycles in which any entry is written, and one in front of them, whose pin toggles in every cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.register_file import RegisterFile, register_file_verilog
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.checks import check_netlist
from fewflips.gates.netlist.flip_flops import smallest_flip_flop, with_entries
from fewflips.gates.netlist.graph import NetlistGraph
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.synthesis import netlist_area_um2, synthesis_cells, synthesize_verilog
from fewflips.gates.operands import OperandSequences, PortRows, Toggles
from fewflips.gates.parasitics.wires import WireModel, fanout_wire_ff
from fewflips.gates.power.clock_gates import ClockGate, resting_gate
from fewflips.gates.power.energy import EnergyModel, energy_model
from fewflips.gates.switching import Circuit, compile_circuit, simulate
from fewflips.gates.timing import Timing, analyze_timing
from fewflips.progress import Progress

TYPICAL_CYCLES = 512
"""Random cycles that stand for all others where there is no layer."""
DELAY_TARGET_PS = 1000.0
"""Longest delay of addresses to words that gates are sized for."""


@dataclass(frozen=True, eq=False)
class FileRows:
    """Ports of a register file in blocks of consecutive cycles.

    Parameters
    ----------
    read, write : ndarray of bool, shape (T,)
        Whether there is such an access.
    read_address, write_address : ndarray of int64, shape (T,)
        Entries.
    write_data : ndarray of an integer type, shape (T, L)
        Words, written or not, each of L codes of the same width.
    contents : ndarray of an integer type, shape (T, entries x L)
        What the entries hold during each cycle.
    lengths : ndarray of int64, shape (blocks,)
        Cycles of each block; each begins with the one before the first that counts.
    """

    read: NDArray[np.bool_] = field(repr=False)
    write: NDArray[np.bool_] = field(repr=False)
    read_address: NDArray[np.int64] = field(repr=False)
    write_address: NDArray[np.int64] = field(repr=False)
    write_data: NDArray[np.integer] = field(repr=False)
    contents: NDArray[np.integer] = field(repr=False)
    lengths: NDArray[np.int64] = field(repr=False)

    def sequences(self, file: RegisterFile) -> OperandSequences:
        """The same for the simulation: a sequence for each block."""
        starts = np.cumsum(self.lengths) - self.lengths
        code_bits = file.bits // self.write_data.shape[1]
        inputs = {
            "write": (self.write[:, None].astype(np.int64), 1),
            "write_address": (self.write_address[:, None], file.address_bits),
            "write_data": (self.write_data, code_bits),
            "read": (self.read[:, None].astype(np.int64), 1),
            "read_address": (self.read_address[:, None], file.address_bits),
        }
        return OperandSequences(
            lengths=self.lengths,
            first_passes=np.arange(len(self.lengths)),
            inputs={name: PortRows(words, bits, starts, 1) for name, (words, bits) in inputs.items()},
            registers={"contents": PortRows(self.contents, code_bits, starts, 1)},
        )


@dataclass(frozen=True, eq=False)
class GateLevelFile:
    """A register file, ready to be simulated.

    Parameters
    ----------
    file : RegisterFile
        Entries and width.
    library : CellLibrary
        Its cells.
    netlist : Netlist
        Its gates.
    timing : Timing
        Loads, slews, delays.
    circuit : Circuit
        For the switching simulation.
    model : EnergyModel
        Cost of each toggle.
    entry_gate, write_gate : ClockGate
        The clock gate of an entry, and the one in front of these.
    """

    file: RegisterFile
    library: CellLibrary = field(repr=False)
    netlist: Netlist = field(repr=False)
    timing: Timing = field(repr=False)
    circuit: Circuit = field(repr=False)
    model: EnergyModel = field(repr=False)
    entry_gate: ClockGate
    write_gate: ClockGate

    @property
    def area_um2(self) -> float:
        """Area of its cells, clock gates included."""
        gates_um2 = self.file.entries * self.entry_gate.area_um2 + self.write_gate.area_um2
        return netlist_area_um2(self.netlist, self.library) + gates_um2

    @property
    def leakage_uw(self) -> float:
        """Leakage power, that of clock gates included."""
        gates_nw = self.file.entries * self.entry_gate.leakage_nw + self.write_gate.leakage_nw
        return (float(self.model.leakage_nw.sum()) + gates_nw) * 1e-3

    @property
    def write_clock_fj(self) -> float:
        """Clock in a cycle in which a word is written: of its entry, and the clock pins of all entries' gates."""
        flip_flops_fj = float(self.model.clock_fj.sum()) / self.file.entries
        gates_fj = self.file.entries * self.entry_gate.cycle_fj + self.entry_gate.load_fj + self.write_gate.load_fj
        return flip_flops_fj + gates_fj

    @property
    def cycle_clock_fj(self) -> float:
        """Clock in every cycle, whether or not a word is written."""
        return self.write_gate.cycle_fj

    def simulate(self, rows: FileRows, jobs: int = 1) -> Toggles:
        """Toggles with inertial delays, over all but the first cycle of each block.

        Parameters
        ----------
        rows : FileRows
            What the ports see.
        jobs : int
            Threads.

        Returns
        -------
        Toggles
            Of every net.

        Raises
        ------
        NetlistError
            If the contents are not those that the netlist computes.
        """
        return simulate(self.circuit, rows.sequences(self.file), "inertial", jobs=jobs)

    def data_fj(self, toggles: Toggles) -> tuple[float, float]:
        """Cost of toggles: of nets that depend on what is read, and of all others, flags of clock gates included."""
        cost = (self.model.switching_fj + self.model.internal_fj) * toggles.toggles
        reading = self._reading
        return float(cost[reading].sum()), float(cost[~reading].sum()) + self._flags_fj(toggles)

    def _flags_fj(self, toggles: Toggles) -> float:
        """Cost of what toggles at the flags of clock gates."""
        holds = sorted(set(self.netlist.holds.values()))
        (write,) = self.netlist.inputs["write"]
        entries_fj = self.entry_gate.flag_fj * toggles.toggles[holds].sum()
        return float(entries_fj + self.write_gate.flag_fj * toggles.toggles[write])

    @cached_property
    def _reading(self) -> NDArray[np.bool_]:
        """Nets that change with the read port."""
        graph = NetlistGraph(self.netlist, self.library)
        reading = np.zeros(len(self.netlist.nets), dtype=np.bool_)
        for port in ("read", "read_address"):
            reading[list(self.netlist.inputs[port])] = True
        for index in graph.combinational_order:
            if any(reading[net] for net in graph.input_nets(index)):
                reading[graph.output_nets(index)] = True
        return reading


def build_file(
    file: RegisterFile, library: CellLibrary, *, step_ps: float = 10.0, progress: Progress | None = None
) -> GateLevelFile:
    """Synthesize a register file and prepare it for simulation.

    Parameters
    ----------
    file : RegisterFile
        Entries and width.
    library : CellLibrary
        Cells.
    step_ps : float
        Step to which delays are rounded.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    GateLevelFile
        With wires by fanout; figures that depend on states are weighted by random writes and reads.

    Raises
    ------
    FewflipsError
        If the cells do not suffice, or Yosys is missing or fails.
    """
    logic = synthesize_verilog(register_file_verilog(file), file.logic_name, library, progress, DELAY_TARGET_PS)
    flip_flop = smallest_flip_flop(synthesis_cells(library))
    stored = with_entries(logic, flip_flop, contents="contents", hold="hold", data="write_data")
    netlist = replace(stored, name=file.module_name)
    check_netlist(netlist, library)
    wires = WireModel.estimated(netlist, library)
    wire_ff = fanout_wire_ff(netlist, library, wires.per_fanout_ff, wires.base_ff)
    timing = analyze_timing(netlist, library, wire_ff)
    circuit = compile_circuit(netlist, library, timing.delays_ps, step_ps)
    activity = simulate(circuit, random_rows(file, TYPICAL_CYCLES).sequences(file), "inertial")
    model = energy_model(netlist, library, timing, wire_ff, activity)
    (clock_pin,) = (pin for pin in flip_flop.inputs if pin.is_clock)
    entry_ff = file.bits * (clock_pin.capacitance_ff + wires.per_fanout_ff)
    entry_gate = resting_gate(library, entry_ff, wires.per_fanout_ff)
    gates = entry_gate, resting_gate(library, file.entries * entry_gate.clock_pin_ff, wires.per_fanout_ff)
    return GateLevelFile(file, library, netlist, timing, circuit, model, *gates)


def random_rows(file: RegisterFile, cycles: int, seed: int = 0) -> FileRows:
    """Random words written to and read from random entries.

    Parameters
    ----------
    file : RegisterFile
        Entries and width.
    cycles : int
        Cycles.
    seed : int
        Of the words.

    Returns
    -------
    FileRows
        One block, with three accesses in four cycles.
    """
    generator = np.random.default_rng(seed)
    write, read = generator.random((2, cycles)) < 0.75
    write_address, read_address = generator.integers(0, file.entries, size=(2, cycles))
    write_data = generator.integers(2, size=(cycles, file.bits), dtype=np.uint8)
    contents = np.zeros((cycles, file.entries, file.bits), dtype=np.uint8)
    for cycle in range(1, cycles):
        contents[cycle] = contents[cycle - 1]
        if write[cycle - 1]:
            contents[cycle, write_address[cycle - 1]] = write_data[cycle - 1]
    flat = contents.reshape(cycles, -1)
    return FileRows(read, write, read_address, write_address, write_data, flat, np.array([cycles]))


def joined(blocks: Sequence[FileRows]) -> FileRows:
    """Blocks one after the other."""
    names = ("read", "write", "read_address", "write_address", "write_data", "contents", "lengths")
    return FileRows(**{name: np.concatenate([getattr(block, name) for block in blocks]) for name in names})
