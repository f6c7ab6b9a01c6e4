"""The meaning of a Liberty file's groups and attributes: cells with figures in fF, ps, fJ, nW and um^2.

The non-linear delay model (``table_lookup``) and non-linear power model are read; current-source tables, constraints
(setup, hold, pulse widths) and three-state arcs are skipped. Slews stay as the library measures them: its thresholds
and ``slew_derate_from_library`` apply equally to the slews that tables return and to those used for lookup.
Reference: the Liberty User Guide, volume 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Literal

import numpy as np

from fewflips.errors import CellLibraryError
from fewflips.gates.liberty.cells import Cell, CellLibrary, FlipFlop, InternalEnergy, Pin, Table, TimingArc
from fewflips.gates.liberty.functions import names_in
from fewflips.gates.liberty.lookup_tables import TableReader, Units, number
from fewflips.gates.liberty.syntax import Group

_TIMING_TYPES = {
    "combinational": ("rise", "fall"),
    "combinational_rise": ("rise",),
    "combinational_fall": ("fall",),
    "rising_edge": ("rise", "fall"),
    "falling_edge": ("rise", "fall"),
}
_OTHER_STATE = ("latch", "latch_bank", "ff_bank", "statetable")
_SENSES: dict[str, Literal["positive_unate", "negative_unate", "non_unate"]] = {
    "positive_unate": "positive_unate",
    "negative_unate": "negative_unate",
    "non_unate": "non_unate",
}
_MOST_VALUES = 20_000_000
_SEPARATORS = re.compile(r"[\s,]+")


def library_from_groups(library: Group, source: str, sha256: str, notice: str) -> CellLibrary:
    """The cells of a parsed Liberty file.

    Parameters
    ----------
    library : Group
        The file's library group.
    source : str
        The file's name.
    sha256 : str
        Digest of the file's content.
    notice : str
        Copyright and licence lines of its header.

    Raises
    ------
    CellLibraryError
        If units are missing or unknown, a figure of the library is not a number, its delay model is unsupported, or
        no cell of it can be read. Single cells that cannot be read are left out, with the reason.
    """
    if not any(library.of_kind("cell")):
        raise CellLibraryError(f"{source}: expected at least one cell group, got none; give a library of cells")
    name = library.names[0] if library.names else ""
    _check_delay_model(library, source)
    units = Units.of_library(library, source)
    conditions = _operating_conditions(library)
    voltage = _condition(library, conditions, "voltage", source)
    reader = _CellReader(library, units, source)
    cells, left_out = _cells(library, reader, source)
    return CellLibrary(
        name=name,
        source=source,
        sha256=sha256,
        corner=conditions.names[0] if conditions is not None and conditions.names else name,
        voltage_v=voltage * units.volt,
        temperature_c=_condition(library, conditions, "temperature", source),
        cells=cells,
        notice=notice,
        left_out=left_out,
    )


def _cells(library: Group, reader: _CellReader, source: str) -> tuple[dict[str, Cell], dict[str, str]]:
    """The cells that can be read, and why the others cannot, by name."""
    cells: dict[str, Cell] = {}
    left_out: dict[str, str] = {}
    for group in library.of_kind("cell"):
        names = group.names or [f"(a cell without a name in line {group.line})"]
        try:
            if names[0] in cells or names[0] in left_out:
                raise reader.error(group, "expected each cell once, got one of this name again")
            cells[names[0]] = reader.cell(group)
        except _TooManyValues:
            raise
        except CellLibraryError as error:
            for name in names:
                cells.pop(name, None)
                left_out[name] = str(error).removeprefix(f"{source}: ")
    if not cells:
        name, reason = next(iter(left_out.items()))
        raise CellLibraryError(f"{source}: expected cells that can be read, got none; {name[:60]!r}: {reason}")
    return cells, left_out


class _TooManyValues(CellLibraryError):
    """The library is too large for memory, whichever cell comes next."""


class _CellReader:
    """Reads cell groups, with the library's units, templates and defaults at hand."""

    def __init__(self, library: Group, units: Units, source: str) -> None:
        self._units = units
        self._source = source
        self._tables = TableReader(library, units, source)
        self._defaults = library.attributes
        self._values = 0

    def error(self, group: Group, what: str) -> CellLibraryError:
        """An error that says where in the file it is."""
        return CellLibraryError(f"{self._source}: line {group.line}: {what}")

    def cell(self, group: Group) -> Cell:
        """A cell with its pins."""
        names = group.names
        if len(names) != 1:
            raise self.error(group, f"expected cell (NAME), got {len(names)} names")
        for bus in group.of_kind("bus", "bundle"):
            raise self.error(bus, f"cell {names[0][:60]!r}: expected single pins, got a {bus.kind}")
        flip_flop = self._flip_flop(group)
        state = next(group.of_kind(*_OTHER_STATE), None)
        is_latch = state is not None or "clock_gating_integrated_cell" in group.attributes
        if flip_flop is None and next(group.of_kind("ff"), None) is not None:
            is_latch = True  # a master and a slave with separate clocks
        clocks = names_in(flip_flop.clocked_on) if flip_flop is not None else ()
        grounds = {pg.names[0] for pg in group.of_kind("pg_pin") if pg.names and "ground" in _pg_type(pg)}
        pins = {pin.name: pin for pin in self._pins(group, clocks, grounds)}
        has_three_state = any("three_state" in pin.attributes for pin in group.of_kind("pin"))
        has_inout = any(pin.attributes.get("direction") == "inout" for pin in group.of_kind("pin"))
        return Cell(
            name=names[0],
            area_um2=self._figure(group, "area", "0"),
            leakage_nw=self._leakage(group),
            pins=pins,
            flip_flop=flip_flop,
            is_latch=is_latch,
            dont_use=group.attributes.get("dont_use", "false").lower() == "true" or has_three_state or has_inout,
        )

    def _figure(self, group: Group, attribute: str, default: str) -> float:
        return number(group.attributes.get(attribute, default), attribute, self._source, group.line)

    def _flip_flop(self, cell: Group) -> FlipFlop | None:
        """State of a cell with one plain ff group."""
        groups = list(cell.of_kind("ff"))
        if len(groups) != 1 or "clocked_on_also" in groups[0].attributes:
            return None
        group, attributes = groups[0], groups[0].attributes
        if len(group.names) != 2 or "clocked_on" not in attributes or "next_state" not in attributes:
            raise self.error(group, "expected ff (STATE, INVERTED) with clocked_on and next_state, got other")
        state, inverted = group.names
        return FlipFlop(
            state=state,
            inverted_state=inverted,
            clocked_on=attributes["clocked_on"],
            next_state=attributes["next_state"],
            clear=attributes.get("clear"),
            preset=attributes.get("preset"),
        )

    def _leakage(self, cell: Group) -> float:
        """Leakage in nW: the cell's own figure, or the mean over its states, summed over supplies."""
        if "cell_leakage_power" in cell.attributes:
            return self._figure(cell, "cell_leakage_power", "0") * self._units.leakage
        by_supply: dict[str, list[float]] = {}
        for state in cell.of_kind("leakage_power"):
            supply = state.attributes.get("related_pg_pin", "")
            by_supply.setdefault(supply, []).append(self._figure(state, "value", "0"))
        if not by_supply:
            default = self._defaults.get("default_cell_leakage_power", "0")
            return number(default, "default_cell_leakage_power", self._source, cell.line) * self._units.leakage
        return sum(math.fsum(values) / len(values) for values in by_supply.values()) * self._units.leakage

    def _pins(self, cell: Group, clocks: tuple[str, ...], grounds: set[str]) -> Iterator[Pin]:
        """Signal pins, one for each name of a pin group."""
        for group in cell.of_kind("pin"):
            direction = group.attributes.get("direction")
            if direction == "input":
                for name in group.names:
                    yield self._input(group, name, clocks, grounds)
            elif direction == "output":
                function = None if "three_state" in group.attributes else group.attributes.get("function")
                for name in group.names:
                    arcs, internal = tuple(self._arcs(group)), tuple(self._internal(group, grounds))
                    yield Pin(name, "output", function=function, arcs=arcs, internal=internal)

    def _input(self, group: Group, name: str, clocks: tuple[str, ...], grounds: set[str]) -> Pin:
        is_clock = name in clocks or group.attributes.get("clock", "false").lower() == "true"
        return Pin(
            name,
            "input",
            capacitance_ff=self._capacitance(group) * self._units.farad,
            is_clock=is_clock,
            internal=tuple(self._internal(group, grounds)),
        )

    def _capacitance(self, pin: Group) -> float:
        """Input capacitance in the library's unit; the mean of both edges if only those are given."""
        edges = [edge for edge in ("rise_capacitance", "fall_capacitance") if edge in pin.attributes]
        if "capacitance" in pin.attributes or not edges:
            return self._figure(pin, "capacitance", self._defaults.get("default_input_pin_cap", "0"))
        return math.fsum(self._figure(pin, edge, "0") for edge in edges) / len(edges)

    def _arcs(self, pin: Group) -> Iterator[TimingArc]:
        """Combinational and clock-to-output arcs, one for each related pin."""
        of_other_models = found = False
        for group in pin.of_kind("timing"):
            edges = _TIMING_TYPES.get(group.attributes.get("timing_type", "combinational"))
            if edges is None:
                continue
            tables = {table.kind: table for table in group.groups}
            delays = [self._tables.time(tables.get(f"cell_{edge}")) for edge in ("rise", "fall")]
            slews = [self._tables.time(tables.get(f"{edge}_transition")) for edge in ("rise", "fall")]
            if delays == [None, None]:
                of_other_models = True  # or an arc that only orders events
                continue
            found = True
            if slews == [None, None]:
                raise self.error(
                    group, f"pin {pin.arguments[:40]!r}: expected rise_transition or fall_transition, got none"
                )
            figures = (*_both_edges(*delays), *_both_edges(*slews))
            for related in _listed(group.attributes.get("related_pin", "")):
                self._count(group, figures)
                yield TimingArc(
                    related,
                    *figures,
                    when=group.attributes.get("when"),
                    sense=_SENSES.get(group.attributes.get("timing_sense", ""), "non_unate"),
                )
        if of_other_models and not found:
            raise self.error(pin, f"pin {pin.arguments[:40]!r}: expected tables cell_rise or cell_fall, got none")

    def _internal(self, pin: Group, grounds: set[str]) -> Iterator[InternalEnergy]:
        """Internal energies, one for each related pin, without those of ground pins."""
        for group in pin.of_kind("internal_power"):
            if group.attributes.get("related_pg_pin") in grounds:
                continue
            tables = {table.kind: table for table in group.groups}
            both = tables.get("power")
            rise = self._tables.energy(tables.get("rise_power", both)) or _NOTHING
            fall = self._tables.energy(tables.get("fall_power", both)) or _NOTHING
            for related in _listed(group.attributes.get("related_pin", "")) or (None,):
                self._count(group, (rise, fall))
                yield InternalEnergy(related, rise, fall, group.attributes.get("when"))

    def _count(self, group: Group, tables: tuple[Table, ...]) -> None:
        """Stop a file that repeats its tables for ever more pins from filling the memory."""
        self._values += sum(table.values.size for table in tables)
        if self._values > _MOST_VALUES:
            raise _TooManyValues(
                f"{self._source}: line {group.line}: expected at most {_MOST_VALUES} table values, got more; "
                "leave out cells"
            )


