from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fewflips.errors import CellLibraryError
from fewflips.gates.liberty.cell_table import cell_table_text
from fewflips.gates.liberty.cells import Cell, CellLibrary, FlipFlop, InternalEnergy, Pin, Table, TimingArc
from fewflips.gates.liberty.distill import choose_cells, distill, distill_file
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.liberty.reader import read_liberty

_FILES = {"nangate45": "nangate45_typ.lib.gz", "sky130hd": "sky130hd_tt.lib.gz"}
_SLEWS, _LOADS = np.array([1.0, 10.0, 100.0]), np.array([0.5, 5.0, 50.0])


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWFLIPS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _plane(offset: float, by_slew: float, by_load: float) -> Table:
    """A table that a small table can hold without error."""
    return Table(_SLEWS, _LOADS, offset + by_slew * _SLEWS[:, None] + by_load * _LOADS[None, :])


def _gate(name: str, area: float, functions: dict[str, str], inputs: str, scale: float = 1.0) -> Cell:
    pins = {pin: Pin(pin, "input", 1.0) for pin in inputs}
    delay, slew = _plane(5 * scale, 0.1, 2.0), _plane(2.0, 0.05, 1.5)
    for pin, function in functions.items():
        arcs = tuple(TimingArc(related, delay, delay, slew, slew) for related in inputs)
        energies = tuple(InternalEnergy(related, _plane(scale, 0, 0), _plane(scale, 0, 0)) for related in inputs)
        pins[pin] = Pin(pin, "output", function=function, arcs=arcs, internal=energies)
    return Cell(name, area, 1.0, pins)


def _flop(name: str, area: float, clocked_on: str = "C", clear: str | None = None) -> Cell:
    gate = _gate(name, area, {"Q": "IQ"}, "CD")
    pins = {**gate.pins, "C": dataclasses.replace(gate.pins["C"], is_clock=True)}
    return dataclasses.replace(gate, pins=pins, flip_flop=FlipFlop("IQ", "IQN", clocked_on, "D", clear))


def _library(*cells: Cell) -> CellLibrary:
    return CellLibrary("lib", "lib.lib", "0" * 64, "typical", 1.0, 25.0, {cell.name: cell for cell in cells})


