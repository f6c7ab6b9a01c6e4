"""Makes text from files safe to show: no control characters, one line, bounded length.

Names in models, netlists and libraries are whatever their authors, or an attacker, wrote: escape sequences that
rewrite the screen, marks that turn the direction of the text, megabytes. Errors, tables and reports show them through
these functions.
"""

from __future__ import annotations

import os
from unicodedata import category

LONGEST_LINE = 1000
"""How many characters of an error or a remark are shown."""

_UNSEEN = "\ufffd"


def visible(text: str) -> str:
    """A text with every control or formatting character and every lone surrogate replaced.

    Examples
    --------
    >>> visible("conv" + chr(27) + "[31m" + chr(0x202E))
    'conv\ufffd[31m\ufffd'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or category(letter) == "Zs" else _UNSEEN for letter in text)


def printable(name: str) -> str:
    """A name from a file, made visible even if it is empty.

    Examples
    --------
    >>> printable("conv"), printable("")
    ('conv', '(no name)')
    """
    return visible(name) or "(no name)"


def one_line(message: str, longest: int = LONGEST_LINE) -> str:
    """A message as one visible line; if it is too long, only its beginning and end.

    Examples
    --------
    >>> one_line("expected a name,   got:" + chr(10) + "  a" + chr(7))
    'expected a name,   got: a\ufffd'
    >>> one_line("x" * 50 + "; rename it", 20)
    'xxxxxxxxxx…rename it'
    """
    if len(message) > longest:
        tail = (longest - 1) // 2
        message = f"{message[: longest - 1 - tail]}…{message[len(message) - tail :]}"
    lines = (line.strip() for line in message.replace("\t", " ").splitlines())
    return visible(" ".join(line for line in lines if line))


def shorten_middle(text: str, width: int) -> str:
    """A text of at most `width` characters, with an ellipsis in place of its middle; more of its end is kept.

    Examples
    --------
    >>> shorten_middle("MobilenetV2/expanded_conv_16/project/add_fold", 20)
    'Mobi…roject/add_fold'
    """
    if len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    head = (width - 1) // 4
    tail = width - 1 - head
    return f"{text[:head]}…{text[len(text) - tail :]}"


def printable_name(name: str) -> str:
    """A file name as text that can be encoded as UTF-8, whatever its bytes in the file system."""
    return os.fsencode(name).decode("utf-8", "replace")
