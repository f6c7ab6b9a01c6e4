"""Code books for streamed weights, with decoders in the column: `python -m benchmarks.code_books [--share SHARE]`.

Protocol: the bundled baseline in natural order and the HD-trained network in the order that is best for its stored
codes, one sample, the same share of the cycles for all. Weights are stored and stream in another code, and a decoder
behind each lane's register gives the stored one back to the multiplier: Gray code (bit i is the parity of the code's
bits from i up), and two's complement whose bits are inverted where it is negative (one gate a bit). The column is
synthesized with its decoders; glitches included. Flips are those of all lanes, within passes and at seams.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.gating import Case, cases, orders_of
from benchmarks.record import Row, add_json_option, write_record
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.orders import LayerOrders
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.dataflows.unit_work import Part
from fewflips.datapath.design import Datapath
from fewflips.datapath.verilog import module_name, verilog
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.registers import register_banks
from fewflips.gates.netlist.synthesis import synthesize_verilog
from fewflips.gates.operands import OperandSequences
from fewflips.gates.parasitics.wires import WireModel, fanout_wire_ff
from fewflips.gates.power.energy import energy_model, energy_of, scaled
from fewflips.gates.switching import compile_circuit, simulate
from fewflips.gates.timing import analyze_timing
from fewflips.machine import load_accelerator
from fewflips.simulation.setup import simulated_layers
from fewflips.simulation.toggles import count_toggles
from fewflips.simulation.typical_operands import typical_operands
from fewflips.streams.codes import weight_codes
from fewflips.streams.counting import count_flips

Words = NDArray[Any]


def gray(words: Words, bits: int) -> Words:
    """Gray code of each code."""
    return words ^ words >> 1


def folded(words: Words, bits: int) -> Words:
    """Codes whose other bits are inverted where the top bit is set."""
    return np.where(words >> (bits - 1) & 1, words ^ ((1 << (bits - 1)) - 1), words).astype(words.dtype)


def gray_decoder(register: str, high: int, low: int) -> str:
    """Verilog that gives a code back."""
    return "{" + ", ".join(f"^{register}[{high}:{bit}]" for bit in range(high, low - 1, -1)) + "}"


def folded_decoder(register: str, high: int, low: int) -> str:
    """Verilog that gives a code back."""
    return f"{{{register}[{high}], {register}[{high - 1}:{low}] ^ {{{high - low}{{{register}[{high}]}}}}}}"


BOOKS: dict[str, tuple[Callable[[Words, int], Words], Callable[[str, int, int], str] | None]] = {
    "stored": (lambda words, bits: words, None),
    "Gray": (gray, gray_decoder),
    "folded": (folded, folded_decoder),
}


class Column:
    """A column with decoders behind its weight registers."""

    def __init__(self, datapath: Datapath, book: str) -> None:
        self.encode, decoder = BOOKS[book]
        self.datapath, text = datapath, verilog(datapath)
        for lane in range(datapath.lanes if decoder is not None else 0):
            low, high = lane * datapath.weights.bits, (lane + 1) * datapath.weights.bits - 1
            plain = f".weight(weight_register[{high}:{low}])"
            assert decoder is not None
            assert plain in text
            text = text.replace(plain, f".weight({decoder('weight_register', high, low)})")
        cells = load_cells("nangate45")
        self.netlist = synthesize_verilog(text, module_name(datapath), cells)
        wires = WireModel.estimated(self.netlist, cells)
        wire_ff = fanout_wire_ff(self.netlist, cells, wires.per_fanout_ff, wires.base_ff)
        timing = analyze_timing(self.netlist, cells, wire_ff)
        self.circuit = compile_circuit(self.netlist, cells, timing.delays_ps)
        activity = simulate(self.circuit, self.coded(typical_operands(datapath)), "inertial")
        self.model = energy_model(self.netlist, cells, timing, wire_ff, activity)
        self.banks = register_banks(self.netlist, cells)

    def coded(self, sequences: OperandSequences) -> OperandSequences:
        """The operands with weights in the code book's words."""
        weights = sequences.inputs["weights"]
        words = self.encode(weights.words.astype(np.uint16), self.datapath.weights.bits)
        return replace(sequences, inputs={**sequences.inputs, "weights": replace(weights, words=words)})

    def parts(self, parts: Iterator[Part]) -> Iterator[Part]:
        """Parts with weights in the code book's words."""
        return (replace(part, sequences=self.coded(part.sequences)) for part in parts)


def measured(case: Case, size: int, orders: LayerOrders, share: float) -> dict[str, Row]:
    """Flips of the weights' wires, and data energy of the units, for each code book."""
    machine, layers = load_accelerator(f"edge{size}"), simulated_layers(case.network)[0]
    flow, datapath = dataflow_of(machine), network_datapath(layers, machine)
    columns = {book: Column(datapath, book) for book in BOOKS}
    data_fj, flips = dict.fromkeys(BOOKS, 0.0), dict.fromkeys(BOOKS, 0)
    tensors = next(iter(run_samples(case.network, case.samples)))
    for number, layer in enumerate(layers):
        segments = orders[layer.name]
        operands = layer_operands(layer, lowered_rows(layer, tensors), machine, datapath)
        work, (codes, bits) = flow.unit_work(layer, segments, machine), weight_codes(layer, machine.weights)
        for book, column in columns.items():
            words = column.encode(codes, bits)
            flips[book] += count_flips(flow.weight_stream(layer, words, bits, segments, machine)).total
            parts = column.parts(flow.unit_parts(operands, segments, machine))
            toggles = count_toggles(column.circuit, parts, "inertial", share=share, seed=(0, 0, number))
            instances, nets = np.ones(len(column.netlist.instances)), np.ones(len(column.netlist.nets))
            instances[column.banks["weights"]] = work.weight_share
            nets[list(column.netlist.inputs["weights"])] = work.weight_share
            model = scaled(column.model, instances, nets)
            found = (
                energy_of(model, toggles.exact, 0.0, 0.0) + energy_of(model, toggles.sample, 0.0, 0.0) * toggles.scale
            )
            data_fj[book] += found.data_fj
    return {
        f"edge{size}, {case.name}, {book}": {
            "weight_mflips": flips[book] / 1e6,
            "data_uj": data_fj[book] / 1e9,
            "more_percent": 100 * (data_fj[book] / data_fj["stored"] - 1),
        }
        for book in BOOKS
    }


def main() -> None:
    """Measure all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=2.0**-8, help="share of the cycles")
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    for size in (4, 16):
        for case in cases():
            if case.name != "baseline, scheduled":
                rows |= measured(case, size, orders_of(case, load_accelerator(f"edge{size}")), arguments.share)
    table = Table("machine, network, order, code", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4g}" for value in row.values()))
    Console(width=140).print(table)
    write_record(arguments.json, "code_books", rows)


if __name__ == "__main__":
    main()
