"""Every property can be tried with more examples."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import settings

from tests.property_settings import FRESH_TIMES, USUAL_EXAMPLES, examples

TESTS = Path(__file__).parent


def test_no_property_has_settings_that_a_profile_cannot_change() -> None:
    """`settings(...)` of Hypothesis as a decorator would fix the number of examples and the derandomization."""
    found = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", []):
                name = ast.unparse(decorator).partition("(")[0]
                if name.split(".")[-1] == "settings":
                    found.append(f"{path.relative_to(TESTS)}:{decorator.lineno}")
    assert found == []


@pytest.mark.parametrize(("profile", "times"), [("fixed", 1), ("fresh", FRESH_TIMES)])
def test_profiles_multiply_the_examples(profile: str, times: int) -> None:
    before = settings.get_current_profile_name()
    try:
        settings.load_profile(profile)
        assert settings().max_examples == times * USUAL_EXAMPLES
        assert examples(7).max_examples == times * 7
        assert settings().derandomize == (profile == "fixed")
    finally:
        settings.load_profile(before)
