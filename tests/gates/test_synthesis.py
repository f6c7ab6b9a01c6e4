from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.datapath.verilog import module_name, verilog
from fewflips.errors import CellLibraryError, InputError, NetlistError, ToolError
from fewflips.gates.liberty.cells import Cell, CellLibrary, FlipFlop, Pin
from fewflips.gates.netlist.netlist import Instance, Netlist
from fewflips.gates.netlist.reader import read_netlist
from fewflips.gates.netlist.registers import feedback_registers, register_banks
from fewflips.gates.netlist.synthesis import (
    SynthesisPlan,
    cell_counts,
    netlist_area_um2,
    synthesis_cells,
    synthesize,
    synthesize_verilog,
)
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.gates.netlist.yosys import Yosys, find_yosys
from tests.gates.mapped_circuits import LIBRARY, by_names, cell_models, circuit, run_icarus

MAC = Datapath("mac", Word(WordFormat.TWOS_COMPLEMENT, 4), Word(WordFormat.UNSIGNED, 4), accumulator_bits=10)


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    before = os.environ.get("FEWFLIPS_CACHE")
    os.environ["FEWFLIPS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["FEWFLIPS_CACHE"]
    else:
        os.environ["FEWFLIPS_CACHE"] = before


@pytest.fixture(params=["yowasp", "native"])
def yosys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Yosys:
    monkeypatch.delenv("FEWFLIPS_YOSYS", raising=False)
    if request.param == "native":
        program = shutil.which("yosys")
        if program is None:
            pytest.skip("there is no native yosys, which is optional")
        monkeypatch.setenv("FEWFLIPS_YOSYS", program)
    return find_yosys()


def test_a_mac_is_what_its_verilog_says(yosys: Yosys, tmp_path: Path, iverilog: str) -> None:
    told: list[tuple[str, int, int]] = []
    netlist = synthesize(MAC, LIBRARY, lambda phase, done, total: told.append((phase, done, total)), yosys=yosys)
    assert told == [("synthesis", 0, 1), ("synthesis", 1, 1)]
    bench = _comparison(netlist)
    models = cell_models(LIBRARY, set(cell_counts(netlist)))
    source = verilog(MAC).replace(module_name(MAC), "golden")
    shown = run_icarus(iverilog, tmp_path, source, netlist_verilog(netlist, LIBRARY), models, bench)
    assert shown == "200 cycles, 0 differences\n"


def _comparison(netlist: Netlist) -> str:
    """Random operands to the source and to the netlist; sums are compared at the falling edge of the clock."""
    chosen = random.Random(1)
    rows = []
    for cycle in range(200):
        weight, activation = chosen.randrange(16), chosen.randrange(16)
        rows.append(f"    drive({weight}, {activation}, 1'b{int(cycle < 3 or chosen.random() < 0.1)});")
    return "\n".join(
        [
            "module bench;",
            "  reg clk = 0, clear = 1; reg [3:0] weights = 0, activations = 0; wire [9:0] expected, got;",
            "  integer cycles = 0, differences = 0;",
            "  golden g(.clk(clk), .weights(weights), .activations(activations), .clear(clear), "
            ".accumulator(expected));",
            f"  {netlist.name} m(.clk(clk), .weights(weights), .activations(activations), .clear(clear), "
            ".accumulator(got));",
            "  task drive(input [3:0] w, input [3:0] a, input c); begin",
            "    weights = w; activations = a; clear = c; #5 clk = 1; #5 clk = 0; #1 cycles = cycles + 1;",
            "    if (cycles > 3 && expected !== got) differences = differences + 1; end endtask",
            "  initial begin",
            *rows,
            '    $display("%0d cycles, %0d differences", cycles, differences); end',
            "endmodule",
        ]
    )


def test_registers_keep_their_names_and_banks(yosys: Yosys) -> None:
    netlist = synthesize(MAC, LIBRARY, yosys=yosys)
    banks = register_banks(netlist, LIBRARY)
    assert {bank: len(members) for bank, members in banks.items()} == {
        "weights": 4,
        "activations": 4,
        "clear": 1,
        "internal": 10,
    }
    stored = {netlist.nets[netlist.instances[index].pins["Q"]] for index in banks["weights"]}
    assert stored == {f"weight_register[{bit}]" for bit in range(4)}
    assert set(netlist.inputs) == {"clk", "weights", "activations", "clear"}
    assert [netlist.nets[net] for net in netlist.outputs["accumulator"]] == [f"accumulator[{bit}]" for bit in range(10)]
    assert feedback_registers(netlist, LIBRARY) == set(banks["internal"])


def test_a_synthesized_netlist_is_read_again(tmp_path: Path) -> None:
    netlist = synthesize(MAC, LIBRARY)
    path = tmp_path / "mac.v"
    path.write_text(netlist_verilog(netlist))
    assert by_names(read_netlist(path, LIBRARY)) == by_names(netlist)


def test_a_plan_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = synthesize(MAC, LIBRARY)

    def fail(*_: object) -> dict[str, bytes]:
        raise ToolError("it ran again")

    monkeypatch.setattr(Yosys, "run", fail)
    assert by_names(synthesize(MAC, LIBRARY)) == by_names(first)
    with pytest.raises(ToolError, match="it ran again"):
        synthesize(MAC, LIBRARY, delay_target_ps=500)


def test_digests_depend_on_everything() -> None:
    plan = SynthesisPlan("t", "module t;", "library", None)
    others = [
        replace(plan, top="u"),
        replace(plan, verilog="module u;"),
        replace(plan, liberty="other"),
        replace(plan, delay_target_ps=1000.0),
    ]
    assert len({plan.digest, *(other.digest for other in others)}) == 5


def test_results_are_kept_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def run(yosys: Yosys, *_: object) -> dict[str, bytes]:
        made.append(yosys.version)
        return {"netlist.json": yosys.version.encode()}

    monkeypatch.setattr(Yosys, "run", run)
    plan = SynthesisPlan("t", "module t;", "library", None)
    old, new = (Yosys("yosys", f"Yosys 0.{number}", ("yosys",)) for number in (23, 24))
    answers = [plan.run(yosys) for yosys in (old, new, replace(old, provider="elsewhere"))]
    assert answers == [b"Yosys 0.23", b"Yosys 0.24", b"Yosys 0.23"]
    assert made == ["Yosys 0.23", "Yosys 0.24"]


def test_constants_are_nets() -> None:
    text = "module t(input clk, a, output reg [2:0] y); always @(posedge clk) y <= {1'b1, ~a, 1'b0}; endmodule"
    netlist = synthesize_verilog(text, "t", LIBRARY)
    assert [netlist.nets[net] for net in netlist.outputs["y"][::2]] == ["1'b0", "1'b1"]
    assert cell_counts(netlist)["DFF_X1"] == 1


def test_several_clocks_are_refused() -> None:
    text = """module t(input c, d, a, b, output reg y, z);
      always @(posedge c) y <= a;
      always @(posedge d) z <= b;
    endmodule"""
    with pytest.raises(NetlistError, match=r"^netlist t: expected one clock, got [cd] \(at u\d\) and [cd] "):
        synthesize_verilog(text, "t", LIBRARY)


def test_latches_are_refused(yosys: Yosys) -> None:
    text = "module t(input g, a, output reg y); always @* if (g) y = a; endmodule"
    with pytest.raises(NetlistError) as caught:
        synthesize_verilog(text, "t", LIBRARY, yosys=yosys)
    assert str(caught.value) == (
        "netlist t: expected flip-flops, got a latch; assign what it holds in every branch of its always block"
    )


def test_verilog_that_is_wrong_is_one_line() -> None:
    with pytest.raises(ToolError, match=r"^Yosys [\d.]+ failed: .*ERROR: Module `t' not found!?$"):
        synthesize_verilog("module u; endmodule", "t", LIBRARY)


@pytest.mark.parametrize(
    ("top", "delay_ps", "message"),
    [
        ("a b", None, "module to synthesize: expected a plain identifier, got 'a b'; rename it"),
        ("t", 0.0, "delay target: expected 1 ps to 1 ms, got 0.0 ps"),
        ("t", float("nan"), "delay target: expected 1 ps to 1 ms, got nan ps"),
    ],
)
def test_arguments_are_checked(top: str, delay_ps: float | None, message: str) -> None:
    with pytest.raises(InputError) as caught:
        synthesize_verilog("", top, LIBRARY, delay_target_ps=delay_ps)
    assert str(caught.value) == message


def flip_flop(name: str, state: FlipFlop, *inputs: str, dont_use: bool = False) -> Cell:
    pins = {pin: Pin(pin, "input", is_clock=pin == "CK") for pin in (*inputs, "CK")}
    pins["Q"] = Pin("Q", "output", function="IQ")
    return Cell(name, 0.01, 1.0, pins, state, dont_use=dont_use)


def only(*names: str) -> CellLibrary:
    return replace(LIBRARY, cells={name: LIBRARY.cells[name] for name in names})


def test_cells_for_synthesis() -> None:
    unwanted = (
        flip_flop("RESET", FlipFlop("IQ", "IQN", "CK", "D", clear="!RN"), "D", "RN"),
        flip_flop("SCAN", FlipFlop("IQ", "IQN", "CK", "(SE SI) | (!SE D)"), "D", "SE", "SI"),
        flip_flop("SYNCHRONOUS", FlipFlop("IQ", "IQN", "CK", "D RN"), "D", "RN"),
        flip_flop("FALLING", FlipFlop("IQ", "IQN", "!CK", "D"), "D"),
        flip_flop("INVERTED", FlipFlop("IQ", "IQN", "CK", "!D"), "D"),
        flip_flop("UNWANTED", FlipFlop("IQ", "IQN", "CK", "D"), "D", dont_use=True),
        replace(LIBRARY.cells["NAND2_X1"], name="NAND2_UNWANTED", dont_use=True),
        Cell("TRISTATE", 1.0, 1.0, {"A": Pin("A", "input"), "Z": Pin("Z", "output")}),
        Cell("LATCH", 1.0, 1.0, {"D": Pin("D", "input"), "Q": Pin("Q", "output", function="IQ")}, is_latch=True),
        Cell("FILLER", 1.0, 1.0, {}),
        replace(LIBRARY.cells["BUF_X1"], name="sky130_fd_sc_hd__lpflow_clkbufkapwr_1"),
    )
    library = replace(LIBRARY, cells={**LIBRARY.cells, **{cell.name: cell for cell in unwanted}})
    assert set(synthesis_cells(library).cells) == set(LIBRARY.cells) - {"HA_X1", "FA_X1"}


@pytest.mark.parametrize(
    ("library", "missing"),
    [
        (only("NAND2_X1", "DFF_X1"), "an inverter"),
        (only("INV_X1", "NAND2_X1"), "a rising-edge D flip-flop without other controls"),
        (only("INV_X1", "XOR2_X1", "DFF_X1"), "a NAND, NOR, AND or OR of two inputs"),
    ],
)
def test_a_library_that_is_not_enough(library: CellLibrary, missing: str) -> None:
    with pytest.raises(CellLibraryError) as caught:
        synthesis_cells(library)
    assert str(caught.value) == (
        "cells of nangate45: expected at least an inverter, a gate of two inputs and a plain flip-flop, got a library "
        f"without {missing}; give the library of the whole set of cells"
    )


def test_area_is_the_sum_of_cells() -> None:
    netlist = circuit({"a": "a"}, {"y": "y"}, [("u1", "INV_X1", "A=a ZN=m"), ("u2", "XOR2_X1", "A=m B=a Z=y")])
    expected = LIBRARY.cells["INV_X1"].area_um2 + LIBRARY.cells["XOR2_X1"].area_um2
    assert netlist_area_um2(netlist, LIBRARY) == pytest.approx(expected)
    other = Netlist("t", ("1'b0", "1'b1"), (Instance("u", "OTHER", {}),), {}, {})
    with pytest.raises(NetlistError) as caught:
        netlist_area_um2(other, LIBRARY)
    assert str(caught.value) == (
        "netlist t: expected cells of the library NangateOpenCellLibrary, got OTHER; give the library that it was "
        "mapped to"
    )


def test_gates_of_a_whole_library_are_sized(shared: Path) -> None:
    from fewflips.gates.liberty.reader import read_liberty

    library = read_liberty(shared / "pdk" / "nangate45_typ.lib.gz")
    text = "module t(input a, b, input [63:0] c, output [63:0] y); assign y = {64{a ^ b}} & c; endmodule"
    counts = cell_counts(synthesize_verilog(text, "t", library))
    assert any(not name.endswith("_X1") for name in counts)
    assert all(not library.cells[name].dont_use for name in counts)
