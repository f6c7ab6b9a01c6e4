"""The syntax of Liberty files: groups, which contain simple attributes, complex attributes and further groups.

Nothing here knows what an attribute means. Arguments are kept as text and split only on demand, which keeps the many
tables that are never read cheap. There is no recursion and no backtracking pattern: time is linear in the length of
the text, whatever it contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from fewflips.errors import CellLibraryError

_DEEPEST = 16
_MOST_STATEMENTS = 5_000_000  # bounds the memory that a hostile file can take; large libraries have a tenth of it
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_COMMENT = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\Z)|/\*.*?(?:\*/|\Z)|//[^\n]*+', re.DOTALL)
_STATEMENT = re.compile(
    rf"""[\s;\\]*+(?:
      (?P<close>\}})
    | (?P<name>[A-Za-z_][\w.\-]*+)\s*+(?:
          :\s*+(?P<value>{_STRING}|(?:[^;{{}}"\n\\]++|\\\s*+)*+)
        | \((?P<arguments>(?:[^()"]++|{_STRING})*+)\)(?P<open>[\s\\]*+\{{)?+
      )
    )""",
    re.DOTALL | re.VERBOSE,
)
# What remains if the file ends within a name, in parentheses, or in the string of a simple attribute.
_OPEN_STRING = r'"(?:[^"\\]++|\\.)*+\\?+\Z'
_UNFINISHED = re.compile(
    rf"""[\s;\\]*+(?P<left>
        (?P<name>[A-Za-z_][\w.\-]*+)[\s\\]*+ (?: \((?:[^()"]++|{_STRING}|{_OPEN_STRING})*+ )?+ \Z
      | {_OPEN_STRING}
    )""",
    re.DOTALL | re.VERBOSE,
)
_ARGUMENT = re.compile(r'"([^"]*+)"|([^\s,"\\]++)')
_CONTINUATION = re.compile(r"\\\s*+\n")


@dataclass(slots=True)
class Group:
    """A group: ``kind (arguments) { ... }``.

    Parameters
    ----------
    kind : str
        Such as ``cell``.
    arguments : str
        The text in its parentheses.
    line : int
        Line where it begins, counted from 1.
    attributes : dict of str to str
        Simple attributes, without quotes; the last one of a name counts.
    complex : dict of str to str
        Complex attributes: the text in their parentheses; the last one of a name counts.
    groups : list of Group
        The groups within, in order.
    """

    kind: str
    arguments: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    complex: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The group's arguments, one by one."""
        return split_arguments(self.arguments)

    def of_kind(self, *kinds: str) -> Iterator[Group]:
        """The groups within that are of one of these kinds, in order."""
        return (group for group in self.groups if group.kind in kinds)


def split_arguments(text: str) -> list[str]:
    """Arguments of a complex attribute or a group, without quotes.

    Examples
    --------
    >>> split_arguments(' 1, "pf" ')
    ['1', 'pf']
    """
    return [quoted or plain for quoted, plain in _ARGUMENT.findall(text)]


def parse_groups(text: str, source: str) -> Group:
    """The library group of a Liberty text.

    Parameters
    ----------
    text : str
        The file's content.
    source : str
        The file's name, for messages.

    Raises
    ------
    CellLibraryError
        If the text is not well formed: it is truncated, has unbalanced braces or quotes, nests deeper than 16
        groups, includes other files, or does not hold exactly one library.
    """
    text = _without_comments(text, source)
    root = Group("", "", 1)
    stack = [root]
    match_statement = _STATEMENT.match
    position, counted, line, statements = 0, 0, 1, 0
    while (match := match_statement(text, position)) is not None:
        name, value, arguments = match.group("name", "value", "arguments")
        start = match.end() if name is None else match.start("name")
        line += text.count("\n", counted, start)
        counted = start
        position = match.end()
        statements += 1
        if statements > _MOST_STATEMENTS:
            raise _malformed(source, line, f"expected at most {_MOST_STATEMENTS} statements, got more")
        if name is None:
            if len(stack) == 1:
                raise _malformed(source, line, "expected nothing after the library's last '}', got another '}'")
            stack.pop()
        elif value is not None:
            stack[-1].attributes[name] = _plain(value)
        elif match.group("open") is not None:
            if len(stack) > _DEEPEST:
                raise _malformed(source, line, f"expected groups nested at most {_DEEPEST} deep, got more")
            group = Group(name, arguments, line)
            stack[-1].groups.append(group)
            stack.append(group)
        elif name == "include_file":
            raise _malformed(source, line, "includes another file; expected a file that stands alone: paste it in")
        else:
            stack[-1].complex[name] = arguments
    _check_end(text, position, stack, source)
    return _only_library(root, source)


def _without_comments(text: str, source: str) -> str:
    """The text with its comments blanked, and its lines in the same places."""
    if "/*" not in text and "//" not in text:
        return text

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        return found if found[0] == '"' else " " + "\n" * found.count("\n")

    return _COMMENT.sub(blank, text)


def _plain(value: str) -> str:
    if value.startswith('"'):
        value = value[1:-1]
    if "\\" in value:
        value = _CONTINUATION.sub(" ", value)
    return value.strip()


def _check_end(text: str, position: int, stack: list[Group], source: str) -> None:
    """Raise an error if the text continues without being a statement, or ends within a group."""
    rest = text[position : position + 4096].lstrip(" \t\r\n;\\")
    unfinished = _UNFINISHED.match(text, position)
    line = 1 + text.count("\n", 0, position if unfinished is None else unfinished.start("left"))
    if unfinished is not None and len(stack) == 1 and "library".startswith(unfinished["name"] or "-"):
        raise _malformed(source, line, "ends within the first line of 'library'; the file may be truncated")
    ends_within = unfinished is not None and len(stack) > 1
    if not ends_within and (rest or text[position:].strip(" \t\r\n;\\")):
        shown = (rest.split("\n", 1)[0] or "...")[:40]
        hint = "; the file may be truncated" if text.count('"', position) % 2 else ""
        raise _malformed(source, line, f"expected an attribute, a group or '}}', got {shown!r}{hint}")
    if len(stack) > 1:
        opened = stack[-1]
        raise _malformed(
            source, line, f"ends within '{opened.kind}' of line {opened.line}, expected '}}'; the file may be truncated"
        )


def _only_library(root: Group, source: str) -> Group:
    libraries = list(root.of_kind("library"))
    if len(libraries) != 1:
        raise CellLibraryError(
            f"{source}: expected one library (...) {{...}} in a Liberty file, got {len(libraries)}; give a .lib file"
        )
    return libraries[0]


def _malformed(source: str, line: int, what: str) -> CellLibraryError:
    return CellLibraryError(f"{source}: line {line}: not a Liberty file: {what}")
