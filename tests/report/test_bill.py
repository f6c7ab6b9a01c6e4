"""The bill on the terminal and on the page, and the figures in it by hand."""

from __future__ import annotations

import re

import pytest

from fewflips.records.bill import LevelBill
from fewflips.records.energy import EnergyReport, LayerEnergy
from fewflips.records.optimization import OptimizeReport
from fewflips.report.bill_words import MARKED, NO_BUFFERS
from fewflips.report.html.layer_table import columns
from fewflips.report.html.page import render_html
from fewflips.report.numbers import as_energy
from fewflips.report.terminal.energy import energy_headline, energy_table
from fewflips.report.terminal.flips import result_table
from tests.report.sample_reports import (
    Mode,
    billed,
    energy_report,
    layer_energy,
    optimize_report,
    with_bills,
    with_energy,
)
from tests.report.test_html import ATTACK, Page
from tests.report.test_table import printed

SPACE = "\u202f"


def words(text: str) -> str:
    return " ".join(text.split())


def report_on(total: LayerEnergy) -> EnergyReport:
    return energy_report(2).model_copy(update={"total": total})


def small_report(mode: Mode = "both", memories: bool = True) -> OptimizeReport:
    """One layer of 2000 MACs: 1000 pJ of data, 250 pJ of clock and leakage, and 3110 pJ of memories."""
    report = optimize_report(names=["conv"], mode=mode)
    layer = report.layers[0].model_copy(update={"macs": 2000})
    return with_bills(with_energy(report.model_copy(update={"layers": (layer,)})), memories)


def test_the_bill_by_hand():
    """Data 1000 pJ; datapath 1250 pJ; memories 200, 100, 800, 10 and 2000 pJ; whole 4360 pJ."""
    text = printed(energy_table(report_on(billed(layer_energy("total", 2000)))))
    bill = [words(line) for line in text[text.index("The bill") :].splitlines()]
    shown = [
        "multipliers 400 pJ 9.2 % 200",
        "adders 300 pJ 6.9 % 150",
        "partial sums 200 pJ 4.6 % 100",
        "registers 100 pJ 2.3 % 50.0",
        "clock 240 pJ 5.5 % 120",
        "leakage 10.0 pJ 0.23 % 5.00",
        "datapath 1.25 nJ 28.7 % 625",
        "weight buffer * 200 pJ 4.6 % 100",
        "activation buffer * 100 pJ 2.3 % 50.0",
        "partial-sum buffer * 800 pJ 18.3 % 400",
        "leakage of buffers 10.0 pJ 0.23 % 5.00",
        "DRAM * 2.00 nJ 45.9 % 1000",
        "whole 4.36 nJ 100 % 2180",
    ]
    lines = [line for line in bill if line in shown]
    assert lines == shown
    assert not any(line.startswith(("index table", "register files")) for line in bill), "neither is used"
    assert MARKED in words(text)
    assert NO_BUFFERS not in words(text)


def test_without_memories_the_bill_ends_with_the_datapath():
    text = words(printed(energy_table(report_on(billed(layer_energy("total", 2000), memories=False)))))
    assert "datapath 1.25 nJ 100 % 625" in text
    assert "whole" not in text
    assert NO_BUFFERS in text
    assert MARKED not in text


def test_a_report_older_than_the_bill_has_none():
    text = printed(energy_table(report_on(layer_energy("total", 2000))))
    assert "The bill" not in text
    assert "What the energy is spent on" in text


def test_nothing_spent_divides_by_nothing():
    text = printed(energy_table(report_on(billed(layer_energy("total", 0)))))
    assert "datapath" in text
    assert re.search(r"\b(nan|inf)\b", text) is None


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("mode", ["schedule", "drop-in", "both"])
def test_bills_before_and_after_fit_the_terminal(width, mode):
    text = printed(result_table(with_bills(with_energy(optimize_report(12, mode=mode)))), width)
    assert max(map(len, text.splitlines())) <= width
    assert "\u2026 " not in text
    assert ("scheduled" in text[text.index("The bill") :]) is (mode != "drop-in")


def test_a_comparison_by_hand():
    """Scheduled: 800 pJ of data; a drop-in 941 pJ. What memories take stays."""
    text = words(printed(result_table(small_report())))
    assert "before scheduled less drop-in" in text
    assert "multipliers 400 pJ 320 pJ 1.25x 376 pJ" in text
    assert "datapath 1.25 nJ 1.05 nJ 1.19x 1.19 nJ" in text
    assert "DRAM * 2.00 nJ 2.00 nJ 1.00x 2.00 nJ" in text
    assert "whole 4.36 nJ 4.16 nJ 1.05x 4.30 nJ" in text


