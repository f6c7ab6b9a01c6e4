from __future__ import annotations

import gzip
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from fewflips.errors import NetlistError, ToolError
from fewflips.gates.liberty.cells import Cell, CellLibrary, FlipFlop, Pin
from fewflips.gates.netlist.checks import check_netlist, clock_nets
from fewflips.gates.netlist.reader import netlist_from_json, read_netlist
from fewflips.gates.switching.steps import netlist_steps
from tests.gates.mapped_circuits import LIBRARY, by_names, circuit


def pins(**directions: str) -> dict[str, Pin]:
    """Inputs, and outputs by their function."""
    return {
        name: Pin(name, "input", is_clock=what == "clock")
        if what in ("input", "clock")
        else Pin(name, "output", function=what or None)
        for name, what in directions.items()
    }


def library(*cells: Cell) -> CellLibrary:
    return replace(LIBRARY, cells={**LIBRARY.cells, **{cell.name: cell for cell in cells}})


RESET = Cell(
    "DFFR_X1",
    1.0,
    1.0,
    pins(D="input", RN="input", CK="clock", Q="IQ"),
    FlipFlop("IQ", "IQN", "CK", "D", clear="!RN"),
)
FALLING = Cell("DFFN_X1", 1.0, 1.0, pins(D="input", CKN="clock", Q="IQ"), FlipFlop("IQ", "IQN", "!CKN", "D"))
ENABLE = Cell(
    "EDFF_X1", 1.0, 1.0, pins(D="input", E="input", CK="clock", Q="IQ"), FlipFlop("IQ", "IQN", "CK", "(E D) | (!E IQ)")
)
LATCH = Cell("DLH_X1", 1.0, 1.0, pins(D="input", G="input", Q="IQ"), is_latch=True)
TRISTATE = Cell("TBUF_X1", 1.0, 1.0, pins(A="input", EN="input", Z=""))
TIE = Cell("LOGIC1_X1", 1.0, 1.0, pins(Z="1"))
EXTENDED = library(RESET, FALLING, ENABLE, LATCH, TRISTATE, TIE)

FLIP_FLOP = ("r1", "DFF_X1", "D=a CK=clk Q=y")


