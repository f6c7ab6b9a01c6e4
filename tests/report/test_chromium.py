"""The page in headless Chromium: it sorts, it complains about nothing, it fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from fewflips.records.optimization import OptimizeReport
from fewflips.report.html.page import render_html
from tests.patience import PATIENCE_S
from tests.report.sample_reports import optimize_report, stream_picture, with_bills, with_energy, with_waterfall

pytestmark = pytest.mark.chromium

Browse = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    reason = "no chromium: install the Debian package chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def browse(chromium: str, tmp_path: Path) -> Browse:
    """Open a page, and give back its elements after all scripts ran, and what Chromium has to say."""

    def run(page: str, fragment: str = "", *options: str) -> tuple[str, str]:
        file = tmp_path / "report.html"
        file.write_text(page, encoding="utf-8")
        command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=2000"]
        command += [*(options or ("--dump-dom",)), file.as_uri() + fragment]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)

    return run


def with_script(page: str, script: str) -> str:
    """A page that the policy lets run one more script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = page.replace("script-src 'sha256-", f"script-src 'sha256-{digest}' 'sha256-", 1)
    return page.replace("</body>", f"<script>{script}</script></body>", 1)


def order(dom: str) -> list[int]:
    table = dom[dom.index('id="layers-table"') :]
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    return [int(number) - 1 for number in re.findall(r'<tr><td[^>]*data-value="(\d+)"', body)]


def sorted_by(dom: str) -> list[tuple[str, str]]:
    headings = re.findall(r'<th scope="col" data-key="([^"]+)" aria-sort="([^"]+)"', dom)
    return [heading for heading in headings if heading[1] != "none"]


def reductions(report: OptimizeReport) -> list[float]:
    return [layer.weights.baseline_flips / layer.weights.optimized_flips for layer in report.layers]


def test_the_address_sorts_the_table(browse):
    report = optimize_report(63, activations=True)
    dom, complaints = browse(render_html(report, stream_picture()), "#sort=reduction")
    ratios = reductions(report)
    assert [ratios[row] for row in order(dom)] == sorted(ratios, reverse=True)
    assert sorted_by(dom) == [("reduction", "descending")]
    assert complaints == ""


def test_the_address_gives_the_direction(browse):
    report = optimize_report(12)
    dom, _ = browse(render_html(report), "#sort=macs,ascending")
    macs = [layer.macs for layer in report.layers]
    assert [macs[row] for row in order(dom)] == sorted(macs)


def test_an_unknown_address_changes_nothing(browse):
    dom, complaints = browse(render_html(optimize_report(12)), "#sort=constructor,descending")
    assert order(dom) == list(range(12))
    assert sorted_by(dom) == [("index", "ascending")]
    assert complaints == ""


@pytest.mark.parametrize(("clicks", "direction"), [(1, "descending"), (2, "ascending")])
def test_a_heading_sorts(browse, clicks, direction):
    report = optimize_report(12)
    click = "document.querySelector('[data-key=reduction] button').click();"
    show = "document.title = location.hash;"
    dom, complaints = browse(with_script(render_html(report), click * clicks + show))
    ratios = reductions(report)
    assert [ratios[row] for row in order(dom)] == sorted(ratios, reverse=direction == "descending")
    assert sorted_by(dom) == [("reduction", direction)]
    assert f"<title>#sort=reduction,{direction}</title>" in dom
    assert complaints == ""


def test_names_sort_as_text_with_numbers_in_order(browse):
    names = ["net/conv_10/a", "net/conv_9/a", "net/Conv_1/a"]
    dom, _ = browse(render_html(optimize_report(names=names)), "#sort=name")
    assert order(dom) == [2, 1, 0]


def test_cells_without_a_figure_stay_below(browse):
    report = optimize_report(4, mode="schedule")
    weights = report.layers[1].weights.model_copy(update={"lower_bound": None})
    layers = (report.layers[0], report.layers[1].model_copy(update={"weights": weights}), *report.layers[2:])
    page = render_html(report.model_copy(update={"layers": layers}))
    assert order(browse(page, "#sort=bound,ascending")[0])[-1] == 1
    assert order(browse(page, "#sort=bound,descending")[0])[-1] == 1


def test_hostile_names_run_nothing(browse):
    names = [
        "<script>document.title='owned'</script>",
        "<img src=x onerror=\"document.title='owned'\">",
        "'\"><svg onload=1>",
    ]
    dom, complaints = browse(render_html(optimize_report(names=names)))
    assert "<title>owned" not in dom
    assert "<img" not in dom
    assert complaints == ""
    shown = unescape(dom.replace("<wbr>", ""))
    assert all(name in shown for name in names)


def test_nothing_is_fetched(browse):
    count = (
        "document.title = performance.getEntriesByType('resource')"
        ".filter((entry) => !entry.name.startsWith('data:')).length + ' fetched';"
    )
    dom, complaints = browse(with_script(render_html(optimize_report(12), stream_picture()), count))
    assert "<title>0 fetched</title>" in dom
    assert complaints == ""


def test_the_policy_stops_foreign_scripts(browse):
    page = render_html(optimize_report(1)).replace("</body>", "<script>document.title = 'owned'</script></body>")
    dom, complaints = browse(page)
    assert "<title>owned" not in dom
    assert "Content Security Policy" in complaints


def test_energies_sort_the_table(browse):
    report = with_energy(optimize_report(12, activations=True), unknown=(3,), ci95_percent=1.0)
    dom, complaints = browse(render_html(report, stream_picture()), "#sort=energy-clock-before")
    energies = [layer.energy.baseline.inertial.total_pj if layer.energy else -1.0 for layer in report.layers]
    assert [energies[row] for row in order(dom)] == sorted(energies, reverse=True)
    assert sorted_by(dom) == [("energy-clock-before", "descending")]
    assert complaints == ""