def _both_edges(rise: Table | None, fall: Table | None) -> tuple[Table, Table]:
    """The tables of both edges; if only one is given, it is used for both."""
    return rise or fall or _NOTHING, fall or rise or _NOTHING


_NOTHING = Table(np.zeros(1), np.zeros(1), np.zeros((1, 1)))


def _listed(names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in _SEPARATORS.split(names) if name))


def _pg_type(pg_pin: Group) -> str:
    return pg_pin.attributes.get("pg_type", "")


def _check_delay_model(library: Group, source: str) -> None:
    model = library.attributes.get("delay_model", "table_lookup")
    if model != "table_lookup":
        raise CellLibraryError(
            f"{source}: expected delay_model table_lookup, got {model[:40]!r}; give a library with lookup tables"
        )


def _operating_conditions(library: Group) -> Group | None:
    """The default operating conditions, or the only ones."""
    groups = list(library.of_kind("operating_conditions"))
    default = library.attributes.get("default_operating_conditions")
    named = [group for group in groups if default in group.names]
    if named:
        return named[0]
    return groups[0] if len(groups) == 1 else None


def _condition(library: Group, conditions: Group | None, what: str, source: str) -> float:
    """Voltage or temperature: of the operating conditions, or the nominal one."""
    group = conditions if conditions is not None and what in conditions.attributes else library
    attribute = what if group is conditions else f"nom_{what}"
    if attribute not in group.attributes:
        raise CellLibraryError(
            f"{source}: expected {attribute}, or operating_conditions with {what}, got neither; add one to the library"
        )
    return number(group.attributes[attribute], attribute, source, group.line)
