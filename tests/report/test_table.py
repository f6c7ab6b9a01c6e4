from __future__ import annotations

import subprocess
import sys

import pytest
from rich.console import Console

from fewflips.machine import builtin_accelerators
from fewflips.records.coverage import Coverage
from fewflips.report.terminal.flips import accelerator_table, headline, measurement_table, result_table
from tests.report.sample_reports import measure_report, optimize_report


def printed(renderable: object, width: int = 80) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.mark.parametrize("mode", ["schedule", "drop-in", "both"])
@pytest.mark.parametrize("activations", [False, True])
def test_results_fit_80_columns(mode, activations):
    report = optimize_report(150, mode=mode, activations=activations)
    text = printed(result_table(report))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("depthwise") == sum("depthwise" in layer.name for layer in report.layers)
    assert ("Activations were not measured" in text) is not activations
    assert "total" in text


@pytest.mark.parametrize("activations", [False, True])
def test_measurements_fit_80_columns(activations):
    report = measure_report(12, activations=activations)
    text = printed(measurement_table(report))
    assert max(map(len, text.splitlines())) <= 80
    assert f"{report.totals.weights.nhd:.3f}" in text
    assert f"{report.layers[3].weights.nhd:.3f}" in text
    assert ("Activations were not measured: no sample inputs were given (--inputs)." in text) is not activations


def test_a_wide_terminal_shows_whole_names():
    report = optimize_report(12)
    text = printed(result_table(report), 160)
    assert all(layer.name in text for layer in report.layers)


def test_names_are_not_markup_and_carry_no_escapes():
    report = optimize_report(names=["[red]conv[/red]", "conv\x1b[31m\x07", "[/]"])
    text = printed(result_table(report), 160)
    assert "[red]conv[/red]" in text
    assert "[/]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_the_headline():
    report = optimize_report(12, mode="both", activations=True)
    weights = report.totals.weights
    first, second = headline(report).splitlines()
    assert f"{weights.baseline_flips / weights.optimized_flips:.2f}x fewer weight flips" in first
    assert f"{weights.proven_segments} of {weights.segments} segments proven optimal" in first
    assert "above the lower bound" in first
    assert second.startswith("drop-in file: ")
    assert "activation flips" in second


def test_the_headline_of_a_schedule_alone_is_one_line():
    assert "\n" not in headline(optimize_report(3, mode="schedule"))


def test_accelerators():
    text = printed(accelerator_table(list(builtin_accelerators().values())))
    assert "edge16" in text
    assert "16 x 16" in text
    assert max(map(len, text.splitlines())) <= 80


def test_tables_need_no_chart_packages():
    program = (
        "import sys, fewflips.report.terminal.flips; "
        "print([name for name in ('matplotlib', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def coverage(left_out_macs: int, known: int, unknown: int) -> Coverage:
    """Twelve layers of a million MACs, and what is left out beside them."""
    return Coverage(
        products=12,
        macs=1_000_000,
        left_out_products=known + unknown,
        left_out_macs=left_out_macs,
        unknown_products=unknown,
        share=1_000_000 / (1_000_000 + left_out_macs),
    )


@pytest.mark.parametrize(
    ("covered", "words"),
    [
        (coverage(0, 0, 0), "Counted: all of the network's MACs, 1.00 M in 12 products."),
        (coverage(250_000, 3, 0), "Counted: 80.0 % of the network's MACs, 1.00 M of 1.25 M, in 12 of 15 products."),
        (
            coverage(250_000, 3, 2),
            "Counted: at most 80.0 % of the network's MACs, 1.00 M, in 12 of 17 products; how many 2 products have is "
            "not known.",
        ),
        (
            coverage(0, 0, 1),
            "Counted: 1.00 M MACs, in 12 of 13 products; how many 1 product has is not known, and so is the share.",
        ),
    ],
)
def test_the_share_that_is_counted_is_said_first(covered, words):
    for report, table in ((measure_report(12), measurement_table), (optimize_report(12), result_table)):
        text = printed(table(report.model_copy(update={"coverage": covered})), 160)
        assert text.splitlines()[1] == words


def test_reports_without_coverage_have_no_such_line():
    """Those of earlier versions, kept as JSON."""
    text = printed(measurement_table(measure_report(12).model_copy(update={"coverage": None})))
    assert "Counted" not in text
