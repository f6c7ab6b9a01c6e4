"""How much of a network its counted layers cover, in words."""

from __future__ import annotations

from fewflips.records.coverage import Coverage
from fewflips.report.numbers import THIN_SPACE, as_percent, with_si_prefix


def coverage_words(coverage: Coverage, space: str = THIN_SPACE) -> str:
    """A coverage in one sentence.

    Parameters
    ----------
    coverage : Coverage
        What is counted, and what is left out.
    space : str
        Space between a number and its unit.

    Returns
    -------
    str
        The share of the MACs; an upper limit if those of some products are unknown.
    """
    macs, unknown = with_si_prefix(coverage.macs, space), coverage.unknown_products
    total = coverage.products + coverage.left_out_products
    if not coverage.left_out_products:
        return f"Counted: all of the network's MACs, {macs} in {_products(total)}."
    counted = f"{coverage.products} of {_products(total)}"
    share = as_percent(coverage.share, space)
    if not unknown:
        everything = with_si_prefix(coverage.macs + coverage.left_out_macs, space)
        return f"Counted: {share} of the network's MACs, {macs} of {everything}, in {counted}."
    missing = f"how many {_products(unknown)} {'has' if unknown == 1 else 'have'} is not known"
    if not coverage.left_out_macs:
        return f"Counted: {macs} MACs, in {counted}; {missing}, and so is the share."
    return f"Counted: at most {share} of the network's MACs, {macs}, in {counted}; {missing}."


def coverage_lines(coverage: Coverage | None) -> list[str]:
    """The lines between a terminal table's title and the table."""
    return [] if coverage is None else [coverage_words(coverage, " ")]


def _products(count: int) -> str:
    return f"{count} product{'' if count == 1 else 's'}"
