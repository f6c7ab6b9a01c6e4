"""What may be handed over after a comparison of outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewflips.errors import VerificationError
from fewflips.network.equivalence import FLOAT_TOLERANCE, Comparison, check_drop_in
from fewflips.network.graph import Network

ORIGINAL = Network(Path("hand.tflite"), "tflite", "a" * 64, (), {}, (), (), ())
EXACT = {"values": 10, "equal": 10, "largest_difference": 0.0, "largest_output": 100.0}


def comparison(in_integers: bool, **changes) -> Comparison:
    return Comparison("a runtime", 1, 1, in_integers=in_integers, **{**EXACT, **changes})


@pytest.mark.parametrize("in_integers", [True, False])
def test_equal_outputs_are_handed_over(in_integers: bool):
    check_drop_in(ORIGINAL, Path("new.tflite"), comparison(in_integers))


@pytest.mark.parametrize("difference", [2.0**-20, 0.5, 1.0, 100.0])
def test_in_integers_no_difference_is_small(difference: float):
    found = comparison(True, equal=9, largest_difference=difference)
    with pytest.raises(VerificationError, match=r"new\.tflite does not compute what hand\.tflite computes"):
        check_drop_in(ORIGINAL, Path("new.tflite"), found)


@pytest.mark.parametrize("share", [2.0**-20, 0.04, 1.0])
def test_in_integers_no_difference_inside_is_small(share: float):
    inside = {"intermediate_tensors": 1, "intermediate_values": 5, "intermediate_equal": 4}
    found = comparison(True, intermediate_difference=share, **inside)
    with pytest.raises(VerificationError, match=r"80\.0000% of 5 values of 1 tensors inside are equal"):
        check_drop_in(ORIGINAL, Path("new.tflite"), found)


@pytest.mark.parametrize(
    ("difference", "inside", "accepted"),
    [
        (100 * FLOAT_TOLERANCE, FLOAT_TOLERANCE, True),
        (101 * FLOAT_TOLERANCE, 0.0, False),
        (0.0, 1.01 * FLOAT_TOLERANCE, False),
    ],
)
def test_in_float_outputs_and_tensors_inside_are_close(difference: float, inside: float, accepted: bool):
    found = comparison(
        False,
        equal=9,
        largest_difference=difference,
        intermediate_tensors=1,
        intermediate_values=5,
        intermediate_equal=4,
        intermediate_difference=inside,
    )
    if accepted:
        check_drop_in(ORIGINAL, Path("new.tflite"), found)
    else:
        with pytest.raises(VerificationError, match="does not compute"):
            check_drop_in(ORIGINAL, Path("new.tflite"), found)
