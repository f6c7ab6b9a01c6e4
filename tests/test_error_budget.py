"""Error budgets and labels, as a user gives them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fewflips
from fewflips.errors import InputError
from fewflips.execution.samples import Samples
from fewflips.optimization import ErrorBudget, Outcome, Step
from fewflips.optimization.budget import (
    MOST_DB,
    budget_and_labels,
    check_calibration,
    check_labels,
    read_labels,
)
from tests.network import build_onnx, build_tflite
from tests.steps.toy_steps import MOVED

CLASSES = 6


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("sqnr:25dB", ErrorBudget(sqnr_db=25)),
        (" SQNR: 14.5 db", ErrorBudget(sqnr_db=14.5)),
        ("0.5%", ErrorBudget(accuracy_points=0.5)),
        ("0 %", ErrorBudget(accuracy_points=0)),
        ("sqnr:120dB", ErrorBudget(sqnr_db=MOST_DB)),
    ],
)
def test_budgets(text: str, budget: ErrorBudget):
    assert ErrorBudget.parse(text) == budget


@given(st.floats(1e-6, 99.9) | st.floats(1e-6, MOST_DB).map(lambda decibels: -decibels))
def test_a_budget_is_read_as_it_is_written(number: float):
    budget = ErrorBudget(accuracy_points=number) if number > 0 else ErrorBudget(sqnr_db=-number)
    again = ErrorBudget.parse(str(budget))
    assert (again.sqnr_db is None) == (budget.sqnr_db is None)
    assert math.isclose(again.sqnr_db or again.accuracy_points, abs(number), rel_tol=1e-11)


@pytest.mark.parametrize("text", ["", "25", "25dB", "sqnr:dB", "sqnr:25", "nan%", "inf%", "sqnr:nandB", "half%", "%"])
def test_text_that_is_no_budget(text: str):
    with pytest.raises(InputError, match=r"error budget: expected sqnr:<decibels>dB, such as sqnr:25dB, .* got "):
        ErrorBudget.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sqnr:0dB", "expected a ratio above 0 dB, .* got 0 dB"),
        ("sqnr:-3dB", "expected a ratio above 0 dB, .* got -3 dB"),
        ("sqnr:121dB", "up to 120 dB, got 121 dB"),
        ("-0.1%", "expected from 0 to less than 100 points of accuracy, got -0.1"),
        ("100%", "expected from 0 to less than 100 points of accuracy, got 100"),
    ],
)
def test_budgets_out_of_range(text: str, words: str):
    with pytest.raises(InputError, match=words):
        ErrorBudget.parse(text)


@pytest.mark.parametrize("numbers", [{}, {"sqnr_db": 25, "accuracy_points": 1}])
def test_a_budget_is_one_of_both(numbers: dict[str, float]):
    with pytest.raises(InputError, match="got neither or both"):
        ErrorBudget(**numbers)


def test_labels_of_every_format(tmp_path: Path):
    labels = np.array([3, 0, 5, 1])
    np.save(tmp_path / "one.npy", labels.astype(np.uint8)[:, np.newaxis])
    np.savez(tmp_path / "one.npz", labels)
    np.savez(tmp_path / "two.npz", labels=labels, others=labels[::-1])
    (tmp_path / "one.csv").write_bytes("\ufeff3,0,\n5\n1\n".encode())
    (tmp_path / "one.txt").write_text("3\n0\n5\n1")
    for name in ("one.npy", "one.npz", "two.npz", "one.csv", "one.txt"):
        read = read_labels(tmp_path / name)
        assert read.dtype == np.int64
        assert read.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.json", b"[1]", r"expected labels in an \.npy, \.npz, \.csv, \.txt file, got '.json'"),
        ("labels.txt", b"", "expected one label for each sample, got none"),
        ("labels.txt", b"cat\n", "expected classes as integers from 0 on, got 'cat'"),
        ("labels.csv", b"1,-2", "expected classes as integers from 0 on, got '-2'"),
        ("labels.csv", b"1.5", "expected classes as integers from 0 on, got '1.5'"),
        ("labels.csv", b"9" * 30, "expected classes as integers from 0 on, got '999"),
        ("labels.txt", b"\xff\xfe", "expected labels as text"),
        ("labels.npy", b"junk", "expected an array as numpy.save writes it, got a damaged file"),
        ("labels.npz", b"junk", "got a damaged file"),
    ],
)
def test_files_that_hold_no_labels(tmp_path: Path, name: str, content: bytes, words: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_labels(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([0.0, 1.0]), r"expected a list of integers, got float64 of shape \[2\]"),
        (np.zeros((2, 2), int), r"expected a list of integers, got int64 of shape \[2, 2\]"),
        (np.array([-1, 2]), "expected classes as integers from 0 on, got -1 to 2"),
        (np.array([2**63], np.uint64), "expected classes as integers from 0 on"),
        (np.array(["cat"]), "expected a list of integers"),
    ],
)
def test_arrays_that_are_no_labels(tmp_path: Path, array: np.ndarray, words: str):
    np.save(tmp_path / "labels.npy", array)
    with pytest.raises(InputError, match=words):
        read_labels(tmp_path / "labels.npy")


def test_archives_without_labels(tmp_path: Path):
    np.savez(tmp_path / "labels.npz", a=np.zeros(1, int), b=np.zeros(1, int))
    with pytest.raises(InputError, match="expected an array named 'labels', or one array, got 2 others"):
        read_labels(tmp_path / "labels.npz")
    with pytest.raises(InputError, match=r"gone\.npy: labels cannot be read: No such file"):
        read_labels(tmp_path / "gone.npy")


def test_labels_that_do_not_match():
    labels = np.array([0, 4, 2])
    assert check_labels(labels, 3, 5).tolist() == [0, 4, 2]
    with pytest.raises(InputError, match="labels: expected one for each of 4 sample inputs, got 3"):
        check_labels(labels, 4)
    with pytest.raises(InputError, match="expected one for each of 1 sample input, got 3"):
        check_labels(labels, 1)
    with pytest.raises(InputError, match="classes from 0 to 3, as the network has 4 of them, got 4 for sample 1"):
        check_labels(labels, 3, 4)


def test_constant_samples_say_nothing():
    constant = {"x": np.full((1, 3), 7), "y": np.zeros((1, 2))}
    varied = {"x": np.array([[7, 7, 8]]), "y": np.zeros((1, 2))}
    with pytest.raises(InputError, match="expected sample inputs like those in use, got constant ones in here"):
        check_calibration(Samples((constant, constant), "here", ""))
    check_calibration(Samples((constant, varied), "here", ""))


@pytest.mark.parametrize(
    ("budget", "labels", "inputs", "words"),
    [
        ("sqnr:25dB", None, None, "error budget sqnr:25dB: expected sample inputs .*, got none"),
        ("0.5%", None, "images", r"error budget 0.5%: expected labels of the sample inputs .* \(--labels\), got none"),
        ("sqnr:25dB", [1], "images", "labels: expected an error budget in points of accuracy .*, got sqnr:25dB"),
        (None, [1], "images", "labels: expected an error budget in points of accuracy .*, got none"),
        (0.5, None, "images", "error budget: expected an ErrorBudget or text, got float"),
    ],
)
def test_budgets_labels_and_inputs_go_together(budget, labels, inputs, words: str):
    with pytest.raises(InputError, match=words):
        budget_and_labels(budget, labels, inputs)


class Spending(Step):
    """Keeps what it was given of the user's budget."""

    name = "spending"
    needs_budget = True

    def apply(self, state, context):
        self.seen = context
        return Outcome(state, MOVED)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return build_onnx.save(build_onnx.qdq(), tmp_path / "model.onnx")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    images = np.random.default_rng(1).random((3, 3, 8, 8), np.float32)
    np.savez(tmp_path / "inputs.npz", image=images)
    return tmp_path / "inputs.npz"