def refused(gates: list[tuple[str, str, str]], inputs: str = "clk a b", outputs: str = "y") -> str:
    netlist = circuit({name: name for name in inputs.split()}, {name: name for name in outputs.split()}, gates)
    with pytest.raises(NetlistError) as caught:
        check_netlist(netlist, EXTENDED)
    return str(caught.value)


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        (
            [("u1", "NAND9_X1", "A=a Z=y"), ("u2", "FOO", "A=a Z=z")],
            "expected cells of the library NangateOpenCellLibrary, got FOO, NAND9_X1; give the library that it "
            "was mapped "
            "to",
        ),
        (
            [(f"u{index}", f"X{index}", "A=a") for index in range(7)],
            "expected cells of the library NangateOpenCellLibrary, got X0, X1, X2, X3, X4 and 2 more; give the library "
            "that it was mapped to",
        ),
        (
            [("u1", "$and", "A=a B=b Y=y")],
            "expected cells of the library NangateOpenCellLibrary, got $and; it holds expressions that are not "
            "mapped to "
            "cells: synthesize it first",
        ),
        (
            [("u1", "INV_X1", "ZN=y")],
            "instance u1: expected a net at every input of cell INV_X1, got none at A; connect it, to a constant "
            "where it "
            "is unused",
        ),
        (
            [("u1", "INV_X1", "I=a ZN=y")],
            "instance u1: expected pins of cell INV_X1 (A, ZN), got I; give the library that it was mapped to",
        ),
        (
            [("u1", "INV_X1", "A=nowhere ZN=y")],
            "expected a driver of net nowhere, got none, though pin A of u1 reads it; connect it",
        ),
        ([("u1", "INV_X1", "A=a ZN=z")], "expected a driver of net y, got none, though port y reads it; connect it"),
        (
            [("u1", "INV_X1", "A=a ZN=y"), ("u2", "INV_X1", "A=b ZN=y")],
            "expected one driver of net y, got pin ZN of u1 and pin ZN of u2; disconnect one",
        ),
        (
            [("u1", "INV_X1", "A=a ZN=b")],
            "expected one driver of net b, got port b and pin ZN of u1; disconnect one",
        ),
        (
            [("u1", "INV_X1", "A=a ZN=1'b0")],
            "expected one driver of net 1'b0, got a constant and pin ZN of u1; disconnect one",
        ),
        (
            [("u1", "NAND2_X1", "A1=a A2=m ZN=n"), ("u2", "INV_X1", "A=n ZN=m"), ("u3", "INV_X1", "A=m ZN=y")],
            "expected no combinational loop, got one through the nets n, m; break it by a flip-flop",
        ),
        (
            [("u1", "DLH_X1", "D=a G=b Q=y")],
            "cell DLH_X1 is a latch or clock gate, and only gates and flip-flops can be simulated; map without it",
        ),
        (
            [("u1", "TBUF_X1", "A=a EN=b Z=y")],
            "cell TBUF_X1 has no function for its output Z in the library; map without it",
        ),
        (
            [("u1", "EDFF_X1", "D=a E=b CK=clk Q=y")],
            "cell EDFF_X1 keeps its value by an enable pin, and only flip-flops that store at every edge can be "
            "simulated; map without it",
        ),
        (
            [("r1", "DFFR_X1", "D=a RN=b CK=clk Q=y")],
            "expected the asynchronous clear of flip-flop r1 tied so that it never acts, got b at RN; tie it to its "
            "inactive value",
        ),
        (
            [("r1", "DFFR_X1", "D=a RN=1'b0 CK=clk Q=y")],
            "expected the asynchronous clear of flip-flop r1 tied so that it never acts, got 1'b0 at RN; tie it to its "
            "inactive value",
        ),
        (
            [("r1", "DFFN_X1", "D=a CKN=clk Q=y")],
            "expected flip-flops that store at the rising edge of the clock, got r1, which stores at the falling "
            "edge of "
            "clk; use one edge alone",
        ),
        (
            [("u1", "INV_X1", "A=clk ZN=c"), ("r1", "DFF_X1", "D=a CK=c Q=y")],
            "expected flip-flops that store at the rising edge of the clock, got r1, which stores at the falling "
            "edge of "
            "clk; use one edge alone",
        ),
        (
            [FLIP_FLOP, ("r2", "DFF_X1", "D=a CK=b Q=z")],
            "expected one clock, got clk (at r1) and b (at r2); give the part with one clock",
        ),
        (
            [("u1", "AND2_X1", "A1=clk A2=b ZN=gated"), ("r1", "DFF_X1", "D=a CK=gated Q=y")],
            "expected flip-flops clocked by an input port, through buffers and inverters alone, got r1, clocked by net "
            "gated; remove clock gates and dividers",
        ),
        (
            [FLIP_FLOP, ("u1", "INV_X1", "A=clk ZN=d"), ("r2", "DFF_X1", "D=d CK=clk Q=z")],
            "expected the clock at clock pins alone, got net d, which carries it, at pin D of r2 (DFF_X1); compute "
            "without the clock",
        ),
        (
            [("r1", "DFF_X1", "D=clk CK=clk Q=y")],
            "expected the clock at clock pins alone, got net clk, which carries it, at pin D of r1 (DFF_X1); compute "
            "without the clock",
        ),
        (
            [FLIP_FLOP, ("u1", "NAND2_X1", "A1=a A2=clk ZN=z")],
            "expected the clock at clock pins alone, got net clk, which carries it, at pin A2 of u1 (NAND2_X1); "
            "compute without the clock",
        ),
    ],
)
def test_what_cannot_be_simulated_is_one_line(gates: list[tuple[str, str, str]], message: str) -> None:
    assert refused(gates) == f"netlist circuit: {message}"


