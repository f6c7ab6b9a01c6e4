"""Units and lookup tables of Liberty files."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import CellLibraryError
from fewflips.gates.liberty.cells import Table
from fewflips.gates.liberty.syntax import Group, split_arguments

_EXPONENTS = {"": 0, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}
_QUANTITY = re.compile(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([munpf]?)([a-z])\s*", re.IGNORECASE)
_AXES = {
    "input_net_transition": "slew",
    "input_transition_time": "slew",
    "total_output_net_capacitance": "load",
}
_DEFAULT_UNITS = {"time_unit": "1ns", "voltage_unit": "1V"}
_LARGEST_TABLE = 1 << 16
_LONGEST_NUMBER = 64  # including the separator after it


@dataclass(frozen=True)
class Units:
    """The library's units, in fewflips' units.

    Parameters
    ----------
    second : float
        Time, in ps.
    farad : float
        Capacitance, in fF.
    volt : float
        Voltage, in V.
    leakage : float
        Leakage power, in nW.
    """

    second: float
    farad: float
    volt: float
    leakage: float

    @property
    def joule(self) -> float:
        """Internal energy in fJ: Liberty measures it in units of capacitance times voltage squared."""
        return self.farad * self.volt**2

    @classmethod
    def of_library(cls, library: Group, source: str) -> Units:
        """Units stated by a library group.

        By default the standard has units of time and voltage, 1 ns and 1 V, but none of capacitance. Leakage
        figures are then without a unit, which is harmless if there are none.

        Raises
        ------
        CellLibraryError
            If one is missing or unknown; the message names the attribute.
        """
        attributes = dict(_DEFAULT_UNITS)
        if not _has_leakage(library):
            attributes["leakage_power_unit"] = "1nW"
        attributes |= library.attributes
        if "capacitive_load_unit" not in library.complex:
            raise _unknown_unit(source, "capacitive_load_unit", "(1, pf)", None)
        load = split_arguments(library.complex["capacitive_load_unit"])
        return cls(
            second=_quantity(attributes["time_unit"], "time_unit", "1ns", "ps", source),
            farad=_quantity("".join(load), "capacitive_load_unit", "(1, pf)", "ff", source),
            volt=_quantity(attributes["voltage_unit"], "voltage_unit", "1V", "v", source),
            leakage=_quantity(attributes.get("leakage_power_unit"), "leakage_power_unit", "1nW", "nw", source),
        )


class TableReader:
    """Reads tables by the library's templates."""

    def __init__(self, library: Group, units: Units, source: str) -> None:
        self._units = units
        self._source = source
        self._templates = {
            (kind, name): template
            for kind in ("lu_table_template", "power_lut_template")
            for template in library.of_kind(kind)
            for name in template.names[:1]
        }
        self._axes: dict[tuple[str, float], NDArray[np.float64]] = {}

    def time(self, group: Group | None) -> Table | None:
        """A table of delays or slews, in ps; None for no group."""
        return None if group is None else self._table(group, "lu_table_template", self._units.second)

    def energy(self, group: Group | None) -> Table | None:
        """A table of energies, in fJ; None for no group."""
        return None if group is None else self._table(group, "power_lut_template", self._units.joule)

    def _table(self, group: Group, kind: str, unit: float) -> Table:
        """A table with slews along its rows and loads along its columns, whatever the template's order."""
        axes: dict[Literal["slew", "load"], NDArray[np.float64]] = {}
        order = self._axis_order(group, kind)
        for position, axis in enumerate(order, 1):
            axes[axis] = self._axis(group, kind, position, axis)
        slews, loads = axes.get("slew", _ZERO), axes.get("load", _ZERO)
        if "values" not in group.complex:
            raise self._error(group, f"{group.kind}: expected values (...), got none")
        values = self._numbers(group, "values", group.complex["values"])
        if len(values) != len(slews) * len(loads):
            raise self._error(
                group, f"{group.kind}: expected {len(slews)} slews x {len(loads)} loads, got {len(values)} values"
            )
        if order[:1] == ["load"]:
            grid = values.reshape(len(loads), len(slews)).T
        else:
            grid = values.reshape(len(slews), len(loads))
        return Table(slews, loads, np.ascontiguousarray(grid) * unit)

    def _axis_order(self, group: Group, kind: str) -> list[Literal["slew", "load"]]:
        """The meanings of the template's variables, in order; none for scalars."""
        names = group.names
        if not names or names[0] == "scalar":
            return []
        template = self._templates.get((kind, names[0]))
        if template is None:
            raise self._error(group, f"{group.kind}: expected a {kind} of the library, got {names[0][:60]!r}")
        order: list[Literal["slew", "load"]] = []
        position = 1
        while (variable := template.attributes.get(f"variable_{position}")) is not None:
            axis = _AXES.get(variable)
            if axis is None or axis in order:
                raise self._error(
                    group,
                    f"{group.kind}: expected tables over input transition and total_output_net_capacitance, got"
                    f" {variable[:60]!r} in {kind} {names[0][:60]!r}",
                )
            order.append("slew" if axis == "slew" else "load")
            position += 1
        return order

    def _axis(self, group: Group, kind: str, position: int, axis: str) -> NDArray[np.float64]:
        """Points of an axis, the table's own or the template's; equal ones are shared."""
        index = f"index_{position}"
        text = group.complex.get(index)
        if text is None:
            text = self._templates[kind, group.names[0]].complex.get(index, "")
        unit = self._units.second if axis == "slew" else self._units.farad
        known = self._axes.get((text, unit))
        if known is not None:
            return known
        points = self._numbers(group, index, text)
        if len(points) == 0 or np.any(np.diff(points) <= 0):
            raise self._error(group, f"{group.kind}: expected increasing numbers in {index}, got {text.strip()[:60]!r}")
        self._axes[text, unit] = points * unit
        return self._axes[text, unit]

    def _numbers(self, group: Group, attribute: str, text: str) -> NDArray[np.float64]:
        if len(text) > _LARGEST_TABLE * _LONGEST_NUMBER:
            raise self._error(group, f"{group.kind}: expected at most {_LARGEST_TABLE} {attribute}, got more")
        parts = text.replace('"', " ").replace(",", " ").replace("\\", " ").split()
        if len(parts) > _LARGEST_TABLE:
            raise self._error(group, f"{group.kind}: expected at most {_LARGEST_TABLE} {attribute}, got {len(parts)}")
        return np.array([number(part, attribute, self._source, group.line) for part in parts], dtype=np.float64)

    def _error(self, group: Group, what: str) -> CellLibraryError:
        return CellLibraryError(f"{self._source}: line {group.line}: {what}")


