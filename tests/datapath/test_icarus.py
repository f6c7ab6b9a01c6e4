from __future__ import annotations

import pytest

from fewflips.datapath.icarus import icarus_version, simulate_verilog
from fewflips.errors import ToolError

HELLO = 'module top; initial begin $display("hello"); $finish; end endmodule'


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_prints_what_the_simulation_prints(iverilog):
    assert simulate_verilog([HELLO], "top") == "hello\n"
    assert int(icarus_version().partition(".")[0]) >= 10


def test_files_stay_in_a_folder_that_is_given(iverilog, tmp_path):
    simulate_verilog([HELLO], "top", {"words.hex": "1\n"}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["simulation.vvp", "source_0.v", "words.hex"]


def test_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        simulate_verilog([HELLO], "top")
    assert str(caught.value) == (
        "iverilog was not found on the path: install Icarus Verilog 10 or later "
        "(Debian and Ubuntu: apt install iverilog)"
    )


def test_too_old_or_strange(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "vvp", "exit 0")
    program(tmp_path, "iverilog", "echo 'Icarus Verilog version 0.9.7 (v0_9_7)'")
    with pytest.raises(ToolError, match=r"^Icarus Verilog: expected version 10 or later, got 0\.9$"):
        icarus_version()
    program(tmp_path, "iverilog", "echo broken >&2; exit 1")
    with pytest.raises(
        ToolError, match=r"^iverilog -V: expected a version, got 'broken'; install Icarus Verilog again$"
    ):
        icarus_version()


def test_source_that_does_not_compile(iverilog):
    with pytest.raises(ToolError, match=r"^iverilog failed with status \d+: source_0\.v:1: .*$"):
        simulate_verilog(["module top; nonsense; endmodule"], "top")


def test_simulation_that_stops_or_does_not_end(iverilog):
    with pytest.raises(ToolError, match=r"^vvp failed with status 1: "):
        simulate_verilog(['module top; initial begin $display("no"); $stop; end endmodule'], "top")
    endless = "module top; reg clk = 0; always #1 clk = ~clk; endmodule"
    with pytest.raises(
        ToolError, match=r"^vvp did not end within 0\.5 s: give it more time, or simulate fewer cycles$"
    ):
        simulate_verilog([endless], "top", timeout_s=0.5)