def test_long_loops_are_shortened() -> None:
    ring = [(f"u{index}", "INV_X1", f"A=n{index} ZN=n{(index + 1) % 8}") for index in range(8)]
    message = refused([*ring, ("v", "INV_X1", "A=n3 ZN=y")])
    assert " and 3 more; break it by a flip-flop" in message


def test_too_many_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewflips.gates.netlist.checks.MOST_INSTANCES", 1)
    assert refused([("u1", "INV_X1", "A=a ZN=y"), ("u2", "INV_X1", "A=a ZN=z")]) == (
        "netlist circuit: expected at most 1 instances, got 2; give the datapath alone"
    )


def test_controls_tied_inactive_are_fine() -> None:
    netlist = circuit(
        {"clk": "clk", "a": "a"},
        {"y": "y z"},
        [
            ("t", "LOGIC1_X1", "Z=high"),
            ("b", "BUF_X1", "A=high Z=higher"),
            ("r1", "DFFR_X1", "D=a RN=higher CK=clk Q=y"),
            ("r2", "DFFR_X1", "D=a RN=1'b1 CK=clk Q=z"),
        ],
    )
    check_netlist(netlist, EXTENDED)


def test_a_clock_tree_of_buffers_and_inverters() -> None:
    netlist = circuit(
        {"clk": "clk", "a": "a"},
        {"y": "y z x"},
        [
            ("b1", "BUF_X1", "A=clk Z=c1"),
            ("i1", "INV_X1", "A=c1 ZN=c2"),
            ("i2", "INV_X1", "A=c2 ZN=c3"),
            ("r1", "DFF_X1", "D=a CK=c3 Q=y"),
            ("r2", "DFFN_X1", "D=a CKN=c2 Q=z"),
            ("r3", "DFF_X1", "D=a CK=clk Q=x"),
            ("load", "NAND2_X1", "A1=c1 A2=a"),
            ("side1", "INV_X1", "A=c1 ZN=s1"),
            ("side2", "BUF_X1", "A=s1 Z=s2"),
            ("else", "INV_X1", "A=a ZN=not_a_clock"),
        ],
    )
    check_netlist(netlist, EXTENDED)
    assert {netlist.nets[net] for net in clock_nets(netlist, EXTENDED)} == {"clk", "c1", "c2", "c3", "s1", "s2"}
    steps = netlist_steps(netlist, EXTENDED).steps
    assert "s2" not in {netlist.nets[step.output] for step in steps if step.output < len(netlist.nets)}


# What other flows write: power pins, supplies by name and by kind, hierarchy, escapes, assigns, fillers, tie cells.
FOREIGN = r"""
module half (x, y, VDD, VSS);
  input x; output y; inout VDD, VSS;
  INV_X1 i0 (.A(x), .ZN(y), .VDD(VDD), .VSS(VSS));
endmodule
module placed (clk, a, down, up, y, q, VDD, VSS);
  input clk; input [3:0] a; input [5:2] down; input [0:1] up; output [2:0] y; output q; inout VDD, VSS;
  wire \reg/net[5] ; wire alias_of_a; supply1 high; supply0 low; wire used;
  assign alias_of_a = a[1];
  assign y[2] = \reg/net[5] ;
  assign y[1] = 1'b0;
  half \u$half (.x(alias_of_a), .y(used), .VDD(VDD), .VSS(VSS));
  NAND4_X1 _1_ (.A1(used), .A2(down[2]), .A3(up[1]), .A4(high), .ZN(\reg/net[5] ), .VDD(VDD), .VSS(VSS));
  NOR2_X1 _2_ (.A1(a[3]), .A2(low), .ZN(y[0]), .VDD(VDD), .VSS(VSS));
  AND2_X1 _3_ (.A1(a[0]), .A2(VDD), .ZN(d));
  DFF_X1 \q_reg[0]  (.D(d), .CK(clk), .Q(q), .QN());
  FILLCELL_X4 FILLER_0_1 ( );
  TAPCELL_X1 TAP_2 (.VDD(VDD), .VSS(VSS));
endmodule
"""
FOREIGN_READ = circuit(
    {"clk": "clk", "a": "a[0] a[1] a[2] a[3]", "down": "down[2] down[3] down[4] down[5]", "up": "up[1] up[0]"},
    {"y": "y[0] 1'b0 y[2]", "q": "q"},
    [
        ("u$half.i0", "INV_X1", "A=a[1] ZN=used"),
        ("_1_", "NAND4_X1", "A1=used A2=down[2] A3=up[1] A4=1'b1 ZN=y[2]"),
        ("_2_", "NOR2_X1", "A1=a[3] A2=1'b0 ZN=y[0]"),
        ("_3_", "AND2_X1", "A1=a[0] A2=1'b1 ZN=d"),
        ("q_reg[0]", "DFF_X1", "D=d CK=clk Q=q"),
    ],
    name="placed",
)


