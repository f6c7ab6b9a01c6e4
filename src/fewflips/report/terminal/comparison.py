"""Runs beside each other, in the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table

from fewflips.records.comparison import ComparisonReport
from fewflips.records.quantities import QUANTITY_WORDS
from fewflips.report.numbers import as_ratio
from fewflips.report.quantity_words import known_quantities, less, main_quantity, value_of, value_words
from fewflips.report.terminal.console_tables import figures_table, named_layers, page
from fewflips.visible import printable

_OUTCOMES = {"before": "as stored", "schedule": "scheduled", "drop-in": "drop-in file"}


def comparison_table(report: ComparisonReport, quantity: str | None = None) -> Group:
    """Every run in all, and every layer in every run.

    Parameters
    ----------
    report : ComparisonReport
        Result of ``fewflips compare``.
    quantity : str, optional
        By what layers are compared; a field of quantities. Default: energy at gate level if all runs have it, else
        the estimate, else weight flips.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console.
    """
    chosen = quantity or main_quantity(report)
    runs = [
        f"{number}: {printable(run.label)}, {printable(run.model.file)} on {printable(run.accelerator)}, "
        f"{_OUTCOMES[run.outcome]}"
        for number, run in enumerate(report.runs, start=1)
    ]
    return page(
        "Runs, one inference of each",
        *runs,
        _totals(report),
        f"By layer: {QUANTITY_WORDS[chosen]}",
        _layers(report, chosen),
        "Less: how many times less than run 1; below 1.00x it is more.",
        *report.notes,
    )


def _totals(report: ComparisonReport) -> Table:
    names = known_quantities(report)
    headings = [part for name in names for part in (QUANTITY_WORDS[name].replace(" ", "\n"), "\nless")]
    table = figures_table(*headings, label="run")
    values = {name: [value_of(run.compared, name) for run in report.runs] for name in names}
    for number, run in enumerate(report.runs):
        cells = []
        for name in names:
            cells += [value_words(values[name][number], name, " "), as_ratio(less(values[name])[number], "x")]
        table.add_row(str(number + 1), printable(run.label), *cells)
    return table


def _layers(report: ComparisonReport, name: str) -> Table:
    headings = ["run 1", *(part for number in range(2, len(report.runs) + 1) for part in (f"run {number}", "less"))]
    table = figures_table(*headings)
    for number, (layer, label) in enumerate(named_layers(report.layers), start=1):
        values = [value_of(run, name) for run in layer.runs]
        ratios = less(values)
        cells = [value_words(values[0], name, " ")]
        for value, ratio in zip(values[1:], ratios[1:], strict=True):
            cells += [value_words(value, name, " "), as_ratio(ratio, "x")]
        table.add_row(str(number), label, *cells)
    return table
