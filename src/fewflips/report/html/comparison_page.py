"""Runs beside each other on one self-contained page."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from fewflips.records.comparison import ComparisonReport
from fewflips.records.quantities import QUANTITY_WORDS
from fewflips.report.html import charts
from fewflips.report.html.assets import asset, page_environment, script_hash
from fewflips.report.html.column import Column, marked
from fewflips.report.numbers import as_ratio, energy_unit, si_unit, telling_names
from fewflips.report.quantity_words import known_quantities, less, main_quantity, value_of, value_words
from fewflips.visible import printable

OUTCOMES = {"before": "as stored", "schedule": "in scheduled order", "drop-in": "drop-in file"}
_MOST_CHARTS = 6


@dataclass(frozen=True)
class _Totals:
    """A quantity of all runs, as a chart and as figures."""

    title: str
    chart: Markup
    figures: list[tuple[str, str]]


def render_comparison(report: ComparisonReport, quantity: str | None = None) -> str:
    """The comparison as a self-contained HTML page.

    Parameters
    ----------
    report : ComparisonReport
        Result of :func:`fewflips.compare`.
    quantity : str, optional
        By what layers are compared; a field of quantities. Default: as in the terminal.

    Returns
    -------
    str
        The page, under the same policy as ``report.html``.
    """
    chosen = quantity or main_quantity(report)
    script = asset("report.js")
    columns = _columns(report, chosen)
    return (
        page_environment()
        .get_template("comparison.html.j2")
        .render(
            report=report,
            style=Markup(asset("report.css")),
            script=Markup(script),
            script_hash=script_hash(script),
            outcomes=OUTCOMES,
            totals=[_totals(report, name) for name in known_quantities(report)[:_MOST_CHARTS]],
            quantity=QUANTITY_WORDS[chosen],
            columns=columns,
            rows=range(len(report.layers)),
        )
    )


def _totals(report: ComparisonReport, name: str) -> _Totals:
    values = [value_of(run.compared, name) for run in report.runs]
    size, symbol = (energy_unit if name.endswith("_pj") else si_unit)(max(value or 0 for value in values))
    labels = [f"{number} {printable(run.label)}"[:22] for number, run in enumerate(report.runs, start=1)]
    figures = [(value_words(value, name), as_ratio(ratio)) for value, ratio in zip(values, less(values), strict=True)]
    bars = [
        charts.SplitBar(
            label=label,
            hint=f"{label}: {words}, {ratio} less than the first",
            energies=((value or 0) / size,),
            remark=ratio,
            kinds=("before" if number == 0 else "after",),
        )
        for number, (label, value, (words, ratio)) in enumerate(zip(labels, values, figures, strict=True))
    ]
    unit = f" ({symbol})" if symbol else ""
    alt = f"{QUANTITY_WORDS[name]} of each run; the table below has the figures."
    chart = charts.split_rows(bars, f"{QUANTITY_WORDS[name]} of one inference{unit}", name, alt)
    return _Totals(QUANTITY_WORDS[name], Markup(chart), figures)


def _columns(report: ComparisonReport, name: str) -> list[Column]:
    """Number, name, and for each run its value and how many times less it is than the first."""
    names = telling_names([layer.name for layer in report.layers])
    count = len(report.layers)
    columns = [
        Column("index", "#", "layer", [(str(number), number) for number in range(1, count + 1)]),
        Column("name", "name", "layer", [(label, label.lower()) for label in names], "total"),
    ]
    ratios = [less([value_of(run, name) for run in layer.runs]) for layer in report.layers]
    whole = less([value_of(run.compared, name) for run in report.runs])
    for number, run in enumerate(report.runs):
        values = [value_of(layer.runs[number], name) for layer in report.layers]
        cells = [(value_words(value, name), value) for value in values]
        group = f"{number + 1}: {printable(run.label)}"
        total = value_words(value_of(run.compared, name), name)
        columns.append(Column(f"run-{_letters(number)}", QUANTITY_WORDS[name], group, cells, total))
        if number:
            less_cells = [(as_ratio(row[number]), row[number]) for row in ratios]
            columns.append(Column(f"less-{_letters(number)}", "less", group, less_cells, as_ratio(whole[number])))
    return marked(columns)


def _letters(number: int) -> str:
    """A number as letters, of which keys in the page's address are made.

    Examples
    --------
    >>> _letters(0), _letters(27)
    ('a', 'ab')
    """
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)
