"""Cell libraries as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fewflips.gates.liberty.cells import CellLibrary
from fewflips.visible import one_line, printable, shorten_middle

_MOST_NAMED = 3


def cell_libraries_table(libraries: Sequence[CellLibrary]) -> RenderableType:
    """Cell libraries, one per row, and the cells left out of them.

    Parameters
    ----------
    libraries : sequence of CellLibrary
        The libraries.

    Returns
    -------
    rich.console.RenderableType
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
    return Group(table, *(Text(note) for library in libraries if (note := left_out_note(library)) is not None))


def left_out_note(library: CellLibrary) -> str | None:
    """Which cells of a library cannot be read, and why, in a sentence; None if all can be read.

    Parameters
    ----------
    library : CellLibrary
        The library.

    Returns
    -------
    str or None
        Sentence that names the first three.

    Examples
    --------
    >>> from fewflips.gates.liberty.load import load_cells
    >>> left_out_note(load_cells("nangate45")) is None
    True
    """
    count, named = len(library.left_out), list(library.left_out.items())[:_MOST_NAMED]
    if not count:
        return None
    listed = "; ".join(f"{shorten_middle(printable(name), 60)} ({one_line(reason, 200)})" for name, reason in named)
    more = f"; and {count - len(named)} more" if count > len(named) else ""
    which = "1 cell that cannot be read is" if count == 1 else f"{count} cells that cannot be read are"
    return f"{printable(library.source)}: {which} left out: {listed}{more}"
