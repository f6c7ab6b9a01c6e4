"""Cell libraries, netlists and wires."""

from __future__ import annotations

import gzip
import json
import os
import random
from pathlib import Path

import numpy as np
from tests.gates import small_library

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.datapath.verilog import verilog as unit_verilog
from fewflips.gates.liberty.cell_table import write_cell_table
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.distill import distill
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.liberty.writer import liberty_text
from fewflips.gates.netlist.checks import check_netlist
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.reader import netlist_from_json, read_netlist
from fewflips.gates.netlist.registers import register_banks
from fewflips.gates.netlist.synthesis import synthesis_cells
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.gates.netlist.yosys import find_yosys
from fewflips.gates.operands import Toggles
from fewflips.gates.parasitics.spef import read_spef
from fewflips.gates.parasitics.spef_writer import spef_text
from fewflips.gates.parasitics.wires import WireModel, fanout_wire_ff, spef_wire_ff
from fewflips.gates.power.energy import energy_model
from fewflips.gates.switching import compile_circuit
from fewflips.gates.timing import analyze_timing

from ..kinds import Change, Files, MutatedFiles
from ..mutation import bombs, raw
from ..mutation.statements import Statements
from ..mutation.tokens import Tokens
from .command import one_of
from .records import json_changes

LIBRARY = small_library.LIBRARY
NETLIST = small_library.netlist(
    """
    u1 INV A=a Z=n1
    u2 NAND2 A=n1 B=b Z=n2
    u3 XOR2 A=n2 B=q1 Z=y
    r1 DFF D=y CK=clk Q=q1 QN=nq1
    u4 BUF A=nq1 Z=z
    """,
    "clk a b",
    "y z",
)

_LIBERTY_WORDS = (
    *("library", "cell", "pin", "bus", "bundle", "ff", "ff_bank", "latch", "latch_bank", "timing", "internal_power"),
    *("related_pin", "related_power_pin", "when", "sdf_cond", "function", "direction", "internal", "inout", "table"),
    *("index_1", "index_2", "index_3", "values", "type", "bit_width", "define", "define_group", "include_file", "when"),
    *("voltage_unit", "capacitive_load_unit", "time_unit", "leakage_power_unit", "nom_voltage", "operating_conditions"),
    *("timing_sense", "non_unate", "negative_unate", "timing_type", "rising_edge", "three_state", "statetable"),
    *('"!A"', '"A ^ B"', '"A\'"', '"(A"', '"A &"', '"1"', '""', '"A B C"', '"1pf"', '"1mV"', '"1kohm"', '"0 1 2"'),
    *("/*", "*/", "//", "\\\n", '"', "(", ")", "{", "}", ";", ":", ",", "'", "1ps", "10ff"),
)
SPEF_WORDS = (
    *("*SPEF", "*DESIGN", "*DIVIDER", "*DELIMITER", "*BUS_DELIMITER", "*T_UNIT", "*C_UNIT", "*R_UNIT", "*L_UNIT"),
    *("*NAME_MAP", "*PORTS", "*D_NET", "*R_NET", "*CONN", "*CAP", "*RES", "*INDUC", "*END", "*I", "*P", "*N", "*C"),
    *("*1", "*2", "*99999999", "1:2:3", "1:2", "::", "PF", "FF", "KOHM", "1e-3", "-1", "//", '"', "[", "]", "\\[", "/"),
)
VERILOG_WORDS = (
    *(
        "module",
        "endmodule",
        "input",
        "output",
        "inout",
        "wire",
        "assign",
        "supply0",
        "supply1",
        "tri",
        "reg",
        "always",
    ),
    *(
        "parameter",
        "defparam",
        "generate",
        "for",
        "function",
        "initial",
        "begin",
        "end",
        "$display",
        "`define",
        "`ifdef",
    ),
    *("1'b0", "1'bx", "32'hffffffff", "{a, b}", "[3:0]", "[1000000:0]", "\\esc ", "(*", "*)", "/*", "*/", "//", "#1"),
    *("INV", "NAND2", "XOR2", "DFF", "BUF", ".A(", ".Z(", "clk", "posedge", "@", "=", "<=", "?", "!", "&", "|", "~"),
)
_VERILOG_STATEMENTS = (
    *("assign y = a;", "assign y = a & b;", "assign {y, z} = {a, b};", "assign a = b; assign b = a;", "wire [3:0] w;"),
    *("INV g1 (.A(a), .Z(b));", "INV g2 (a, w);", "INV g3 (.A(n1), .Z(n1));", "NAND2 g4 (.A(), .B(b), .Z(w));"),
    *("DFF r9 (.D(w), .CK(w), .Q(w));", "DFF r8 (.D(a), .CK(n1), .Q(s));", "BUF g5 (.A(clk), .Z(c)); DFF r7 (.CK(c));"),
    *("supply1 VDD;", "supply0 VSS;", "inout VDD;", "tri0 t;", "buf (w, a);", "INV #(3) g6 (.A(a));", "FILL f1 ();"),
    *("always @(posedge clk) w <= a;", "reg w; always @* w = a;", "initial $display(1);", "specify endspecify"),
    *("endmodule\nmodule INV(A, Z); input A; output Z; endmodule\nmodule x;", "endmodule\nmodule y(input a);"),
    *(
        "(* keep *) wire k;",
        "INV \\g[7]  (.A(a), .Z(\\w[7] ));",
        "wire [-1:1000000] big;",
        "wire [0:3] up;",
        "parameter P = 1;",
    ),
    *(
        "INV g8 [3:0] (.A(a), .Z(w));",
        "generate endgenerate",
        "genvar i;",
        "INV g9 (.A(y), .Z(y), .Q(a));",
        "defparam u1.x = 1;",
    ),
)


