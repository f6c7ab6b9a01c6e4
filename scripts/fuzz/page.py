"""The tables of runs in docs/reliability.md, and the records that they are from.

A run of all kinds has the first table; kinds that came after it have a run, and a table, of their own.
"""

from __future__ import annotations

import json
from pathlib import Path

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write

from .kinds import KINDS
from .record import ROOT, Record, table

PAGE, RECORD, LATER = (
    ROOT / name for name in ("docs/reliability.md", "results/fuzzing.json", "results/fuzzing_later.json")
)
_BEGIN = {
    RECORD: "<!-- begin of the table: python -m scripts.fuzz --page FILE -->",
    LATER: "<!-- begin of the table: python -m scripts.fuzz --page FILE, of later kinds -->",
}
_END = "<!-- end of the table -->"


def block(record: Record, place: Path) -> str:
    """What the page says of a run, whose record is kept at a place."""
    total = sum(record.planned.values())
    found = f"{len(record.findings)} findings" if record.findings else "no finding"
    kinds = "" if place == RECORD else f"--kinds {' '.join(record.planned)} "
    command = f"`python -m scripts.fuzz {kinds}--inputs {total} --seed {record.seed} --json FILE`"
    said = f"{command}: {total:,} inputs, {found} (code with the digest {record.tree[:12]})"
    return f"{_BEGIN[place]}\n{said}:\n\n{table(record)}\n\n{_END}"


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
    place = RECORD if set(record.planned) == set(KINDS) else LATER
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN[place])
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise InputError(f"{PAGE}: expected the marks of the table, found none")
    atomic_write(PAGE, (before + block(record, place) + after).encode())
    atomic_write(place, (json.dumps(record.content(), indent=1) + "\n").encode())
