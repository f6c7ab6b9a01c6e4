"""Quantities in words, as reports that set runs beside each other show them."""

from __future__ import annotations

from collections.abc import Sequence

from fewflips.records.comparison import ComparisonReport
from fewflips.records.quantities import QUANTITY_WORDS, Quantities
from fewflips.report.numbers import ABSENT, THIN_SPACE, as_energy, with_si_prefix

_MAIN = ("data_pj", "datapath_pj", "whole_pj", "estimated_pj", "weight_flips", "activation_flips")


def value_of(quantities: Quantities | None, name: str) -> float | None:
    """One quantity; None if it is unknown.

    Examples
    --------
    >>> value_of(Quantities(macs=3, weight_flips=4), "weight_flips"), value_of(None, "data_pj")
    (4, None)
    """
    return None if quantities is None else getattr(quantities, name)


def value_words(value: float | None, name: str, space: str = THIN_SPACE) -> str:
    """A quantity with its unit; a dash if it is unknown.

    Examples
    --------
    >>> value_words(12345, "weight_flips", " "), value_words(12345, "data_pj", " ")
    ('12.3 k', '12.3 nJ')
    """
    if value is None:
        return ABSENT
    return as_energy(value, space) if name.endswith("_pj") else with_si_prefix(round(value), space)


def known_quantities(report: ComparisonReport) -> list[str]:
    """Names of the quantities that at least one run knows."""
    return [name for name in QUANTITY_WORDS if any(getattr(run.compared, name) is not None for run in report.runs)]


def main_quantity(report: ComparisonReport) -> str:
    """The quantity by which layers are compared: energy at gate level if all runs have it, else flips."""
    return next((name for name in _MAIN if _known_to_all(report, name)), "weight_flips")


def less(values: Sequence[float | None]) -> list[float | None]:
    """How many times less each value is than the first; None where either is unknown or 0.

    Examples
    --------
    >>> less([6, 3, None, 12])
    [1.0, 2.0, None, 0.5]
    """
    first = values[0]
    return [first / value if first and value else None for value in values]


def _known_to_all(report: ComparisonReport, name: str) -> bool:
    return all(getattr(run.compared, name) is not None for run in report.runs)
