"""A calibration as Markdown."""

from __future__ import annotations

from fewflips.records.calibration import Calibration, NetworkComparison
from fewflips.report.calibration_words import (
    ACCURACY_HEADINGS,
    accuracy_figures,
    as_fit,
    curve_rows,
    layer_figures,
    ranking_words,
    total_of,
)
from fewflips.report.markdown.escaping import code, inline, table
from fewflips.report.numbers import telling_names

_LAYER_HEADINGS = (
    "layer",
    "weight NHD",
    "zero delay, fJ/MAC",
    "predicted",
    "error, %",
    "inertial, fJ/MAC",
    "predicted",
    "error, %",
)


def calibration_markdown(calibration: Calibration) -> str:
    """The curve, and every layer of the network predicted and simulated.

    Parameters
    ----------
    calibration : Calibration
        Result of ``fewflips calibrate``.

    Returns
    -------
    str
        Markdown, ending with a line feed.
    """
    array, cells = calibration.accelerator, calibration.cells
    curve = [
        (f"{row.nhd:.3f}", f"{row.zero_delay_fj:.1f}", f"{row.inertial_fj:.1f}") for row in curve_rows(calibration)
    ]
    lines = [
        f"# Calibration: {inline(array.name)}, {inline(cells.name)} ({inline(cells.corner)})",
        "",
        f"Made by {code(calibration.settings.command)}.",
        "",
        "## Data energy of a lane and cycle, the other operand held, operand registers left out",
        "",
        *table(("NHD", "zero delay, fJ", "inertial, fJ"), curve),
        "",
        "![Curves, and predicted against simulated energy](calibration.svg)",
    ]
    if calibration.network is not None:
        lines += _network(calibration.network)
    lines += ["", *(f"- {inline(note)}" for note in calibration.notes)]
    return "\n".join(lines) + "\n"


def _network(network: NetworkComparison) -> list[str]:
    lines = ["", f"## {inline(network.model.file)}: predicted against simulated"]
    lines += ["", *table(("", *ACCURACY_HEADINGS), _fits(network))]
    blocks = network.blocks
    lines += [
        "",
        f"{blocks.count} blocks of {blocks.cycles} cycles: R² {as_fit(blocks.zero_delay_r2)} (zero delay), "
        f"{as_fit(blocks.inertial_r2)} (inertial); from flips alone {as_fit(blocks.zero_delay_r2_from_flips)} and "
        f"{as_fit(blocks.inertial_r2_from_flips)}.",
    ]
    lines += ["", *(f"- Natural or scheduled order: {line}" for line in ranking_words(network.ranking))]
    for order in network.orders:
        names = telling_names([layer.name for layer in order.layers])
        rows = [
            (f"{number}. {inline(name)}", *layer_figures(layer))
            for number, (name, layer) in enumerate(zip(names, order.layers, strict=True), start=1)
        ]
        rows.append(("**total**", "", *layer_figures(total_of(order.layers))[1:]))
        lines += ["", f"### Every layer, {order.order} order", "", *table(_LAYER_HEADINGS, rows)]
    return lines


def _fits(network: NetworkComparison) -> list[tuple[str, ...]]:
    named = [(f"{order.order} order", order.accuracy.zero_delay, order.accuracy.inertial) for order in network.orders]
    named.append(("without sample inputs", network.without_inputs.zero_delay, network.without_inputs.inertial))
    named += [(f"terms up to: {variant.terms}", variant.zero_delay, variant.inertial) for variant in network.ablation]
    return [
        (f"{name}, {delays}", *accuracy_figures(accuracy))
        for name, *accuracies in named
        for delays, accuracy in zip(("zero delay", "inertial"), accuracies, strict=True)
    ]
