"""The netlists that come with the package are what Yosys makes."""

from __future__ import annotations

import lzma

import pytest

from fewflips.bundled import bundled_pair
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.datapath.design import Datapath
from fewflips.datapath.verilog import module_name, verilog
from fewflips.errors import ToolError
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist import prepared as prepared_netlists
from fewflips.gates.netlist.prepared import file_of, prepared, unit_netlist
from fewflips.gates.netlist.reader import netlist_from_json, reduced_json
from fewflips.gates.netlist.synthesis import SynthesisPlan, synthesis_cells, synthesis_plan, synthesize
from fewflips.gates.netlist.yosys import Yosys, find_yosys
from fewflips.machine import load_accelerator
from fewflips.network import load
from fewflips.simulation.setup import simulated_layers
from tests.gates.mapped_circuits import LIBRARY, by_names

MACHINES = ("edge4", "edge16")


def _unit(machine: str) -> Datapath:
    with bundled_pair() as pair:
        layers = [layer for model in (pair.baseline, pair.hd_trained) for layer in simulated_layers(load(model))[0]]
    return network_datapath(layers, load_accelerator(machine))


def _no_yosys() -> Yosys:
    raise ToolError("Yosys was looked for")


@pytest.fixture(autouse=True)
def _unnamed_yosys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEWFLIPS_YOSYS", raising=False)


@pytest.mark.parametrize("machine", MACHINES)
def test_units_of_the_bundled_pair_need_no_yosys(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = _unit(machine)
    monkeypatch.setattr(prepared_netlists, "find_yosys", _no_yosys)
    netlist, origin = unit_netlist(unit, load_cells("nangate45"))
    assert netlist.name == module_name(unit)
    assert origin.startswith("Yosys ")


@pytest.mark.parametrize("machine", MACHINES)
def test_they_are_what_yosys_makes(machine: str) -> None:
    unit, cells, yosys = _unit(machine), load_cells("nangate45"), find_yosys()
    netlist, origin = unit_netlist(unit, cells)
    if yosys.short_version != origin:
        pytest.skip(f"made by {origin}; {yosys.short_version} may synthesize otherwise")
    assert by_names(synthesize(unit, cells, yosys=yosys)) == by_names(netlist)


def test_other_cells_are_synthesized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_netlists, "find_yosys", _no_yosys)
    with pytest.raises(ToolError, match="looked for"):
        unit_netlist(_unit("edge4"), load_cells("sky130hd"))


def test_a_yosys_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_netlists, "find_yosys", _no_yosys)
    monkeypatch.setenv("FEWFLIPS_YOSYS", "yosys")
    with pytest.raises(ToolError, match="looked for"):
        unit_netlist(_unit("edge4"), load_cells("nangate45"))


def test_files_are_of_this_version_of_the_unit() -> None:
    cells = synthesis_cells(load_cells("nangate45"))
    for machine in MACHINES:
        unit = _unit(machine)
        (record,) = prepared(module_name(unit))
        assert record["plan"] == synthesis_plan(verilog(unit), module_name(unit), cells).digest


def test_a_file_holds_the_whole_netlist(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "module t(input clk, a, output reg [2:0] y); always @(posedge clk) y <= {1'b1, ~a, 1'b0}; endmodule"
    cells = synthesis_cells(LIBRARY)
    plan = synthesis_plan(text, "t", cells)
    full = plan.run(find_yosys())
    reduced = reduced_json(full)
    assert len(reduced) < len(full) / 2
    assert by_names(netlist_from_json(reduced, cells, "t")) == by_names(netlist_from_json(full, cells, "t"))
    monkeypatch.setattr(SynthesisPlan, "run", lambda *_: full)
    content = lzma.decompress(file_of(plan, Yosys("yosys", "Yosys 0.1 (x)", ("yosys",))))
    assert plan.digest.encode() in content
    assert b'"made_by":"Yosys 0.1"' in content
