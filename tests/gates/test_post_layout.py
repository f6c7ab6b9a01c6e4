"""The post-layout flow, but for the programs that place, route and extract."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import pytest
from scripts.post_layout import extraction, lef_capacitance, plain_names, qflow, routed_design, table
from scripts.post_layout.comparison import Comparison

from fewflips.errors import InputError, NetlistError, ToolError
from fewflips.gates.liberty.cells import Cell, CellLibrary, Pin
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.netlist import ONE_NET, Instance, Netlist
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.gates.parasitics.spef import read_spef
from fewflips.gates.parasitics.spef_writer import spef_text
from fewflips.records.energy import EnergyParts, EnergyReport, LayerEnergy
from tests.patience import PATIENCE_S

# y = !(a & b), stored in a flip-flop whose output is q
NETLIST = Netlist(
    name="tiny",
    nets=("1'b0", "1'b1", "ports[0]", "ports[1]", "clk", "mul[y$z", "q"),
    instances=(
        Instance("u1", "NAND2X1", {"A": 2, "B": 3, "Y": 5}),
        Instance("ff", "DFFPOSX1", {"CLK": 4, "D": 5, "Q": 6}),
    ),
    inputs={"ports": (2, 3), "clk": (4,)},
    outputs={"q": (6,)},
)

DEF = """VERSION 5.6 ;
UNITS DISTANCE MICRONS 100 ;
DIEAREA ( -100 -200 ) ( 900 1800 ) ;
COMPONENTS 3 ;
- NAND2X1_1 NAND2X1 + PLACED ( 0 50 ) FS ;
- FILL_0_1 FILL + PLACED ( 0 50 ) N ;
- DFFPOSX1_1 DFFPOSX1 + PLACED ( 0 50 ) FN ;
END COMPONENTS
NETS 5 ;
- n2
 ( NAND2X1_1 A )
 ( PIN n2 )
+ ROUTED metal1 ( 0 0 ) M2_M1
 NEW metal2 ( 0 0 ) ( * 500 ) M3_M2
 NEW metal3 ( 0 500 ) ( 300 * ) ( * * ) ;
- n3
 ( NAND2X1_1 B )
 ( PIN n3 )
;
- n4 ( DFFPOSX1_1 CLK ) ( PIN n4 ) + ROUTED metal2 ( 100 100 ) ( 100 0 ) ( 400 0 ) ;
- n5 ( NAND2X1_1 Y ) ( DFFPOSX1_1 D ) ;
- n6 ( DFFPOSX1_1 Q ) ( PIN n6 ) ;
END NETS
SPECIALNETS 2 ;
- n2
+ ROUTED metal1 40 ( 0 0 ) ( 50 * ) ;
- vdd
 ( * vdd )
+ USE POWER
+ ROUTED metal1 160 ( 0 0 ) ( 50 * ) ;
END SPECIALNETS
END DESIGN
"""

LEF = """LAYER poly
  TYPE MASTERSLICE ;
END poly
LAYER metal1
  TYPE ROUTING ;
  WIDTH 0.3 ;
  CAPACITANCE CPERSQDIST 1e-04 ;
  EDGECAPACITANCE 2e-05 ;
END metal1
LAYER metal2
  WIDTH 0.5 ;
  CAPACITANCE CPERSQDIST 2e-05 ;
  EDGECAPACITANCE 3.0e-05 ;
END metal2
LAYER metal3
  WIDTH 0.3 ;
  CAPACITANCE CPERSQDIST 1e-05 ;
  EDGECAPACITANCE 1e-05 ;
