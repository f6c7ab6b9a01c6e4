"""JSON from files: plain values, and no text that could not be written again."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json


def parse_json(content: bytes) -> Any:
    """The values in a JSON file.

    Python's own parser accepts lone surrogates, which could not be encoded in a report.

    Parameters
    ----------
    content : bytes
        UTF-8, with or without a byte order mark, or UTF-16 or UTF-32.

    Returns
    -------
    object
        Dictionaries, lists, strings, numbers, truth values and None.

    Raises
    ------
    ValueError
        If it is not valid JSON, or nested too deeply.

    Examples
    --------
    >>> parse_json(b'{"lanes": 4}')
    {'lanes': 4}
    """
    return from_json(content.decode(json.detect_encoding(content)))
