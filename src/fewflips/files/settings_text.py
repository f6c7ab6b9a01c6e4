"""Hand-written YAML and TOML: files of a few kilobytes, and none that expand without limit.

In both formats a short text can expand to an enormous one: in YAML by merging mappings into one another, in TOML by
keys with thousands of parts. Settings files need neither.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Literal

import yaml

LARGEST_BYTES = 1 << 16
"""Largest settings file that is read."""

_DEEPEST = 20
_MOST_KEYS = 1000
_MOST_ALIASES = 1000
_LONGEST_TOML_LINE = 1000


def parse_settings(text: str, language: Literal["YAML", "TOML"]) -> Any:
    """The content of a settings file.

    Parameters
    ----------
    text : str
        The file's text.
    language : {"YAML", "TOML"}
        Language of the text.

    Returns
    -------
    object
        Dictionaries, lists, strings, numbers, truth values, dates and None.

    Raises
    ------
    ValueError
        If the text is not valid, or expands far beyond its size; the message is one line.

    Examples
    --------
    >>> parse_settings("lanes: 4", "YAML")
    {'lanes': 4}
    >>> parse_settings("lanes = 4", "TOML")
    {'lanes': 4}
    """
    try:
        if len(text) > LARGEST_BYTES:
            raise ValueError(f"expected at most {LARGEST_BYTES} characters, got {len(text)}")
        if language == "YAML":
            return yaml.load(text, _BoundedLoader)
        if re.search(rf"[^\n]{{{_LONGEST_TOML_LINE + 1}}}", text):
            raise ValueError(f"expected lines of at most {_LONGEST_TOML_LINE} characters, got a longer one")
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        # tomllib's errors are ValueErrors; values that do not fit their explicit YAML tag raise the others
        raise ValueError(" ".join(str(error).split())) from error


class _BoundedLoader(yaml.SafeLoader):
    """Plain values only, with limits on depth and on how often parts are reused."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._aliases = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > _MOST_ALIASES:
                raise ValueError(f"expected at most {_MOST_ALIASES} aliases, got more")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("nested too deeply")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        text: str = super().construct_scalar(node)
        if any("\ud800" <= character <= "\udfff" for character in text):  # could not be written in a report
            raise ValueError(f"expected whole characters, got half a surrogate pair in {text!a:.60}; write it out")
        return text

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_KEYS:
            raise ValueError(f"expected at most {_MOST_KEYS} keys in a mapping, got more")
