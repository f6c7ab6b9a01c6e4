from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fewflips.errors import InputError, OutputError
from fewflips.gates.operands import Toggles
from fewflips.gates.power.saif import write_saif

from .small_library import LIBRARY, netlist

UNIT = netlist("u1 INV A=a[0] Z=$n$1.x\nr/0 DFF D=$n$1.x CK=clk Q=q\nu3 NAND2 A=q B=1 Z=z", "clk a[0]", "z")
TOGGLES = Toggles(np.array([0, 0, 0, 30, 31, 12, 13]), np.array([0, 0, 0, 60, 40, 41, 59]), 100)


def _tree(text: str) -> list:
    """The file as nested lists; a backslash takes the next character as it is."""
    stack: list[list] = [[]]
    for token in re.findall(r'"[^"]*"|[()]|(?:\\.|[^\s()])+', text):
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(re.sub(r"\\(.)", r"\1", token))
    assert len(stack) == 1
    return stack[0][0]


def _figures(group: list) -> dict[str, dict[str, int]]:
    return {entry[0]: {key: int(value) for key, value in entry[1:]} for entry in group[1:]}


def _written(path: Path, **options: object) -> list:
    write_saif(path, UNIT, LIBRARY, TOGGLES, 1000.0, **options)  # type: ignore[arg-type]
    return _tree(path.read_text())


def test_every_net_and_pin_has_its_figures(tmp_path: Path) -> None:
    tree = _written(tmp_path / "unit.saif", instance_path=("testbench", "unit"))
    assert tree[0] == "SAIFILE"
    header = {entry[0]: entry[1:] for entry in tree[1:-1]}
    assert header["SAIFVERSION"] == ['"2.0"']
    assert header["DIRECTION"] == ['"backward"']
    assert header["TIMESCALE"] == ["1", "ps"]
    assert header["DURATION"] == ["100000"]
    outer = tree[-1]
    assert outer[:2] == ["INSTANCE", "testbench"]
    assert outer[2][:2] == ["INSTANCE", "unit"]
    nets = _figures(outer[2][2])
    assert nets["a[0]"] == {"T0": 40000, "T1": 60000, "TX": 0, "TC": 30, "IG": 0}
    assert list(nets) == list(UNIT.nets[2:])
    for instance, group in zip(UNIT.instances, outer[2][3:], strict=True):
        assert group[:2] == ["INSTANCE", instance.name]
        pins = _figures(group[2])
        assert list(pins) == list(instance.pins)
        for pin, net in instance.pins.items():
            assert net == 1 or pins[pin] == nets[UNIT.nets[net]]


def test_clock_and_constants(tmp_path: Path) -> None:
    tree = _written(tmp_path / "unit.saif")
    assert tree[-1][:2] == ["INSTANCE", "unit"]
    assert _figures(tree[-1][2])["clk"] == {"T0": 50000, "T1": 50000, "TX": 0, "TC": 200, "IG": 0}
    assert _figures(tree[-1][5][2])["B"] == {"T0": 0, "T1": 100000, "TX": 0, "TC": 0, "IG": 0}


def test_special_characters_are_escaped(tmp_path: Path) -> None:
    _written(tmp_path / "unit.saif")
    text = (tmp_path / "unit.saif").read_text()
    assert r"(a\[0\] (T0" in text
    assert r"(\$n\$1\.x (T0" in text
    assert r"(INSTANCE r\/0" in text


def test_bad_input_is_reported_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "unit.saif"
    with pytest.raises(InputError, match=r"^period_ps: expected a positive number of picoseconds, got 0"):
        write_saif(path, UNIT, LIBRARY, TOGGLES, 0)
    with pytest.raises(InputError, match=r"^toggles: expected at least one transition to write, got none; simulate"):
        write_saif(path, UNIT, LIBRARY, Toggles(TOGGLES.toggles, TOGGLES.high, 0), 1000)
    with pytest.raises(InputError, match=r"^toggles: expected those of 7 nets, got shape \(3,\); use toggles of the"):
        write_saif(path, UNIT, LIBRARY, Toggles(np.zeros(3, int), np.zeros(3, int), 1), 1000)
    with pytest.raises(OutputError):
        write_saif(tmp_path / "missing" / "unit.saif", UNIT, LIBRARY, TOGGLES, 1000)
    assert list(tmp_path.iterdir()) == []
