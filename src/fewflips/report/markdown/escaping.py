"""Text from files in Markdown: it is shown literally, and creates no markup, links or HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fewflips.visible import printable

_MARKUP = re.compile(
    r"""[\\`*{}\[\]<>|&~$\#]        # emphasis, links, HTML, tables, entities, mathematics, headings
    | (?<![^\W_])_ | _(?![^\W_])    # underscores, but for those within words
    | :(?=//) | (?<=\bwww)\.        # what GitHub makes links of
    | ^[-+=]                        # what begins a list or underlines a heading
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NUMBERED = re.compile(r"^(\d+)([.)])")


def inline(text: str) -> str:
    r"""A name or a sentence from a file, for any place within a line of Markdown, including tables.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    str
        Markdown that shows it, with control characters replaced.

    Examples
    --------
    >>> inline("conv_1"), inline("<b>|[x](http://y)")
    ('conv_1', '\\<b\\>\\|\\[x\\](http\\://y)')
    """
    return _NUMBERED.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", printable(text)))


def code(text: str) -> str:
    """A command or a name as code, for any place within a line except tables.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    str
        Markdown, with as many backticks around it as needed.

    Examples
    --------
    >>> code("fewflips energy")
    '`fewflips energy`'
    >>> code("a`b")
    '`` a`b ``'
    """
    shown = printable(text)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    edges = shown.strip(" ") and (shown.startswith(" ") or shown.endswith(" "))  # spaces alone are not stripped
    fence, blank = "`" * (longest + 1), " " if longest or edges else ""
    return f"{fence}{blank}{shown}{blank}{fence}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is text and whose other columns are figures.

    Parameters
    ----------
    headings : sequence of str
        One per column, in Markdown.
    rows : iterable of sequence of str
        Cells, in Markdown.

    Returns
    -------
    list of str
        The lines.
    """
    lines = ["| " + " | ".join(headings) + " |", "| --- |" + " ---: |" * (len(headings) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
