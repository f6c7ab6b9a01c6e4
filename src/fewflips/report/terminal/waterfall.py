"""The waterfall of an optimization as tables for the terminal."""

from __future__ import annotations

from functools import partial

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fewflips.records.optimization import OptimizeReport
from fewflips.records.waterfall import WaterfallStage
from fewflips.report.terminal.console_tables import Fitting, figures_table, named_layers, title_text
from fewflips.report.waterfall_words import Measure, evidence_lines, headings, measures, remarks, row


def waterfall_tables(report: OptimizeReport) -> list[RenderableType]:
    """What each step is worth: for the network, then for every layer.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.

    Returns
    -------
    list of renderables
        To be printed by a rich console, 80 columns or wider; empty where it was not asked for.
    """
    stages = report.waterfall
    if not stages:
        return []
    shown: list[RenderableType] = [
        Text(),
        title_text("What each step is worth, all layers"),
        Fitting(partial(_network_table, stages)),
        *(Text(sentence) for sentence in remarks(stages)),
        *(Text(f"{name}: {words}") for name, words in evidence_lines(report)),
    ]
    for measure in measures(stages):
        shown += [Text(), title_text(f"What each step is worth, by layer: {measure.title}")]
        shown.append(Fitting(partial(_layers_table, report, stages, measure)))
    return shown


def _network_table(stages: tuple[WaterfallStage, ...], dense: bool) -> Table:
    table = figures_table(*headings(stages), label="", numbered=False, dense=dense)
    for measure in measures(stages):
        table.add_row(measure.short, *row(stages, measure, None, "x", " "))
    return table


def _layers_table(report: OptimizeReport, stages: tuple[WaterfallStage, ...], measure: Measure, dense: bool) -> Table:
    table = figures_table(*headings(stages), dense=dense)
    for number, (_, name) in enumerate(named_layers(report.layers)):
        table.add_row(str(number + 1), name, *row(stages, measure, number, "x", " "))
    return table
