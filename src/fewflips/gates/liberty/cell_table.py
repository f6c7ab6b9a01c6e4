"""Tables of cells as JSON: the built-in reduced ones, those that users distill, and cached Liberty files."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fewflips.errors import CellLibraryError
from fewflips.files.atomic import atomic_write
from fewflips.files.input_files import open_plain
from fewflips.files.validation import describe_validation_error
from fewflips.gates.liberty.cells import Cell, CellLibrary, FlipFlop, InternalEnergy, Pin, Reduction, Table, TimingArc

_FORMAT: Literal["fewflips cell table 1"] = "fewflips cell table 1"
_LARGEST_BYTES = 1 << 20
_WIDEST = 120
_DIGITS = 4

_Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
"""A figure in ps, fF, fJ, nW or um^2. No cell comes near the bounds, and within them no sum or product overflows."""

_Axis = Annotated[tuple[_Number, ...], Field(min_length=1)]
_AxisNumber = Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _TableRecord(_Record):
    """Indices of the axes in the file's lists (0 by default), and values by slew, then load."""

    slews: _AxisNumber = 0
    loads: _AxisNumber = 0
    values: tuple[tuple[_Number, ...], ...]


class _ArcRecord(_Record):
    related: str
    when: str | None = None
    sense: Literal["positive_unate", "negative_unate", "non_unate"] = "non_unate"
    delay_rise_ps: _TableRecord
    delay_fall_ps: _TableRecord
    slew_rise_ps: _TableRecord
    slew_fall_ps: _TableRecord


class _EnergyRecord(_Record):
    related: str | None = None
    when: str | None = None
    rise_fj: _TableRecord
    fall_fj: _TableRecord


class _PinRecord(_Record):
    direction: Literal["input", "output"]
    capacitance_ff: _Number = 0.0
    function: str | None = None
    is_clock: bool = False
    arcs: tuple[_ArcRecord, ...] = ()
    internal: tuple[_EnergyRecord, ...] = ()


class _FlipFlopRecord(_Record):
    state: str
    inverted_state: str
    clocked_on: str
    next_state: str
    clear: str | None = None
    preset: str | None = None


class _CellRecord(_Record):
    area_um2: Annotated[_Number, Field(ge=0)]
    leakage_nw: _Number
    flip_flop: _FlipFlopRecord | None = None
    is_latch: bool = False
    dont_use: bool = False
    pins: dict[str, _PinRecord]


class _ReductionRecord(_Record):
    source: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    method: str
    slews_ps: tuple[_Number, _Number]
    loads_ff: tuple[_Number, _Number]
    delay_error_percent: tuple[_Number, _Number, _Number]
    energy_error_percent: tuple[_Number, _Number, _Number]
    delay_spread_percent: tuple[_Number, _Number, _Number]
    energy_spread_percent: tuple[_Number, _Number, _Number]


class _LibraryRecord(_Record):
    format: Literal["fewflips cell table 1"]
    name: str
    sha256: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$")] = None
    corner: str
    voltage_v: Annotated[_Number, Field(gt=0, le=1000)]
    temperature_c: _Number
    notice: str = ""
    reduction: _ReductionRecord | None = None
    slew_axes_ps: tuple[_Axis, ...]
    load_axes_ff: tuple[_Axis, ...]
    cells: Annotated[dict[str, _CellRecord], Field(min_length=1)]
    left_out: dict[str, str] = {}

    @model_validator(mode="after")
    def _axes_increase(self) -> _LibraryRecord:
        for axis in (*self.slew_axes_ps, *self.load_axes_ff):
            if any(left >= right for left, right in itertools.pairwise(axis)):
                raise ValueError("slew_axes_ps and load_axes_ff must increase")
        return self


