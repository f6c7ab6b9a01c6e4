"""Every figure in the README and docs is the one of its record, and none is held by nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.figures.facts import facts
from scripts.figures.origin import ROOT
from scripts.figures.pages import page_paths, with_tables
from scripts.figures.prose import PageRegistry, read_registry, renewed, unregistered
from scripts.figures.tables import TABLES

PAGES = [path.relative_to(ROOT).as_posix() for path in page_paths()]
REGISTRY = read_registry()
EVERYWHERE = REGISTRY.get("everywhere", PageRegistry())


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_of_their_records(page: str) -> None:
    assert with_tables(text_of(page)) == text_of(page), "run `python -m scripts.figures`"


@pytest.mark.parametrize("page", PAGES)
def test_figures_in_prose_are_those_of_their_records(page: str) -> None:
    held = REGISTRY.get(page, PageRegistry()).held
    assert renewed(text_of(page), held, facts()) == text_of(page), "run `python -m scripts.figures`"


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_in_prose_is_held_or_exempt(page: str) -> None:
    found = unregistered(text_of(page), REGISTRY.get(page, PageRegistry()), EVERYWHERE)
    assert found == [], "hold each in scripts/figures/registry.toml, or exempt it there with the reason"


def test_the_registry_names_no_other_pages() -> None:
    assert set(REGISTRY) - {"everywhere"} <= set(PAGES)


def test_every_table_is_on_a_page() -> None:
    texts = "".join(map(text_of, [*PAGES, *(str(path.relative_to(ROOT)) for path in Path(ROOT / "docs").glob("*.md"))]))
    assert [name for name in TABLES if f"<!-- table: {name} -->" not in texts] == []
