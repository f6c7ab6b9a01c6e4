"""Energies on the terminal, and the figures in them by hand."""

from __future__ import annotations

import re

import pytest

from fewflips.records.energy import EnergyReport, LayerEnergy
from fewflips.records.optimization import OptimizeReport
from fewflips.report.energy_words import how_simulated
from fewflips.report.numbers import ABSENT
from fewflips.report.terminal.energy import energy_headline, energy_table, energy_tables
from fewflips.report.terminal.flips import headline, result_table
from tests.report.sample_reports import (
    CELLS,
    DATAPATH,
    Mode,
    energy_report,
    energy_settings,
    layer_energy,
    optimize_report,
    total_energy,
    with_energy,
)
from tests.report.test_table import printed

HOSTILE = ["[red]conv[/red]", "conv\x1b[31m\x07", "[/]"]


def words(text: str) -> str:
    """Text without its line breaks and runs of blanks."""
    return " ".join(text.split())


def report_on(*layers: LayerEnergy) -> EnergyReport:
    return energy_report().model_copy(update={"layers": layers, "total": total_energy(layers)})


def not_cut(text: str) -> bool:
    """Whether no figure lost its end; names lose their middle."""
    return re.search(r"\u2026\s", text) is None


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("ci95_percent", [None, 12.34])
@pytest.mark.parametrize("layers", [1, 12, 150])
def test_energies_fit_the_terminal(width, ci95_percent, layers):
    report = energy_report(layers, ci95_percent=ci95_percent)
    text = printed(energy_table(report), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("depthwise") == sum("depthwise" in layer.name for layer in report.layers)
    assert ("±12.3 %" in text) is (ci95_percent is not None)
    assert not_cut(text)


def test_the_share_that_is_counted_is_said_first():
    assert printed(energy_table(energy_report())).splitlines()[1].startswith("Counted: 90.0 % of the network's MACs")


def test_a_layer_s_energies():
    """2000 MACs: zero delay 500 pJ data and 750 pJ with clock; inertial 1000 and 1250."""
    lines = printed(energy_table(report_on(layer_energy("conv", 2000)))).splitlines()
    row = next(line for line in lines if " conv " in line)
    assert words(row) == "1 conv 2000 500 pJ 750 pJ 1.00 nJ 1.25 nJ 500 625"


def test_what_the_energy_is_spent_on():
    text = words(printed(energy_table(report_on(layer_energy("conv", 2000)))))
    assert "zero delay 200 pJ 300 pJ 240 pJ 10.0 pJ 500 pJ 750 pJ 250 375" in text
    assert "inertial 400 pJ 600 pJ 240 pJ 10.0 pJ 1.00 nJ 1.25 nJ 500 625" in text
    assert "With glitches the data takes 2.00x its energy without delays." in text


def test_sampled_layers_are_marked_and_exact_ones_said_to_be():
    report = report_on(layer_energy("first", 1000), layer_energy("second", 1000, 1.0, 0.7))
    lines = printed(energy_table(report), 120).splitlines()
    assert next(line for line in lines if " first " in line).rstrip().endswith("exact")
    assert next(line for line in lines if " second " in line).rstrip().endswith("±0.70 %")


def test_what_was_simulated_is_said():
    settings = energy_settings(inputs="photos", samples=3, schedule="out/schedule.json", sampled_share=0.05, seed=4)
    datapath = DATAPATH.model_copy(update={"kind": "mac", "multiplier": "booth", "product_registers": True})
    text = words(printed(energy_table(energy_report(2, settings=settings, datapath=datapath))))
    assert "multiply-accumulate unit, output stationary, weights 8 bits two's complement" in text
    assert "Booth multipliers, product registers, partial-sum input; 16 in the array" in text
    assert "6 789 cells, 412 of them flip-flops" in text
    assert "critical path 2.35 ns, longer than the clock period; synthesized by Yosys 0.70" in text
    assert "NangateOpenCellLibrary, corner typical, 1.1 V, 25 °C (built-in table nangate45)" in text
    assert "by fanout, 0.61 fF a pin" in text
    assert "the mean of 3 inferences on photos, orders of out/schedule.json" in text
    assert "500 MHz for leakage; delays in steps of 10 ps; 5.0 % of the cycles simulated with delays" in text
    assert "seed 4" in text
    assert "Energy of 1 layer is left out: its activations are not integers in the file." in text


def test_what_stands_behind_the_tree_is_said():
    datapath = DATAPATH.model_copy(update={"tree_register": True, "offset_sums": True})
    text = words(printed(energy_table(energy_report(2, datapath=datapath))))
    assert "partial-sum input, register behind the adder tree, sums with an offset; 16 in the array" in text


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("multiplier", "multiplier, weights"),
        ("mac", "multiply-accumulate unit, output stationary, weights"),
        ("column", "column of 16 lanes, activations held, weights"),
        ("chain", "systolic chain of 16 elements, weights held, weights"),
    ],
)
def test_every_unit_has_a_name(kind, expected):
    datapath = DATAPATH.model_copy(update={"kind": kind})
    assert dict(how_simulated(energy_settings(), datapath, CELLS))["Unit"].startswith(expected)


