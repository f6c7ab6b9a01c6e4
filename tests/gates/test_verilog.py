from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fewflips.gates.liberty.load import load_cells
from fewflips.gates.liberty.writer import liberty_text
from fewflips.gates.netlist.reader import read_netlist
from fewflips.gates.netlist.verilog import identifier, netlist_verilog
from tests.gates.mapped_circuits import LIBRARY, by_names, cell_models, circuit, run_icarus
from tests.patience import PATIENCE_S

# Buses, an escaped name, a keyword, a net on two output bits, a constant output, an input that is an output.
NETLIST = circuit(
    {"clk": "clk", "a": "a[0] a[1]", "b": "b"},
    {"y": "y[0] y[1] y[0] 1'b1 b", "q": "q"},
    [
        ("u1", "NAND2_X1", "A1=a[0] A2=a[1] ZN=y[0]"),
        ("always", "XOR2_X1", "A=y[0] B=deep/net[3] Z=y[1]"),
        ("top.inv", "INV_X1", "A=b ZN=deep/net[3]"),
        ("u2", "AND2_X1", "A1=y[1] A2=1'b1 ZN=wire"),
        ("r[0]", "DFF_X1", "D=wire CK=clk Q=q"),
    ],
)


def test_the_text() -> None:
    assert netlist_verilog(NETLIST) == (
        "module circuit (\n"
        "    input clk,\n"
        "    input [1:0] a,\n"
        "    input b,\n"
        "    output [4:0] y,\n"
        "    output q\n"
        ");\n"
        "  wire \\deep/net[3] ;\n"
        "  wire \\wire ;\n"
        "  NAND2_X1 u1 (.A1(a[0]), .A2(a[1]), .ZN(y[0]));\n"
        "  XOR2_X1 \\always  (.A(y[0]), .B(\\deep/net[3] ), .Z(y[1]));\n"
        "  INV_X1 \\top.inv  (.A(b), .ZN(\\deep/net[3] ));\n"
        "  AND2_X1 u2 (.A1(y[1]), .A2(1'b1), .ZN(\\wire ));\n"
        "  DFF_X1 \\r[0]  (.D(\\wire ), .CK(clk), .Q(q));\n"
        "  assign y[2] = y[0];\n"
        "  assign y[3] = 1'b1;\n"
        "  assign y[4] = b;\n"
        "endmodule\n"
    )


def test_pins_in_the_order_of_the_library() -> None:
    netlist = circuit({"a": "a"}, {"y": "y"}, [("u1", "INV_X1", "ZN=y A=a")])
    assert "(.ZN(y), .A(a))" in netlist_verilog(netlist)
    assert "(.A(a), .ZN(y))" in netlist_verilog(netlist, LIBRARY)


@pytest.mark.parametrize(
    ("name", "written"),
    [("a", "a"), ("_a$1", "_a$1"), ("1a", "\\1a "), ("a[1]", "\\a[1] "), ("module", "\\module "), ("$a", "\\$a ")],
)
def test_identifiers(name: str, written: str) -> None:
    assert identifier(name) == written


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "circuit.v"
    path.write_text(netlist_verilog(NETLIST))
    assert by_names(read_netlist(path, LIBRARY)) == by_names(NETLIST)


def test_icarus_reads_it(tmp_path: Path, iverilog: str) -> None:
    bench = """module bench; reg clk = 0, b = 0; reg [1:0] a = 0; wire [4:0] y; wire q; integer i;
      circuit dut(.clk(clk), .a(a), .b(b), .y(y), .q(q));
      initial for (i = 0; i < 8; i = i + 1) begin
        {a, b} = i; #1 clk = 1; #1 clk = 0; #1 $display("%b %b %b %b", a, b, y, q); end
    endmodule"""
    used = {instance.cell for instance in NETLIST.instances}
    shown = run_icarus(iverilog, tmp_path, netlist_verilog(NETLIST), cell_models(LIBRARY, used), bench)
    expected = []
    for value in range(8):
        a, b = value >> 1, value & 1
        nand = int(a != 3)
        second = nand ^ (1 - b)
        expected.append(f"{a:02b} {b} {b}1{nand}{second}{nand} {second}")
    assert shown.split("\n")[:-1] == expected


def test_opensta_reads_it(tmp_path: Path, opensta: str) -> None:
    (tmp_path / "cells.lib").write_text(liberty_text(load_cells("nangate45")))
    (tmp_path / "circuit.v").write_text(netlist_verilog(NETLIST))
    (tmp_path / "run.tcl").write_text(
        "read_liberty cells.lib\nread_verilog circuit.v\nlink_design circuit\n"
        'puts "cells [llength [get_cells *]] pins [llength [get_pins -hierarchical *]]"\nexit\n'
    )
    shown = subprocess.run(
        [opensta, "-no_splash", "-exit", "run.tcl"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    ).stdout
    # 3 + 3 + 2 + 3 pins of the gates, and 3 or 4 of the flip-flop, whose QN is open.
    assert "cells 5" in shown
    assert "Warning" not in shown
    assert "Error" not in shown
