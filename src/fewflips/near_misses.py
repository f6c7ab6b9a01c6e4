"""Suggests the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 200
_MOST_KNOWN = 5000
_LIKENESS = 0.7


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a given one.

    Parameters
    ----------
    given : str
        A name that is not known.
    known : iterable of str
        Names that are.

    Returns
    -------
    str or None
        None if none is much like it: Ratcliff and Obershelp's similarity, regardless of case, is below 0.7.

    Examples
    --------
    >>> nearest("egde16", ["edge16", "tpu16"]), nearest("gpu", ["edge16", "tpu16"])
    ('edge16', None)
    """
    if len(given) > _LONGEST:
        return None
    names: dict[str, str] = {}
    for name in known:
        if len(names) < _MOST_KNOWN and len(name) <= _LONGEST:
            names.setdefault(name.lower(), name)
    found = get_close_matches(given.lower(), names, n=1, cutoff=_LIKENESS)
    return names[found[0]] if found else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A question to end an error message with; nothing if no known name is near.

    Examples
    --------
    >>> "no such machine" + did_you_mean("edge-16", ["edge16", "tpu16"])
    "no such machine; did you mean 'edge16'?"
    >>> did_you_mean("gpu", ["edge16", "tpu16"])
    ''
    """
    found = nearest(given, known)
    return "" if found is None else f"; did you mean {found!r}?"