def uncached() -> None:
    """Nothing is kept: a cache would be filled with what was refused a moment ago."""
    os.environ["FEWFLIPS_CACHE"] = "/dev/null/none"


def _used(library: CellLibrary, *, reduced: bool = False) -> None:
    """What commands go on to do with cells."""
    timed(NETLIST, library)
    synthesis_cells(library)
    if reduced:
        distill(library)


def timed(netlist: Netlist, library: CellLibrary, wire_ff: np.ndarray | None = None) -> None:
    """Check a netlist, and find its delays and what its toggles cost."""
    check_netlist(netlist, library)
    if wire_ff is None:
        model = WireModel.estimated(netlist, library)
        wire_ff = fanout_wire_ff(netlist, library, model.per_fanout_ff, model.base_ff)
    timing = analyze_timing(netlist, library, wire_ff)
    compile_circuit(netlist, library, timing.delays_ps, 10.0)
    nets = np.ones(len(netlist.nets), dtype=np.int64)
    energy_model(netlist, library, timing, wire_ff, Toggles(nets, nets, 4))
    register_banks(netlist, library)


def text_changes(seeds: list[bytes], words: tuple[str, ...]) -> Change:
    """Changes of texts, zipped ones included: of what is in them, more often than of the zip."""
    tokens = Tokens(seeds, words)

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        if not name.endswith(".gz"):
            return tokens.change(chance, content)
        way = chance.random()
        if way < 0.01:
            return bombs.zipped(chance.choice((b"", *seeds)), 64, chance.choice((b"\0", b" \n")))
        if way < 0.4:
            return raw.change(chance, content)
        return gzip.compress(tokens.change(chance, gzip.decompress(content)), 1, mtime=0)

    return change


def liberty(folder: Path) -> MutatedFiles:
    uncached()
    text = liberty_text(LIBRARY).encode()
    bus = text.rstrip().removesuffix(b"}") + _MACRO + b"}\n"
    seeds: list[Files] = [{"cells.lib": text}, {"cells.lib": bus}, {"cells.lib.gz": gzip.compress(text, 1, mtime=0)}]

    def entry(inputs: Path) -> None:
        path = next(path for path in (inputs / "cells.lib", inputs / "cells.lib.gz") if path.exists())
        _used(load_cells(path), reduced=one_of(16, path))

    return MutatedFiles([seeds[i] for i in (0, 0, 0, 1, 2)], text_changes([text, bus], _LIBERTY_WORDS), entry)


_MACRO = b"""
  type (word) { base_type : array; data_type : bit; bit_width : 4; bit_from : 3; bit_to : 0; }
  /* not for synthesis */
  cell (LATCH) { area : 3; latch (IQ, IQN) { enable : "G"; data_in : "D"; }
    pin (D) { direction : input; capacitance : 1; } pin (G) { direction : input; clock : true; capacitance : 1; }
    pin (Q) { direction : output; function : "IQ"; } }
"""


def cell_table(folder: Path) -> MutatedFiles:
    write_cell_table(LIBRARY, folder / "cells.json")
    target = json_changes([(folder / "cells.json").read_bytes()])
    target.entry = lambda inputs: _used(load_cells(inputs / "record.json"))
    return target


