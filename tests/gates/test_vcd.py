from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError, ToolError
from fewflips.gates.power.vcd import ValueChanges, write_vcd

from .small_library import netlist

UNIT = netlist("u INV A=a[3] Z=$abc$1.x\nr DFF D=$abc$1.x CK=clk Q=q", "a[3] clk", "q")


def _read(path: Path) -> tuple[list[str], dict[str, list[tuple[int, int]]]]:
    """Scopes, and times and values of each variable, by a reader of its own for scalar variables."""
    header, body = path.read_text().split("$enddefinitions $end")
    assert "$timescale 1 ps $end" in header
    scopes = re.findall(r"\$scope module (\S+) \$end", header)
    names = {code: name for code, name in re.findall(r"\$var wire 1 (\S+) (.+?) \$end", header)}
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in names.values()}
    time = 0
    for token in body.split():
        if token[0] == "#":
            time = int(token[1:])
        elif token[0] in "01":
            found[names[token[1:]]].append((time, int(token[0])))
    return scopes, found


def _changes(initial: list[int], rows: list[tuple[int, int, int, int]], window: int = 4) -> ValueChanges:
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return ValueChanges(
        window, np.array(initial, np.uint8), columns[0], columns[1], columns[2], columns[3].astype(np.uint8)
    )


def test_changes_worked_out_on_paper(tmp_path: Path) -> None:
    # nets: 2 a[3], 3 clk, 4 $abc$1.x, 5 q
    changes = _changes([0, 1, 0, 0, 1, 0], [(2, 0, 2, 0), (1, 0, 2, 1), (1, 3, 4, 0), (2, 5, 5, 1)])
    path = tmp_path / "unit.vcd"
    write_vcd(path, UNIT, changes, 1000, 10, clocks=[3], instance_path=("testbench", "unit"))
    scopes, found = _read(path)
    assert scopes == ["testbench", "unit"]
    assert found["a [3]"] == [(0, 0), (1000, 1), (2000, 0)]
    assert found["$abc$1.x"] == [(0, 1), (1030, 0)]
    assert found["q"] == [(0, 0), (2050, 1)]
    assert found["clk"] == [(500 * edge, 1 - edge % 2) for edge in range(8)]
    assert path.read_text().rstrip().endswith("#4000")


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 50), st.sampled_from([2, 4, 5])), unique=True, max_size=40))
def test_toggles_read_back(tmp_path_factory: pytest.TempPathFactory, toggles: list[tuple[int, int, int]]) -> None:
    rows, values = [], {2: 0, 4: 1, 5: 1}
    for cycle, step, net in sorted(toggles):
        values[net] ^= 1
        rows.append((cycle, step, net, values[net]))
    path = tmp_path_factory.getbasetemp() / "read_back.vcd"
    write_vcd(path, UNIT, _changes([0, 1, 0, 0, 1, 1], rows, 10), 1000, 20)
    scopes, found = _read(path)
    assert scopes == ["unit"]
    for name, net in (("a [3]", 2), ("$abc$1.x", 4), ("q", 5)):
        times = [1000 * cycle + 20 * step for cycle, step, changed in sorted(toggles) if changed == net]
        assert [time for time, _ in found[name][1:]] == times


def test_bad_input_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "unit.vcd"
    good = [0, 1, 0, 0, 1, 0]
    with pytest.raises(
        InputError, match=r"^VCD: expected a period of at least 2 ps and a step of at least 1 ps, got 1"
    ):
        write_vcd(path, UNIT, _changes(good, []), 1, 1)
    with pytest.raises(InputError, match=r"^VCD: expected initial values of 6 nets and changes of one length, got 3 "):
        write_vcd(path, UNIT, _changes([0, 1, 0], []), 10, 1)
    with pytest.raises(InputError, match=r"^VCD: expected changes of nets 2 to 5, got 2 to 9; use changes of the same"):
        write_vcd(path, UNIT, _changes(good, [(1, 0, 2, 1), (1, 0, 9, 1)]), 10, 1)
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vcd", None)
    with pytest.raises(ToolError) as error:
        write_vcd(tmp_path / "unit.vcd", UNIT, _changes([0, 1, 0, 0, 1, 0], []), 10, 1)
    assert str(error.value) == "writing VCD files needs the extra: pip install 'fewflips[gates]'"