def test_the_headline_has_the_whole_bill_where_memories_are_on_it():
    assert energy_headline(small_report()).endswith("; whole bill 1.05x less")
    assert "whole" not in energy_headline(small_report(memories=False))


def test_the_bill_is_drawn_and_written():
    report = small_report()
    page = render_html(report)
    Page(page)
    before = report.energy.total.baseline.bill
    hint = f"before: multipliers 400{SPACE}pJ, adders 300{SPACE}pJ, partial sums 200{SPACE}pJ, registers 100{SPACE}pJ"
    assert hint in page
    assert f"datapath 1.25{SPACE}nJ, whole 4.36{SPACE}nJ" in page
    row = '<th scope="row">weight buffer *</th><td class="number">200\u202fpJ</td><td class="number">200\u202fpJ</td>'
    assert row in page
    sums = re.findall(r'<tr class=sum><th scope="row">(\w+)</th><td class="number">([^<]+)</td>', page)
    assert sums == [("datapath", as_energy(before.datapath_pj)), ("whole", as_energy(before.whole_pj))]
    fact = "<dt>whole bill, with memories</dt>"
    assert f'{fact}<dd class="words">1.05\u00d7 less <small>4.16\u202fnJ, 4.36\u202fnJ before</small></dd>' in page
    assert MARKED in Page(page).text()
    assert "; with the memories 4.16\u202fnJ, 4.36\u202fnJ before." in Page(page).text()


def test_a_page_without_memories_has_no_whole_bill():
    page = render_html(small_report(memories=False))
    text = Page(page).text()
    assert NO_BUFFERS in text
    assert "whole bill" not in text
    assert "the datapath ends" not in text
    assert not any(column.key.startswith("whole") for column in columns(small_report(memories=False)))


def test_the_table_of_layers_has_the_whole_bill():
    found = {column.key: column.cells[0][1] for column in columns(small_report("schedule"))}
    assert found["whole-before"] == pytest.approx(4360)
    assert found["whole-after"] == pytest.approx(4160)
    assert found["whole-reduction"] == pytest.approx(4360 / 4160)


def test_layers_without_a_bill_have_dashes():
    report = small_report("schedule")
    layer = report.layers[0].energy
    plain = layer.model_copy(update={"baseline": layer.baseline.model_copy(update={"bill": None})})
    report = report.model_copy(update={"layers": (report.layers[0].model_copy(update={"energy": plain}),)})
    found = {column.key: column.cells[0] for column in columns(report)}
    assert found["whole-before"] == found["whole-reduction"] == ("\u2013", None)


def test_names_of_memories_are_neither_markup_nor_escapes():
    total = billed(layer_energy("total", 2000))
    levels = (LevelBill(name="[red]\x1b[31m" + ATTACK, access_pj=5.0, leakage_pj=0.0),)
    bill = total.bill.model_copy(update={"buffers": total.bill.buffers.model_copy(update={"beyond": levels})})
    hostile = total.model_copy(update={"bill": bill})
    text = printed(energy_table(report_on(hostile)), 120)
    assert "[red]" in text
    assert "\x1b" not in text
    report = small_report("schedule")
    compared = report.energy.total.model_copy(update={"baseline": hostile, "schedule": hostile})
    result = report.energy.model_copy(update={"total": compared})
    html = render_html(report.model_copy(update={"energy": result}))
    assert Page(html).count("script") == 1
    assert ATTACK not in html


def test_every_line_has_its_own_colour():
    page = render_html(small_report())
    style = page[page.index("<style>") : page.index("</style>")]
    blocks = [
        dict(re.findall(r"--([a-z-]+): (#\w+);", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    legend = re.findall(r'<span class="key ([a-z-]+)"></span>(?:multipliers|adders|weight buffer|DRAM)', page)
    assert len(legend) == 4
    used = set(re.findall(r"var\(--([a-z-]+)\)", page))
    assert all(used <= set(block) for block in blocks)
    kinds = [name for name in blocks[0] if name.endswith("-buffer")] + ["multipliers", "adders", "partial-sums"]
    assert all(len({block[name] for name in kinds}) == len(kinds) for block in blocks)


def test_a_bill_as_stored_alone():
    report = small_report("schedule")
    comparison = report.energy.total.model_copy(update={"schedule": None})
    layers = tuple(layer.model_copy(update={"energy": comparison}) for layer in report.layers)
    result = report.energy.model_copy(update={"total": comparison})
    report = report.model_copy(update={"layers": layers, "energy": result})
    page = render_html(report)
    assert "for the data alone; with the memories 4.36\u202fnJ." in Page(page).text()
    assert "<dt>whole bill, with memories</dt>" not in page
    text = words(printed(result_table(report)))
    assert "whole 4.36 nJ" in text
    assert "less" not in text[text.index("The bill") :].split("whole")[0]