def test_whole_bills_sort_the_table(browse):
    report = with_bills(with_energy(optimize_report(12, activations=True), unknown=(3,)))
    dom, complaints = browse(render_html(report), "#sort=whole-before,ascending")
    known = [row for row, layer in enumerate(report.layers) if layer.energy]
    bills = {row: report.layers[row].energy.baseline.bill.whole_pj for row in known}
    assert order(dom)[:-1] == sorted(known, key=bills.__getitem__)
    assert order(dom)[-1] == 3
    assert complaints == ""


@pytest.mark.parametrize("energy", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_not_wider_than_its_window(browse, width, energy):
    measure = "document.title = document.documentElement.scrollWidth - innerWidth;"
    report = optimize_report(63, activations=True)
    shown = with_bills(with_energy(report)) if energy else report
    page = with_script(render_html(shown, stream_picture()), measure)
    dom, _ = browse(page, "", f"--window-size={width},900", "--dump-dom")
    assert int(re.search(r"<title>(-?\d+)</title>", dom)[1]) <= 0


def test_a_screenshot_is_not_blank(browse, tmp_path):
    from PIL import Image

    target = tmp_path / "page.png"
    browse(render_html(optimize_report(12), stream_picture()), "", "--window-size=1200,1500", f"--screenshot={target}")
    with Image.open(target) as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50


def test_the_waterfall_opens_and_nothing_complains(browse):
    report = with_waterfall(optimize_report(12))
    open_all = "for (const part of document.querySelectorAll('details')) part.open = true;"
    show = "document.title = document.querySelectorAll('[aria-labelledby=steps] details[open] tbody tr').length;"
    dom, complaints = browse(with_script(render_html(report), open_all + show))
    assert f"<title>{4 * len(report.layers)}</title>" in dom
    assert complaints == ""


def test_a_layer_opens_by_its_address_and_every_name_leads_to_one(browse):
    report = with_bills(with_energy(optimize_report(12, activations=True)))
    show = "document.title = Array.from(document.querySelectorAll('details[open]'), (one) => one.id).join();"
    page = with_script(render_html(report), show)
    dom, complaints = browse(page, "#layer-3")
    assert "<title>layer-3</title>" in dom
    links = re.findall(r'<a href="#(layer-\d+)">', dom)
    assert links == [f"layer-{number}" for number in range(1, 13)]
    assert all(f'<details id="{link}"' in dom for link in links)
    assert complaints == ""


def test_a_search_and_an_operator_leave_the_rows_that_fit(browse):
    report = optimize_report(12)
    search = "const box = document.getElementById('search'); box.value = 'DEPTHWISE conv_1/'; "
    search += "box.dispatchEvent(new Event('input')); document.title = document.getElementById('shown').textContent;"
    fitting = [layer for layer in report.layers if "conv_1/" in layer.name and "DEPTHWISE" in layer.operator]
    dom, complaints = browse(with_script(render_html(report), search))
    assert f"<title>{len(fitting)} of 12 layers</title>" in dom
    choose = "const box = document.getElementById('operator'); box.value = 'CONV_2D'; "
    choose += "box.dispatchEvent(new Event('change')); document.title = document.getElementById('shown').textContent;"
    count = sum(layer.operator == "CONV_2D" for layer in report.layers)
    assert f"<title>{count} of 12 layers</title>" in browse(with_script(render_html(report), choose))[0]
    assert complaints == ""


def test_csv_and_pictures_are_saved_as_they_are_shown(browse):
    report = with_bills(with_energy(optimize_report(3)))
    watch = (
        "const saved = []; HTMLAnchorElement.prototype.click = function () { saved.push(this.download); "
        "if (this.download.endsWith('svg')) { const text = decodeURIComponent(this.href.split(',').slice(1).join()); "
        "const found = new DOMParser().parseFromString(text, 'image/svg+xml'); "
        "saved.push(found.querySelector('parsererror') || text.includes('var(') ? 'broken' : 'whole'); } "
        "if (this.download.endsWith('png')) saved.push(this.href.slice(0, 21)); "
        "document.title = saved.join(' '); };"
        "document.getElementById('csv').click(); "
        "for (const one of document.querySelector('.save').children) one.click();"
    )
    dom, complaints = browse(with_script(render_html(report), watch))
    title = re.search(r"<title>(.*?)</title>", dom)[1]
    assert title == "layers.csv energy-by-layer.svg whole energy-by-layer.png data:image/png;base64"
    assert complaints == ""


@pytest.mark.parametrize("width", [420, 1280])
def test_no_chart_is_wider_than_its_place(browse, width):
    measure = (
        "document.title = Array.from(document.querySelectorAll('.chart > svg')).filter((svg) => svg.clientWidth)"
        ".map((svg) => Math.round(svg.clientWidth) <= document.documentElement.clientWidth).join();"
    )
    report = with_waterfall(with_bills(with_energy(optimize_report(12, activations=True))))
    dom, _ = browse(with_script(render_html(report), measure), "", f"--window-size={width},900", "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", dom)[1].split(",")
    assert len(title) >= 6
    assert set(title) == {"true"}


def test_energy_comes_first_where_it_is_known():
    report = with_bills(with_energy(optimize_report(3)))
    page = render_html(report)
    assert page.index('id="energy"') < page.index('id="layers"')
    assert re.search(r"<h1>[^<]* energy with memories, [^<]*weight flips</h1>", page)
    assert "energy" not in re.search(r"<h1>.*?</h1>", render_html(optimize_report(3)))[0]
