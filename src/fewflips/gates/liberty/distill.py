"""Distilling a library into a small table: the smallest cell of each common function, with few points per table.

Delays, slews and energies are fitted by least squares to the library's tables over the range in which a synthesized
datapath works: nets that drive one to eight pins, each with as much wire as pin, and the slews that such loads give.
Figures that depend on the state of other pins are replaced by their mean. The deviation from the library is measured on
the same range and stored in the table.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import CellLibraryError
from fewflips.gates.liberty.cell_table import cell_table_text, library_from_json, write_cell_table
from fewflips.gates.liberty.cells import (
    Cell,
    CellLibrary,
    InternalEnergy,
    Pin,
    Reduction,
    Table,
    TimingArc,
    axis_weights,
)
from fewflips.gates.liberty.functions import names_in, truth_table
from fewflips.gates.liberty.load import load_cells
from fewflips.progress import Progress

_FUNCTIONS = {
    "inverter": ("!A",),
    "buffer": ("A",),
    "NAND2": ("!(A & B)",),
    "NAND3": ("!(A & B & C)",),
    "NAND4": ("!(A & B & C & D)",),
    "NOR2": ("!(A | B)",),
    "NOR3": ("!(A | B | C)",),
    "NOR4": ("!(A | B | C | D)",),
    "AND2": ("A & B",),
    "OR2": ("A | B",),
    "XOR2": ("A ^ B",),
    "XNOR2": ("!(A ^ B)",),
    "AOI21": ("!((A & B) | C)",),
    "AOI22": ("!((A & B) | (C & D))",),
    "OAI21": ("!((A | B) & C)",),
    "OAI22": ("!((A | B) & (C | D))",),
    "MUX2": ("(A & !C) | (B & C)",),
    "half adder": ("A ^ B", "A & B"),
    "full adder": ("A ^ B ^ C", "(A & B) | (B & C) | (A & C)"),
}
_FLIP_FLOP = "D flip-flop"
_MOST_FANOUT = 8
_WIRE_PER_PIN = 1.0
_SAMPLES = 13
_MIDDLE_SLEW, _MIDDLE_LOAD = 0.7, 0.6  # of the range's logarithm: gave the least mean error over two libraries
_METHOD = (
    f"least squares over {_SAMPLES} x {_SAMPLES} points of the range; delays at 3 slews x 3 loads, energies at 2 slews"
    " x 3 loads; the mean over states of other pins, which are kept for the inputs of flip-flops alone; the smallest"
    " cell of each function"
)

_Signature = tuple[int, tuple[int, ...]]
_Related = TypeVar("_Related", TimingArc, InternalEnergy)


def distill(library: CellLibrary, progress: Progress | None = None) -> CellLibrary:
    """A library's smallest cell of each common function, with reduced tables.

    Cells are recognized by their truth tables: inverter, buffer, NAND and NOR of 2 to 4 inputs, AND, OR, XOR, XNOR,
    AOI21, AOI22, OAI21, OAI22, multiplexer, half adder, full adder, and a flip-flop without controls. Functions that
    the library lacks are left out.

    Parameters
    ----------
    library : CellLibrary
        Any library with delays and energies.
    progress : callable or None
        Called for each cell.

    Returns
    -------
    CellLibrary
        With `CellLibrary.reduction`; rounded as `write_cell_table` rounds.

    Raises
    ------
    CellLibraryError
        If the library lacks an inverter, a NAND or NOR of two inputs, or a flip-flop: every datapath needs these.
    """
    chosen = choose_cells(library)
    missing = [name for name in ("inverter", _FLIP_FLOP) if name not in chosen]
    if "NAND2" not in chosen and "NOR2" not in chosen:
        missing.append("NAND2 or NOR2")
    if missing:
        raise CellLibraryError(f"{library.source}: expected a cell for {', '.join(missing)}, got none; add one")
    reducer = _Reducer.for_cells(list(chosen.values()), library.voltage_v)
    cells = {}
    for done, cell in enumerate(chosen.values()):
        if progress is not None:
            progress("distilling cells", done, len(chosen))
        cells[cell.name] = reducer.cell(cell)
    if progress is not None:
        progress("distilling cells", len(chosen), len(chosen))
    reduced = dataclasses.replace(library, cells=cells, reduction=reducer.reduction(library))
    rounded = library_from_json(cell_table_text(reduced).encode(), library.source)
    return dataclasses.replace(rounded, left_out=library.left_out)


def distill_file(source: str | Path, output: str | Path, progress: Progress | None = None) -> CellLibrary:
    """Distill a Liberty file into a JSON table that `load_cells` reads.

    Parameters
    ----------
    source : str or Path
        A Liberty file.
    output : str or Path
        The table to write.
    progress : callable or None
        Called in the phases ``reading cells`` and ``distilling cells``.

    Returns
    -------
    CellLibrary
        The distilled cells.

    Raises
    ------
    CellLibraryError
        If the file cannot be used, see `read_liberty` and `distill`.
    OutputError
        If the table cannot be written.
    """
    if progress is not None:
        progress("reading cells", 0, 1)
    library = load_cells(source)
    if library.reduction is not None:
        raise CellLibraryError(f"{library.source}: expected a Liberty file, got a table that is distilled already")
    if progress is not None:
        progress("reading cells", 1, 1)
    reduced = distill(library, progress)
    write_cell_table(reduced, output)
    return reduced


def choose_cells(library: CellLibrary) -> dict[str, Cell]:
    """The smallest cell of each common function that a library has, by the function's name.

    Among cells with the same area the one with the shortest name is chosen, which prefers plain cells to variants for
    clocks or isolated supplies.
    """
    wanted: dict[_Signature | None, str] = {
        _signature(expressions, sorted(names_in(" ".join(expressions)))): name
        for name, expressions in _FUNCTIONS.items()
    }
    candidates: dict[str, list[Cell]] = {name: [] for name in (*_FUNCTIONS, _FLIP_FLOP)}
    for cell in library.cells.values():
        if cell.dont_use or cell.is_latch:
            continue
        signature = _cell_signature(cell)
        if _is_plain_flip_flop(cell):
            candidates[_FLIP_FLOP].append(cell)
        elif signature in wanted:
            candidates[wanted[signature]].append(cell)
    return {
        name: min(cells, key=lambda cell: (cell.area_um2, len(cell.name), cell.name))
        for name, cells in candidates.items()
        if cells
    }


def _cell_signature(cell: Cell) -> _Signature | None:
    """What a combinational cell of at most four inputs computes, up to the names of its pins."""
    functions = [pin.function for pin in cell.outputs if pin.function is not None]
    inputs = [pin.name for pin in cell.inputs]
    if cell.flip_flop is not None or len(functions) != len(cell.outputs) or not functions or not 1 <= len(inputs) <= 4:
        return None
    if any(set(names_in(function)) - set(inputs) for function in functions):
        return None
    return _signature(functions, inputs)


def _signature(functions: Sequence[str], inputs: Sequence[str]) -> _Signature:
    """The smallest truth table over all orders of the inputs and outputs."""
    orders = itertools.permutations(inputs)
    return len(inputs), min(tuple(sorted(truth_table(text, order) for text in functions)) for order in orders)


def _is_plain_flip_flop(cell: Cell) -> bool:
    """Whether a cell stores its one data input at the rising edge, without clear, preset, enable or scan."""
    state = cell.flip_flop
    if state is None or state.clear is not None or state.preset is not None or len(cell.inputs) != 2:
        return False
    data = [pin.name for pin in cell.inputs if not pin.is_clock]
    clock = [pin.name for pin in cell.inputs if pin.is_clock]
    if len(data) != 1 or set(names_in(state.next_state)) != set(data) or set(names_in(state.clocked_on)) != set(clock):
        return False
    outputs = [pin.function for pin in cell.outputs]
    return (
        truth_table(state.next_state, data) == truth_table("A", ["A"])
        and truth_table(state.clocked_on, clock) == truth_table("A", ["A"])
        and any(function is not None and set(names_in(function)) == {state.state} for function in outputs)
    )


@dataclass
class _Errors:
    """Collects differences in percent."""

    found: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, difference: NDArray[np.float64], scale: float) -> None:
        """Add differences from figures of a given size."""
        if scale > 0:
            self.found.append(np.abs(difference).ravel() / scale * 100)

    def summary(self) -> tuple[float, float, float]:
        """Mean, 99th percentile and maximum, in percent; zeros if there are none."""
        if not self.found:
            return 0.0, 0.0, 0.0
        together = np.concatenate(self.found)
        mean, percentile, worst = (
            float(f"{x:.3g}") for x in (together.mean(), np.percentile(together, 99), together.max())
        )
        return mean, percentile, worst


class _Reducer:
    """Fits small tables to large ones over a range of slews and loads."""

    def __init__(self, slews_ps: tuple[float, float], loads_ff: tuple[float, float], voltage_v: float) -> None:
        self._slews, self._loads = _three_points(slews_ps, _MIDDLE_SLEW), _three_points(loads_ff, _MIDDLE_LOAD)
        self._dense_slews, self._dense_loads = np.geomspace(*slews_ps, _SAMPLES), np.geomspace(*loads_ff, _SAMPLES)
        self._voltage_v = voltage_v
        self._delay_errors, self._energy_errors = _Errors(), _Errors()
        self._delay_spread, self._energy_spread = _Errors(), _Errors()

    @classmethod
    def for_cells(cls, cells: Sequence[Cell], voltage_v: float) -> _Reducer:
        """A reducer over the slews and loads that these cells meet in a datapath."""
        pins_ff = [pin.capacitance_ff for cell in cells for pin in cell.inputs]
        least, most = min(pins_ff), float(np.median(pins_ff)) * _MOST_FANOUT * (1 + _WIRE_PER_PIN)
        arcs = [arc for cell in cells for pin in cell.outputs for arc in pin.arcs]
        tables = [table for arc in arcs for table in (arc.slew_rise_ps, arc.slew_fall_ps)]
        if not least > 0 or not tables:
            raise CellLibraryError("expected pin capacitances and delay tables, got none; give a library that has both")
        fast = [table.at(float(table.slews_ps[0]), least) for table in tables]
        shortest = max(min(fast), 1e-3)
        slow = [table.at(shortest, most) for table in tables]
        return cls((shortest, max(float(np.median(slow)), 2 * shortest)), (least, most), voltage_v)

    def reduction(self, library: CellLibrary) -> Reduction:
        """What was done, and the errors collected so far."""
        return Reduction(
            source=library.source,
            sha256=library.sha256,
            method=_METHOD,
            slews_ps=(float(f"{self._slews[0]:.5g}"), float(f"{self._slews[-1]:.5g}")),
            loads_ff=(float(f"{self._loads[0]:.5g}"), float(f"{self._loads[-1]:.5g}")),
            delay_error_percent=self._delay_errors.summary(),
            energy_error_percent=self._energy_errors.summary(),
            delay_spread_percent=self._delay_spread.summary(),
            energy_spread_percent=self._energy_spread.summary(),
        )

    def cell(self, cell: Cell) -> Cell:
        """A cell with reduced tables."""
        pins = {name: self._pin(pin, cell.flip_flop is not None) for name, pin in cell.pins.items()}
        return dataclasses.replace(cell, pins=pins)

    def _pin(self, pin: Pin, is_sequential: bool) -> Pin:
        charge_fj = 0.5 * self._voltage_v**2 * (self._dense_loads if pin.direction == "output" else pin.capacitance_ff)
        keeps_states = is_sequential and pin.direction == "input"
        arcs = [self._arc(same) for same in _grouped(pin.arcs, lambda arc: (arc.related, arc.sense))]
        energies = _grouped(pin.internal, lambda energy: (energy.related, energy.when if keeps_states else None))
        internal = [self._internal(same, keeps_states, charge_fj) for same in energies]
        return dataclasses.replace(pin, arcs=tuple(arcs), internal=tuple(internal))

    def _arc(self, arcs: list[TimingArc]) -> TimingArc:
        """One arc for all states of the other pins in which the output follows the input in the same sense."""

        def reduced(table_of: Callable[[TimingArc], Table]) -> Table:
            fit = self._fit([table_of(arc) for arc in arcs], self._slews)
            scale = float(np.mean(np.abs(fit.mean)))
            self._delay_errors.add(fit.fitted - fit.mean, scale)
            if len(arcs) > 1:
                self._delay_spread.add(fit.states - fit.mean, scale)
            return fit.table

        return TimingArc(
            related=arcs[0].related,
            delay_rise_ps=reduced(lambda arc: arc.delay_rise_ps),
            delay_fall_ps=reduced(lambda arc: arc.delay_fall_ps),
            slew_rise_ps=reduced(lambda arc: arc.slew_rise_ps),
            slew_fall_ps=reduced(lambda arc: arc.slew_fall_ps),
            sense=arcs[0].sense,
        )

    def _internal(
        self, states: list[InternalEnergy], keeps_states: bool, charge_fj: float | NDArray[np.float64]
    ) -> InternalEnergy:
        """One energy for all states; errors are of the mean of a rise and a fall.

        Libraries differ in which edge is charged with the load's share of the supply current, so a single edge's figure
        may be far larger than what the cell spends, and of either sign.
        """
        points = self._slews[[0, -1]]
        rise = self._fit([state.rise_fj for state in states], points)
        fall = self._fit([state.fall_fj for state in states], points)
        mean = (rise.mean + fall.mean) / 2
        scale = float(np.mean(np.abs(mean))) + float(np.mean(charge_fj))
        self._energy_errors.add((rise.fitted + fall.fitted) / 2 - mean, scale)
        if len(states) > 1:
            self._energy_spread.add((rise.states + fall.states) / 2 - mean, scale)
        when = states[0].when if keeps_states else None
        return InternalEnergy(states[0].related, rise.table, fall.table, when)

    def _fit(self, tables: list[Table], points: NDArray[np.float64]) -> _Fit:
        """One small table for several."""
        has_slews = any(len(table.slews_ps) > 1 for table in tables)
        has_loads = any(len(table.loads_ff) > 1 for table in tables)
        slews = points if has_slews else _ZERO
        loads = self._loads if has_loads else _ZERO
        states = np.array([table.on(self._dense_slews, self._dense_loads) for table in tables])
        mean = states.mean(axis=0)
        by_slew, by_load = axis_weights(slews, self._dense_slews), axis_weights(loads, self._dense_loads)
        values = np.linalg.pinv(by_slew) @ mean @ np.linalg.pinv(by_load).T
        return _Fit(Table(slews, loads, values), by_slew @ values @ by_load.T, mean, states)


@dataclass(frozen=True)
class _Fit:
    """A small table, its values on the range's samples, and the values it was fitted to."""

    table: Table
    fitted: NDArray[np.float64]
    mean: NDArray[np.float64]
    states: NDArray[np.float64]


_ZERO = np.zeros(1)


def _three_points(ends: tuple[float, float], middle: float) -> NDArray[np.float64]:
    """Both ends, and a point at a given share of the way between them on a logarithmic scale."""
    return np.array([ends[0], ends[0] * (ends[1] / ends[0]) ** middle, ends[1]])


def _grouped(items: Iterable[_Related], key: Callable[[_Related], tuple[str | None, ...]]) -> list[list[_Related]]:
    """Arcs or energies with the same key, in order of appearance."""
    groups: dict[tuple[str | None, ...], list[_Related]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
