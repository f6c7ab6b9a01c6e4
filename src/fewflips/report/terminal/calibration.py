"""A calibration as tables for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from fewflips.records.calibration import Accuracy, Calibration, NetworkComparison
from fewflips.report.calibration_words import (
    accuracy_figures,
    as_fit,
    curve_rows,
    layer_figures,
    ranking_words,
    total_of,
)
from fewflips.report.notes import other_notes
from fewflips.report.terminal.console_tables import add_total, figures_table, named_layers, page, title_text
from fewflips.visible import printable


def calibration_table(calibration: Calibration) -> Group:
    """The curve, and its predictions.

    Parameters
    ----------
    calibration : Calibration
        Result of ``fewflips calibrate``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console, 80 columns or wider.
    """
    array, cells = calibration.accelerator, calibration.cells
    title = f"{printable(array.name)} on {printable(cells.name)}: data energy of a lane and cycle, fJ"
    below: list[RenderableType] = ["The other operand is held; operand registers are left out."]
    if calibration.network is not None:
        below += _comparison(calibration.network)
    return page(title, _curve_table(calibration), *below, *other_notes(calibration.notes))


def _curve_table(calibration: Calibration) -> Table:
    table = _plain("zero delay", "inertial", label="NHD")
    for row in curve_rows(calibration):
        table.add_row(f"{row.nhd:.3f}", f"{row.zero_delay_fj:.1f}", f"{row.inertial_fj:.1f}")
    return table


def _comparison(network: NetworkComparison) -> list[RenderableType]:
    natural = network.orders[0]
    layers = figures_table("\nNHD", "zero d.\nfJ/MAC", "pre-\ndicted", "\n%", "inertial\nfJ/MAC", "pre-\ndicted", "\n%")
    for number, (layer, name) in enumerate(named_layers(natural.layers), start=1):
        layers.add_row(str(number), name, *layer_figures(layer))
    add_total(layers, ["", *layer_figures(total_of(natural.layers))[1:]])
    fits = _plain("R² per\nMAC", "R²\nlog", "median\nerror", "worst\nerror", "total\nerror", label="prediction")
    for order in network.orders:
        _add_fit(fits, f"{order.order} order", order.accuracy.zero_delay, order.accuracy.inertial)
    _add_fit(fits, "without inputs", network.without_inputs.zero_delay, network.without_inputs.inertial)
    for variant in network.ablation[:-1]:
        _add_fit(fits, f"up to {variant.terms}", variant.zero_delay, variant.inertial)
    blocks = network.blocks
    return [
        "",
        title_text(f"{printable(network.model.file)}: simulated gate by gate, and predicted"),
        layers,
        fits,
        f"Blocks of {blocks.cycles} cycles ({blocks.count}): R² {as_fit(blocks.zero_delay_r2)} zero delay, "
        f"{as_fit(blocks.inertial_r2)} inertial; from flips alone {as_fit(blocks.zero_delay_r2_from_flips)} and "
        f"{as_fit(blocks.inertial_r2_from_flips)}.",
        *_ranks(network),
    ]


def _ranks(network: NetworkComparison) -> list[str]:
    return [f"Natural or scheduled order: {line}" for line in ranking_words(network.ranking)]


def _add_fit(table: Table, name: str, zero_delay: Accuracy, inertial: Accuracy) -> None:
    table.add_row(f"{name}, zero delay", *accuracy_figures(zero_delay))
    table.add_row(f"{name}, inertial", *accuracy_figures(inertial))


def _plain(*figures: str, label: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(label, no_wrap=True)
    for figure in figures:
        table.add_column(figure, justify="right", no_wrap=True)
    return table