_ZERO = np.zeros(1)


def number(text: str, attribute: str, source: str, line: int) -> float:
    """A finite number.

    Raises
    ------
    CellLibraryError
        If the text is not one; the message names the attribute.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CellLibraryError(f"{source}: line {line}: expected a number for {attribute}, got {text[:40]!r}")
    return value


def _has_leakage(library: Group) -> bool:
    cells = library.of_kind("cell")
    of_cells = ("cell_leakage_power" in cell.attributes or any(cell.of_kind("leakage_power")) for cell in cells)
    return "default_cell_leakage_power" in library.attributes or any(of_cells)


def _quantity(text: str | None, attribute: str, example: str, wanted: str, source: str) -> float:
    """A positive quantity in the wanted unit, given as a prefix and a symbol."""
    match = _QUANTITY.fullmatch(text or "")
    if match is None or match.group(3).lower() != wanted[-1]:
        raise _unknown_unit(source, attribute, example, text)
    exponent = _EXPONENTS[match.group(2).lower()] - _EXPONENTS[wanted[:-1]]
    try:
        value = float(match.group(1)) * 10.0**exponent
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise _unknown_unit(source, attribute, example, text)
    return value


def _unknown_unit(source: str, attribute: str, example: str, text: str | None) -> CellLibraryError:
    got = "no such attribute" if text is None else repr(text[:40])
    return CellLibraryError(f"{source}: expected {attribute} such as {example}, got {got}; correct the library's units")
