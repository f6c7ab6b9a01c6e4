from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewflips.errors import CellLibraryError, OutputError
from fewflips.gates.liberty.cell_table import (
    cell_table_text,
    library_from_json,
    library_to_json,
    read_cell_table,
    write_cell_table,
)
from fewflips.gates.liberty.cells import (
    Cell,
    CellLibrary,
    FlipFlop,
    InternalEnergy,
    Pin,
    Table,
    TimingArc,
    axis_weights,
)
from fewflips.gates.liberty.load import builtin_tables, load_cells
from fewflips.gates.liberty.writer import liberty_text


def _table(*values: float) -> Table:
    return Table(np.array([10.0, 20.0]), np.array([1.0, 3.0]), np.array(values, dtype=np.float64).reshape(2, 2))


def _library() -> CellLibrary:
    arc = TimingArc(
        "D", _table(1, 2, 3, 4), _table(1, 2, 3, 5), _table(1, 2, 3, 6), _table(1, 2, 3, 7), "E", "non_unate"
    )
    energy = InternalEnergy("D", _table(0.5, 1 / 3, 0.25, 0), Table(np.zeros(1), np.zeros(1), np.array([[-2.0]])), None)
    pins = {
        "D": Pin("D", "input", 1.23456789),
        "C": Pin("C", "input", 2.0, is_clock=True),
        "Q": Pin("Q", "output", function="IQ", arcs=(arc,), internal=(energy,)),
    }
    cell = Cell("FLOP", 2.0, 3.0, pins, FlipFlop("IQ", "IQN", "C", "D", clear="!R"), dont_use=True)
    latch = Cell("LATCH", 1.0, 1.0, {}, is_latch=True)
    return CellLibrary("lib", "lib.lib", "1" * 64, "slow", 1.1, -40.0, {"FLOP": cell, "LATCH": latch}, "a notice")


def test_tables_are_interpolated_and_extrapolated_bilinearly() -> None:
    table = _table(1, 2, 3, 4)
    assert table.at(10, 1) == 1
    assert table.at(15, 2) == pytest.approx(2.5)
    assert table.at(30, 5) == pytest.approx(5 + 2)  # 1 + 2 per 10 ps + 0.5 per fF, twice each
    np.testing.assert_allclose(table.on(np.array([10.0, 30.0]), np.array([1.0, 2.0, 5.0])), [[1, 1.5, 3], [5, 5.5, 7]])
    np.testing.assert_allclose(axis_weights(np.array([0.0]), np.array([3.0, 4.0])), [[1], [1]])


def test_json_keeps_every_bit() -> None:
    library = _library()
    again = library_from_json(library_to_json(library), "lib.lib")
    assert library_to_json(again) == library_to_json(library)
    assert again.cells["FLOP"].flip_flop == library.cells["FLOP"].flip_flop
    assert (again.sha256, again.notice, again.corner) == ("1" * 64, "a notice", "slow")
    (arc,) = again.cells["FLOP"].pins["Q"].arcs
    assert (arc.related, arc.when, arc.sense) == ("D", "E", "non_unate")
    np.testing.assert_array_equal(arc.slew_fall_ps.values, [[1, 2], [3, 7]])
    (energy,) = again.cells["FLOP"].pins["Q"].internal
    np.testing.assert_array_equal(energy.rise_fj.values, [[0.5, 1 / 3], [0.25, 0]])
    assert energy.fall_fj.at(100, 100) == -2
    assert again.cells["LATCH"].is_latch
    assert again.cells["FLOP"].dont_use


def test_written_tables_are_rounded_and_have_a_digest_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "cells.json"
    write_cell_table(_library(), path)
    again = read_cell_table(path)
    assert again.source == "cells.json"
    assert again.sha256 != "1" * 64
    assert again.cells["FLOP"].pins["D"].capacitance_ff == 1.235
    assert again.cells["FLOP"].pins["Q"].internal[0].rise_fj.values[0, 1] == 0.3333
    assert cell_table_text(again) == path.read_text()
    path.write_text(path.read_text().replace("0.3333", "0.3334"))
    assert read_cell_table(path).sha256 != again.sha256


def test_a_digest_within_a_table_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "cells.json"
    path.write_bytes(library_to_json(_library()))
    assert read_cell_table(path).sha256 != "1" * 64


def test_tables_are_fit_for_reading() -> None:
    lines = cell_table_text(_library()).splitlines()
    assert max(map(len, lines)) <= 120
    assert '    "D": {"direction": "input", "capacitance_ff": 1.235},' in lines
    assert '       "delay_rise_ps": {"values": [[1.0, 2.0], [3.0, 4.0]]},' in lines


def test_missing_folders_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_cell_table(_library(), tmp_path / "none" / "cells.json")


