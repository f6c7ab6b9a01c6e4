"""The page, from figures by hand."""

from __future__ import annotations

import re

from scripts.reproduction.page import page

from tests.reproduction.figures_by_hand import reproduction


def section(text: str, title: str) -> str:
    return text.split(f"## {title}")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_papers_figures_stand_in_the_same_table():
    header, _, *body = rows(section(page(reproduction()), "Summary"))
    named = [dict(zip(header, row, strict=True)) for row in body]
    assert [row["variant"] for row in named] == [
        "baseline",
        "post-training only",
        "training only",
        "both",
        "*the paper's*",
    ]
    assert (named[-1]["mean of layers"], named[-1]["best layer"]) == ("2.85x", "8.51x")
    both = named[3]
    assert (both["accuracy, %"], both["points"], both["fewer flips"]) == ("81.00", "-0.30", "12.00x")
    assert (both["mean of layers"], both["mean of dense layers"]) == ("5.33x", "6.50x")
    assert (both["network"], both["best layer"]) == ("4.75x", "10.00x")


def test_every_measure_in_both_libraries():
    header, _, *body = rows(section(page(reproduction()), "Every measure"))
    assert len(header) == 3 + 8
    both = dict(zip(header, body[-1], strict=True))
    assert both["nangate45: inertial, data"] == "5.33x / 4.75x"
    # (90/18 + 22/14 + 70/30) / 3 and 162 / 42
    assert both["sky130hd: inertial, with clock"] == "2.97x / 3.86x"


def test_each_layer_of_the_headline():
    header, _, *body = rows(section(page(reproduction()), "Layer by layer, 8 bits, seed 0"))
    named = [dict(zip(header, row, strict=True)) for row in body]
    assert [row["layer"] for row in named] == ["stem", "block/depthwise", "classifier"]
    assert [row["both"] for row in named] == ["10.00x", "3.00x", "3.00x"]
    assert [row["fewer flips, both"] for row in named] == ["10.00x", "-", "10.00x"]  # none are left in the second


def test_targets_are_counted():
    assert "All 3 targets are reached." in section(page(reproduction()), "Targets")
    missed = section(page(reproduction(trained_accuracy=80.0)), "Targets")
    assert "1 of 3 targets are missed." in missed
    assert "**missed by 0.80 points**" in missed


def test_what_was_written_by_hand_comes_last():
    text = page(reproduction(), "## What bounds it\n\nWords.\n")
    assert text.endswith("## What bounds it\n\nWords.\n")
    assert text.startswith(page(reproduction()).rstrip("\n"))


def test_a_sample_says_how_sure_it_is():
    assert "Every cycle was simulated" in page(reproduction())
    assert re.search(r"a sample of 0\.125 of the cycles", page(reproduction(share=0.125)))
