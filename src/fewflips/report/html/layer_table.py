"""The table of layers of the HTML report, as columns of sortable cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fewflips.records.optimization import LayerResult, OptimizeReport, PortResult, ResultTotals
from fewflips.report.html.column import Column, Value, marked
from fewflips.report.html.energy_columns import energy_columns
from fewflips.report.numbers import (
    ABSENT,
    above_bound,
    as_percent,
    as_ratio,
    reduction,
    telling_names,
    with_si_prefix,
    with_thin_spaces,
)
from fewflips.visible import printable


def columns(report: OptimizeReport) -> list[Column]:
    """All columns for which a report has figures, in display order."""
    layers = report.layers
    table = _shape_columns(layers)
    table += _port_columns("weights", "", [layer.weights for layer in layers], report.totals.weights)
    table += energy_columns(report)
    if report.drop_in is not None and report.schedule is not None:
        tied = [layer.drop_in.weights if layer.drop_in else None for layer in layers]
        table += _after_columns("drop-in file", "drop-in-", tied, report.drop_in.totals.weights)
    if report.totals.activations is not None:
        live = [layer.activations for layer in layers]
        table += _after_columns("activations", "activations-", live, report.totals.activations, with_baseline=True)
    table += _seam_columns([layer.weights for layer in layers], report.totals.weights)
    return marked(table)


def groups(table: Sequence[Column]) -> list[tuple[str, int]]:
    """Headings above the headings, each with the number of its columns."""
    names = list(dict.fromkeys(column.group for column in table))
    return [(name, sum(column.group == name for column in table)) for name in names]


def _shape_columns(layers: Sequence[LayerResult]) -> list[Column]:
    def count(key: str, title: str, value: Callable[[LayerResult], int]) -> Column:
        return Column(key, title, "layer", [_count(value(layer)) for layer in layers])

    names = telling_names([layer.name for layer in layers])
    macs = with_si_prefix(sum(layer.macs for layer in layers))
    return [
        Column("index", "#", "layer", [_count(number) for number in range(1, len(layers) + 1)]),
        Column(
            "name",
            "name",
            "layer",
            [(printable(layer.name), name.lower()) for layer, name in zip(layers, names, strict=True)],
            "One inference",
        ),
        Column("operator", "operator", "layer", [(printable(layer.operator), layer.operator) for layer in layers]),
        count("n", "N", lambda layer: layer.n),
        count("k", "K", lambda layer: layer.k),
        Column("macs", "MACs", "layer", [(with_si_prefix(layer.macs), layer.macs) for layer in layers], macs),
        count("repeats", "repeats", lambda layer: layer.repeats),
    ]


def _port_columns(group: str, prefix: str, results: Sequence[PortResult | None], totals: ResultTotals) -> list[Column]:
    def column(key: str, title: str, cell: Callable[[PortResult], tuple[str, Value]], total: str) -> Column:
        return _column(f"{prefix}{key}", title, f"{group}: flips within passes", results, cell, total)

    gap = above_bound(totals.optimized_flips, totals.lower_bound)
    bound = ABSENT if totals.lower_bound is None else with_thin_spaces(totals.lower_bound)
    return [
        column("before", "before", lambda port: _count(port.baseline_flips), with_thin_spaces(totals.baseline_flips)),
        column("after", "after", lambda port: _count(port.optimized_flips), with_thin_spaces(totals.optimized_flips)),
        column(
            "reduction", "reduction", _reduction, as_ratio(reduction(totals.baseline_flips, totals.optimized_flips))
        ),
        column("bound", "lower bound", lambda port: _count(port.lower_bound), bound),
        column("gap", "above bound", _gap, as_percent(gap)),
        column("proven", "segments proven", _proven, f"{totals.proven_segments}/{totals.segments}"),
    ]


def _after_columns(
    title: str, prefix: str, results: Sequence[PortResult | None], totals: ResultTotals, with_baseline: bool = False
) -> list[Column]:
    table = _port_columns(title, prefix, results, totals)
    wanted = ["after", "reduction"] if not with_baseline else ["before", "after", "reduction"]
    chosen = [column for column in table if column.key.removeprefix(prefix) in wanted]
    return [Column(column.key, column.title, title, column.cells, column.total) for column in chosen]


def _seam_columns(results: Sequence[PortResult], totals: ResultTotals) -> list[Column]:
    group = "weights: flips at seams, per inference"
    before, after = with_thin_spaces(totals.baseline_seam_flips), with_thin_spaces(totals.optimized_seam_flips)
    return [
        _column("seams-before", "before", group, results, lambda port: _count(port.baseline_seam_flips), before),
        _column("seams-after", "after", group, results, lambda port: _count(port.optimized_seam_flips), after),
    ]


def _column(
    key: str,
    title: str,
    group: str,
    results: Sequence[PortResult | None],
    cell: Callable[[PortResult], tuple[str, Value]],
    total: str,
) -> Column:
    cells = [(ABSENT, None) if port is None else cell(port) for port in results]
    return Column(key, title, group, cells, total)


def _count(number: int | None) -> tuple[str, Value]:
    return (ABSENT, None) if number is None else (with_thin_spaces(number), number)


def _gap(port: PortResult) -> tuple[str, Value]:
    gap = above_bound(port.optimized_flips, port.lower_bound)
    return as_percent(gap), gap


def _reduction(port: PortResult) -> tuple[str, Value]:
    ratio = reduction(port.baseline_flips, port.optimized_flips)
    return as_ratio(ratio), ratio


def _proven(port: PortResult) -> tuple[str, Value]:
    share = port.proven_segments / port.segments if port.segments else None
    return f"{port.proven_segments}/{port.segments}", share
