"""A scheduled column after synthesis: it still computes, and Yosys and OpenSTA agree on what it is made of."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewflips.datapath.scheduled_column.design import ColumnDesign, MemoryMacro
from fewflips.datapath.scheduled_column.testbench import run_column
from fewflips.datapath.scheduled_column.verilog import column_files, column_name, control_name, control_verilog
from fewflips.datapath.verilog import module_name
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.liberty.reader import read_liberty
from fewflips.gates.netlist.icarus_models import cell_models
from fewflips.gates.netlist.netlist import ONE_NET, Netlist
from fewflips.gates.netlist.synthesis import cell_counts, synthesis_cells, synthesis_plan, synthesize_verilog
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.gates.netlist.yosys import find_yosys
from fewflips.gates.timing import analyze_timing
from fewflips.simulation.column_gates import column_gates, flip_flop_memory
from tests.gates import opensta_reference

from .small_layers import SIGNED8, SmallLayer

LAYERS = {
    "plain": SmallLayer(n=6, k=10, pixels=3, lanes=4),
    "all that a column can have": SmallLayer(
        n=6,
        k=10,
        pixels=9,
        lanes=4,
        columns=2,
        groups=2,
        tile_rows=3,
        starts=True,
        weights=SIGNED8,
        unit={"tree_register": True, "offset_sums": True},
    ),
    "depthwise": SmallLayer(n=5, k=9, pixels=3, lanes=4, groups=5, own_activations=True),
    "flags of holds and signs, and coded ports, in tiles": SmallLayer(
        n=6,
        k=10,
        pixels=5,
        lanes=4,
        tile_rows=2,
        values=3,
        weights=SIGNED8,
        unit={"hold_flags": True, "sign_flags": True, "bus_invert_ports": ("weights", "activations")},
    ),
}


@pytest.fixture(scope="module")
def nangate45() -> CellLibrary:
    return load_cells("nangate45")


def control_netlist(design: ColumnDesign, library: CellLibrary) -> Netlist:
    return synthesize_verilog(control_verilog(design), control_name(design), library)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_the_synthesized_controller_runs_the_layer(layer: SmallLayer, nangate45: CellLibrary, iverilog: str) -> None:
    bench = layer.bench()
    netlist = control_netlist(layer.design(), nangate45)
    models = cell_models(nangate45, sorted(cell_counts(netlist)), "zero-delay")
    gates = f"`define ZERO 1'b0\n`define ONE 1'b1\n{netlist_verilog(netlist)}\n{models}\n"
    frame = f"{bench.name}_testbench.v"
    unused = "    wire hold = 0;  // what models of cells ask for\n    wire [0:0] row = 0;\n"
    held = bench.sources[frame].replace("    reg clk,", f"{unused}    reg clk,", 1)
    sources = {**bench.sources, f"{control_name(layer.design())}.v": gates, frame: held}
    found = run_column(replace(bench, sources=sources))
    assert found.first_mismatches == ()
    assert found.passed


@pytest.mark.parametrize("coded", [(), ("weights", "activations")], ids=["plain", "coded"])
def test_the_whole_column_with_its_memories_as_black_boxes(coded: tuple[str, ...], nangate45: CellLibrary) -> None:
    """In one run of Yosys, flattened: the same memories, and the area that the parts add up to."""
    unit = {"bus_invert_ports": coded}
    design = SmallLayer(n=20, k=40, pixels=30, lanes=4, columns=2, unit=unit).design()
    files = column_files(design)
    box = files["memory_1r1w.v"].replace("module memory_1r1w", "(* blackbox *)\nmodule memory_1r1w")
    cells = synthesis_cells(nangate45)
    text = "".join([box, *(text for name, text in files.items() if name != "memory_1r1w.v")])
    plan = synthesis_plan(text, column_name(design), cells)
    modules = json.loads(plan.run(find_yosys()))["modules"]
    found = modules[column_name(design)]["cells"].values()
    instances = [one for one in found if one["type"] != "$scopeinfo"]
    memories = [one for one in instances if "memory_1r1w" in one["type"]]
    sizes = sorted((int(one["parameters"]["WIDTH"], 2), int(one["parameters"]["DEPTH"], 2)) for one in memories)
    assert sizes == sorted((memory.width, memory.depth) for memory in design.memories for _ in range(memory.copies))
    area = sum(cells.cells[one["type"]].area_um2 for one in instances if one not in memories)
    parts = column_gates(design, nangate45)
    encoders = (parts.weight_encoders, parts.activation_encoders, parts.activation_encoders)
    assert all((one is not None) == bool(coded) for one in encoders)
    of_encoders = sum(one.area_um2 for one in encoders if one is not None)
    assert parts.area_um2 == pytest.approx(2 * parts.unit.area_um2 + parts.control.area_um2 + of_encoders)
    assert area == pytest.approx(parts.area_um2, rel=0.03)
    assert parts.control_percent == pytest.approx(100 * parts.control.area_um2 / parts.area_um2)
    assert parts.critical_path_ps == parts.unit.critical_path_ps > parts.control.critical_path_ps > 0


def test_a_unit_that_holds_is_the_simulated_one_with_clock_gates(nangate45: CellLibrary) -> None:
    plain = SmallLayer(n=6, k=10, pixels=3, lanes=4)
    holding = SmallLayer(n=6, k=10, pixels=3, lanes=4, values=2, unit={"hold_flags": True})
    without, found = (column_gates(layer.design(), nangate45) for layer in (plain, holding))
    flop = min((cell for cell in nangate45.cells.values() if cell.flip_flop), key=lambda cell: cell.area_um2)
    gates = found.unit.area_um2 - without.unit.area_um2
    assert 4 * flop.area_um2 < gates < 4 * 1.5 * flop.area_um2  # a latch and an AND gate for each lane
    assert found.unit.registers == without.unit.registers
    words = holding.design().memory("weights").address_bits
    more = found.control.registers - without.control.registers
    assert more == 4 * words + 4 + 1 - without_word_register(plain)  # addresses, flags and the first word of a pixel


def without_word_register(layer: SmallLayer) -> int:
    """Bits of the address of a word, which a column without flags passes on."""
    return layer.design().memory("indices").address_bits


def test_registers_of_the_controller(nangate45: CellLibrary) -> None:
    """Counted from the stages in the documentation: 1 lane of flip-flops for each bit that has to be kept."""
    layer = SmallLayer(n=8, k=16, pixels=4, lanes=4)  # 3 bits of address, 5 of words, 2 of pixels, 2 of passes
    issue = 2 + 2 + 2 + (3 + 3) + 1 + 5 + 4  # state, rows, next pass, its fields, first word, word, activation
    first_stage = 1 + 3 + 5 + 4  # valid, flags, word, activation
    later = 3 * (1 + 1 + 3) + 1  # valid, last and address of three stages, and whether the sum begins
    assert column_gates(layer.design(), nangate45).control.registers == issue + first_stage + later


def test_a_memory_of_flip_flops(nangate45: CellLibrary) -> None:
    found = flip_flop_memory(MemoryMacro("sums", width=5, depth=6, copies=3), nangate45)
    smallest = min(cell.area_um2 for cell in synthesis_cells(nangate45).cells.values() if cell.flip_flop)
    assert found.bits == 90
    assert found.area_um2 is not None
    assert found.area_um2 > 3 * (5 * 6 + 5) * smallest
    assert found.critical_path_ps is not None
    assert found.critical_path_ps > 0


def test_opensta_finds_the_same_critical_path(opensta: str, shared: Path, tmp_path: Path) -> None:
    path = shared / "pdk" / "nangate45_typ.lib.gz"
    library = read_liberty(path)
    netlist = control_netlist(SmallLayer(n=20, k=40, pixels=30, lanes=4).design(), library)
    wire_ff = np.random.default_rng(2).uniform(0, 4, len(netlist.nets))
    text = opensta_reference.with_one_capacitance(gzip.decompress(path.read_bytes()).decode())
    found = opensta_reference.slews_and_arrivals(opensta, tmp_path, text, netlist, library, wire_ff, 20.0)
    driven = {
        net
        for instance in netlist.instances
        for pin, net in instance.pins.items()
        if net > ONE_NET and library.cells[instance.cell].pins[pin].direction == "output"
    }
    assert set(found) == driven
    latest = max(max(rise, fall) for _, _, rise, fall in found.values())
    assert analyze_timing(netlist, library, wire_ff, 20.0).critical_path_ps == pytest.approx(latest, rel=0.001)


def test_the_unit_inside_is_the_one_whose_energy_is_simulated() -> None:
    layer = SmallLayer(n=6, k=10, pixels=3, lanes=4)
    files = column_files(layer.design())
    name = module_name(layer.datapath)
    assert files[f"{column_name(layer.design())}.v"].count(f"    {name} unit_") == 1
    assert f"module {name} (" in files[f"{name}.v"]
