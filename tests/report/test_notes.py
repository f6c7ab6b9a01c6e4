"""Notes are few: like ones are one, and those that touch the most operations come first."""

from __future__ import annotations

from fewflips.records.coverage import LeftOutProducts
from fewflips.report.notes import operations_of, other_notes
from tests.report.sample_reports import coverage, optimize_report


def test_notes_that_differ_in_a_layer_alone_are_one():
    notes = [f"layer 'l{number}' (Conv): its scale is odd" for number in range(18)]
    assert other_notes(notes) == ["layers 'l0', 'l1', 'l2' and 15 more (Conv): its scale is odd"]


def test_notes_of_different_words_stay_apart_and_in_order():
    notes = ["layer 'a' (Conv): odd", "layer 'a' (Gemm): odd", "b", "layer 'c' (Conv): even", "b"]
    assert other_notes(notes) == ["layer 'a' (Conv): odd", "layer 'a' (Gemm): odd", "b", "layer 'c' (Conv): even"]


def test_the_most_operations_come_first_and_counted_ones_count():
    small, many = "layer 'big' (Conv): odd", "9 \u00d7 MatMul ('a', 'b', 'c' and 6 more): passed over"
    sizes = {"big": 50, "a": 10, "b": 10, "c": 10}
    assert other_notes(["of the file", small, many], sizes) == [many, small, "of the file"]
    assert other_notes([many, small], {**sizes, "big": 91}) == [small, many]


def test_operations_are_those_of_layers_and_of_what_is_left_out():
    report = optimize_report(names=["a", "b"])
    left_out = LeftOutProducts(operator="MatMul", reason="r", names=("p", "q"), macs=10, unknown=0)
    covered = coverage(report.layers).model_copy(update={"left_out": (left_out,)})
    found = operations_of(report.model_copy(update={"coverage": covered}))
    assert found == {"a": report.layers[0].macs, "b": report.layers[1].macs, "p": 5, "q": 5}
