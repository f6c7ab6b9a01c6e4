"""Ratios and targets, against figures worked out by hand."""

from __future__ import annotations

import pytest
from scripts.reproduction.collect import summary
from scripts.reproduction.figures import Reproduction
from scripts.reproduction.networks import PAIRS, chosen_pairs
from scripts.reproduction.ratios import baseline_of, ratios
from scripts.reproduction.targets import Target, targets

from fewflips.errors import InputError
from tests.reproduction.figures_by_hand import reproduction, variant

KEYS = [
    "variant",
    "bits",
    "seed",
    "accuracy_percent",
    "flips",
    "seam_flips",
    "inertial_data_pj",
    "inertial_total_pj",
    "mean_layer_ratio",
    "network_ratio",
    "best_layer_ratio",
]


def test_both_averages_by_hand():
    found = ratios(variant("baseline", "one", 81.0), variant("both", "two", 80.0), "nangate45")
    assert found.layers == pytest.approx((10.0, 3.0, 3.0))
    assert found.mean == pytest.approx(16 / 3)
    assert found.dense_mean == pytest.approx(13 / 2)
    assert found.network == pytest.approx(152 / 32)
    assert found.best == pytest.approx(10.0)


def test_totals_have_clock_and_leakage_in_them():
    found = ratios(variant("baseline", "one", 81.0), variant("both", "two", 80.0), "sky130hd", "inertial_total_pj")
    assert found.layers == pytest.approx((90 / 18, 22 / 14, 70 / 30))
    assert found.network == pytest.approx(162 / 42)


def test_a_network_of_depthwise_layers_has_no_dense_mean():
    one = variant("baseline", "one", 81.0)
    one = one.model_copy(update={"layers": one.layers[1:2]})
    assert ratios(one, one, "nangate45").dense_mean is None


def test_other_layers_do_not_compare():
    one = variant("baseline", "one", 81.0)
    with pytest.raises(InputError, match="two: expected the layers of one, got others"):
        ratios(one, variant("both", "two", 80.0).model_copy(update={"layers": one.layers[:2]}), "nangate45")


def test_each_variant_has_the_baseline_of_its_bits_and_seed():
    variants = [
        variant("baseline", name, 81.0, bits, seed) for name, bits, seed in (("a", 8, 0), ("b", 8, 1), ("c", 4, 1))
    ]
    assert [baseline_of(variant("both", "x", 80.0, 8, 1), variants).network] == ["b"]
    assert [baseline_of(variant("both", "x", 80.0, 4, 1), variants).network] == ["c"]


def test_the_summary_has_these_keys_and_figures():
    rows = summary(reproduction())
    assert [list(row) for row in rows] == [KEYS] * 4
    assert [row["variant"] for row in rows] == ["baseline", "post-training only", "training only", "both"]
    first, last = rows[0], rows[-1]
    assert (first["mean_layer_ratio"], first["network_ratio"], first["best_layer_ratio"]) == (1.0, 1.0, 1.0)
    assert first["flips"] == 600
    assert last == dict(
        zip(KEYS, ("both", 8, 0, 81.0, 50, 30, 32.0, 42.0, pytest.approx(16 / 3, abs=1e-4), 4.75, 10.0), strict=True)
    )


def test_figures_read_back_as_they_were_written():
    found = reproduction()
    assert Reproduction.model_validate_json(found.model_dump_json()) == found


def test_targets_of_both():
    [(of, found)] = targets(reproduction(trained_accuracy=80.7))
    assert of.variant == "both"
    assert [target.reached for target in found] == [True, True, False]
    assert [target.got for target in found] == pytest.approx([16 / 3, 10.0, -0.6])
    assert [target.reached for target in targets(reproduction(trained_accuracy=80.8))[0][1]] == [True] * 3


def test_a_missed_target_says_by_how_much():
    assert Target("mean", 2.85, 2.28, "x").text == (
        "mean: 2.28x, target at least 2.85x: **missed by 0.57x** (20 % of the target)."
    )
    assert Target("accuracy", -0.5, -0.75, " points").text == (
        "accuracy: -0.75 points, target at least -0.50 points: **missed by 0.25 points**."
    )
    assert Target("mean", 2.85, 2.85, "x").text == "mean: 2.85x, target at least 2.85x: reached."


def test_pairs_by_their_labels():
    assert chosen_pairs([]) == PAIRS
    assert chosen_pairs(["4bit_seed0", "8bit_seed0"]) == (PAIRS[0], PAIRS[2])
    with pytest.raises(InputError, match=r"--pair: expected one of 8bit_seed0, .*, got '3bit'"):
        chosen_pairs(["3bit"])
