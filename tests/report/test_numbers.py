from __future__ import annotations

import pytest

from fewflips.records.notes import StandingNote
from fewflips.report.notes import other_notes
from fewflips.report.numbers import (
    above_bound,
    as_energy,
    as_percent,
    comparison,
    energy_change,
    energy_ratio,
    energy_unit,
    reduction,
    short_labels,
    telling_names,
    with_si_prefix,
)
from fewflips.visible import printable, shorten_middle

FUSED = [
    "model/activation/Relu;model/conv2d/BiasAdd/ReadVariableOp/resource;model/conv2d/Conv2D1",
    "model/conv2d_5/BiasAdd;model/conv2d_5/Conv2D;model/conv2d_5/BiasAdd/ReadVariableOp/resource1",
    "model/dense/MatMul;model/dense/BiasAdd",
]


def test_fused_names_are_called_by_their_layer():
    assert telling_names(FUSED) == ["conv2d", "conv2d_5", "dense"]


def test_onnx_names_keep_what_differs():
    names = ["/features/features.0/Conv", "/features/features.1/Conv", "/classifier/Gemm"]
    assert telling_names(names) == ["features.0", "features.1", "classifier/Gemm"]


def test_a_single_name_is_kept():
    assert telling_names(["MobilenetV2/Logits/Conv2d_1c_1x1/BiasAdd"]) == ["MobilenetV2/Logits/Conv2d_1c_1x1"]


@pytest.mark.parametrize("name", ["", "/", ";", "///;//", "BiasAdd", "a" * 500, "\x00\x1b[31m", "\u202etxt"])
def test_odd_names_have_labels(name):
    labels = short_labels([name, "conv"], 20)
    assert len(labels) == 2
    assert all(label.isprintable() and 2 < len(label) <= 22 for label in labels)


def test_a_label_keeps_the_end_of_the_path():
    names = ["net/expanded_conv_16/depthwise", "net/expanded_conv_17/project", "net/conv/expand"]
    assert short_labels(names, 18) == ["1 …conv_16/depthwise", "2 …d_conv_17/project", "3 conv/expand"]


def test_shortening_never_exceeds_its_width():
    for width in range(1, 30):
        assert len(shorten_middle("MobilenetV2/expanded_conv_16/project", width)) <= width


def test_ratios_of_nothing():
    assert reduction(0, 0) is None
    assert above_bound(5, 0) is None
    assert above_bound(5, None) is None
    assert comparison(0, 0, "flips") == "no flips, before or after"
    assert comparison(0, 3, "flips") == "more flips, from none"


def test_large_counts():
    assert with_si_prefix(5 * 10**15, " ") == "5000 T"
    assert with_si_prefix(99_950, " ") == "100 k"


def test_percent_of_a_negative_share():
    assert as_percent(-0.25, " ") == "-25.0 %"


def test_control_characters_are_replaced():
    assert printable("a\tb\x1b") == "a\ufffdb\ufffd"


def test_the_note_on_activations_is_not_told_twice():
    notes = ("Activations were not measured: no sample inputs were given.", "another")
    assert other_notes(notes) == other_notes((StandingNote.NO_SAMPLE_INPUTS, "another")) == ["another"]


def test_a_note_of_another_reason_is_told():
    notes = ("Activations were not measured: the original cannot be run.",)
    assert other_notes(notes) == list(notes)


@pytest.mark.parametrize(
    ("picojoules", "text"),
    [
        (0.0, "0 pJ"),
        (0.0049, "< 0.01 pJ"),
        (-0.0049, "> -0.01 pJ"),
        (0.25, "0.25 pJ"),
        (-3.0, "-3.00 pJ"),
        (999.4, "999 pJ"),
        (999.5, "1.00 nJ"),
        (12_340.0, "12.3 nJ"),
        (1e6, "1.00 \u00b5J"),
        (1e9, "1.00 mJ"),
        (2e12, "2.00 J"),
        (5e15, "5000 J"),
    ],
)
def test_energies_have_three_digits(picojoules, text):
    assert as_energy(picojoules, " ") == text


def test_the_unit_of_an_axis_suits_its_longest_bar():
    assert energy_unit(0.0) == (1.0, "pJ")
    assert energy_unit(999.5) == (1e3, "nJ")
    assert energy_unit(-5e6) == (1e6, "\u00b5J")


@pytest.mark.parametrize(("before", "after"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, -1.0), (None, 1.0)])
def test_energies_that_are_not_above_zero_have_no_ratio(before, after):
    assert energy_ratio(before, after) is None
    assert energy_change(before, after) == "\u2013"
