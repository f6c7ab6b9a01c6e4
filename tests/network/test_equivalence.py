"""What may be handed over after a comparison of outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewflips.errors import VerificationError
from fewflips.execution.samples import Samples, random_feeds
from fewflips.execution.sessions import InputSpec
from fewflips.network.graph import Network
from fewflips.verification.equivalence import FLOAT_TOLERANCE, Comparison, Intermediate, check_drop_in, compare_models

ORIGINAL = Network(Path("hand.tflite"), "tflite", "a" * 64, (), {}, (), (), ())
EXACT = {"values": 10, "equal": 10, "largest_difference": 0.0, "largest_output": 100.0}


def comparison(in_integers: bool, **changes) -> Comparison:
    return Comparison("a runtime", 1, 1, in_integers=in_integers, **{**EXACT, **changes})


@pytest.mark.parametrize("in_integers", [True, False])
def test_equal_outputs_are_handed_over(in_integers: bool):
    check_drop_in(ORIGINAL, Path("new.tflite"), comparison(in_integers))


@pytest.mark.parametrize("difference", [0.0, 2.0**-20, 0.5, 1.0, 100.0])
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


def test_without_tensors_inside_the_outputs_decide():
    found = comparison(False, equal=9, largest_difference=1.0)
    check_drop_in(ORIGINAL, Path("new.tflite"), found)
    inside = (found.intermediate_tensors, found.intermediate_values, found.intermediate_equal)
    assert (*inside, found.intermediate_difference) == (0, 0, 0, 0.0)


def test_five_percent_is_close_enough_in_float():
    assert FLOAT_TOLERANCE == 0.05


@pytest.mark.parametrize(
    ("changes", "exact", "share"),
    [
        ({}, True, 1.0),
        ({"equal": 9}, False, 0.9),
        ({"intermediate_values": 4, "intermediate_equal": 3}, False, 1.0),
        ({"intermediate_values": 4, "intermediate_equal": 4}, True, 1.0),
        ({"values": 0, "equal": 0}, True, 1.0),
    ],
)
def test_a_comparison_is_exact_where_all_values_are_equal(changes: dict[str, Any], exact: bool, share: float):
    found = comparison(True, **changes)
    assert (found.bit_exact, found.equal_share) == (exact, share)


@pytest.mark.parametrize(
    ("in_integers", "changes", "sentence"),
    [
        (
            True,
            {},
            "a runtime (in integers) on 1 sample and 1 random inputs: all 10 output values are equal bit for bit",
        ),
        (
            False,
            {"intermediate_tensors": 2, "intermediate_values": 4, "intermediate_equal": 4},
            "a runtime (partly in float, rounding as sums are ordered) on 1 sample and 1 random inputs: all 10 output "
            "values, and 4 values of 2 tensors inside, are equal bit for bit",
        ),
        (
            True,
            {"equal": 9, "largest_difference": 0.5},
            "a runtime (in integers) on 1 sample and 1 random inputs: 90.0000% of 10 output values are equal, the "
            "largest difference is 0.5",
        ),
        (
            True,
            {"intermediate_tensors": 1, "intermediate_values": 4, "intermediate_equal": 3},
            "a runtime (in integers) on 1 sample and 1 random inputs: 100.0000% of 10 output values are equal, the "
            "largest difference is 0; 75.0000% of 4 values of 1 tensors inside are equal",
        ),
        (
            True,
            {"intermediate_tensors": 1, "intermediate_values": 1, "intermediate_equal": 1, "equal": 9},
            "a runtime (in integers) on 1 sample and 1 random inputs: 90.0000% of 10 output values are equal, the "
            "largest difference is 0; 100.0000% of 1 values of 1 tensors inside are equal",
        ),
        (
            True,
            {"intermediate_tensors": 1, "equal": 9},
            "a runtime (in integers) on 1 sample and 1 random inputs: 90.0000% of 10 output values are equal, the "
            "largest difference is 0; 0.0000% of 0 values of 1 tensors inside are equal",
        ),
    ],
)
def test_the_sentence_says_what_was_compared(in_integers: bool, changes: dict[str, Any], sentence: str):
    assert comparison(in_integers, **changes).describe() == sentence


@dataclass
class Model:
    """A model that a runtime would execute: a function of its input, by the name of each tensor."""

    file_format: str
    tensors: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    outputs: Sequence[str] = ("y",)
    shape: tuple[int, ...] = (4,)
    dtype: str = "int8"
    input_name: str = "x"
    in_integers: bool = True

    @property
    def inputs(self) -> list[InputSpec]:
        return [InputSpec(self.input_name, self.shape, np.dtype(self.dtype), None, None)]


@pytest.fixture
def run(monkeypatch):
    """Compare two models, executed by a runtime that keeps to the interface and records what it is fed."""
    fed: list[tuple[str, list[int]]] = []

    class Fake:
        def __init__(self, model: Any, file_format: str, fetch: Sequence[str] = ()) -> None:
            assert file_format == model.file_format
            self.model, self.fetch = model, fetch
            self.inputs, self.outputs = model.inputs, list(model.outputs)

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def executes_in_integers(self) -> bool:
            return self.model.in_integers

        def run(self, feed, names):
            assert set(names) <= {*self.model.outputs, *self.fetch}
            (value,) = (feed[spec.name] for spec in self.inputs)
            fed.append((self.model.input_name, value.tolist()))
            return {name: self.model.tensors[name](value) for name in names}

    monkeypatch.setattr("fewflips.verification.equivalence.Runtime", Fake)

    def compare(first: Model, second: Model, samples: Samples | None = None, **options: Any) -> Comparison:
        fed.clear()
        formats: Any = (first.file_format, second.file_format)
        return compare_models(first, second, formats, samples, **options)

    compare.fed = fed
    return compare


def doubled(value: np.ndarray) -> np.ndarray:
    return value.astype(np.int32) * 2


FIRST = Model("tflite", {"y": doubled})
SECOND = Model("onnx", {"z": doubled}, outputs=("z",), input_name="input")
SAMPLES = Samples(({"x": np.array([1, -2, 3, -4], np.int8)}, {"x": np.array([0, 0, 0, 50], np.int8)}), "a test", "")


def test_models_that_agree_are_equal_on_samples_and_random_inputs(run):
    found = run(FIRST, SECOND, SAMPLES, random_inputs=3, seed=7)
    largest = max(abs(2 * int(value)) for _, values in run.fed for value in values)
    assert found == Comparison("LiteRT", 2, 3, 20, 20, 0.0, float(largest), True)
    values = [feed["x"].tolist() for feed in [*SAMPLES.feeds, *random_feeds(FIRST.inputs, 3, 7)]]
    assert run.fed == [(name, value) for value in values for name in ("x", "input")]


def test_without_samples_four_random_inputs_of_seed_0_are_compared(run):
    found = run(replace(FIRST, file_format="onnx", in_integers=False), SECOND)
    assert (found.runtime, found.sample_inputs, found.random_inputs, found.values) == ("ONNX Runtime", 0, 4, 16)
    assert not found.in_integers
    assert [values for _, values in run.fed[::2]] == [feed["x"].tolist() for feed in random_feeds(FIRST.inputs, 4, 0)]


def test_differences_are_counted_and_the_largest_is_kept(run):
    # the third value of both samples is two less, the last of the second five more
    def wrong(value: np.ndarray) -> np.ndarray:
        return doubled(value) + np.where(value == 50, 5, 0) - np.array([0, 0, 2, 0])

    found = run(FIRST, replace(SECOND, tensors={"z": wrong}), SAMPLES, random_inputs=0)
    assert (found.values, found.equal, found.largest_difference, found.largest_output) == (8, 5, 5.0, 100.0)
    assert not found.bit_exact


def test_nothing_to_compare(run):
    assert run(FIRST, SECOND, random_inputs=0) == Comparison("LiteRT", 0, 0, 0, 0, 0.0, 0.0, True)


@pytest.mark.parametrize(
    ("others", "equal", "difference"),
    [
        ([np.nan, 1.0, -3.0, np.inf], 4, 0.0),
        ([np.nan, 1.0, -1.0, np.inf], 3, 2.0),
        ([2.0, 1.0, -3.0, np.inf], 3, np.inf),
        ([np.nan, np.nan, -3.0, np.inf], 3, np.inf),
        ([-np.nan, 1.0, -3.0, np.inf], 4, 0.0),
        ([np.nan, 1.0, -3.0, -np.inf], 3, np.inf),
    ],
)
@pytest.mark.filterwarnings("error")
def test_nan_equals_nan_and_infinity_itself(run, others: list[float], equal: int, difference: float):
    first = replace(FIRST, tensors={"y": lambda _: np.array([np.nan, 1.0, -3.0, np.inf], np.float32)})
    second = replace(SECOND, tensors={"z": lambda _: np.array(others, np.float32)})
    found = run(first, second, random_inputs=1)
    assert (found.equal, found.largest_difference) == (equal, difference)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_zeros_of_both_signs_are_not_equal_bit_for_bit(run, dtype: type):
    values = [np.array([zero, -0.0, 1.0], dtype) for zero in (0.0, -0.0)]
    for left, right in (values, values[::-1]):
        first = replace(FIRST, tensors={"y": lambda _, values=left: values})
        second = replace(SECOND, tensors={"z": lambda _, values=right: values})
        found = run(first, second, random_inputs=1)
        assert (found.values, found.equal, found.largest_difference) == (3, 2, 0.0)
        assert not found.bit_exact


def test_a_number_is_not_equal_to_a_missing_one_of_another_type(run):
    first = replace(FIRST, tensors={"y": lambda _: np.array([1, 0])})
    second = replace(SECOND, tensors={"z": lambda _: np.array([1, np.nan])})
    found = run(first, second, random_inputs=1)
    assert (found.equal, found.largest_difference) == (1, np.inf)


def test_outputs_of_floats_and_integers_are_compared_by_value(run):
    as_float = replace(SECOND, tensors={"z": lambda value: doubled(value).astype(np.float32)})
    assert run(FIRST, as_float, SAMPLES, random_inputs=0).bit_exact
    empty = replace(FIRST, tensors={"y": lambda value: value[:0]})
    assert run(empty, replace(empty, input_name="input"), SAMPLES, random_inputs=0).values == 0


INSIDE = {
    "y": doubled,
    "hidden": lambda value: np.array([[1, 2, 3], [4, 5, -20]]) * int(value[0]),
    "plain": lambda value: value,
}
MOVED = {
    **INSIDE,
    "hidden": lambda value: (np.array([[1, 2, 3], [4, 5, -20]]) * int(value[0]))[:, [2, 0, 1]],
}


def test_tensors_inside_are_compared_on_the_first_input_with_their_channels_moved_back(run):
    first = replace(FIRST, tensors=INSIDE)
    second = replace(FIRST, tensors=MOVED, input_name="input", file_format="onnx")
    tensors = (Intermediate("hidden", 1, np.array([1, 2, 0])), Intermediate("plain"))
    found = run(first, second, SAMPLES, intermediates=tensors)
    assert (found.intermediate_tensors, found.intermediate_values, found.intermediate_equal) == (2, 10, 10)
    assert found.intermediate_difference == 0.0
    assert found.bit_exact
    assert run.fed[-2:] == [("x", [1, -2, 3, -4]), ("input", [1, -2, 3, -4])]

    # moved the other way: 1 2 3 meet 2 3 1, and the greatest difference is 25 of 20
    found = run(first, second, SAMPLES, intermediates=[Intermediate("hidden", 1, np.array([2, 0, 1]))])
    assert (found.intermediate_tensors, found.intermediate_values, found.intermediate_equal) == (1, 6, 0)
    assert found.intermediate_difference == 25 / 20
    assert not found.bit_exact


def test_a_tensor_of_zeros_has_differences_as_they_are(run):
    first = replace(FIRST, tensors={"y": doubled, "hidden": lambda value: np.zeros(3)})
    second = replace(FIRST, tensors={"y": doubled, "hidden": lambda value: np.array([0, 0.25, -0.5])})
    found = run(first, second, SAMPLES, intermediates=[Intermediate("hidden"), Intermediate("y")])
    assert (found.intermediate_equal, found.intermediate_difference) == (5, 0.5)


def test_tensors_inside_whose_channels_do_not_move(run):
    first = replace(FIRST, tensors=INSIDE)
    for tensor in (Intermediate("hidden", axis=1), Intermediate("hidden", positions=np.array([1, 2, 0]))):
        assert run(first, first, SAMPLES, intermediates=[tensor]).intermediate_equal == 6


def test_without_any_input_nothing_inside_is_compared(run):
    found = run(FIRST, SECOND, random_inputs=0, intermediates=[Intermediate("hidden")])
    assert found.intermediate_tensors == 0


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (replace(SECOND, shape=(5,)), r"different inputs: \[\(\(4,\), 'int8'\)\] and \[\(\(5,\), 'int8'\)\]"),
        (replace(SECOND, dtype="uint8"), "different inputs"),
        (replace(SECOND, outputs=("z", "z")), "the models have 1 and 2 outputs"),
        (replace(SECOND, tensors={"z": lambda value: value[:1]}), r"outputs have shapes \(4,\) and \(1,\)"),
    ],
)
def test_models_of_other_signatures_are_not_compared(run, second: Model, message: str):
    with pytest.raises(VerificationError, match=message):
        run(FIRST, second, SAMPLES)
    with pytest.raises(VerificationError):
        run(replace(second, input_name="x"), replace(FIRST, input_name="input"), SAMPLES)


def test_progress_counts_inputs(run):
    steps: list[tuple[str, int, int]] = []
    run(FIRST, SECOND, SAMPLES, random_inputs=1, progress=lambda *step: steps.append(step))
    assert steps == [("comparing outputs", done, 3) for done in (1, 2, 3)]
