from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fewflips.records.optimization import OptimizeReport
from fewflips.report.html.layer_table import columns
from fewflips.report.html.page import render_html
from fewflips.report.numbers import with_thin_spaces
from tests.report.sample_reports import (
    check,
    optimize_report,
    stream_picture,
    with_bills,
    with_energy,
    with_waterfall,
)

ROOT = Path(__file__).parents[2]
TIMES = "\u00d7"
ATTACK = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Elements and text of a page; complains about elements that are not closed."""

    VOID = frozenset(("meta", "wbr", "link", "img", "br"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def text(self) -> str:
        skipped = ("script", "style")
        return "".join(data for tag, texts in self.texts.items() if tag not in skipped for data in texts)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def rows(page: str) -> list[str]:
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    return re.findall(r"<tr>.*?</tr>", body, re.DOTALL)


@pytest.mark.parametrize(
    ("layers", "mode", "activations"),
    [
        (1, "schedule", False),
        (1, "both", True),
        (12, "drop-in", False),
        (12, "drop-in", True),
        (12, "schedule", True),
        (150, "both", False),
    ],
)
def test_the_table_holds_every_figure(layers, mode, activations):
    report = optimize_report(layers, mode=mode, activations=activations)
    page = render_html(report)
    Page(page)
    for layer, row in zip(report.layers, rows(page), strict=True):
        figures = [layer.n, layer.k, layer.repeats, layer.weights.baseline_flips, layer.weights.optimized_flips]
        figures += [layer.weights.baseline_seam_flips, layer.weights.optimized_seam_flips]
        figures += [layer.weights.lower_bound] if layer.weights.lower_bound is not None else []
        figures += [layer.activations.baseline_flips] if layer.activations else []
        figures += [layer.drop_in.weights.optimized_flips] if layer.drop_in else []
        assert all(f">{with_thin_spaces(figure)}<" in row for figure in figures)
        assert f'data-value="{layer.macs}"' in row
        assert layer.name in row.replace("<wbr>", "")
        assert f">{layer.weights.proven_segments}/{layer.weights.segments}<" in row
    assert ("Activations were not measured: no sample inputs were given" in page) is not activations


def test_the_headline_compares_schedule_and_drop_in():
    report = optimize_report(12, mode="both", activations=True)
    text = Page(render_html(report)).text()
    weights, tied = report.totals.weights, report.drop_in.totals.weights
    assert f"{weights.baseline_flips / weights.optimized_flips:.2f}{TIMES} fewer weight flips" in text
    assert f"{tied.baseline_flips / tied.optimized_flips:.2f}{TIMES}" in text
    assert "segments proven optimal" in text
    assert "8\u202f008 values bit-exact" in text


def test_flips_at_seams_are_stated_apart():
    report = optimize_report(12, mode="both")
    seams = [column for column in columns(report) if column.key.startswith("seams")]
    assert [column.total for column in seams] == [
        with_thin_spaces(report.totals.weights.baseline_seam_flips),
        with_thin_spaces(report.totals.weights.optimized_seam_flips),
    ]


def test_how_to_reproduce_it():
    report = optimize_report(2)
    text = Page(render_html(report)).text()
    assert report.settings.command in text
    assert report.model.sha256 in text
    assert f"fewflips {report.fewflips}" in text


def test_names_from_the_file_are_escaped_everywhere():
    names = [ATTACK, '"><img src=x onerror=alert(2)>', "conv'\"&amp;", "$x^2$ \\frac{1}{2} {{ 7 * 7 }} %s"]
    report = optimize_report(names=names, notes=(ATTACK,))
    report = report.model_copy(
        update={
            "model": report.model.model_copy(update={"file": ATTACK}),
            "settings": report.settings.model_copy(update={"command": ATTACK, "inputs": ATTACK}),
        }
    )
    picture = stream_picture()
    object.__setattr__(picture, "layer", ATTACK)
    html = render_html(report, picture)
    page = Page(html)
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "alert(1)" not in "".join(page.texts["script"])
    for name in names:
        assert name in page.text()
    assert ATTACK in "".join(page.texts["text"])  # a label within a chart
    assert ATTACK in "".join(page.texts["title"])  # what it shows under the pointer
    assert ATTACK not in html


def test_control_characters_do_not_break_the_charts():
    page = Page(render_html(optimize_report(names=["conv\x00\x1b[31m\u202e", "\ufffe", "\t\n"])))
    assert "conv\ufffd\ufffd[31m\ufffd" in page.text()


def test_same_report_same_bytes():
    report, picture = optimize_report(12, activations=True), stream_picture()
    here = render_html(report, picture)
    assert render_html(report, picture) == here
    program = (
        "import sys, hashlib; from tests.report.sample_reports import *; "
        "from fewflips.report.html.page import render_html; "
        "page = render_html(optimize_report(12, activations=True), stream_picture()); "
        "print(hashlib.sha256(page.encode()).hexdigest(), 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == [hashlib.sha256(here.encode()).hexdigest(), "False"]


def test_settings_of_matplotlib_are_neither_used_nor_changed():
    import matplotlib

    report = optimize_report(3)
    page = render_html(report)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": True, "svg.hashsalt": "x"}):
        settings = dict(matplotlib.rcParams)
        assert render_html(report) == page
        assert dict(matplotlib.rcParams) == settings


def test_nothing_is_fetched():
    page = render_html(optimize_report(12, activations=True), stream_picture())
    assert not re.search(r"https?:|[\"'(=]//|@import|url\((?!#)", page)
    for tag, attributes in Page(page).elements:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base", "form")
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))


def test_the_policy_allows_the_page_s_own_script_alone():
    page = render_html(optimize_report(1))
    script = page[page.index("<script>") + len("<script>") : page.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page


def test_identifiers_are_unique_and_every_reference_has_its_target():
    page = render_html(optimize_report(12, activations=True), stream_picture())
    elements = Page(page).elements
    found = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(found) == len(set(found))
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(found)
    assert {attributes["href"][1:] for _, attributes in elements if attributes.get("href", "")[:1] == "#"} <= set(found)
    assert {attributes["aria-labelledby"] for _, attributes in elements if "aria-labelledby" in attributes} <= set(
        found
    )


def test_bars_say_what_they_show():
    report = optimize_report(12)
    page = render_html(report)
    port = report.layers[4].weights
    places = port.transitions * port.bits
    hint = f"{port.baseline_flips / places:.3f} before, {port.optimized_flips / places:.3f} after"
    assert f"{report.layers[4].name}: {hint}" in page


def test_shares_add_up():
    report = optimize_report(63)
    page = render_html(report)
    flips = sorted((layer.weights.baseline_flips * layer.weights.repeats for layer in report.layers), reverse=True)
    others = 100 * sum(flips[12:]) / sum(flips)
    assert f"Not shown, 51 other layers: {others:.1f}\u202f%." in Page(page).text()
    assert "Not shown" not in render_html(optimize_report(12))


def test_bit_positions_are_weighted_by_repeats():
    report = optimize_report(2, mode="schedule")
    first, second = (layer.weights for layer in report.layers)
    transitions = first.transitions * first.repeats + second.transitions * second.repeats
    flips = [port.baseline_bit_position_flips[7] * port.repeats for port in (first, second)]
    assert f"bit 7: {sum(flips) / transitions:.3f} flips per transition before" in render_html(report)


def with_weights(report: OptimizeReport, **figures: object) -> OptimizeReport:
    layers = tuple(
        layer.model_copy(update={"weights": layer.weights.model_copy(update=figures)}) for layer in report.layers
    )
    totals = report.totals.model_copy(
        update={
            "weights": report.totals.weights.model_copy(
                update={key: value for key, value in figures.items() if hasattr(report.totals.weights, key)}
            )
        }
    )
    return report.model_copy(update={"layers": layers, "totals": totals})


def test_a_network_without_flips():
    report = with_weights(
        optimize_report(2, mode="schedule"),
        baseline_flips=0,
        optimized_flips=0,
        lower_bound=0,
        transitions=0,
        baseline_bit_position_flips=(0,) * 8,
        optimized_bit_position_flips=(0,) * 8,
    )
    assert "no weight flips, before or after" in Page(render_html(report)).text()


def test_no_bound_no_word_of_a_bound():
    report = with_weights(optimize_report(2, mode="schedule"), lower_bound=None)
    text = Page(render_html(report)).text()
    assert "above the lower bound" not in text
    assert "proven optimal" not in text


def test_more_flips_than_before_are_not_hidden():
    report = with_weights(optimize_report(2, mode="schedule"), baseline_flips=100, optimized_flips=125)
    assert f"1.25{TIMES} more weight flips" in Page(render_html(report)).text()


def test_a_failed_check_is_not_hidden():
    failed = check().model_copy(
        update={"passed": False, "bit_exact": False, "equal_share": 0.5, "largest_difference": 3.0}
    )
    report = optimize_report(2, mode="schedule")
    report = report.model_copy(update={"schedule": report.schedule.model_copy(update={"check": failed})})
    text = Page(render_html(report)).text()
    assert "CHECK FAILED" in text
    assert "50.0\u202f% equal, largest difference 3" in text


def test_layers_of_different_widths():
    report = optimize_report(2, mode="schedule")
    narrow = report.layers[0].weights.model_copy(
        update={
            "bits": 4,
            "baseline_bit_position_flips": (1, 2, 3, 4),
            "optimized_bit_position_flips": (1, 1, 1, 1),
        }
    )
    layers = (report.layers[0].model_copy(update={"weights": narrow}), report.layers[1])
    wide = layers[1].weights
    page = render_html(report.model_copy(update={"layers": layers}))
    assert f"bit 7: {wide.baseline_bit_position_flips[7] / wide.transitions:.3f} flips per transition before" in page


def test_the_keys_for_sorting_are_documented():
    text = (ROOT / "docs" / "report.md").read_text()
    assert all(f"`{column.key}`" in text for column in columns(optimize_report(2, activations=True)))


def test_what_scrolls_can_be_reached_by_keyboard_and_is_named_once():
    report = with_waterfall(with_bills(with_energy(optimize_report(3, activations=True))))
    page = Page(render_html(report, stream_picture()))
    scrolling = [found for tag, found in page.elements if tag == "div" and found.get("class") == "scroll"]
    assert len(scrolling) >= 6
    assert all(found["tabindex"] == "0" and found["role"] == "region" for found in scrolling)
    names = [found["aria-label"] for found in scrolling]
    assert len(set(names)) == len(names)
    assert all("aria-label" in found for tag, found in page.elements if tag == "svg")