def _without(document: dict[str, Any], key: str) -> None:
    del document[key]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d.update(format="else"), "format: Input should be 'fewflips cell table 1'"),
        (lambda d: _without(d, "voltage_v"), "voltage_v: Field required"),
        (lambda d: d.update(voltage_v=0), "voltage_v: Input should be greater than 0"),
        (lambda d: d.update(voltage_v=float("nan")), "voltage_v: Input should be a finite number"),
        (lambda d: d.update(cells={}), "cells: Dictionary should have at least 1 item"),
        (lambda d: d.update(own=1), "own: Extra inputs are not permitted"),
        (lambda d: d.update(slew_axes_ps=[[2, 1]]), "slew_axes_ps and load_axes_ff must increase"),
        (lambda d: d["cells"]["FLOP"].update(area_um2="big"), "cells.FLOP.area_um2: Input should be a valid number"),
        (
            lambda d: d["cells"]["FLOP"]["pins"]["Q"]["arcs"][0]["delay_rise_ps"].update(values=[[1]]),
            "got values that do not fit axes of 2 slews and 2 loads",
        ),
        (
            lambda d: d["cells"]["FLOP"]["pins"]["Q"]["arcs"][0]["delay_rise_ps"].update(slews=9),
            "got axes 9 and 0, of 2 and 2",
        ),
    ],
)
def test_bad_tables_are_one_line_errors(tmp_path: Path, change: Any, complaint: str) -> None:
    document = json.loads(cell_table_text(_library()))
    change(document)
    path = tmp_path / "cells.json"
    path.write_text(json.dumps(document))
    with pytest.raises(CellLibraryError) as caught:
        read_cell_table(path)
    message = str(caught.value)
    assert complaint in message
    assert message.startswith("cells.json: expected ")
    assert message.endswith("`fewflips cells distill FILE.lib`")
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'{"format": "\n"}'])
def test_junk_is_a_one_line_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cells.json"
    path.write_bytes(content)
    with pytest.raises(CellLibraryError, match=r"^cells\.json: expected a cell table, got something else: [^\n]*$"):
        read_cell_table(path)


def test_large_and_missing_tables(tmp_path: Path) -> None:
    path = tmp_path / "cells.json"
    path.write_bytes(b" " * (2 << 20))
    with pytest.raises(CellLibraryError, match="expected at most 1 MiB of cell table, got more"):
        read_cell_table(path)
    with pytest.raises(CellLibraryError, match="No such file or directory; give the path of a cell table"):
        read_cell_table(tmp_path / "none.json")


def test_cells_are_loaded_by_name_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWFLIPS_CACHE", str(tmp_path / "cache"))
    default = load_cells()
    assert (default.name, default.source) == ("NangateOpenCellLibrary", "nangate45")
    assert load_cells(default) is default
    write_cell_table(default, tmp_path / "own.json")
    assert load_cells(tmp_path / "own.json").cells.keys() == default.cells.keys()
    (tmp_path / "own.lib").write_text(liberty_text(default))
    assert load_cells(str(tmp_path / "own.lib")).cells.keys() == default.cells.keys()


@pytest.mark.parametrize("name", ["nangate46", "", "."])
def test_unknown_names_say_what_is_expected(name: str) -> None:
    with pytest.raises(CellLibraryError) as caught:
        load_cells(name)
    assert str(caught.value) == (
        f"unknown cells {name!r}: expected nangate45, sky130hd, a Liberty file (.lib, .lib.gz) or a table made by"
        " `fewflips cells distill` (.json)"
    )


@pytest.mark.parametrize("name", ["nangate45", "sky130hd"])
def test_builtin_tables_are_small_and_say_where_they_come_from(name: str) -> None:
    assert name in builtin_tables()
    path = resources.files("fewflips.gates.liberty") / "cell_tables" / f"{name}.json"
    text = path.read_text()
    assert len(text) < 64 << 10
    library = load_cells(name)
    assert cell_table_text(library) == text
    assert len(library.cells) == 20
    assert library.reduction is not None
    assert library.reduction.source.endswith(".lib.gz")
    assert library.corner
    assert library.reduction.delay_error_percent[0] < 1
    assert library.reduction.energy_error_percent[0] < 1


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("voltage_v",), 1e200),
        (("cells", "INV_X1", "area_um2"), -1.0),
        (("cells", "INV_X1", "area_um2"), 1e300),
        (("cells", "INV_X1", "leakage_nw"), 1e300),
        (("cells", "INV_X1", "pins", "A", "capacitance_ff"), -1e300),
    ],
)
def test_figures_that_no_cell_has(tmp_path: Path, where: tuple[str, ...], value: float) -> None:
    """They overflow where energies are computed, with a traceback or infinite energies."""
    write_cell_table(load_cells("nangate45"), tmp_path / "cells.json")
    content = json.loads((tmp_path / "cells.json").read_text())
    holder = content
    for key in where[:-1]:
        holder = holder[key]
    assert where[-1] in holder
    holder[where[-1]] = value
    (tmp_path / "cells.json").write_text(json.dumps(content))
    with pytest.raises(CellLibraryError, match=rf"{where[-1]}: Input should be"):
        load_cells(tmp_path / "cells.json")