END metal3
"""

# two shapes of net n2, which touch cell pins; n5 couples with n2, with itself and with a supply; 1000 is 1 fF
EXT = """timestamp 0
scale 1000 1 10
use NAND2X1 NAND2X1_1 1 0 4 0 -1 105
node "n2" 0 1000 3422 -22 m2 0 0
node "m1_0_0#" 0 500 0 0 m1 0 0
node "m1_7_7#" 0 250.5 0 0 m1 0 0
node "vdd" 0 9000 0 0 m1 0 0
merge "NAND2X1_1/A" "n2" -100 0 0
merge "n2" "m1_0_0#"
merge "NAND2X1_1/Y" "m1_7_7#" 0 0 0
merge "m1_7_7#" "DFFPOSX1_1/D"
cap "n2" "m1_7_7#" 40
cap "m1_7_7#" "NAND2X1_1/Y" 70
cap "m1_7_7#" "vdd" 9
"""


def read(tmp_path: Path, text: str) -> routed_design.RoutedDesign:
    path = tmp_path / "tiny.def"
    path.write_text(text)
    return routed_design.read_def(path)


def test_blif_names_cells_as_qflow_will_and_nets_by_number() -> None:
    names = plain_names.plain_names(NETLIST)
    assert names.instances == ("NAND2X1_1", "DFFPOSX1_1")
    assert plain_names.blif(names).splitlines() == [
        ".model tiny",
        ".inputs n2 n3 n4",
        ".outputs n6",
        ".gate NAND2X1 A=n2 B=n3 Y=n5",
        ".gate DFFPOSX1 CLK=n4 D=n5 Q=n6",
        ".end",
    ]


def test_blif_leaves_out_ports_that_touch_no_cell() -> None:
    netlist = Netlist("t", NETLIST.nets, NETLIST.instances[:1], NETLIST.inputs, {"q": (5,), "same": (5,)})
    lines = plain_names.blif(plain_names.plain_names(netlist)).splitlines()
    assert lines[1:3] == [".inputs n2 n3", ".outputs n5"]


def test_constants_at_pins_are_refused() -> None:
    tied = Netlist("tied", NETLIST.nets, (Instance("u1", "NAND2X1", {"A": 2, "B": ONE_NET, "Y": 5}),), {}, {})
    with pytest.raises(NetlistError, match=r"^tied: pin B of u1 is tied to 1'b1; expected no constants: .*tie cells"):
        plain_names.plain_names(tied)


def test_def_gives_cells_pins_and_wires(tmp_path: Path) -> None:
    design = read(tmp_path, DEF)
    assert design.size_um == (10.0, 20.0)
    assert design.pins["NAND2X1_1", "Y"] == design.pins["DFFPOSX1_1", "D"] == "n5"
    assert design.wires["n2"] == [
        routed_design.Wire("metal2", 5.0),
        routed_design.Wire("metal3", 3.0),
        routed_design.Wire("metal1", 0.5, 0.4),
    ]
    assert design.wires["n4"] == [routed_design.Wire("metal2", 1.0), routed_design.Wire("metal2", 3.0)]
    assert "vdd" not in design.wires
    routed_design.check_same_netlist(design, plain_names.plain_names(NETLIST))


def test_layout_of_another_netlist_is_noticed(tmp_path: Path) -> None:
    names = plain_names.plain_names(NETLIST)
    swapped = DEF.replace("( NAND2X1_1 A )", "( NAND2X1_1 swap )")
    with pytest.raises(ToolError, match=r"^tiny: 1 pins of the layout are on other nets .* NAND2X1_1/A the first"):
        routed_design.check_same_netlist(read(tmp_path, swapped), names)
    missing = DEF.replace("- DFFPOSX1_1 DFFPOSX1 + PLACED ( 0 50 ) FN ;\n", "")
    with pytest.raises(ToolError, match=r"^tiny: expected 2 cells in the layout, got 1 or others$"):
        routed_design.check_same_netlist(read(tmp_path, missing), names)


@pytest.mark.parametrize("text", ["", DEF[: len(DEF) // 2], DEF.replace("( 0 0 ) ( * 500 )", "( * 0 ) ( * 500 )")])
def test_damaged_def_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ToolError, match=r"^.*tiny\.def: expected a routed DEF file, got something else \(.*\)"):
        read(tmp_path, text)


def test_lef_capacitance_is_area_and_both_edges(tmp_path: Path) -> None:
    path = tmp_path / "layers.lef"
    path.write_text(LEF)
    layers = lef_capacitance.read_layers(path)
    assert dataclasses.astuple(layers["metal2"]) == pytest.approx((0.5, 0.02, 0.03))
    totals = lef_capacitance.wire_capacitances(read(tmp_path, DEF), layers)
    # 5 um of metal 2, 3 um of metal 3, 0.5 um of metal 1 that is 0.4 um wide
    assert totals["n2"] == pytest.approx(
        5 * (0.5 * 0.02 + 2 * 0.03) + 3 * (0.3 * 0.01 + 2 * 0.01) + 0.5 * (0.4 * 0.1 + 2 * 0.02)
    )
    assert totals["n5"] == 0


def test_lef_without_capacitances_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "layers.lef"
    path.write_text("LAYER metal1\n WIDTH 0.3 ;\nEND metal1\n")
    with pytest.raises(ToolError, match="expected routing layers with CPERSQDIST and EDGECAPACITANCE, got none"):
        lef_capacitance.read_layers(path)


def whole_extraction(text: str = EXT) -> extraction.Extraction:
    rest = "".join(
        f'merge "{cell}/{pin}" "{net}"\n'
        for cell, pin, net in (("NAND2X1_1", "B", "n3"), ("DFFPOSX1_1", "CLK", "n4"), ("DFFPOSX1_1", "Q", "n6"))
    )
    return extraction.read_ext((text + rest).splitlines())


def test_extraction_adds_what_belongs_to_a_net_and_its_couplings() -> None:
    totals = extraction.wire_capacitances(whole_extraction(), plain_names.plain_names(NETLIST))
    assert totals["n2"] == pytest.approx(1.0 + 0.5 - 0.1 + 0.04)
    assert totals["n5"] == pytest.approx(0.2505 + 0.04 + 0.009)  # its coupling with itself does not count
    assert totals["n3"] == 0


def test_shorts_and_opens_in_the_layout_are_found() -> None:
    names = plain_names.plain_names(NETLIST)
    with pytest.raises(ToolError, match=r"^layout of tiny: nets n\d and n\d are shorted$"):
        extraction.wire_capacitances(whole_extraction(EXT + 'merge "n2" "m1_7_7#"\n'), names)
    with pytest.raises(ToolError, match=r"^layout of tiny: net n5 is open at DFFPOSX1_1/D$"):
        extraction.wire_capacitances(whole_extraction(EXT.replace("DFFPOSX1_1/D", "elsewhere")), names)


def test_missing_tools_are_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qflow, "NEEDED", {"qrouter": tmp_path / "no", "magic": tmp_path, "graywolf": tmp_path / "no"})
    with pytest.raises(ToolError, match=r"^place and route: not found: graywolf qrouter; as root: apt-get install "):
        qflow.check_tools()


def two_cells() -> CellLibrary:
    def cell(name: str, inputs: str, output: str) -> Cell:
        pins = {pin: Pin(pin, "input") for pin in inputs.split()} | {output: Pin(output, "output")}
        return Cell(name, area_um2=1.0, leakage_nw=1.0, pins=pins)

    cells = {"NAND2X1": cell("NAND2X1", "A B", "Y"), "DFFPOSX1": cell("DFFPOSX1", "CLK D", "Q")}
    return CellLibrary("two", "two.lib", "0" * 64, "typical", 1.8, 25.0, cells)


def test_spef_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tiny.spef"
    path.write_text(spef_text(NETLIST, two_cells(), {2: 1.25, 4: 0.0, 5: 12.345678}, "test"))
    read = read_spef(path)
    assert read.design == "tiny"
    assert read.net_ff == pytest.approx({"ports[0]": 1.25, "clk": 0.0, "mul[y$z": 12.34568})


def test_folders_with_blanks_are_refused_before_anything_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    with pytest.raises(ToolError, match=r"a b: qflow takes no blanks in paths; give a --folder without$"):
        qflow.place_and_route(plain_names.plain_names(NETLIST), folder)
    assert folder.is_dir()


@pytest.fixture
def osu_cells() -> CellLibrary:
    """The cells of the flow; tests skip without them, and fail where CI=true."""
    if not qflow.CELLS.exists():
        reason = f"{qflow.CELLS} was not found: install qflow-tech-osu018"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return load_cells(qflow.CELLS)


def test_opensta_finds_the_wires_of_a_spef(tmp_path: Path, opensta: str, osu_cells: CellLibrary) -> None:
    wires = {2: 1.25, 3: 0.5, 4: 0.0, 5: 12.345678, 6: 3.0}
    (tmp_path / "tiny.v").write_text(netlist_verilog(NETLIST))
    (tmp_path / "tiny.spef").write_text(spef_text(NETLIST, osu_cells, wires, "test"))
    (tmp_path / "load.tcl").write_text(
        f"read_liberty {qflow.CELLS}\nread_verilog tiny.v\nlink_design tiny\nread_spef tiny.spef\n"
        "create_clock -name clk -period 10 [get_ports clk]\nset_input_delay 0 -clock clk [get_ports ports*]\n"
        "report_checks -fields capacitance -digits 6\n"
    )
    command = [opensta, "-no_splash", "-exit", "load.tcl"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert "Warning" not in said.stdout + said.stderr
    load_ff = 12.345678 + osu_cells.cells["DFFPOSX1"].pins["D"].capacitance_ff
    found = re.search(r"^ +(\S+) .* u1/Y ", said.stdout, re.MULTILINE)
    assert found is not None
    assert float(found.group(1)) * 1000 == pytest.approx(load_ff, abs=2e-3)  # in pF there


def energies(switching_pj: float, glitches_pj: float) -> EnergyReport:
    """A report of one layer: 1 uJ of clock, beside what is given."""

    def parts(data_pj: float) -> EnergyParts:
        return EnergyParts(
            switching_pj=data_pj,
            internal_pj=0.0,
            clock_pj=1e6,
            leakage_pj=0.0,
            data_pj=data_pj,
            total_pj=data_pj + 1e6,
        )

    layer = LayerEnergy(
        name="one",
        macs=2_500_000,
        zero_delay=parts(switching_pj),
        inertial=parts(switching_pj + glitches_pj),
        sampled=False,
        ci95_percent=0.0,
    )
    return EnergyReport.model_construct(layers=(layer,), total=layer)


def test_ratios_stand_side_by_side() -> None:
    before = Comparison(energies(2e6, 1e6), energies(1e6, 1e6))
    after = Comparison(energies(5e6, 2e6), energies(2e6, 0))
    assert table.ratio_table({"before": before, "after": after}).splitlines() == [
        "| baseline / optimized | before | after |",
        "| --- | --- | --- |",
        "| zero delay, data only | 2.000x | 2.500x |",
        "| zero delay, with clock and leakage | 1.500x | 2.000x |",
        "| inertial, data only | 1.500x | 3.500x |",
        "| inertial, with clock and leakage | 1.333x | 2.667x |",
    ]
    assert table.layer_table(before, after).splitlines()[2] == (
        "| one | 2.50 | 2.000x / 2.500x | 1.500x / 2.000x | 1.500x / 3.500x | 1.333x / 2.667x |"
    )
    assert (
        "| inertial | after | baseline | 7 | 0 | 1 | 0 | 7 | 8 |" in table.energy_table({"after": after}).splitlines()
    )


def test_figures_replace_what_is_between_the_marks() -> None:
    page = f"above\n{table.BEGIN}\nold\n{table.END}\nbelow\n"
    once = table.page_with(page, "new")
    assert once == f"above\n{table.BEGIN}\n\nnew\n\n{table.END}\nbelow\n"
    assert table.page_with(once, "new") == once
    with pytest.raises(
        InputError, match=r"^page for the figures: expected <!-- table: post-layout --> and .* put them"
    ):
        table.page_with("no marks", "new")