def test_a_budget_reaches_the_steps(model: Path, inputs: Path, tmp_path: Path):
    (tmp_path / "labels.txt").write_text("1 0 5")
    step = Spending()
    fewflips.optimize(
        model, "edge4", steps=[step], inputs=inputs, error_budget="0.5%", labels=tmp_path / "labels.txt", jobs=1
    )
    assert step.seen.budget == ErrorBudget(accuracy_points=0.5)
    assert step.seen.labels.tolist() == [1, 0, 5]
    fewflips.optimize(model, "edge4", steps=[step], inputs=inputs, error_budget=ErrorBudget(sqnr_db=25), jobs=1)
    assert (step.seen.budget.sqnr_db, step.seen.labels) == (25, None)


def test_labels_are_compared_with_samples_and_classes(model: Path, inputs: Path):
    for labels, words in (([0, 1], "each of 3 sample inputs, got 2"), ([0, CLASSES, 1], "classes from 0 to 5, as")):
        with pytest.raises(InputError, match=words):
            fewflips.optimize(
                model, "edge4", steps=[Spending()], inputs=inputs, error_budget="1%", labels=labels, jobs=1
            )


def test_accuracy_needs_one_output(inputs: Path, tmp_path: Path):
    (tmp_path / "two.tflite").write_bytes(build_tflite.branching())
    np.savez(tmp_path / "inputs.npz", image=np.random.default_rng(0).random((1, 8, 8, 3), np.float32))
    with pytest.raises(InputError, match="labels: expected a network with one output, a value for each class, got 2"):
        fewflips.optimize(
            tmp_path / "two.tflite",
            "edge4",
            steps=[Spending()],
            inputs=tmp_path / "inputs.npz",
            error_budget="1%",
            labels=[0],
            jobs=1,
        )
