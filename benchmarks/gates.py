"""Switching simulation against Icarus Verilog and Verilator: `python -m benchmarks.gates`.

Protocol: a 16-lane activation-stationary column of 8 x 8 bit (two's complement by unsigned), synthesized to the
built-in Nangate45 table, with the delays that static timing gives its cells. Weights stream at random, activations
are held for 100 cycles and nearly half of them are 0. One thread, user time of the process; everything is compiled
before the first timing; the best of several runs.

- fewflips counts the toggles of every net over 2,000,000 (zero delay) or 200,000 cycles, packing included.
- Icarus Verilog runs the same netlist with zero-delay or inertial models and writes all nets to a VCD. Its rate is
  that of additional cycles (the difference between a long run and a short one), extrapolated per cycle. The toggles
  of the long run are compared net by net with fewflips, and have to be the same. Inertial models are of two kinds:
  functions that settle in one piece before they are delayed, and single ``assign #(d) y = expression``, which are
  faster, but let pulses of no width between operators cancel changes; of these the deviation is printed.
- Verilator (zero delay only) compiles the netlist with functional models, once with ``--coverage-toggle`` and once
  with ``--trace``; the time is that of the loop over cycles.

The bound: vector instructions of logic and counting that the method needs per MAC (for inertial delays, by the
events that a sample of the stream has), at the peak rate of such instructions that a loop without memory accesses
reaches on this processor. Loads, stores and bookkeeping come on top.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numba import njit
from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.gates.liberty.cells import Cell, CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.checks import clock_nets
from fewflips.gates.netlist.icarus_models import Delays, icarus_bench, row_layout, vcd_toggles, verilog_expression
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.synthesis import synthesize
from fewflips.gates.operands import OperandSequences, PortRows, Windows
from fewflips.gates.switching import Circuit, Mode, compile_circuit, simulate
from fewflips.gates.switching.engines import Propagating
from fewflips.gates.switching.lanes import Packer
from fewflips.gates.switching.layout import waveform_layout
from fewflips.gates.switching.prepared import prepare
from fewflips.gates.switching.steps import Kind
from fewflips.gates.switching.words import WIDTH, ones, spread, total
from fewflips.gates.timing import analyze_timing

LANES = 16
PASS_CYCLES = 100
RUNS = 5
COLUMN = Datapath(
    "column", Word(WordFormat.TWOS_COMPLEMENT, 8), Word(WordFormat.UNSIGNED, 8), lanes=LANES, accumulator_bits=24
)
CYCLES: dict[str, int] = {"zero-delay": 2_000_000, "inertial": 200_000}
ICARUS_CYCLES = (20, 220)
VERILATOR_CYCLES = 4000


@dataclass
class Figure:
    """One line of the table."""

    name: str
    mode: str
    seconds_per_mac: float
    bound: float | None = None
    deviation: Deviation | None = None


@dataclass
class Deviation:
    """How the toggles of another simulator differ from ours."""

    differing_nets: int
    nets: int
    total_percent: float


def operands(cycles: int) -> OperandSequences:
    """Random weights past held activations, one sequence."""
    random = np.random.default_rng(0)
    passes = -(-cycles // PASS_CYCLES)
    weights = random.integers(0, 256, (20_000, LANES), dtype=np.uint8)
    activations = random.integers(0, 256, (passes, LANES), dtype=np.uint8)
    activations[random.random(activations.shape) < 0.45] = 0
    start = np.arange(passes, dtype=np.int64)
    return OperandSequences(
        np.full(passes, PASS_CYCLES),
        np.zeros(1, dtype=np.int64),
        {
            "weights": PortRows(weights, 8, start * PASS_CYCLES % len(weights), 1),
            "activations": PortRows(activations, 8, start, 0),
        },
    )


def window(cycles: int) -> Windows:
    """The first transitions of the sequence."""
    return Windows(np.array([0]), np.array([1]), np.array([cycles - 1]))


def user_seconds(work: Callable[[], object], who: int = resource.RUSAGE_SELF) -> float:
    """User time that some work takes."""
    before = resource.getrusage(who).ru_utime
    work()
    return resource.getrusage(who).ru_utime - before


def ours(circuit: Circuit, mode: Mode, sequences: OperandSequences) -> float:
    """Seconds per MAC of one thread."""
    cycles = CYCLES[mode]

    def count() -> object:
        return simulate(circuit, sequences, mode, windows=window(cycles))

    count()
    return min(user_seconds(count) for _ in range(RUNS)) / (cycles * LANES)


@njit(nogil=True)
def _logic_only(rounds: int) -> int:
    """Ten vector instructions a round, on WIDTH words: logic of three operands, counts, additions."""
    a, b, c, d = spread(np.uint64(3)), spread(np.uint64(5)), spread(np.uint64(6)), spread(np.uint64(7))
    e, f, g, h = a ^ b, b ^ c, c ^ d, d ^ a
    for _ in range(rounds):
        a, b, c, d = (a ^ e) & f, (b ^ f) & g, (c ^ g) & h, (d ^ h) & e
        e, f, g, h = e + a, f + b, g ^ ones(c), h ^ ones(d)
    return total(a ^ b ^ c ^ d ^ e ^ f ^ g ^ h)


def peak_operations() -> float:
    """512-bit instructions of logic and counting a second."""
    rounds = 20_000_000
    _logic_only(10)
    return 10 * WIDTH / 8 * rounds / min(user_seconds(lambda: _logic_only(rounds)) for _ in range(3))


def _function_operations(circuit: Circuit) -> np.ndarray:
    """Vector instructions of each step's function: one for up to three operands, two for four."""
    distinct = np.array([len(set(row)) for row in circuit.operands.tolist()])
    return np.where(circuit.kinds == Kind.GATE, np.where(distinct > 3, 2, 1), 0)


