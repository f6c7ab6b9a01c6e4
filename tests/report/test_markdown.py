"""Markdown of names from files, read by markdown-it-py, which knows nothing of how it was written."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from fewflips.report.markdown.calibration import calibration_markdown
from fewflips.report.markdown.escaping import code, inline, table
from fewflips.visible import printable
from tests.calibration import hand_made

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

HOSTILE = (
    "<script>alert(1)</script>",
    "[click](https://example.org)",
    "![x](https://example.org/x.png)",
    "<https://example.org>",
    "a|b\\|c",
    "*a* **b** _c_ __d__ ~~e~~ `f` ``g",
    "&lt;b&gt; &#60;",
    "# a",
    "- a",
    "1. a",
    "12) a",
    "+ a",
    "===",
    "> a",
    "a\\",
    "\\*a\\*",
    "snake_case_name.onnx",
    "[a]: https://example.org",
    "line\n\nline <b>",
)


MARKUP = {"html_inline", "html_block", "link_open", "image", "em_open", "strong_open", "s_open"}


def leaves(markdown: str) -> Iterator[Token]:
    for token in PARSER.parse(markdown):
        yield from token.children or [token]


def shown(markdown: str) -> str:
    return "".join(token.content for token in leaves(markdown))


def kinds(markdown: str) -> set[str]:
    return {token.type for token in leaves(markdown)}


printed = st.text(st.characters(exclude_categories=("C", "Z")) | st.sampled_from("\\`*_{}[]<>|&~$#()!:/.+-=1 aw\"'"))


def as_text(text: str) -> str:
    """Blanks at the ends of a paragraph are no part of it."""
    return text.strip(" ") or "(no name)"


@given(printed)
@example("a_b_")
@example("\\\\|")
@example("http://a_b.www.c")
def test_text_reads_as_itself(text: str) -> None:
    text = as_text(text)
    assert shown(inline(text)) == text
    assert kinds(inline(text)) <= {"paragraph_open", "text", "text_special", "paragraph_close"}


@given(printed)
def test_text_in_a_table_reads_as_itself(text: str) -> None:
    text = as_text(text)
    lines = "\n".join(table(("a", "b"), [(inline(text), "1"), ("x", inline(text))]))
    assert shown(lines) == f"ab{text}1x{text}"
    assert [token.type for token in PARSER.parse(lines)].count("td_open") == 4


@given(printed)
@example("a`b``c")
@example("`")
@example(" a ")
@example(" ")
@example("  ")
def test_code_reads_as_itself(text: str) -> None:
    text = text or "(no name)"
    found = [token for token in leaves(f"Made by {code(text)}.") if token.type == "code_inline"]
    assert [token.content for token in found] == [text]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_gets_through(text: str) -> None:
    for markdown in (inline(text), f"- {inline(text)}", f"## {inline(text)}: x", f"a {inline(text)} b"):
        assert not kinds(markdown) & MARKUP
    assert "\n" not in inline(text)


@pytest.mark.parametrize("text", ["see https://example.org", "www.example.org", "WWW.example.org"])
def test_what_github_would_link_is_broken(text: str) -> None:
    assert not re.search(r"(?<!\\)://", inline(text))
    assert "www." not in inline(text).lower()
    assert shown(inline(text)) == text


@pytest.mark.parametrize("name", ["mobilenet_v2_cifar10_int8.onnx", "features.1.project", "edge16", "a-b/c:d (e), f"])
def test_common_names_stay_as_they_are(name: str) -> None:
    assert inline(name) == name


def test_a_calibration_of_hostile_names_has_no_markup_of_theirs() -> None:
    evil = " ".join(HOSTILE)
    made = hand_made.calibration(notes=HOSTILE)
    made = made.model_copy(
        update={
            "accelerator": made.accelerator.model_copy(update={"name": evil}),
            "cells": made.cells.model_copy(update={"name": evil, "corner": evil}),
            "settings": made.settings.model_copy(update={"command": f"fewflips calibrate {evil}"}),
        }
    )
    markdown = calibration_markdown(made)
    tokens = list(leaves(markdown))
    assert [token.attrs["src"] for token in tokens if token.type == "image"] == ["calibration.svg"]
    assert not {token.type for token in tokens} & (MARKUP - {"image"})
    assert sum(token.type == "text" and "<script>" in token.content for token in tokens) >= 1
    (command,) = (token.content for token in tokens if token.type == "code_inline")
    assert command == printable(f"fewflips calibrate {evil}")
