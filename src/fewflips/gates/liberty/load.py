"""Cell libraries by the name of a built-in table, from cell tables, or from Liberty files."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from fewflips.errors import CellLibraryError
from fewflips.gates.liberty.cell_table import library_from_json, read_cell_table
from fewflips.gates.liberty.cells import CellLibrary


def builtin_tables() -> tuple[str, ...]:
    """Names of the reduced tables that ship with the package.

    Examples
    --------
    >>> "nangate45" in builtin_tables()
    True
    """
    folder = resources.files("fewflips.gates.liberty") / "cell_tables"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))


def load_cells(source: str | Path | CellLibrary = "nangate45") -> CellLibrary:
    """Cells by name or from a file.

    Parameters
    ----------
    source : str, Path or CellLibrary
        Name of a built-in table (`builtin_tables`), a table's file (``.json``), a Liberty file (``.lib``,
        ``.lib.gz``), or loaded cells, which are returned unchanged.

    Returns
    -------
    CellLibrary
        Its cells.

    Raises
    ------
    CellLibraryError
        If the name is not known, or the file is missing or damaged.

    Examples
    --------
    >>> library = fewflips.load_cells("nangate45")
    >>> library.name, library.voltage_v, len(library.cells)
    ('NangateOpenCellLibrary', 1.1, 20)
    """
    if isinstance(source, CellLibrary):
        return source
    name = str(source)
    if name in builtin_tables():
        table = resources.files("fewflips.gates.liberty") / "cell_tables" / f"{name}.json"
        return library_from_json(table.read_bytes(), name)
    if name.endswith(".json"):
        return read_cell_table(name)
    if name.endswith((".lib", ".lib.gz", ".liberty", ".liberty.gz")) or os.path.isfile(name):
        from fewflips.gates.liberty.reader import read_liberty

        return read_liberty(name)
    raise CellLibraryError(
        f"unknown cells {name[:200]!r}: expected {', '.join(builtin_tables())}, a Liberty file (.lib, .lib.gz) or a"
        " table made by `fewflips cells distill` (.json)"
    )
