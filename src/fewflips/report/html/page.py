"""One self-contained page about an optimization."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from fewflips.records.optimization import Check, LayerResult, OptimizeReport, PortResult, ResultTotals
from fewflips.report.cost_words import chosen_by, stage_costs
from fewflips.report.coverage_words import coverage_words
from fewflips.report.html import charts, layer_table
from fewflips.report.html.assets import asset, page_environment, script_hash
from fewflips.report.html.energy_section import energy_section
from fewflips.report.html.layer_view import BIT_HEIGHT, BIT_WIDTH, layer_views
from fewflips.report.html.picture import Raster, StreamPicture, band_tops, palette, rasters
from fewflips.report.html.waterfall_section import waterfall_section
from fewflips.report.notes import operations_of, other_notes
from fewflips.report.numbers import (
    THIN_SPACE,
    above_bound,
    as_percent,
    as_ratio,
    comparison,
    flip_rate,
    ports,
    reduction,
    short_labels,
    telling_names,
)
from fewflips.report.stage_words import main_result, other_checks, other_stages
from fewflips.visible import printable

_LARGEST_SHARES = 12
_LABEL_WIDTH = 26
_PICTURE_ROW = 2
_PICTURE_WIDTH = 960
_PICTURE_MARGIN = 44


def render_html(report: OptimizeReport, picture: StreamPicture | None = None) -> str:
    """The report as a self-contained HTML page.

    Parameters
    ----------
    report : OptimizeReport
        The results.
    picture : StreamPicture, optional
        A weight stream before and after, to show bit by bit.

    Returns
    -------
    str
        The page; the same results give the same bytes. Names from the model file are escaped, and the page's
        content security policy forbids all requests and all scripts but its own.
    """
    script = asset("report.js")
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            style=Markup(asset("report.css")),
            script=Markup(script),
            script_hash=script_hash(script),
            headline=_headline(report),
            coverage=None if report.coverage is None else coverage_words(report.coverage),
            checks=_checks(report),
            stages=other_stages(report, "\u00d7", THIN_SPACE),
            costs=stage_costs(report, "\u00d7", THIN_SPACE),
            chosen_by=chosen_by(report),
            other_files=other_checks(report),
            charts=_charts(report),
            energy=energy_section(report, _labels(report.layers)),
            waterfall=waterfall_section(report, _labels(report.layers)),
            picture=_picture(picture, report) if picture is not None else None,
            columns=(table := layer_table.columns(report)),
            groups=layer_table.groups(table),
            names=telling_names([layer.name for layer in report.layers]),
            layers=layer_views(report),
            bit_width=BIT_WIDTH,
            bit_height=BIT_HEIGHT,
            notes=other_notes(report.notes, operations_of(report)),
        )
    )


def _headline(report: OptimizeReport) -> dict[str, Any]:
    """The figures at the top of the page."""
    weights = report.totals.weights
    both = report.schedule is not None and report.drop_in is not None
    return {
        "means": main_result(report),
        "words": _words(weights, "weight flips"),
        "before": weights.baseline_flips,
        "after": weights.optimized_flips,
        "gap": above_bound(weights.optimized_flips, weights.lower_bound),
        "drop_in": _words(report.drop_in.totals.weights, "weight flips")
        if both and report.drop_in is not None
        else None,
        "activations": _words(report.totals.activations, "activation flips")
        if report.totals.activations is not None
        else None,
    }


def _words(totals: ResultTotals, what: str) -> str:
    return comparison(totals.baseline_flips, totals.optimized_flips, what)


def _checks(report: OptimizeReport) -> list[tuple[str, str, Check]]:
    """(Description, file, how it was checked) for everything written."""
    outputs = (("schedule", report.schedule), ("drop-in file", report.drop_in))
    written = [(name, output.file, output.check) for name, output in outputs if output is not None]
    return written + other_checks(report)


def _charts(report: OptimizeReport) -> dict[str, Any]:
    """Every chart as markup; None for those without figures."""
    drawn: dict[str, Any] = {"activations": None, "activation_bits": None, "shares": None}
    if not report.layers:
        return {**drawn, "weights": None, "weight_bits": None}
    drawn["weights"] = _rates_chart(report, "weights")
    drawn["weight_bits"] = _bits_chart(report, "weights")
    if any(layer.activations is not None for layer in report.layers):
        drawn["activations"] = _rates_chart(report, "activations")
        drawn["activation_bits"] = _bits_chart(report, "activations")
    if len(report.layers) > 1:
        drawn["shares"] = _shares_chart(report)
    return drawn


def _rates_chart(report: OptimizeReport, port: str) -> Markup:
    labels = dict(zip(map(id, report.layers), _labels(report.layers), strict=True))
    bars = [_rate_bar(layer, result, labels[id(layer)], port, report) for layer, result in ports(report, port)]
    alt = f"Normalized Hamming distance of the {port} of each layer before and after; the table has the figures."
    return Markup(charts.bar_rows(bars, "normalized Hamming distance", port, alt))


def _rate_bar(layer: LayerResult, result: PortResult, label: str, port: str, report: OptimizeReport) -> charts.Bar:
    before, after = flip_rate(result.baseline_flips, result), flip_rate(result.optimized_flips, result)
    tied = None
    if port == "weights" and layer.drop_in is not None and report.schedule is not None:
        tied = flip_rate(layer.drop_in.weights.optimized_flips, layer.drop_in.weights)
    ratio = as_ratio(reduction(result.baseline_flips, result.optimized_flips))
    return charts.Bar(
        label=label,
        hint=f"{printable(layer.name)}: {before:.3f} before, {after:.3f} after ({ratio})",
        before=before,
        after=after,
        bound=None if result.lower_bound is None else flip_rate(result.lower_bound, result),
        drop_in=tied,
        remark=ratio,
    )


def _shares_chart(report: OptimizeReport) -> dict[str, Any]:
    """The layers with the most flips in one inference, and a sentence on the others."""
    everything = max(sum(layer.weights.baseline_flips * layer.weights.repeats for layer in report.layers), 1)
    bars = [
        _share_bar(layer.weights, printable(layer.name), label, everything)
        for layer, label in zip(report.layers, _labels(report.layers), strict=True)
    ]
    bars.sort(key=lambda bar: -bar.before)
    shown, others = bars[:_LARGEST_SHARES], bars[_LARGEST_SHARES:]
    alt = "Share of each layer in the weight flips of one inference, the largest first."
    svg = charts.bar_rows(shown, "share of the network's weight flips before", "shares", alt, percent=True)
    rest = sum(bar.before for bar in others)
    count = f"{len(others)} other layer{'' if len(others) == 1 else 's'}"
    return {"svg": Markup(svg), "others": f"{count}: {as_percent(rest)}" if others else None}


def _share_bar(port: PortResult, name: str, label: str, everything: int) -> charts.Bar:
    before = port.baseline_flips * port.repeats / everything
    after = port.optimized_flips * port.repeats / everything
    hint = f"{name}: {as_percent(before)} before, {as_percent(after)} of the same sum after"
    return charts.Bar(label, hint, before, after, remark=as_percent(before))


def _labels(layers: Sequence[LayerResult]) -> list[str]:
    return short_labels([layer.name for layer in layers], _LABEL_WIDTH if len(layers) <= 64 else 18)


def _bits_chart(report: OptimizeReport, port: str) -> Markup:
    results = [result for _, result in ports(report, port)]
    before = _bit_rates(results, [result.baseline_bit_position_flips for result in results])
    after = _bit_rates(results, [result.optimized_bit_position_flips for result in results])
    figures = ", ".join(
        f"bit {bit} {left:.2f} to {right:.2f}" for bit, (left, right) in enumerate(zip(before, after, strict=True))
    )
    alt = f"Flips of the {port} per transition by position of the bit, before and after: {figures}."
    return Markup(charts.bit_positions(before, after, f"{port}-bits", alt))


def _bit_rates(results: Sequence[PortResult], flips: Sequence[Sequence[int]]) -> list[float]:
    """Flips per transition of each bit, over all layers, weighted by repeats; least significant bit first."""
    rates = []
    for bit in range(max(len(positions) for positions in flips)):
        wide = [(result, at[bit]) for result, at in zip(results, flips, strict=True) if bit < len(at)]
        transitions = sum(result.transitions * result.repeats for result, _ in wide)
        total = sum(count * result.repeats for result, count in wide)
        rates.append(total / transitions if transitions else 0.0)
    return rates


def _picture(picture: StreamPicture, report: OptimizeReport) -> dict[str, Any]:
    before, after = rasters(picture)
    cycles, lanes = picture.before.shape
    parts = [
        name
        for shown, all_, name in ((before.cycles, cycles, "cycles"), (before.lanes, lanes, "lanes"))
        if shown < all_
    ]
    return {
        "layer": _numbered(picture.layer, [layer.name for layer in report.layers]),
        "segment": picture.segment,
        "bits": picture.bits,
        "cycles": cycles,
        "lanes": lanes,
        "cut": parts,
        "before": _image(before, picture.bits),
        "after": _image(after, picture.bits),
        "palette": palette(),
        "ratio": comparison(before.flips, after.flips, "flips"),
    }


def _numbered(name: str, names: list[str]) -> str:
    """A layer's label in the charts, or its full name if the report has no such layer."""
    if name not in names:
        return name
    index = names.index(name)
    return f"layer {index + 1}, {telling_names(names)[index]}"


def _image(raster: Raster, bits: int) -> Mapping[str, Any]:
    """A raster with its place and labels in user units of an SVG."""
    cell = min((_PICTURE_WIDTH - _PICTURE_MARGIN) / raster.cycles, 12.0)
    row = max(_PICTURE_ROW, min(8.0, 128.0 / raster.height))
    middle = raster.lanes / 2
    return {
        "raster": raster,
        "data": base64.b64encode(raster.png).decode(),
        "margin": _PICTURE_MARGIN,
        "width": round(cell * raster.cycles, 2),
        "height": round(row * raster.height, 2),
        "bands": [(bit, round((top + middle) * row, 2)) for bit, top in band_tops(raster, bits)],
    }