def write_cell_table(library: CellLibrary, path: str | Path) -> None:
    """Write cells as a JSON table that is easy to read and compare: one line per lookup table.

    Figures have four significant digits, and at most four decimals.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    atomic_write(Path(path), cell_table_text(library).encode())


def cell_table_text(library: CellLibrary) -> str:
    """The text that `write_cell_table` writes."""
    document = _document(library, digits=_DIGITS)
    del document["sha256"]  # of a Liberty file's content, which this is not
    return _indented(document) + "\n"


def read_cell_table(path: str | Path) -> CellLibrary:
    """Read a table that `write_cell_table` wrote.

    Raises
    ------
    CellLibraryError
        If the file is missing, larger than 1 MiB, or not such a table.
    """
    path = Path(path)
    try:
        with open_plain(path) as stream:
            content = stream.read(_LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CellLibraryError(f"cannot read {path}: {reason}; give the path of a cell table (.json)") from error
    if len(content) > _LARGEST_BYTES:
        raise CellLibraryError(
            f"{path.name}: expected at most {_LARGEST_BYTES >> 20} MiB of cell table, got more; give a reduced table"
        )
    library = library_from_json(content, path.name)
    return dataclasses.replace(library, sha256=hashlib.sha256(content).hexdigest())


def library_to_json(library: CellLibrary) -> bytes:
    """All figures of a library as JSON, to their last bit."""
    return json.dumps(_document(library, digits=None), separators=(",", ":")).encode()


def library_from_json(content: bytes, source: str) -> CellLibrary:
    """Cells from JSON.

    Parameters
    ----------
    content : bytes
        Output of `library_to_json` or `cell_table_text`. Tables state no digest: theirs is that of the content.
    source : str
        Name of the file or built-in table: `CellLibrary.source`, also in messages.

    Raises
    ------
    CellLibraryError
        If the content is not such a table.
    """
    try:
        record = _LibraryRecord.model_validate_json(content)
    except ValidationError as error:
        first = describe_validation_error(error).split("; ")[0]
        raise CellLibraryError(
            f"{source}: expected a cell table, got something else: {' '.join(first.split())[:300]}; make one with"
            " `fewflips cells distill FILE.lib`"
        ) from error
    return _Builder(record, source).library(record.sha256 or hashlib.sha256(content).hexdigest())


class _Builder:
    """Makes cells from records; axes are shared."""

    def __init__(self, record: _LibraryRecord, source: str) -> None:
        self._record = record
        self._source = source
        self._slews = [np.array(axis, dtype=np.float64) for axis in record.slew_axes_ps]
        self._loads = [np.array(axis, dtype=np.float64) for axis in record.load_axes_ff]

    def library(self, sha256: str) -> CellLibrary:
        """The whole library."""
        record = self._record
        return CellLibrary(
            name=record.name,
            source=self._source,
            sha256=sha256,
            corner=record.corner,
            voltage_v=record.voltage_v,
            temperature_c=record.temperature_c,
            cells={name: self._cell(name, cell) for name, cell in record.cells.items()},
            notice=record.notice,
            reduction=None if record.reduction is None else Reduction(**dict(record.reduction)),
            left_out=record.left_out,
        )

    def _cell(self, name: str, record: _CellRecord) -> Cell:
        return Cell(
            name=name,
            area_um2=record.area_um2,
            leakage_nw=record.leakage_nw,
            pins={pin: self._pin(pin, fields) for pin, fields in record.pins.items()},
            flip_flop=None if record.flip_flop is None else FlipFlop(**dict(record.flip_flop)),
            is_latch=record.is_latch,
            dont_use=record.dont_use,
        )

    def _pin(self, name: str, record: _PinRecord) -> Pin:
        return Pin(
            name=name,
            direction=record.direction,
            capacitance_ff=record.capacitance_ff,
            function=record.function,
            is_clock=record.is_clock,
            arcs=tuple(self._arc(arc) for arc in record.arcs),
            internal=tuple(
                InternalEnergy(energy.related, self._table(energy.rise_fj), self._table(energy.fall_fj), energy.when)
                for energy in record.internal
            ),
        )

    def _arc(self, record: _ArcRecord) -> TimingArc:
        return TimingArc(
            related=record.related,
            delay_rise_ps=self._table(record.delay_rise_ps),
            delay_fall_ps=self._table(record.delay_fall_ps),
            slew_rise_ps=self._table(record.slew_rise_ps),
            slew_fall_ps=self._table(record.slew_fall_ps),
            when=record.when,
            sense=record.sense,
        )

    def _table(self, record: _TableRecord) -> Table:
        if record.slews >= len(self._slews) or record.loads >= len(self._loads):
            raise self._misfit(f"axes {record.slews} and {record.loads}, of {len(self._slews)} and {len(self._loads)}")
        slews, loads = self._slews[record.slews], self._loads[record.loads]
        if len(record.values) != len(slews) or any(len(row) != len(loads) for row in record.values):
            raise self._misfit(f"values that do not fit axes of {len(slews)} slews and {len(loads)} loads")
        return Table(slews, loads, np.array(record.values, dtype=np.float64))

    def _misfit(self, got: str) -> CellLibraryError:
        return CellLibraryError(
            f"{self._source}: expected tables that fit the file's axes, got {got}; make the table again with"
            " `fewflips cells distill FILE.lib`"
        )


class _Axes:
    """Numbered axes, each stored once."""

    def __init__(self, digits: int | None) -> None:
        self._digits = digits
        self._numbers: dict[tuple[float, ...], int] = {}

    def number(self, axis: NDArray[np.float64]) -> int:
        """Number of an axis."""
        return self._numbers.setdefault(tuple(_rounded(value, self._digits) for value in axis.tolist()), len(self))

    def __len__(self) -> int:
        return len(self._numbers)

    def listed(self) -> list[list[float]]:
        """All axes, in order."""
        return [list(axis) for axis in self._numbers]


_Json = dict[str, object]


class _Document:
    """A library as nested dicts and lists, without default values."""

    def __init__(self, digits: int | None) -> None:
        self._digits = digits
        self.slews = _Axes(digits)
        self.loads = _Axes(digits)

    def cell(self, cell: Cell) -> _Json:
        """A cell without its name."""
        document: _Json = {
            "area_um2": _rounded(cell.area_um2, self._digits),
            "leakage_nw": _rounded(cell.leakage_nw, self._digits),
        }
        if cell.flip_flop is not None:
            document["flip_flop"] = _given(vars(cell.flip_flop))
        document |= {flag: True for flag in ("is_latch", "dont_use") if getattr(cell, flag)}
        document["pins"] = {name: self._pin(pin) for name, pin in cell.pins.items()}
        return document

    def _pin(self, pin: Pin) -> _Json:
        document: _Json = {"direction": pin.direction}
        if pin.direction == "input":
            document["capacitance_ff"] = _rounded(pin.capacitance_ff, self._digits)
        if pin.function is not None:
            document["function"] = pin.function
        if pin.is_clock:
            document["is_clock"] = True
        if pin.arcs:
            document["arcs"] = [self._arc(arc) for arc in pin.arcs]
        if pin.internal:
            document["internal"] = [self._energy(energy) for energy in pin.internal]
        return document

    def _arc(self, arc: TimingArc) -> _Json:
        return {
            **_given({"related": arc.related, "when": arc.when, "sense": arc.sense}),
            "delay_rise_ps": self._table(arc.delay_rise_ps),
            "delay_fall_ps": self._table(arc.delay_fall_ps),
            "slew_rise_ps": self._table(arc.slew_rise_ps),
            "slew_fall_ps": self._table(arc.slew_fall_ps),
        }

    def _energy(self, energy: InternalEnergy) -> _Json:
        return {
            **_given({"related": energy.related, "when": energy.when}),
            "rise_fj": self._table(energy.rise_fj),
            "fall_fj": self._table(energy.fall_fj),
        }

    def _table(self, table: Table) -> _Json:
        axes = {"slews": self.slews.number(table.slews_ps), "loads": self.loads.number(table.loads_ff)}
        values = [[_rounded(value, self._digits) for value in row] for row in table.values.tolist()]
        return {**{name: number for name, number in axes.items() if number}, "values": values}


def _document(library: CellLibrary, digits: int | None) -> _Json:
    """A library as JSON, its figures rounded to a number of significant digits."""
    document = _Document(digits)
    cells = {name: document.cell(cell) for name, cell in library.cells.items()}
    head: _Json = {
        "format": _FORMAT,
        "name": library.name,
        "sha256": library.sha256,
        "corner": library.corner,
        "voltage_v": library.voltage_v,
        "temperature_c": library.temperature_c,
        "notice": library.notice,
    }
    if library.reduction is not None:
        head["reduction"] = vars(library.reduction)
    if digits is None and library.left_out:
        head["left_out"] = dict(library.left_out)
    return {**head, "slew_axes_ps": document.slews.listed(), "load_axes_ff": document.loads.listed(), "cells": cells}


def _given(fields: dict[str, str | None]) -> _Json:
    return {name: value for name, value in fields.items() if value is not None}


def _rounded(value: float, digits: int | None) -> float:
    return value if digits is None else round(float(f"{value:.{digits}g}"), digits)


def _indented(document: _Json) -> str:
    """JSON with line breaks only where a value does not fit on one line."""
    return "".join(_lines(document, "", ""))


def _lines(value: object, indent: str, before: str) -> Iterator[str]:
    flat = json.dumps(value)
    if not isinstance(value, dict | list) or len(indent) + len(before) + len(flat) < _WIDEST:
        yield before + flat
        return
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    yield before + opening
    items = [(f"{json.dumps(key)}: ", item) for key, item in value.items()] if isinstance(value, dict) else None
    pairs = items if items is not None else [("", item) for item in value]
    for position, (label, item) in enumerate(pairs):
        yield ("," if position else "") + "\n" + indent + " "
        yield from _lines(item, indent + " ", label)
    yield "\n" + indent + closing
