"""Rows of `results/codesign.json`, and the machines beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write
from fewflips.machine import Accelerator
from fewflips.machine.yaml_text import machine_yaml

from .rows import Row

_ROWS = TypeAdapter(list[Row])


def read_results(folder: Path) -> list[Row]:
    """Rows that were written before.

    Parameters
    ----------
    folder : Path
        Folder of ``codesign.json``.

    Returns
    -------
    list of Row
        None if there is no such file.

    Raises
    ------
    InputError
        If it holds something else.
    """
    path = folder / "codesign.json"
    if not path.is_file():
        return []
    try:
        return _ROWS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{path}: expected rows of `python -m scripts.codesign`: {error.errors()[0]['msg']}"
        ) from error


def store_results(folder: Path, rows: Sequence[Row], machines: Sequence[Accelerator]) -> None:
    """Write rows in place of those of the same networks with the same cells, and machines that rows name.

    Parameters
    ----------
    folder : Path
        Folder of ``codesign.json``; machines are written to its folder ``codesign``.
    rows : sequence of Row
        New rows.
    machines : sequence of Accelerator
        Machines that were searched for them.
    """
    renewed = {(row.network, row.cells) for row in rows}
    kept = [row for row in read_results(folder) if (row.network, row.cells) not in renewed]
    together = sorted([*kept, *rows], key=lambda row: (row.network, row.cells))
    beside = folder / "codesign"
    beside.mkdir(parents=True, exist_ok=True)
    for machine in machines:
        atomic_write(beside / _file_name(machine.name), machine_yaml(machine).encode())
    lines = b",\n".join(row.model_dump_json().encode() for row in together)
    atomic_write(folder / "codesign.json", b"[\n" + lines + b"\n]\n")  # a row a line
    named = {_file_name(row.machine) for row in together}
    for path in beside.glob("*.yaml"):
        if path.name not in named:
            path.unlink()


def _file_name(machine: str) -> str:
    return re.sub(r"\W+", "_", machine).strip("_") + ".yaml"