def test_a_netlist_of_another_flow(tmp_path: Path) -> None:
    path = tmp_path / "placed.v.gz"
    path.write_bytes(gzip.compress(FOREIGN.encode()))
    assert by_names(read_netlist(path, LIBRARY)) == by_names(FOREIGN_READ)


def test_models_of_the_cells_in_the_file_are_not_expanded(tmp_path: Path) -> None:
    path = tmp_path / "t.v"
    path.write_text(
        "module INV_X1(input A, output ZN); assign ZN = ~A; endmodule\n"
        "module t(input a, output y); INV_X1 u1 (.A(a), .ZN(y)); endmodule\n"
        "module other(input a, output y); INV_X1 u1 (.A(a), .ZN(y)); endmodule\n"
    )
    netlist = read_netlist(path, LIBRARY, top="t")
    assert by_names(netlist) == by_names(circuit({"a": "a"}, {"y": "y"}, [("u1", "INV_X1", "A=a ZN=y")], name="t"))


@pytest.mark.parametrize("model", ["", "module SRAM(input [1:0] A, output Q); assign Q = ^A; endmodule\n"])
def test_a_cell_that_was_left_out_of_the_library_is_named_with_the_reason(tmp_path: Path, model: str) -> None:
    path = tmp_path / "t.v"
    path.write_text(
        f"{model}module t(input [1:0] a, output y, z); SRAM m (.A(a), .Q(y)); INV_X1 u (.A(a[0]), .ZN(z)); endmodule\n"
    )
    cells = replace(LIBRARY, left_out={"SRAM": "line 9: expected single pins, got a bus"})
    with pytest.raises(NetlistError) as caught:
        read_netlist(path, cells, top="t")
    assert str(caught.value) == (
        "netlist t: expected cells that can be read from the library NangateOpenCellLibrary, got SRAM, which was left "
        "out (line 9: expected single pins, got a bus); map without it"
    )


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('`include "/etc/hostname"', "`include"),
        ("`define OPEN `inc", "`define"),
        ('wire \\" ; `include "/etc/hostname"', "`include"),
        ('`inc\rlude "/etc/hostname"', "`include"),
        ('// `include "cells.v"', "`include"),
        ('initial $readmemh("/etc/hostname", m);', "$readmemh"),
        ('initial $readmemb ("/etc/hostname", m);', "$readmemb"),
    ],
)
def test_files_that_read_others_are_refused_before_yosys(tmp_path: Path, line: str, shown: str) -> None:
    path = tmp_path / "t.v"
    path.write_bytes(f"module t(input a, output y);\n{line}\nINV_X1 u1 (.A(a), .ZN(y)); endmodule\n".encode())
    with pytest.raises(NetlistError) as caught:
        read_netlist(path, LIBRARY)
    assert str(caught.value) == (
        f"{path}: line 2: expected a netlist without macros and other files, got {shown}; write it out by a "
        "preprocessor, and remove such words from comments too"
    )