def zero_delay_operations(circuit: Circuit) -> float:
    """512-bit instructions per MAC: the function, its inversion, and seven to count."""
    per_word = (_function_operations(circuit) + 1 + 7).sum()
    return float(per_word) / (512 * LANES)


def inertial_operations(circuit: Circuit, sequences: OperandSequences) -> float:
    """512-bit instructions per MAC at the events of a sample.

    Per event among a gate's operands: the function, its difference, its sum, the union of the differences that
    follow, selection, toggle, count, addition, and two to test for any.
    """
    layout = waveform_layout(circuit, shared=False)
    packer = Packer(circuit, sequences, prepare(sequences), WIDTH)
    engine = Propagating(circuit, packer, layout, inertial=True)
    parts = Windows(np.zeros(64, dtype=np.int64), np.arange(64) * 3000 + 1, np.full(64, 8 * WIDTH))
    for words in packer.blocks(parts, engine.memory):
        engine.block(words)
    times = []
    for signal in range(circuit.signals):
        mask = engine.masks[layout.mask_places[signal] :][: layout.mask_lengths[signal]]
        times.append(int.from_bytes(mask.tobytes(), "little") << int(layout.first_times[signal]))
    operations = 0
    functions = _function_operations(circuit)
    for step in np.flatnonzero(circuit.kinds == Kind.GATE):
        merged = 0
        for operand in circuit.operands[step]:
            merged |= times[operand]
        following = max(int(circuit.delays[step]) - 1, 0)
        operations += merged.bit_count() * (functions[step] + 8 + following // 2)
    return operations / (512 * LANES)


def icarus(
    circuit: Circuit, library: CellLibrary, sequences: OperandSequences, delays: Delays
) -> tuple[float, Deviation | None]:
    """Seconds per MAC of additional cycles, and what differs; fails where nothing may differ."""
    mode: Mode = "zero-delay" if delays == "zero-delay" else "inertial"
    seconds = []
    for cycles in ICARUS_CYCLES:
        taken, toggles = _icarus_run(circuit, library, sequences, delays, cycles)
        seconds.append(taken)
    toggles[list(clock_nets(circuit.netlist, library))] = 0
    counted = simulate(circuit, sequences, mode, windows=window(ICARUS_CYCLES[-1])).toggles
    deviation = None
    if delays == "inertial-expressions":
        differing = int(np.count_nonzero(toggles != counted))
        deviation = Deviation(differing, len(counted), 100 * float(counted.sum() / toggles.sum() - 1))
        print(
            f"{differing} of {len(counted)} nets differ from single assignments, "
            f"the total by {deviation.total_percent:+.4f} %"
        )
    elif not np.array_equal(toggles, counted):
        raise SystemExit(f"{mode}: Icarus Verilog counts other toggles")
    return (seconds[1] - seconds[0]) / ((ICARUS_CYCLES[1] - ICARUS_CYCLES[0]) * LANES), deviation


def _icarus_run(
    circuit: Circuit, library: CellLibrary, sequences: OperandSequences, delays: Delays, cycles: int
) -> tuple[float, np.ndarray]:
    """User time of a run, the better of two, and the toggles of every net."""
    netlist = circuit.netlist
    nets = len(netlist.nets)
    delay_steps = np.zeros(nets, dtype=np.int64)
    own = circuit.outputs < nets
    delay_steps[circuit.outputs[own]] = circuit.delays[own]
    half = max(time.bit_length() for time in circuit.event_times) + 2
    row = row_layout(netlist, library, [])
    lead = circuit.depth + 2
    lines = _rows(sequences, row.inputs, row.width, lead, cycles)
    text = icarus_bench(netlist, library, row, delay_steps, delays, len(lines), half)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench.v").write_text(text)
        (folder / "rows.txt").write_text("\n".join(lines) + "\n")
        subprocess.run(["iverilog", "-o", "bench.vvp", "bench.v"], cwd=folder, check=True)

        def run() -> object:
            return subprocess.run(["vvp", "-n", "bench.vvp"], cwd=folder, check=True, stdout=subprocess.DEVNULL)

        seconds = min(user_seconds(run, resource.RUSAGE_CHILDREN) for _ in range(2))
        toggles = vcd_toggles(folder / "waves.vcd", nets, 2 * half, len(lines))[lead + 1 :].sum(axis=0)
    return seconds, toggles


def _rows(sequences: OperandSequences, ports: dict[str, int], width: int, lead: int, cycles: int) -> list[str]:
    """Lines of the testbench: first rows while registers fill, then one cycle a line."""
    lines = []
    for cycle in [0] * lead + list(range(cycles)):
        word = 0
        for name, first in ports.items():
            port = sequences.inputs[name]
            number, within = divmod(cycle, PASS_CYCLES)
            codes = port.words[port.start[number] + port.stride * within]
            word |= int.from_bytes(codes.tobytes(), "little") << first
        lines.append(f"{word:0{width}b}")
    return lines


HARNESS = """
#include "Vdut.h"
#include "verilated.h"
#include <chrono>
#include <cstdint>
#include <cstdio>
#ifdef TRACED
#include "verilated_vcd_c.h"
#endif
int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  Vdut dut;
#ifdef TRACED
  Verilated::traceEverOn(true);
  VerilatedVcdC vcd;
  dut.trace(&vcd, 99);
  vcd.open("waves.vcd");
#endif
  uint32_t state = 1;
  const int cycles = CYCLES;
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < cycles; i++) {
    dut.clk = 1;
    dut.eval();
    for (int k = 0; k < 4; k++) {
      dut.weights[k] = state = state * 1664525u + 1013904223u;
      if (i % 100 == 0) dut.activations[k] = (state * 22695477u) & (i / 100 % 2 ? 0xff00ffffu : 0x00ff00ffu);
    }
    dut.clk = 0;
    dut.eval();
#ifdef TRACED
    vcd.dump(i);
#endif
  }
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  printf("%.9f\\n", seconds.count());
  dut.final();
  return 0;
}
"""


def verilator(netlist: Netlist, library: CellLibrary, option: str) -> float:
    """Seconds per MAC of the loop over cycles."""
    names = sorted({instance.cell for instance in netlist.instances})
    text = "\n".join(
        ["`define ZERO 1'b0\n`define ONE 1'b1", _module(netlist), *(_cell(library.cells[n]) for n in names)]
    )
    traced = ["-CFLAGS", "-DTRACED"] if option == "--trace" else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dut.v").write_text(text)
        (folder / "main.cpp").write_text(HARNESS.replace("= CYCLES", f"= {VERILATOR_CYCLES}"))
        command = ["verilator", "--cc", "--exe", "--build", "-O3", "-Wno-fatal", "--top-module", "dut", option]
        command += ["-CFLAGS", "-O2", *traced, "dut.v", "main.cpp"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = [
            float(subprocess.run(["obj_dir/Vdut"], cwd=folder, check=True, capture_output=True, text=True).stdout)
            for _ in range(3)
        ]
    return min(seconds) / (VERILATOR_CYCLES * LANES)


def _module(netlist: Netlist) -> str:
    """The netlist with a wire per net."""
    ports = [f"input [{len(nets) - 1}:0] {name}" for name, nets in netlist.inputs.items()]
    ports += [f"output [{len(nets) - 1}:0] {name}" for name, nets in netlist.outputs.items()]
    lines = [f"module dut({', '.join(ports)});", *(f"  wire n{net};" for net in range(len(netlist.nets)))]
    lines += ["  assign n0 = 1'b0;", "  assign n1 = 1'b1;"]
    lines += [f"  assign n{net} = {name}[{i}];" for name, nets in netlist.inputs.items() for i, net in enumerate(nets)]
    lines += [f"  assign {name}[{i}] = n{net};" for name, nets in netlist.outputs.items() for i, net in enumerate(nets)]
    for number, instance in enumerate(netlist.instances):
        pins = ", ".join(f".{pin}(n{net})" for pin, net in instance.pins.items())
        lines.append(f"  {instance.cell} u{number}({pins});")
    return "\n".join([*lines, "endmodule"])


def _cell(cell: Cell) -> str:
    """A functional model without delays."""
    ports = [f"input {pin.name}" for pin in cell.inputs] + [f"output {pin.name}" for pin in cell.outputs]
    lines = [f"module {cell.name}({', '.join(ports)});"]
    if cell.flip_flop is not None:
        state = cell.flip_flop
        lines.append(f"  reg {state.state}; wire {state.inverted_state} = ~{state.state};")
        lines.append(f"  always @(posedge {state.clocked_on}) {state.state} <= {verilog_expression(state.next_state)};")
    lines += [f"  assign {pin.name} = {verilog_expression(pin.function or '0')};" for pin in cell.outputs]
    return "\n".join([*lines, "endmodule"])


def as_row(figure: Figure) -> Row:
    """A line as data."""
    row: Row = {
        "simulator": figure.name,
        "delays": figure.mode,
        "macs_per_s": 1 / figure.seconds_per_mac,
        "bound_macs_per_s": figure.bound,
    }
    return row | (asdict(figure.deviation) if figure.deviation else {})


def print_table(figures: list[Figure]) -> None:
    """Rates, bounds, and how much faster fewflips is in the same mode."""
    own = {figure.mode: figure.seconds_per_mac for figure in figures if figure.name == "fewflips"}
    table = Table(
        "simulator", "mode", "MMAC/s", "bound", "of bound", "fewflips is faster", title="16 lanes, one thread"
    )
    for figure in figures:
        rate = 1e-6 / figure.seconds_per_mac
        row = [figure.name, figure.mode, f"{rate:.4g}"]
        if figure.bound is None:
            row += ["", "", f"{figure.seconds_per_mac / own[figure.mode]:,.0f}x"]
        else:
            row += [f"{figure.bound / 1e6:.0f}", f"{100e6 * rate / figure.bound:.0f} %", ""]
        table.add_row(*row)
    Console(width=120).print(table)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_json_option(parser)
    arguments = parser.parse_args()
    library = load_cells("nangate45")
    netlist = synthesize(COLUMN, library)
    delays_ps = analyze_timing(netlist, library).delays_ps
    circuits = {step: compile_circuit(netlist, library, delays_ps, step) for step in (10.0, 5.0)}
    coarse = circuits[10.0]
    sequences = operands(CYCLES["zero-delay"])
    peak = peak_operations()
    figures = [
        Figure("fewflips", "zero delay", ours(coarse, "zero-delay", sequences), peak / zero_delay_operations(coarse))
    ]
    for step, circuit in circuits.items():
        bound = peak / inertial_operations(circuit, sequences)
        figures.append(Figure("fewflips", f"inertial, {step:g} ps", ours(circuit, "inertial", sequences), bound))
    if shutil.which("iverilog"):
        models: list[tuple[Delays, str, str]] = [
            ("zero-delay", "Icarus Verilog, VCD", "zero delay"),
            ("inertial", "Icarus Verilog, VCD", "inertial, 10 ps"),
            ("inertial-expressions", "the same, single assignments", "inertial, 10 ps"),
        ]
        for delays, name, label in models:
            seconds, deviation = icarus(coarse, library, sequences, delays)
            figures.append(Figure(name, label, seconds, deviation=deviation))
    if shutil.which("verilator"):
        for option in ("--coverage-toggle", "--trace"):
            figures.append(Figure(f"Verilator {option}", "zero delay", verilator(netlist, library, option)))
    print(f"{len(netlist.instances)} cells; peak {peak / 1e9:.2f} G vector instructions of 512 bits a second")
    print_table(figures)
    rows = {f"{figure.name}, {figure.mode}": as_row(figure) for figure in figures}
    write_record(arguments.json, "gates", rows, seed=0)


if __name__ == "__main__":
    main()
