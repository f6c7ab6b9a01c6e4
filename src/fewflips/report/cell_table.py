"""Cell libraries as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from fewflips.gates.cells import CellLibrary


def cell_libraries_table(libraries: Sequence[CellLibrary]) -> Table:
    """Cell libraries, one a row.

    Parameters
    ----------
    libraries : sequence of CellLibrary
        The libraries.

    Returns
    -------
    rich.table.Table
        To be printed by a rich console.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("name", "library", "corner"):
        table.add_column(title, no_wrap=True)
    for title in ("V", "°C", "cells"):
        table.add_column(title, justify="right")
    for library in libraries:
        figures = (f"{library.voltage_v:g}", f"{library.temperature_c:g}", str(len(library.cells)))
        table.add_row(*(Text(cell) for cell in (library.source, library.name, library.corner, *figures)))
    return table