def _figures(text: str) -> list[float]:
    cells = text[text.index('"slew_axes_ps"') :]
    return [float(figure) for figure in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", cells)]


_LEAST = (_gate("inv", 1, {"Y": "!A"}, "A"), _gate("nd2", 2, {"Y": "!(A & B)"}, "AB"), _flop("dff", 9))


def test_cells_are_told_by_what_they_compute() -> None:
    cells = (
        *_LEAST,
        _gate("x1", 3, {"Y": "!(!P | !Q)"}, "PQ"),
        _gate("x2", 3, {"Y": "(C & !A) | (B & A)"}, "ABC"),
        _gate("x3", 4, {"Y": "!A & !B | !C"}, "ABC"),
        _gate("x4", 4, {"CO": "P & R", "S": "P & !R | !P & R"}, "PR"),
        _gate("x5", 4, {"K": "Q ^ R ^ T", "L": "Q & (R | T) | R & T"}, "QRT"),
        _gate("x6", 4, {"Y": "A & !B"}, "AB"),
        _gate("x7", 4, {"Y": "A & B & C & D & E"}, "ABCDE"),
    )
    names = {function: cell.name for function, cell in choose_cells(_library(*cells)).items()}
    assert names == {
        "inverter": "inv",
        "NAND2": "nd2",
        "AND2": "x1",
        "MUX2": "x2",
        "OAI21": "x3",
        "half adder": "x4",
        "full adder": "x5",
        "D flip-flop": "dff",
    }


def test_the_smallest_usable_cell_is_taken() -> None:
    unused = dataclasses.replace(_gate("inv_0", 0.5, {"Y": "!A"}, "A"), dont_use=True)
    cells = (_gate("inv_2", 2, {"Y": "!A"}, "A"), _gate("clkinv", 1, {"Y": "!A"}, "A"), unused)
    assert choose_cells(_library(*cells, *_LEAST))["inverter"].name == "inv"  # of equal areas the shortest name


def test_flip_flops_with_controls_or_at_the_falling_edge_are_left_out() -> None:
    cells = (_flop("dffn", 1, "!C"), _flop("dffr", 1, clear="!D"), dataclasses.replace(_flop("lat", 1), is_latch=True))
    assert choose_cells(_library(*_LEAST, *cells))["D flip-flop"].name == "dff"


def test_figures_that_are_linear_are_kept_without_error() -> None:
    library = distill(_library(*_LEAST))
    assert library.reduction is not None
    assert library.reduction.delay_error_percent[2] < 1e-6
    assert library.reduction.energy_error_percent[2] < 1e-6
    (arc,) = library.cells["inv"].pins["Y"].arcs
    assert arc.delay_rise_ps.values.shape == (3, 3)
    assert arc.delay_rise_ps.at(20, 4) == pytest.approx(5 + 2 + 8, rel=1e-3)
    assert library.cells["inv"].pins["Y"].internal[0].rise_fj.values.shape == (2, 3)
    assert library.cells["inv"].pins["Y"].internal[0].rise_fj.at(20, 4) == pytest.approx(1)


def test_states_are_replaced_by_their_mean_and_their_spread_is_told() -> None:
    gate = _LEAST[1]
    output = gate.pins["Y"]
    states = tuple(
        dataclasses.replace(output.internal[0], when=when, rise_fj=_plane(rise, 0, 0))
        for when, rise in (("B", 1), ("!B", 4))
    )
    pins = {**gate.pins, "Y": dataclasses.replace(output, internal=states)}
    library = distill(_library(_LEAST[0], dataclasses.replace(gate, pins=pins), _LEAST[2]))
    (energy,) = library.cells["nd2"].pins["Y"].internal
    assert energy.when is None
    assert energy.rise_fj.at(10, 1) == pytest.approx(2.5)
    assert library.reduction is not None
    assert library.reduction.energy_error_percent[2] < 1e-6
    assert library.reduction.energy_spread_percent[2] > 0
    assert library.reduction.delay_spread_percent == (0, 0, 0)


def test_states_of_a_flip_flops_inputs_are_kept() -> None:
    hidden = tuple(
        InternalEnergy(None, _plane(value, 0, 0), _plane(0, 0, 0), when) for when, value in (("C", 1), ("!C", 4))
    )
    flop = _LEAST[2]
    pins = {**flop.pins, "D": dataclasses.replace(flop.pins["D"], internal=hidden)}
    library = distill(_library(*_LEAST[:2], dataclasses.replace(flop, pins=pins)))
    assert [energy.when for energy in library.cells["dff"].pins["D"].internal] == ["C", "!C"]


@pytest.mark.parametrize(
    ("cells", "missing"),
    [(_LEAST[1:], "inverter"), (_LEAST[:2], "D flip-flop"), ((_LEAST[0], _LEAST[2]), "NAND2 or NOR2")],
)
def test_libraries_without_which_nothing_can_be_built(cells: tuple[Cell, ...], missing: str) -> None:
    with pytest.raises(CellLibraryError, match=f"^lib.lib: expected a cell for {missing}, got none; add one$"):
        distill(_library(*cells))


def test_a_library_without_delays_is_refused() -> None:
    bare = [
        dataclasses.replace(cell, pins={n: dataclasses.replace(p, arcs=()) for n, p in cell.pins.items()})
        for cell in _LEAST
    ]
    with pytest.raises(CellLibraryError, match="expected pin capacitances and delay tables, got none"):
        distill(_library(*bare))


@pytest.mark.parametrize("name", ["nangate45", "sky130hd"])
def test_builtin_tables_are_what_the_libraries_distill_to(shared: Path, tmp_path: Path, name: str) -> None:
    seen = []
    distill_file(shared / "pdk" / _FILES[name], tmp_path / "own.json", lambda *step: seen.append(step))
    builtin, own = load_cells(name), load_cells(tmp_path / "own.json")
    assert own.cells.keys() == builtin.cells.keys()
    assert own.reduction is not None
    assert builtin.reduction is not None
    assert own.reduction.sha256 == builtin.reduction.sha256
    mine, theirs = _figures(cell_table_text(own)), _figures(cell_table_text(builtin))
    assert mine == pytest.approx(theirs, rel=2e-3, abs=2e-4)  # rounded to four digits, on any processor
    assert seen[0] == ("reading cells", 0, 1)
    assert seen[-1] == ("distilling cells", 20, 20)


@pytest.mark.parametrize("name", ["nangate45", "sky130hd"])
def test_stated_errors_hold_between_the_samples(shared: Path, name: str) -> None:
    full, small = read_liberty(shared / "pdk" / _FILES[name]), load_cells(name)
    assert small.reduction is not None
    random = np.random.default_rng(1)
    slews = np.exp(random.uniform(*np.log(small.reduction.slews_ps), 40))
    loads = np.exp(random.uniform(*np.log(small.reduction.loads_ff), 40))
    worst, together = 0.0, []
    for cell in small.cells.values():
        for pin in cell.outputs:
            for arc in pin.arcs:
                same = [
                    a
                    for a in full.cells[cell.name].pins[pin.name].arcs
                    if (a.related, a.sense) == (arc.related, arc.sense)
                ]
                mean = np.mean([a.delay_rise_ps.on(slews, loads) for a in same], axis=0)
                percent = 100 * np.abs(arc.delay_rise_ps.on(slews, loads) - mean) / np.abs(mean).mean()
                worst = max(worst, float(percent.max()))
                together.append(percent)
    assert worst < 1.5 * small.reduction.delay_error_percent[2]
    assert float(np.mean(together)) < 1.5 * small.reduction.delay_error_percent[0]


def test_a_reduced_table_cannot_be_distilled_again(tmp_path: Path) -> None:
    with pytest.raises(
        CellLibraryError, match=r"^nangate45: expected a Liberty file, got a table that is distilled already"
    ):
        distill_file("nangate45", tmp_path / "own.json")
