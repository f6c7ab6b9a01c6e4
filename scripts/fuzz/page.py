"""The table of a run in docs/reliability.md, and the record that it is from."""

from __future__ import annotations

import json
from pathlib import Path

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write

from .record import ROOT, Record, table

PAGE, RECORD = ROOT / "docs" / "reliability.md", ROOT / "results" / "fuzzing.json"
_BEGIN, _END = "<!-- begin of the table: python -m scripts.fuzz --page FILE -->", "<!-- end of the table -->"


def block(record: Record) -> str:
    """What the page says of a run."""
    total = sum(record.planned.values())
    found = f"{len(record.findings)} findings" if record.findings else "no finding"
    command = f"`python -m scripts.fuzz --inputs {total} --seed {record.seed} --json FILE`"
    said = f"{command}: {total:,} inputs, {found} (code with the digest {record.tree[:12]})"
    return f"{_BEGIN}\n{said}:\n\n{table(record)}\n\n{_END}"


def write_page(path: Path) -> None:
    """Put the table of a run into the page, and keep the record beside it.

    Raises
    ------
    InputError
        If the run is not complete, or the page has no place for it.
    """
    record = Record.read(path)
    if not record.is_complete:
        raise InputError(f"{path}: expected the record of a whole run, got one that was cut off: let it go on")
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise InputError(f"{PAGE}: expected the marks of the table, found none")
    atomic_write(PAGE, (before + block(record) + after).encode())
    atomic_write(RECORD, (json.dumps(record.content(), indent=1) + "\n").encode())