def test_a_path_shorter_than_the_period_is_not_called_longer():
    basis = how_simulated(energy_settings(clock_mhz=400.0), DATAPATH, CELLS)
    assert "longer" not in dict(basis)["Netlist"]


def test_no_energy_at_all_divides_by_nothing():
    text = printed(energy_table(report_on(layer_energy("conv", 0))))
    assert "0 pJ" in text
    assert "With glitches the data" not in text


def test_hostile_names_are_neither_markup_nor_escapes():
    report = energy_report(names=HOSTILE, notes=("[bold]note[/bold]\x1b[0m",))
    cells = CELLS.model_copy(update={"name": "[red]\x1b[31m", "source": "\x07/lib"})
    text = printed(energy_table(report.model_copy(update={"cells": cells})), 160)
    assert "[red]conv[/red]" in text
    assert "[bold]note[/bold]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("mode", ["schedule", "drop-in", "both"])
@pytest.mark.parametrize("layers", [1, 99, 150])
def test_comparisons_fit_the_terminal(width, mode, layers):
    report = with_energy(optimize_report(layers, mode=mode), ci95_percent=2.0)
    text = printed(result_table(report), width)
    assert max(map(len, text.splitlines())) <= width
    assert not_cut(text)
    assert text.count("1.25x") >= (0 if mode == "drop-in" else layers)
    assert text.count("1.19x") >= (0 if mode == "drop-in" else layers)


def comparison_row(report: OptimizeReport, name: str) -> str:
    _, table = printed(result_table(report), 160).split("Energy of one inference")
    return words(next(line for line in table.splitlines() if f" {name} " in line))


def small_report(mode: Mode) -> OptimizeReport:
    """One layer of 2000 MACs: 1000 pJ of data and 250 pJ of clock and leakage, with glitches."""
    report = optimize_report(names=["conv"], mode=mode)
    layer = report.layers[0].model_copy(update={"macs": 2000})
    return with_energy(report.model_copy(update={"layers": (layer,)}))


def test_a_comparison_by_hand():
    """Scheduled: 800 pJ data (zero delay 400 of 500); a drop-in: 941 pJ."""
    row = comparison_row(small_report("both"), "conv")
    assert row == "1 conv 1.00 nJ 800 pJ 1.25x 1.25 nJ 1.05 nJ 1.19x 1.25x 1.15x 1.06x"


def test_a_drop_in_alone_is_what_is_compared():
    row = comparison_row(small_report("drop-in"), "conv")
    assert row == "1 conv 1.00 nJ 941 pJ 1.06x 1.25 nJ 1.19 nJ 1.05x 1.06x 1.04x"
    assert "in the drop-in file" in printed(result_table(small_report("drop-in")))