def test_harmless_directives_and_names_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.v"
    path.write_text(
        "// made by `tool', which has no `includes\n`timescale 1ns/1ps\n`default_nettype none\n"
        "module t(input a, output y);\n`ifdef POWER\nbroken\n`else\nwire w$readmemh ;\n"
        "INV_X1 u$readmemh (.A(a), .ZN(w$readmemh ));\n`endif\n"
        "INV_X1 u1 (.A(w$readmemh ), .ZN(y)); endmodule\n"
    )
    gates = [("u$readmemh", "INV_X1", "A=a ZN=w$readmemh"), ("u1", "INV_X1", "A=w$readmemh ZN=y")]
    assert by_names(read_netlist(path, LIBRARY)) == by_names(circuit({"a": "a"}, {"y": "y"}, gates, name="t"))


@pytest.mark.parametrize("bus", ["10000000:1", "0 : 9_999_999", "-1:9999998"])
def test_a_few_bytes_that_stand_for_millions_of_nets_are_refused_before_yosys(tmp_path: Path, bus: str) -> None:
    path = tmp_path / "t.v"
    path.write_text(f"module t(input a, output y);\nwire [{bus}] w;\nINV_X1 u1 (.A(a), .ZN(y)); endmodule\n")
    with pytest.raises(NetlistError) as caught:
        read_netlist(path, LIBRARY)
    assert str(caught.value) == (
        f"{path}: expected the buses of a mapped netlist, got 10000000 bits of them in {path.stat().st_size} bytes; "
        "give a netlist without unused buses"
    )


