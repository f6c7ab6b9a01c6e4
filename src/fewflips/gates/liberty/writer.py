"""Writes cells as a Liberty file, for programs that read nothing else: Yosys, ABC, OpenSTA."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import CellLibraryError
from fewflips.gates.liberty.cells import Cell, CellLibrary, FlipFlop, InternalEnergy, Pin, Table, TimingArc
from fewflips.gates.liberty.functions import names_in, truth_table

_HEAD = """\
library ({name}) {{
  delay_model : table_lookup;
  time_unit : "1ps";
  voltage_unit : "1V";
  current_unit : "1uA";
  pulling_resistance_unit : "1kohm";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1, ff);
  nom_process : 1;
  nom_voltage : {voltage};
  nom_temperature : {temperature};
  operating_conditions ({corner}) {{
    process : 1;
    voltage : {voltage};
    temperature : {temperature};
  }}
  default_operating_conditions : {corner};
  input_threshold_pct_rise : 50;
  input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50;
  output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 20;
  slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_rise : 80;
  slew_upper_threshold_pct_fall : 80;
"""
_VARIABLES = {
    "lu_table_template": ("input_net_transition", "total_output_net_capacitance"),
    "power_lut_template": ("input_transition_time", "total_output_net_capacitance"),
}


def liberty_text(library: CellLibrary) -> str:
    """A library as the text of a Liberty file.

    Units are 1 ps, 1 fF, 1 V and 1 nW, and numbers are written exactly: `read_liberty` returns the
    same cells. Slews stay as the library defines them; OpenSTA insists on thresholds for them, which do not matter
    as long as these tables are used only with one another. Cells that cannot be simulated (latches, clock gates)
    are left out, so that no mapper uses them.

    Parameters
    ----------
    library : CellLibrary
        Any library.

    Returns
    -------
    str
        The file's text.

    Raises
    ------
    CellLibraryError
        If a name or an expression contains a quotation mark, a backslash or a line break.
    """
    templates = _Templates()
    cells = [line for cell in library.cells.values() if not cell.is_latch for line in _cell(cell, templates)]
    head = _HEAD.format(
        name=_quoted(library.name),
        corner=_quoted(library.corner),
        voltage=_number(library.voltage_v),
        temperature=_number(library.temperature_c),
    )
    return head + "\n".join(["", *templates.lines(), "", *cells, "}", ""])


class _Templates:
    """Table templates, one for each pair of axes."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, bytes, bytes], str] = {}
        self._lines: list[str] = []

    def name(self, kind: str, table: Table) -> str:
        """Name of the template for a table; ``scalar`` for single values."""
        axes = [axis for axis in (table.slews_ps, table.loads_ff) if not _is_absent(axis)]
        if not axes:
            return "scalar"
        key = kind, table.slews_ps.tobytes(), table.loads_ff.tobytes()
        if key not in self._names:
            self._names[key] = f"{kind.removesuffix('_template')}_{len(self._names)}"
            self._lines.extend(self._template(kind, self._names[key], table))
        return self._names[key]

    def lines(self) -> list[str]:
        """All templates, as text."""
        return self._lines

    def _template(self, kind: str, name: str, table: Table) -> Iterator[str]:
        given = [
            (variable, axis)
            for variable, axis in zip(_VARIABLES[kind], (table.slews_ps, table.loads_ff), strict=True)
            if not _is_absent(axis)
        ]
        yield f"  {kind} ({name}) {{"
        for position, (variable, _) in enumerate(given, 1):
            yield f"    variable_{position} : {variable};"
        for position, (_, axis) in enumerate(given, 1):
            yield f"    index_{position} ({_numbers(axis)});"
        yield "  }"


def _is_absent(axis: NDArray[np.float64]) -> bool:
    """Whether a table does not depend on an axis."""
    return len(axis) == 1 and axis[0] == 0


def _cell(cell: Cell, templates: _Templates) -> Iterator[str]:
    yield f"  cell ({_quoted(cell.name)}) {{"
    yield f"    area : {_number(cell.area_um2)};"
    yield f"    cell_leakage_power : {_number(cell.leakage_nw)};"
    if cell.dont_use:
        yield "    dont_use : true;"
    if cell.flip_flop is not None:
        yield from _flip_flop(cell.flip_flop)
    for pin in cell.pins.values():
        yield from _pin(pin, cell.flip_flop, templates)
    yield "  }"


def _flip_flop(state: FlipFlop) -> Iterator[str]:
    yield f"    ff ({_quoted(state.state)}, {_quoted(state.inverted_state)}) {{"
    yield f"      clocked_on : {_quoted(state.clocked_on)};"
    yield f"      next_state : {_quoted(state.next_state)};"
    if state.clear is not None:
        yield f"      clear : {_quoted(state.clear)};"
    if state.preset is not None:
        yield f"      preset : {_quoted(state.preset)};"
    if state.clear is not None and state.preset is not None:
        yield "      clear_preset_var1 : L;"
        yield "      clear_preset_var2 : L;"
    yield "    }"


def _pin(pin: Pin, flip_flop: FlipFlop | None, templates: _Templates) -> Iterator[str]:
    yield f"    pin ({_quoted(pin.name)}) {{"
    yield f"      direction : {pin.direction};"
    if pin.direction == "input":
        yield f"      capacitance : {_number(pin.capacitance_ff)};"
    if pin.is_clock:
        yield "      clock : true;"
    if pin.function is not None:
        yield f"      function : {_quoted(pin.function)};"
    for arc in pin.arcs:
        yield from _timing(arc, _timing_type(arc, flip_flop), templates)
    for energy in pin.internal:
        yield from _internal_power(energy, templates)
    yield "    }"


def _timing_type(arc: TimingArc, flip_flop: FlipFlop | None) -> str:
    """Whether an arc starts at the clock, and at which edge."""
    if flip_flop is None or names_in(flip_flop.clocked_on) != (arc.related,):
        return "combinational"
    return "falling_edge" if truth_table(flip_flop.clocked_on, [arc.related]) == 0b01 else "rising_edge"


def _timing(arc: TimingArc, timing_type: str, templates: _Templates) -> Iterator[str]:
    yield "      timing () {"
    yield f"        related_pin : {_quoted(arc.related)};"
    yield f"        timing_type : {timing_type};"
    yield f"        timing_sense : {arc.sense};"
    if arc.when is not None:
        yield f"        when : {_quoted(arc.when)};"
    yield from _table("cell_rise", "lu_table_template", arc.delay_rise_ps, templates)
    yield from _table("cell_fall", "lu_table_template", arc.delay_fall_ps, templates)
    yield from _table("rise_transition", "lu_table_template", arc.slew_rise_ps, templates)
    yield from _table("fall_transition", "lu_table_template", arc.slew_fall_ps, templates)
    yield "      }"


def _internal_power(energy: InternalEnergy, templates: _Templates) -> Iterator[str]:
    yield "      internal_power () {"
    if energy.related is not None:
        yield f"        related_pin : {_quoted(energy.related)};"
    if energy.when is not None:
        yield f"        when : {_quoted(energy.when)};"
    yield from _table("rise_power", "power_lut_template", energy.rise_fj, templates)
    yield from _table("fall_power", "power_lut_template", energy.fall_fj, templates)
    yield "      }"


def _table(kind: str, template_kind: str, table: Table, templates: _Templates) -> Iterator[str]:
    by_row = table.values.reshape(1, -1) if _is_absent(table.loads_ff) else table.values
    rows = ", ".join(_numbers(row) for row in by_row)
    yield f"        {kind} ({templates.name(template_kind, table)}) {{ values ({rows}); }}"


def _numbers(values: Iterable[float]) -> str:
    return '"' + ", ".join(_number(value) for value in values) + '"'


def _number(value: float) -> str:
    return repr(float(value))


def _quoted(text: str) -> str:
    if any(character in text for character in '"\\\r\n'):
        raise CellLibraryError(
            f"cannot write {text[:60]!r} to a Liberty file: expected no quotation marks, backslashes or line breaks;"
            " rename it"
        )
    return f'"{text}"'
