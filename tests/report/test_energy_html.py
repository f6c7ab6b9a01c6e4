"""Energies on the page: every figure, nothing unescaped, nothing divided by zero."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fewflips.records.optimization import OptimizeReport
from fewflips.report.html.layer_table import columns
from fewflips.report.html.page import render_html
from fewflips.report.numbers import ABSENT, as_energy
from tests.report.sample_reports import layer_energy, optimize_report, parts, with_bills, with_energy
from tests.report.test_html import ATTACK, ROOT, Page

PAGES = [(1, "schedule"), (12, "drop-in"), (12, "both"), (150, "both")]


def table_rows(page: str) -> list[str]:
    """Rows of the table of layers."""
    table = page[page.index('<table id="layers-table">') :]
    return re.findall(r"<tr>.*?</tr>", table[table.index("<tbody>") : table.index("</tbody>")], re.DOTALL)


def totals_row(page: str) -> str:
    return page[page.index("<tfoot>") : page.index("</tfoot>")]


def column(report: OptimizeReport, key: str):
    return next(column for column in columns(report) if column.key == key)


@pytest.mark.parametrize(("layers", "mode"), PAGES)
def test_the_table_holds_every_energy(layers, mode):
    report = with_energy(optimize_report(layers, mode=mode, activations=True))
    page = render_html(report)
    Page(page)
    shown = [*table_rows(page), totals_row(page)]
    comparisons = [*(layer.energy for layer in report.layers), report.energy.total]
    for row, comparison in zip(shown, comparisons, strict=True):
        after = comparison.schedule or comparison.drop_in
        for energy in (comparison.baseline, after):
            for side in (energy.zero_delay, energy.inertial):
                assert f">{as_energy(side.data_pj)}<" in row
                assert f">{as_energy(side.total_pj)}<" in row
        ratio = comparison.baseline.inertial.total_pj / after.inertial.total_pj
        assert f">{ratio:.2f}\u00d7<" in row


def test_columns_by_hand():
    """2000 MACs: 1000 pJ data and 250 pJ overhead inertial, 500 and 250 without delays; 1.25 times less data."""
    report = optimize_report(names=["conv"])
    report = report.model_copy(update={"layers": (report.layers[0].model_copy(update={"macs": 2000}),)})
    report = with_energy(report, ci95_percent=1.5)
    expected = {
        "energy-before": 1000.0,
        "energy-after": 800.0,
        "energy-reduction": 1.25,
        "energy-clock-before": 1250.0,
        "energy-clock-after": 1050.0,
        "energy-clock-reduction": 1250 / 1050,
        "zero-delay-before": 500.0,
        "zero-delay-after": 400.0,
        "zero-delay-reduction": 1.25,
        "zero-delay-clock-before": 750.0,
        "zero-delay-clock-after": 650.0,
        "zero-delay-clock-reduction": 750 / 650,
        "drop-in-energy": 1.0625,
        "drop-in-energy-clock": 1250 / (1000 / 1.0625 + 250),
        "drop-in-zero-delay": 1.0625,
        "drop-in-zero-delay-clock": 750 / (500 / 1.0625 + 250),
        "confidence-before": 1.5,
        "confidence-after": 1.5,
    }
    for key, value in expected.items():
        assert column(report, key).cells[0][1] == pytest.approx(value), key
    assert column(report, "energy-clock-reduction").cells[0][0] == column(report, "energy-clock-reduction").total
    assert column(report, "confidence-before").total == "\u00b11.50\u202f%"


def test_columns_appear_only_where_they_have_figures():
    def keys(report: OptimizeReport) -> set[str]:
        return {column.key for column in columns(report)} - {column.key for column in columns(optimize_report(3))}

    assert keys(optimize_report(3)) == set()
    alone = keys(with_energy(optimize_report(3, mode="schedule")))
    assert len(alone) == 12
    assert keys(with_energy(optimize_report(3, mode="drop-in"))) == alone
    both = keys(with_energy(optimize_report(3)))
    assert {key for key in both - alone if key.startswith("drop-in")} == both - alone
    assert len(both - alone) == 4
    sampled = keys(with_energy(optimize_report(3), ci95_percent=1.0))
    assert sampled - both == {"confidence-before", "confidence-after"}


def test_a_page_without_energy_has_no_word_of_it():
    page = render_html(optimize_report(3))
    text = Page(page).text()
    assert "nergy" not in text
    assert 'widest"' not in page


def test_layers_without_energy_have_dashes_and_are_counted():
    report = with_energy(optimize_report(4), unknown=(1, 3))
    page = render_html(report)
    assert column(report, "energy-before").cells[1] == (ABSENT, None)
    assert column(report, "drop-in-energy").cells[3] == (ABSENT, None)
    assert "Not simulated, and in no total: 2 of 4 layers." in Page(page).text()
    assert f"{report.layers[0].name}: data" in page
    assert f"{report.layers[1].name}: data" not in page


def test_no_layer_with_energy_no_chart_of_layers():
    report = with_energy(optimize_report(3))
    layers = tuple(layer.model_copy(update={"energy": None}) for layer in report.layers)
    page = Page(render_html(report.model_copy(update={"layers": layers})))
    assert "What the energy is spent on" in page.text()
    assert "At the end of each row: before / after, of the data." not in page.text()


def test_zero_energies_divide_by_nothing():
    report = optimize_report(2)
    still = layer_energy("conv", 0)
    layers = tuple(layer.model_copy(update={"macs": 0}) for layer in report.layers)
    report = with_energy(report.model_copy(update={"layers": layers}))
    assert report.energy.total.baseline.inertial == still.inertial
    page = Page(render_html(report))
    assert column(report, "energy-reduction").cells[0] == (ABSENT, None)
    assert "0\u202fpJ" in page.text()
    assert re.search(r"\b(nan|inf)\b", page.text()) is None


def test_internal_energy_below_zero_can_be_drawn():
    report = with_energy(optimize_report(2, mode="schedule"))
    odd = report.layers[0].energy.baseline.model_copy(update={"inertial": parts(1.0, -3.0, 1.0, 0.0)})
    comparison = report.layers[0].energy.model_copy(update={"baseline": odd})
    layers = (report.layers[0].model_copy(update={"energy": comparison}), report.layers[1])
    total = report.energy.total.model_copy(update={"baseline": odd})
    result = report.energy.model_copy(update={"total": total})
    page = render_html(report.model_copy(update={"layers": layers, "energy": result}))
    assert "internal -3.00\u202fpJ" in page
    assert f">{ABSENT}<" in table_rows(page)[0]


def test_the_headline_has_both_sums_and_both_models():
    page = render_html(with_energy(optimize_report(12)))
    less = '<dt>{}</dt><dd class="words">{}\u00d7 less <small>inertial, {}\u00d7 less zero delay</small></dd>'
    assert less.format("energy, data alone", "1.25", "1.25") in page
    assert less.format("energy with clock", "1.19", "1.15") in page


def test_bars_say_what_they_show():
    report = with_energy(optimize_report(12))
    comparison = report.layers[4].energy
    before, after = comparison.baseline.inertial, comparison.schedule.inertial
    hint = f": data {as_energy(before.data_pj)}, with clock {as_energy(before.total_pj)} before; "
    hint += f"data {as_energy(after.data_pj)} (1.25\u00d7), with clock {as_energy(after.total_pj)} (1.19\u00d7) after"
    assert f"{report.layers[4].name}{hint}" in render_html(report)


def test_the_split_is_drawn_and_written():
    report = with_energy(optimize_report(12))
    page = render_html(report)
    for name, energy in (("before", "baseline"), ("scheduled", "schedule"), ("drop-in file", "drop_in")):
        for title in ("zero delay", "inertial"):
            side = getattr(getattr(report.energy.total, energy), title.replace(" ", "_"))
            figures = (side.switching_pj, side.internal_pj, side.clock_pj, side.leakage_pj)
            kinds = ("switching", "internal", "clock", "leakage")
            words = ", ".join(f"{kind} {as_energy(figure)}" for kind, figure in zip(kinds, figures, strict=True))
            assert f"{title}, {name}: {words}" in page
            row = "".join(f'<td class="number">{as_energy(figure)}</td>' for figure in figures)
            assert f'<th scope="row">{name}</th>{row}' in page


def test_what_was_simulated_is_said():
    text = Page(render_html(with_energy(optimize_report(3), ci95_percent=1.5))).text()
    assert "column of 16 lanes, activations held" in text
    assert "NangateOpenCellLibrary, corner typical" in text
    assert "by fanout, 0.61 fF a pin" in text
    assert "natural order" not in text, "several orders are compared"
    assert "95 % confidence of the inertial data: \u00b11.50\u202f% before, \u00b11.50\u202f% after." in text


def test_names_are_escaped():
    report = with_energy(optimize_report(names=[ATTACK, "<svg onload=1>"]))
    result = report.energy
    result = result.model_copy(
        update={
            "cells": result.cells.model_copy(update={"name": ATTACK, "source": ATTACK, "corner": ATTACK}),
            "datapath": result.datapath.model_copy(update={"netlist": ATTACK, "wires": ATTACK}),
            "settings": result.settings.model_copy(update={"inputs": ATTACK}),
        }
    )
    html = render_html(report.model_copy(update={"energy": result}))
    page = Page(html)
    assert page.count("script") == 1
    assert ATTACK not in html
    assert page.text().count(ATTACK) >= 8
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_identifiers_are_unique_and_every_reference_has_its_target():
    page = render_html(with_energy(optimize_report(12, activations=True)))
    elements = Page(page).elements
    found = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(found) == len(set(found))
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(found)
    assert {attributes["aria-labelledby"] for _, attributes in elements if "aria-labelledby" in attributes} <= set(
        found
    )


def test_colours_are_variables_of_the_page():
    page = render_html(with_energy(optimize_report(12)))
    style = page[page.index("<style>") : page.index("</style>")]
    used = set(re.findall(r"var\(--([a-z-]+)\)", page))
    defined = [set(re.findall(r"--([a-z-]+):", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)]
    assert len(defined) == 3
    assert all(used <= names for names in defined)


def test_same_report_same_bytes():
    assert render_html(with_energy(optimize_report(12))) == render_html(with_energy(optimize_report(12)))


def test_the_keys_for_sorting_are_documented():
    text = Path(ROOT / "docs" / "report.md").read_text()
    report = with_bills(with_energy(optimize_report(2, activations=True), ci95_percent=1.0))
    assert all(f"`{column.key}`" in text for column in columns(report))