def netlist_json(folder: Path) -> MutatedFiles:
    """What Yosys writes."""
    seeds = [yosys_json(NETLIST, hidden) for hidden in (0, 1)]
    target = json_changes(seeds)

    def entry(inputs: Path) -> None:
        timed(netlist_from_json((inputs / "record.json").read_bytes(), LIBRARY), LIBRARY)

    target.entry = entry
    return target


def yosys_json(netlist: Netlist, hidden: int = 0) -> bytes:
    """What Yosys' write_json writes of a netlist; names of its own, or such as it makes."""
    bits = {net: number if number > 1 else str(number) for number, net in enumerate(netlist.nets)}
    ports = {name: ("input", nets) for name, nets in netlist.inputs.items()}
    ports |= {name: ("output", nets) for name, nets in netlist.outputs.items()}
    module = {
        "attributes": {"top": "1", "hdlname": "circuit"},
        "ports": {
            name: {"direction": direction, "bits": [bits[netlist.nets[net]] for net in nets]}
            for name, (direction, nets) in ports.items()
        },
        "cells": {
            instance.name: {
                "hide_name": hidden,
                "type": instance.cell,
                "parameters": {},
                "attributes": {"src": "netlist.v:1"},
                "port_directions": {pin: "input" for pin in instance.pins},
                "connections": {pin: [bits[netlist.nets[net]]] for pin, net in instance.pins.items()},
            }
            for instance in netlist.instances
        },
        "netnames": {
            net: {"hide_name": hidden, "bits": [bits[net]], "offset": hidden, "upto": hidden, "attributes": {}}
            for net in netlist.nets[2:]
        },
    }
    return json.dumps({"creator": "Yosys", "modules": {netlist.name: module}}).encode()


def verilog(folder: Path) -> MutatedFiles:
    """Through Yosys, which is asked for its version once; one in ten is no netlist, but a unit before synthesis."""
    unit = Datapath("mac", Word(WordFormat.TWOS_COMPLEMENT, 2), Word(WordFormat.UNSIGNED, 2), 1, 8)
    behaviour = unit_verilog(unit).encode()
    seeds = [netlist_verilog(NETLIST, LIBRARY).encode()]
    seeds += [seeds[0].replace(b"endmodule", b"  assign w = y;\n  wire w;\nendmodule\n/* end */")]
    run_yosys = find_yosys()

    def entry(inputs: Path) -> None:
        timed(read_netlist(inputs / "netlist.v", LIBRARY, yosys=run_yosys), LIBRARY)

    texts = [*seeds, behaviour]
    words, statements = text_changes(texts, VERILOG_WORDS), Statements(texts, _VERILOG_STATEMENTS)

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        content = behaviour if chance.random() < 0.1 else content
        if chance.random() < 0.25:
            return words(chance, name, content)
        return statements.change(chance, content)

    return MutatedFiles([{"netlist.v": seed} for seed in seeds], change, entry)


def spef(folder: Path) -> MutatedFiles:
    wire_ff = {net: 1.5 for net in range(2, len(NETLIST.nets))}
    text = spef_text(NETLIST, LIBRARY, wire_ff, "fuzz").encode()
    other = text.replace(b"*C_UNIT 1 FF", b"*C_UNIT 0.001 PF").replace(b"*DIVIDER /", b"*DIVIDER .")
    seeds: list[Files] = [{"wires.spef": text}, {"wires.spef": other}, {"wires.gz": gzip.compress(text, 1, mtime=0)}]

    def entry(inputs: Path) -> None:
        path = next(path for path in (inputs / "wires.spef", inputs / "wires.gz") if path.exists())
        timed(NETLIST, LIBRARY, spef_wire_ff(NETLIST, read_spef(path)))

    return MutatedFiles([seeds[i] for i in (0, 0, 0, 1, 2)], text_changes([text, other], SPEF_WORDS), entry)


def cached_cells(folder: Path) -> MutatedFiles:
    """Damaged entries of the cache: what they hold is found anew."""
    text = liberty_text(LIBRARY).encode()
    os.environ["FEWFLIPS_CACHE"] = str(folder)
    (folder / "cells.lib").write_bytes(text)
    load_cells(folder / "cells.lib")
    entry_file = next(path for path in (folder / "cells").iterdir())
    seed: Files = {"cells.lib": text, f"cells/{entry_file.name}": entry_file.read_bytes()}

    def entry(inputs: Path) -> None:
        os.environ["FEWFLIPS_CACHE"] = str(inputs)
        timed(NETLIST, load_cells(inputs / "cells.lib"))

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        return raw.change(chance, content)

    return MutatedFiles([seed], change, entry, often=(f"cells/{entry_file.name}",))
