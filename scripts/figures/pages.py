"""Renews the tables and the figures in the text of a page."""

from __future__ import annotations

import re
from pathlib import Path

from fewflips.errors import InputError

from .facts import facts
from .origin import ROOT
from .prose import PageRegistry, renewed
from .tables import TABLES

_MARK = re.compile(r"<!-- table: ([\w -]+) -->\n.*?<!-- end of table: \1 -->", re.DOTALL)


def page_paths() -> list[Path]:
    """Pages whose figures are held."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "results" / "discussion.md"]


def with_tables(text: str) -> str:
    """A page with every table between its marks as its records have it.

    Raises
    ------
    InputError
        If a mark names no table.
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in TABLES:
            raise InputError(f"<!-- table: {name} -->: expected one of {', '.join(TABLES)}")
        return f"<!-- table: {name} -->\n\n{TABLES[name]()}\n\n<!-- end of table: {name} -->"

    return _MARK.sub(replace, text)


def with_figures(text: str, registry: PageRegistry) -> str:
    """A page with its tables and held figures renewed."""
    return renewed(with_tables(text), registry.held, facts())
