"""Notes of a report, as they are shown: like ones are one, those that touch the most come first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from fewflips.records.notes import StandingNote
from fewflips.records.optimization import MeasureReport, OptimizeReport
from fewflips.visible import one_line, printable

_NAMED = re.compile(r"'([^']+)'")
_COUNTED = re.compile(r"^(\d+) \u00d7 ")
_MOST_NAMED = 3


def other_notes(notes: Iterable[str], macs: Mapping[str, int] | None = None) -> list[str]:
    """Notes without those that every report shows elsewhere.

    Parameters
    ----------
    notes : iterable of str
        As a report has them.
    macs : mapping of str to int, optional
        Multiply-accumulate operations of layers, and of products that are left out, by name.

    Returns
    -------
    list of str
        Notes that differ in the name of one layer alone are one. With `macs`, those about the most operations come
        first, and those that name no layer keep their order behind them.

    Examples
    --------
    >>> notes = ["layer 'a' (Conv): odd", "the whole", "layer 'b' (Conv): odd", "layer 'c' (Gemm): big"]
    >>> for note in other_notes(notes, {"a": 1, "b": 2, "c": 9}):
    ...     print(note)
    layer 'c' (Gemm): big
    layers 'a', 'b' (Conv): odd
    the whole
    """
    merged = _merged(dict.fromkeys(note for note in notes if note not in set(StandingNote)))
    sizes = macs or {}
    return [one_line(note) for note in sorted(merged, key=lambda note: -_touched(note, sizes))]


def operations_of(report: MeasureReport | OptimizeReport) -> dict[str, int]:
    """MACs of a report's layers, and of what is left out where each product's are known.

    Parameters
    ----------
    report : MeasureReport or OptimizeReport
        The report.

    Returns
    -------
    dict of str to int
        By name, as notes show it.
    """
    known = {printable(layer.name): layer.macs for layer in report.layers}
    for products in report.coverage.left_out if report.coverage else ():
        known |= {printable(name): products.macs // len(products.names) for name in products.names}
    return known


def _merged(notes: Iterable[str]) -> list[str]:
    """Notes on one layer each that say the same, as one in the place of the first."""
    alike: dict[str, list[str]] = {}
    for note in notes:
        name = _NAMED.search(note)
        single = name is not None and note.startswith("layer '") and len(_NAMED.findall(note)) == 1
        alike.setdefault(note.replace(name[0], "\0", 1) if single and name else note, []).append(
            name[1] if name else ""
        )
    return [_joined(pattern, names) for pattern, names in alike.items()]


def _joined(pattern: str, names: list[str]) -> str:
    if "\0" not in pattern:
        return pattern
    if len(names) == 1:
        return pattern.replace("\0", f"'{names[0]}'")
    shown = ", ".join(f"'{name}'" for name in names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return pattern.replace("layer \0", f"layers {shown}{more}", 1)


def _touched(note: str, macs: Mapping[str, int]) -> float:
    """Operations of the layers that a note names; of those it counts and does not name, as many as of these."""
    named = [macs[name] for name in _NAMED.findall(note) if name in macs]
    if not named:
        return 0
    counted = _COUNTED.match(note)
    further = re.search(r" and (\d+) more", note)
    count = int(counted[1]) if counted else len(named) + (int(further[1]) if further else 0)
    return sum(named) / len(named) * count