def test_an_unused_bus_takes_little_memory() -> None:
    bits = 200_000
    inverter = {"type": "INV_X1", "connections": {"A": [2], "ZN": [3]}}
    ports = {"a": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": [3]}}
    text = module_json(ports=ports, cells={"u1": inverter}, netnames={"w": {"bits": [*range(4, bits + 4)]}})
    tracemalloc.start()
    netlist = netlist_from_json(text, LIBRARY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(netlist.nets) == 4
    assert peak < 100 * bits  # the integers and their list take 40 bytes each


def test_behaviour_is_not_a_netlist(tmp_path: Path) -> None:
    path = tmp_path / "t.v"
    path.write_text("module t(input clk, a, output reg y); always @(posedge clk) y <= a; endmodule\n")
    with pytest.raises(NetlistError) as caught:
        read_netlist(path, LIBRARY)
    assert str(caught.value) == (
        "netlist t: expected cells of the library NangateOpenCellLibrary, got $dff; it holds expressions that are not "
        "mapped to cells: synthesize it first"
    )


def test_a_damaged_netlist_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.v"
    path.write_text(FOREIGN[: FOREIGN.index("DFF_X1")])
    with pytest.raises(ToolError, match=r"^Yosys [\d.]+ failed: netlist\.v:\d+: ERROR: syntax error"):
        read_netlist(path, LIBRARY)


@pytest.mark.parametrize(
    ("content", "top", "message"),
    [
        (b"", None, "expected structural Verilog, found no module in it; give a mapped netlist"),
        (b"module a(); endmodule\0", None, "expected structural Verilog, got binary data; give a mapped netlist"),
        (b"module a(); endmodule", "b", "expected a module b, found a; name one of these"),
        (
            rb"module \a;b (); endmodule",
            "a;b",
            "expected a top module with a plain name, got 'a;b'; rename it",
        ),
    ],
)
def test_files_without_the_module(tmp_path: Path, content: bytes, top: str | None, message: str) -> None:
    path = tmp_path / "t.v"
    path.write_bytes(content)
    with pytest.raises(NetlistError) as caught:
        read_netlist(path, LIBRARY, top)
    assert str(caught.value) == f"{path}: {message}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NetlistError) as caught:
        read_netlist(tmp_path / "none.v", LIBRARY)
    assert str(caught.value) == (
        f"cannot read the netlist {tmp_path}/none.v: No such file or directory; expected structural Verilog"
    )
    path = tmp_path / "t.v.gz"
    path.write_bytes(gzip.compress(FOREIGN.encode())[:50])
    with pytest.raises(NetlistError) as caught:
        read_netlist(path, LIBRARY)
    assert str(caught.value) == f"cannot read the netlist {path}: not a whole gzip file; expected structural Verilog"


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewflips.gates.netlist.reader.MOST_BYTES", 1 << 20)
    path = tmp_path / "t.v.gz"
    path.write_bytes(gzip.compress(b" " * (2 << 20)))
    with pytest.raises(NetlistError) as caught:
        read_netlist(path, LIBRARY)
    assert str(caught.value) == f"{path}: expected a netlist of at most 1 MiB unpacked, got more: unpack it first"


def module_json(**module: object) -> bytes:
    return json.dumps({"modules": {"t": {"ports": {}, "cells": {}, "netnames": {}, **module}}}).encode()


def test_names_are_given_where_yosys_has_none_and_made_unique() -> None:
    def cell(name_hidden: int, a: int, z: int) -> dict[str, object]:
        return {"hide_name": name_hidden, "type": "INV_X1", "connections": {"A": [a], "ZN": [z]}}

    netlist = netlist_from_json(
        module_json(
            ports={"a": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": [6]}},
            cells={"$1": cell(1, 2, 3), "$2": cell(1, 3, 4), "u2": cell(0, 4, 5), "$3": cell(1, 5, 6)},
            netnames={
                "a": {"bits": [2]},
                "y": {"bits": [6]},
                "$x": {"hide_name": 1, "bits": [3]},
                "n3": {"bits": [4]},
                "long_name": {"bits": [5]},
                "name": {"bits": [5]},
            },
        ),
        LIBRARY,
    )
    assert netlist.nets == ("1'b0", "1'b1", "a", "n3_", "n3", "name", "y")
    assert [instance.name for instance in netlist.instances] == ["u1", "u3", "u2", "u4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "netlist: expected JSON of Yosys' write_json, got something else; write it again"),
        (b"[" * 100_000, "netlist: expected JSON of Yosys' write_json, got something else; write it again"),
        (
            module_json(cells={"u": {"type": "INV_X1", "connections": {"A": ["5"]}}}),
            "netlist: expected JSON of Yosys' write_json, got something else; write it again",
        ),
        (
            module_json(ports={"y": {"direction": "output", "bits": ["w"]}}),
            "netlist: expected JSON of Yosys' write_json, got something else; write it again",
        ),
        (
            module_json(ports={"y": {"direction": "output", "bits": [True]}}),
            "netlist: expected JSON of Yosys' write_json, got something else; write it again",
        ),
        (b'{"modules": {}}', "netlist: expected one module, found none; name the top module"),
        (b'{"modules": {"a": {}, "b": {}}}', "netlist: expected one module, found a, b; name the top module"),
        (
            module_json(ports={"bus": {"direction": "inout", "bits": [2]}}),
            "netlist t: expected ports that are inputs or outputs, got bus, an inout; only supplies may be inout",
        ),
        (
            module_json(ports={"y": {"direction": "output", "bits": ["x"]}}),
            "netlist t: expected a driver of port y, got none; connect it",
        ),
        (
            module_json(cells={"u": {"type": "INV_X1", "connections": {"A": [2, 3]}}}),
            "netlist t: expected one net at each pin, got 2 at pin A of a INV_X1; connect pins bit by bit",
        ),
    ],
)
def test_json_that_is_no_netlist(text: bytes, message: str) -> None:
    with pytest.raises(NetlistError) as caught:
        netlist_from_json(text, LIBRARY)
    assert str(caught.value) == message
