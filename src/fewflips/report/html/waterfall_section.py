"""The waterfall in the HTML report: what each step is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fewflips.records.optimization import OptimizeReport
from fewflips.report.html import charts
from fewflips.report.numbers import THIN_SPACE
from fewflips.report.waterfall_words import (
    Drop,
    Measure,
    as_change,
    drops,
    evidence_lines,
    headings,
    measures,
    remarks,
    row,
)

_TIMES = "\u00d7"

Row = tuple[str, list[str]]


@dataclass(frozen=True)
class WaterfallSection:
    """What each step is worth.

    Parameters
    ----------
    charts : list of (str, Markup)
        The title of each measure, and its chart.
    headings : list of str
        Headings of the figures in `rows` and `layers`.
    rows : list of (str, list of str)
        A measure and its figures.
    evidence : list of (str, str)
        Each step, and why its result may be trusted.
    layers : list of (str, list of (str, list of str))
        The title of each measure, then the label of each layer and its figures.
    remarks : list of str
        Sentences below the table.
    """

    charts: list[tuple[str, Markup]]
    headings: list[str]
    rows: list[Row]
    evidence: list[tuple[str, str]]
    layers: list[tuple[str, list[Row]]]
    remarks: list[str]


def waterfall_section(report: OptimizeReport, labels: Sequence[str]) -> WaterfallSection | None:
    """The waterfall of all layers, and of each.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.
    labels : sequence of str
        A short label of each layer.

    Returns
    -------
    WaterfallSection or None
        None where it was not asked for. Every name in it is printable, but not escaped.
    """
    stages = report.waterfall
    if not stages:
        return None

    def figures(measure: Measure, layer: int | None) -> list[str]:
        return row(stages, measure, layer, _TIMES, THIN_SPACE)

    known = measures(stages)
    return WaterfallSection(
        charts=[(measure.title, _chart(measure, drops(stages, measure))) for measure in known],
        headings=headings(stages),
        rows=[(measure.title, figures(measure, None)) for measure in known],
        evidence=evidence_lines(report),
        layers=[
            (measure.title, [(label, figures(measure, number)) for number, label in enumerate(labels)])
            for measure in known
        ],
        remarks=remarks(stages),
    )


def _chart(measure: Measure, steps: Sequence[Drop]) -> Markup:
    longest = max(value for drop in steps for value in (drop.before, drop.after) if value is not None)
    size, unit = measure.unit(longest)
    bars = [_bar(measure, drop, size) for drop in steps]
    alt = f"{measure.title}, step by step: {'; '.join(bar.hint for bar in bars)}."
    label = f"{measure.title} of one inference{f' ({unit})' if unit else ''}"
    return Markup(charts.step_rows(bars, label, f"waterfall-{measure.key}", alt))


def _bar(measure: Measure, drop: Drop, size: float) -> charts.StepBar:
    value, before = drop.after or 0.0, drop.before or 0.0
    change = as_change(drop.change, THIN_SPACE)
    since = f", {change} since {drop.start}" if drop.start is not None else ""
    return charts.StepBar(
        label=drop.name,
        hint=f"{drop.name}: {measure.shown(value, THIN_SPACE)}{since}",
        before=before / size if drop.start is not None else None,
        after=value / size,
        remark=change if drop.start is not None else "",
    )
