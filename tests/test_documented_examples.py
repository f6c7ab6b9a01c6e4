"""What examples in docs/ print is what they say."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGES = [
    page for page in sorted((Path(__file__).parent.parent / "docs").glob("*.md")) if "\n>>> " in page.read_text("utf-8")
]


def test_there_are_examples() -> None:
    assert "transition_costs.md" in [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_print_what_the_page_says(page: Path) -> None:
    text = re.sub(r"^```.*$", "", page.read_text("utf-8"), flags=re.MULTILINE)  # else a fence is expected output
    examples = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    told: list[str] = []
    found = doctest.DocTestRunner(verbose=False).run(examples, out=told.append)
    assert found.attempted > 0
    assert found.failed == 0, "".join(told)
