"""Figures in running text: which of them a page has, and which of them is held by what.

A page's part of the registry has two lists. `held` are fragments of the page in which each figure stands as
``{name:format}``, or ``{name*factor:format}``; the names are those of `facts`. `exempt` are fragments, or whole
sections, with figures that no command writes, each with the reason why.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewflips.errors import InputError

from .origin import Fact

REGISTRY = Path(__file__).with_name("registry.toml")

_UNITS = (
    "%|points|times|s|ms|ps|ns|seconds|minutes|hours|K|k|M|G|KB|MB|GB|TB|KiB|MiB|GiB|GB/s|MMAC/s|MMACs|MHz|GHz"
    "|[munpfµ]?J|[munpfµ]?V|fF|pF|fF/[uµ]m|[unmµ]m|nm|[uµ]m²|°C|fJ/MAC|fJ|pJ"
)
_NUMBER = re.compile(rf"(?<![\w.\-/#])[-+±]?(\d+(?:[.,]\d+)*)(?:(x|[ \n]?(?:{_UNITS}))(?![\w/]))?")
_YEAR = re.compile(r"(?:19|20)\d\d")
_LARGE = 1000
_PLACEHOLDER = re.compile(r"\{([^{}:*]+)(?:\*([\d.e+-]+))?(?::([^{}]+))?\}")
_VALUE = r"[-+]?\d+(?:[.,]\d+)*"
_EXAMPLE = re.compile(r"^```python\n.*?^```\n\n```text\n.*?^```$", re.MULTILINE | re.DOTALL)
_CODE_BLOCK = re.compile(r"^```(?!text$)\w+$.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`(?!`)(?:[^`\n]|\n(?!\n))*`|\]\([^)]*\)|<!--.*?-->", re.DOTALL)
_MARKED = re.compile(
    r"<!-- (table: [\w -]+) -->.*?<!-- end of \1 -->"
    r"|<!-- begin of the table: python -m scripts.fuzz .*?<!-- end of the table -->",  # tests/fuzz/test_page.py
    re.DOTALL,
)


@dataclass(frozen=True)
class Exemption:
    """A fragment whose figures no command writes."""

    why: str
    text: str = ""
    section: str = ""


@dataclass(frozen=True)
class PageRegistry:
    """Held and exempt figures of a page."""

    held: tuple[str, ...] = ()
    exempt: tuple[Exemption, ...] = field(default=())


def read_registry(path: Path = REGISTRY) -> dict[str, PageRegistry]:
    """The registry, by page; what holds for all pages is under ``everywhere``.

    Raises
    ------
    InputError
        If an entry is of another form, or has no reason.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return {page: _page_registry(page, entry) for page, entry in content.items()}


def _page_registry(page: str, entry: Mapping[str, Any]) -> PageRegistry:
    exempt = tuple(Exemption(**one) for one in entry.get("exempt", []))
    for one in exempt:
        if not one.why or bool(one.text) == bool(one.section):
            raise InputError(f"{page}: expected `why` and one of `text` and `section`, got {one}")
    return PageRegistry(tuple(entry.get("held", [])), exempt)


def renewed(text: str, held: tuple[str, ...], known: Mapping[str, Fact]) -> str:
    """A page with every held figure renewed.

    Raises
    ------
    InputError
        If a fragment is not on the page, or a figure has no fact.
    """
    for template in held:
        text, places = _expression(template).subn(lambda match, one=template: _filled(match, one, known), text)
        if not places:
            raise InputError(f"expected on the page: {template!r}; mend the page or the registry")
    return text


def unregistered(text: str, registry: PageRegistry, everywhere: PageRegistry) -> list[str]:
    """Figures that are neither held nor exempt, each with its line's number and its surroundings.

    Raises
    ------
    InputError
        If an exemption is for text that the page has not.
    """
    open_text = _without_code(text)
    for template in registry.held:
        for match in _expression(template).finditer(text):
            for group in range(1, (match.lastindex or 0) + 1):
                open_text = _blank(open_text, *match.span(group))
    for one in registry.exempt:
        spans = _spans(one, text)
        if not spans:
            raise InputError(f"exempt, but not on the page: {one.text or one.section!r}; take it out of the registry")
        for span in spans:
            open_text = _blank(open_text, *span)
    for one in everywhere.exempt:
        for span in _spans(one, text):
            open_text = _blank(open_text, *span)
    return [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {_around(text, match)}"
        for match in _NUMBER.finditer(open_text)
        if _is_figure(match)
    ]


def _is_figure(match: re.Match[str]) -> bool:
    """Whether a number may go stale: it has a unit or a decimal point, or is large and no year."""
    digits, unit = match.groups()
    return bool(unit) or "." in digits or (int(digits.replace(",", "")) >= _LARGE and not _YEAR.fullmatch(digits))


def _filled(match: re.Match[str], template: str, known: Mapping[str, Fact]) -> str:
    """A matched fragment with its figures renewed."""
    result, last = [], match.start()
    for group, placeholder in enumerate(_PLACEHOLDER.finditer(template), 1):
        result += [match.string[last : match.start(group)], shown(placeholder, known)]
        last = match.end(group)
    return "".join(result) + match.string[last : match.end()]


def shown(placeholder: re.Match[str], known: Mapping[str, Fact]) -> str:
    """A figure as the page has it."""
    name, factor, form = placeholder.groups()
    if name not in known:
        raise InputError(f"{name}: expected a figure of a record, got none of that name")
    value = known[name]
    if factor is not None:
        value = float(value) * float(factor)
    return format(value, form or "")


def _expression(template: str) -> re.Pattern[str]:
    """What a fragment looks like on the page, however its lines are broken."""
    parts, last = [], 0
    for placeholder in _PLACEHOLDER.finditer(template):
        parts += [_literal(template[last : placeholder.start()]), f"({_VALUE})"]
        last = placeholder.end()
    return re.compile("".join(parts) + _literal(template[last:]))


def _literal(text: str) -> str:
    return re.sub(r"(?:\\\s|\s)+", r"\\s+", re.escape(text))


def _without_code(text: str) -> str:
    """The page with code, links, comments and marked tables blanked; output in blocks of `text` stays."""
    for expression in (_MARKED, _EXAMPLE, _CODE_BLOCK, _CODE):
        for match in expression.finditer(text):
            text = _blank(text, *match.span())
    return text


def _spans(one: Exemption, text: str) -> list[tuple[int, int]]:
    if one.text:
        return [match.span() for match in re.finditer(_literal(one.text), text)]
    heading = re.search(rf"^(#+) {re.escape(one.section)}$", text, re.MULTILINE)
    if heading is None:
        return []
    following = re.compile(rf"^#{{1,{len(heading.group(1))}}} ", re.MULTILINE).search(text, heading.end())
    return [(heading.start(), following.start() if following else len(text))]


def _blank(text: str, start: int, end: int) -> str:
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def _around(text: str, match: re.Match[str]) -> str:
    start, end = max(0, match.start() - 40), match.end() + 40
    return f"{match.group()!r} in {' '.join(text[start:end].split())!r}"
