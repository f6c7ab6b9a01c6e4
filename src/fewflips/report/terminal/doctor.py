"""What an installation has and lacks, in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fewflips.records.doctor import CacheFolder, DoctorReport, InstalledPart
from fewflips.report.numbers import ABSENT, with_si_prefix
from fewflips.report.terminal.console_tables import page
from fewflips.visible import visible


def doctor_table(report: DoctorReport) -> Group:
    """Everything found, and for each part that is missing what it would enable and how to install it.

    Parameters
    ----------
    report : DoctorReport
        Result of ``fewflips doctor``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console.
    """
    title = f"fewflips {report.fewflips}, Python {report.python}, {report.system}, {report.processors} processors"
    missing = [part for part in report.parts if not part.usable]
    advice = [f"{part.name}: {part.enables}. {_remedy(part)}" for part in missing]
    caches = [_cache_words(cache) for cache in report.caches]
    verdict = "Everything that is needed is there." if report.healthy else "Something that is needed is MISSING."
    heading = ["Missing, and what it would enable:"] if advice else []
    return page(title, _parts(report), *caches, *heading, *dict.fromkeys(advice), verdict)


def _parts(report: DoctorReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("part", "for", "version", "needs"):
        table.add_column(heading, no_wrap=heading == "part")
    for part in report.parts:
        kind = f"extra {part.extra}" if part.kind == "extra" else part.kind
        version = visible(part.version) if part.version else "missing"
        table.add_row(
            *(Text(cell) for cell in (part.name, kind, version, f">= {part.lowest}" if part.lowest else ABSENT))
        )
    return table


def _remedy(part: InstalledPart) -> str:
    found = f"It is {part.version}, too old; " if part.version else ""
    return f"{found}{part.install}"


def _cache_words(cache: CacheFolder) -> str:
    state = f"{cache.entries} entries, {with_si_prefix(cache.size_bytes, ' ')}B" if cache.entries else "empty"
    trouble = "" if cache.writable else f"; cannot be written: {cache.advice}"
    return f"Cache of {cache.name}: {visible(cache.path)}, {state}{trouble}."