def test_the_split_has_every_outcome_twice():
    text = words(printed(result_table(small_report("both"))))
    zero_delay, inertial = text.split("zero delay before ")[1].split(" inertial before ")
    assert zero_delay.startswith("200 pJ 300 pJ 240 pJ 10.0 pJ 500 pJ 750 pJ 250 375")
    assert "scheduled 160 pJ 240 pJ 240 pJ 10.0 pJ 400 pJ 650 pJ 200 325" in zero_delay
    assert "drop-in 188 pJ 282 pJ 240 pJ 10.0 pJ 471 pJ 721 pJ 235 360" in zero_delay
    assert inertial.startswith("400 pJ 600 pJ 240 pJ 10.0 pJ 1.00 nJ 1.25 nJ 500 625")
    assert "scheduled 320 pJ 480 pJ 240 pJ 10.0 pJ 800 pJ 1.05 nJ 400 525" in inertial
    assert "drop-in 376 pJ 565 pJ 240 pJ 10.0 pJ 941 pJ 1.19 nJ 471 596" in inertial


def test_layers_that_were_not_simulated_are_counted():
    report = with_energy(optimize_report(12), unknown=(2, 5))
    text = printed(result_table(report), 160)
    assert f"{ABSENT}: not simulated, nor in the total: 2 of 12 layers." in text
    assert comparison_row(report, report.layers[2].name) == f"3 {report.layers[2].name}{f' {ABSENT}' * 9}"


def test_confidence_of_totals():
    text = words(printed(result_table(with_energy(optimize_report(3), ci95_percent=2.0))))
    assert "Inertial data energy of all layers, 95 % confidence: ±2.00 % before, ±2.00 % after." in text
    assert "95 % confidence" not in printed(result_table(with_energy(optimize_report(3))))


def test_nothing_is_said_of_energy_that_was_not_simulated():
    report = optimize_report(3)
    assert energy_tables(report) == []
    assert energy_headline(report) == ""
    assert "nergy" not in printed(result_table(report))


def test_the_headline_has_both_models_and_both_sums():
    *_, last = headline(small_report("both")).splitlines()
    assert last == (
        "energy: zero delay 1.25x less (data), 1.15x less (with clock); "
        "inertial 1.25x less (data), 1.19x less (with clock)"
    )


def test_more_energy_than_before_is_not_hidden():
    report = small_report("schedule")
    total = report.energy.total
    swapped = total.model_copy(update={"baseline": total.schedule, "schedule": total.baseline})
    report = report.model_copy(update={"energy": report.energy.model_copy(update={"total": swapped})})
    assert "inertial 1.25x more (data), 1.19x more (with clock)" in headline(report)


def test_energy_as_stored_alone():
    report = small_report("schedule")
    comparison = report.energy.total.model_copy(update={"schedule": None})
    layers = tuple(layer.model_copy(update={"energy": comparison}) for layer in report.layers)
    result = report.energy.model_copy(update={"total": comparison})
    report = report.model_copy(update={"layers": layers, "energy": result})
    assert comparison_row(report, "conv") == f"1 conv 1.00 nJ {ABSENT} {ABSENT} 1.25 nJ" + f" {ABSENT}" * 4
    assert energy_headline(report) == ""
    assert "Energy of one inference, as stored" in printed(result_table(report))


def test_zero_energies_before_and_after():
    report = with_energy(optimize_report(2), activity=0.0)
    assert f"0 pJ 0 pJ {ABSENT} " in words(printed(result_table(report), 160))
    assert f"zero delay {ABSENT} (data), as much (with clock)" in headline(report)


def test_hostile_names_in_comparisons():
    text = printed(result_table(with_energy(optimize_report(names=HOSTILE))), 200)
    assert text.count("[red]conv[/red]") == 2
    assert "\x1b" not in text
