"""The page of an exploration, and what the terminal shows."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from fewflips.report.html.exploration_chart import HEIGHT, WIDTH, charts_of
from fewflips.report.html.exploration_page import exploration_page
from fewflips.report.terminal.exploration import exploration_summary, exploration_table
from tests.exploration.reports import NETWORKS, exploration_report
from tests.report.test_chromium import browse, chromium  # noqa: F401  # fixtures


class Outline(HTMLParser):
    """Identifiers, links and tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids, self.links, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []


def test_every_point_leads_to_its_machine():
    report = exploration_report()
    outline = Outline(exploration_page(report))
    expected = [f"machine-{machine.index}" for machine in report.front]
    assert [name for name in outline.ids if name.startswith("machine-")] == expected
    in_chart = outline.links[: len(expected)]
    assert sorted(in_chart) == [f"#{name}" for name in expected]
    assert {link.removeprefix("#") for link in outline.links} <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))


def test_names_are_escaped_and_nothing_is_fetched():
    page = exploration_page(exploration_report())
    assert "<b>two" not in page
    assert "<i>unit" not in page
    assert "&lt;b&gt;two" in page
    assert "script" not in Outline(page).tags
    assert not re.search(r"(?:src|href)=[\"'](?!#)", page)


def test_bars_are_as_long_as_the_energies():
    report = exploration_report()
    page = exploration_page(report)
    bars = re.findall(r'<svg class="bar".*?</svg>', page, re.S)
    assert len(bars) == (len(report.front) + 1) * len(NETWORKS)
    lengths = [sum(float(width) for width in re.findall(r'width="([0-9.]+)"', bar)) for bar in bars]
    machines = [*report.front, report.against.baseline]
    energies = [cost.whole_pj for machine in machines for cost in machine.networks]
    assert lengths == pytest.approx([640 * energy / max(energies) for energy in energies], abs=0.1)
    assert 'style="fill: var(--partial-sums-buffer)"' in bars[0]


def test_points_lie_within_the_axes_and_in_order():
    (chart,) = charts_of(exploration_report())
    assert [point.index for point in chart.points] == [2, 1, 0]
    assert all(76 < point.x < WIDTH - 16 and 14 < point.y < HEIGHT - 52 for point in chart.points)
    assert [point.y for point in chart.points] == sorted(point.y for point in chart.points)  # down is less
    assert len(chart.others) == 2
    assert all(point.y_half > 0 and point.x_half == 0 for point in chart.points)
    assert "logarithmic" not in chart.x_label
    for ticks, places in ((chart.x_ticks, "x"), (chart.y_ticks, "y")):
        values = [float(tick.text) for tick in ticks]
        assert len(values) >= 2
        assert values == sorted(values), places


def test_each_other_objective_has_its_chart():
    report = exploration_report(objectives=("datapath_pj", "area_um2", "index_table_bits"))
    charts = charts_of(report)
    assert [chart.x_label for chart in charts] == ["area (mm²)", "index table (kbit)"]
    assert [chart.steps for chart in charts] == ["", ""]


def test_a_report_without_machines():
    empty = exploration_report(machines=(), front=(), ablation=(), best_per_network=(), against=None, complete=False)
    assert "The search was cut short" in exploration_page(empty)
    assert exploration_summary(empty) == "no machine was evaluated yet"


def test_the_terminal_shows_front_ablation_and_comparison():
    report = exploration_report()
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(exploration_table(report))
    text = console.export_text()
    for words in (
        "the front of 6 machines",
        "lanes 1, <i>unit</i> plain",
        "1 machine cannot be (5, say): lanes: too few",
        "+100.0 %",
    ):
        assert words in text
    assert "do not tell 2 from" in " ".join(text.split())
    summary = exploration_summary(report)
    assert summary.startswith("best machine: 0 (lanes 1")
    assert "old.yaml / best machine: whole energy 5.00x, area 1.33x" in summary


@pytest.mark.chromium
def test_the_address_chooses_the_machine(browse):  # noqa: F811
    page = exploration_page(exploration_report())
    probe = (
        "<script>addEventListener('load', () => { for (const one of document.querySelectorAll('.machine'))"
        " one.dataset.shown = getComputedStyle(one).display; })</script>"
    )
    page = page.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';", 1)
    page = page.replace("</body>", f"{probe}</body>", 1)
    for fragment, expected in (("", "machine-0"), ("#machine-2", "machine-2"), ("#baseline", "baseline")):
        dom, complaints = browse(page, fragment)
        shown = dict(re.findall(r'<article class="machine" id="([^"]+)" data-shown="([^"]+)"', dom))
        assert len(shown) == 4
        assert [name for name, display in shown.items() if display != "none"] == [expected]
        assert complaints == ""


@pytest.mark.chromium
def test_a_click_shows_the_machine(browse):  # noqa: F811
    page = exploration_page(exploration_report())
    probe = (
        "<script>addEventListener('load', () => { document.querySelector('a[href=\"#machine-1\"] circle')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true, view: window}));"
        " setTimeout(() => { document.body.dataset.at = location.hash; }, 50); })</script>"
    )
    page = page.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';", 1)
    dom, complaints = browse(page.replace("</body>", f"{probe}</body>", 1))
    assert 'data-at="#machine-1"' in dom
    assert complaints == ""
