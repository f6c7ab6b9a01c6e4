"""Layers as comma-separated values: a line for each, figures in full, unknown ones empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from fewflips.records.comparison import ComparisonReport
from fewflips.records.quantities import QUANTITY_WORDS, AnyReport, Outcome, Quantities, quantities_of

_SHAPE = ("operator", "m", "n", "k", "groups", "repeats")
_OUTCOMES: tuple[tuple[Outcome, str], ...] = (("before", "before"), ("schedule", "schedule"), ("drop-in", "drop_in"))


def layer_rows(report: AnyReport | ComparisonReport) -> list[dict[str, Any]]:
    """Every layer as a flat mapping, for tables of any kind.

    Parameters
    ----------
    report : OptimizeReport, MeasureReport, EnergyReport or ComparisonReport
        The report.

    Returns
    -------
    list of dict
        Name, shape where it is known, MACs, and each quantity: `before_weight_flips`, `schedule_weight_flips`, ... of
        an optimization, `weight_flips` and so on of the others, of a comparison with the run's label before each.
        Quantities that no layer has are left out; unknown ones are None.
    """
    if isinstance(report, ComparisonReport):
        rows = [_compared(report, number) for number in range(len(report.layers))]
    else:
        named = [(name, quantities_of(report, outcome)) for outcome, name in _OUTCOMES]
        known = [(f"{name}_", found.layers) for name, found in named if found is not None]
        prefixed = known if len(known) > 1 else [("", known[0][1])]
        rows = [
            {
                "layer": layer.name,
                **{key: getattr(layer, key) for key in _SHAPE if hasattr(layer, key)},
                "macs": layer.macs,
                **{key: value for prefix, found in prefixed for key, value in _flat(prefix, found, layer.name).items()},
            }
            for layer in report.layers
        ]
    empty = {key for key in _keys(rows) if all(row.get(key) is None for row in rows)}
    return [{key: value for key, value in row.items() if key not in empty} for row in rows]


def layers_csv(report: AnyReport | ComparisonReport) -> str:
    """The same as CSV, with a line of headings.

    Parameters
    ----------
    report : OptimizeReport, MeasureReport, EnergyReport or ComparisonReport
        The report.

    Returns
    -------
    str
        Lines that end with a line feed. A name that a spreadsheet would take for a formula begins with an apostrophe.
    """
    rows = layer_rows(report)
    target = io.StringIO()
    writer = csv.DictWriter(target, _keys(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows({_harmless(key): _harmless(value) for key, value in row.items()} for row in rows)
    return target.getvalue()


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(_harmless(key) for row in rows for key in row))


def _compared(report: ComparisonReport, number: int) -> dict[str, Any]:
    layer = report.layers[number]
    row: dict[str, Any] = {"layer": layer.name}
    for run, found in zip(report.runs, layer.runs, strict=True):
        row |= _flat(f"{run.label} ", {layer.name: found} if found else {}, layer.name)
    return row


def _flat(prefix: str, layers: Mapping[str, Quantities], name: str) -> dict[str, Any]:
    own = layers.get(name)
    return {f"{prefix}{key}": None if own is None else getattr(own, key) for key in QUANTITY_WORDS}


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
