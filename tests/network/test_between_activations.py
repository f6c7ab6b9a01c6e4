"""Products of two activations, counted with sample inputs, against plain loops."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

import fewflips
from fewflips.errors import InputError
from fewflips.formats.number_formats import NumberFormat
from fewflips.machine import Accelerator, Operand
from fewflips.network.lowering import MatrixBatch
from fewflips.network.onnx import reader as adapter
from tests.network.build_onnx import QDQ, Builder, save

FLOAT = TensorProto.FLOAT
HEADS, ROWS, DEPTH, COLUMNS = 2, 3, 8, 5
LANES = 4


def quantized(x: NDArray[np.float32], scale: float = 0.05, zero: int = 3) -> NDArray[np.int64]:
    return np.clip(np.rint(x / np.float32(scale)) + zero, -128, 127).astype(np.int64)


def attention(right: tuple[int, ...] = (1, HEADS, DEPTH, COLUMNS)) -> onnx.ModelProto:
    """A product with weights, and one of two activations with a matrix for each head, in QDQ form."""
    build = QDQ(3)
    queries = build.activation(build.input("a", FLOAT, [1, HEADS, ROWS, DEPTH]))
    keys = build.activation(build.input("b", FLOAT, right))
    build.output(build.node("MatMul", [queries, keys], name="scores"), FLOAT)
    build.output(build.node("MatMul", [queries, build.weights(build.int8(DEPTH, 6), 1)], name="weighted"), FLOAT)
    return build.model()


def integer_operators() -> onnx.ModelProto:
    """The same product as QLinearMatMul and as MatMulInteger."""
    build = Builder(4)
    a = build.input("a", TensorProto.INT8, [1, HEADS, ROWS, DEPTH])
    b = build.input("b", TensorProto.INT8, [1, HEADS, DEPTH, COLUMNS])
    scale, zero = build.constant(np.float32(0.05)), build.constant(np.int8(3))
    build.output(build.node("QLinearMatMul", [a, scale, zero, b, scale, zero, scale, zero], name="quantized"), 3)
    build.output(build.node("MatMulInteger", [a, b, zero, zero], name="integers"), TensorProto.INT32)
    weights = build.constant(build.int8(DEPTH, 6))
    build.output(build.node("MatMulInteger", [a, weights, zero], name="weighted"), TensorProto.INT32)
    return build.model()


def samples(folder: Path, count: int = 2, dtype: type = np.float32) -> Path:
    rng = np.random.default_rng(6)
    path = folder / "samples.npz"
    a, b = rng.standard_normal((count, HEADS, ROWS, DEPTH)) * 3, rng.standard_normal((count, HEADS, DEPTH, COLUMNS)) * 3
    if dtype is np.int8:
        a, b = (rng.integers(-128, 128, x.shape) for x in (a, b))
    np.savez(path, a=a.astype(dtype), b=b.astype(dtype))
    return path


def code(value: int, number_format: NumberFormat) -> int:
    if number_format is NumberFormat.AS_STORED:
        return value % 256
    if number_format is NumberFormat.UNSIGNED:
        return value + 128
    return (value - 3) % 512


def within(words: NDArray[np.int64], number_format: NumberFormat) -> int:
    """Flips of columns that follow each other, head by head, four lanes at a time; words are (head, column, depth)."""
    total = 0
    for head in range(HEADS):
        for first in range(0, DEPTH, LANES):
            for one, other in pairwise(words[head]):
                for lane in range(first, first + LANES):
                    a, b = (code(int(word[lane]), number_format) for word in (one, other))
                    total += (a ^ b).bit_count()
    return total


def held_flips(rows: NDArray[np.int64]) -> int:
    """Flips of one column's activations: row by row, head by head, four lanes at a time."""
    places = [(row, head, lane) for row in range(ROWS) for head in range(HEADS) for lane in range(0, DEPTH, LANES)]
    words = [rows[head, row, lane : lane + LANES].tolist() for row, head, lane in places]
    return sum(
        (a % 256 ^ b % 256).bit_count() for one, other in pairwise(words) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("number_format", [NumberFormat.AS_STORED, NumberFormat.UNSIGNED, NumberFormat.TWOS_COMPLEMENT])
def test_flips_of_both_ports(number_format: NumberFormat, tmp_path: Path) -> None:
    array = Accelerator(name="small", lanes=LANES, columns=1, weights=Operand(format=number_format))
    path, inputs = save(attention(), tmp_path / "m.onnx"), samples(tmp_path)
    report = fewflips.measure(path, array, inputs=inputs)
    weighted, scores = report.layers
    assert (weighted.name, scores.name) == ("weighted", "scores")
    assert (scores.m, scores.n, scores.k, scores.groups) == (ROWS, HEADS * COLUMNS, DEPTH, HEADS)
    assert scores.macs == HEADS * ROWS * DEPTH * COLUMNS
    with np.load(inputs) as held:
        right = [quantized(x).swapaxes(-1, -2) for x in held["b"]]
        left = [quantized(x) for x in held["a"]]
    assert scores.weights.flips == round(sum(within(x, number_format) for x in right) / 2)
    assert scores.activations is not None
    assert scores.activations.flips == round(sum(held_flips(x) for x in left) / 2)
    assert report.coverage.share == 1
    assert not report.coverage.left_out
    assert any(note.startswith("1 product of two activations: the weight port has the right") for note in report.notes)
    assert not any("passed over" in note for note in report.notes)


def test_without_samples_they_are_left_out_with_their_share(tmp_path: Path) -> None:
    path = save(attention(), tmp_path / "m.onnx")
    report = fewflips.measure(path)
    assert [layer.name for layer in report.layers] == ["weighted"]
    of_scores, of_weights = HEADS * ROWS * DEPTH * COLUMNS, HEADS * ROWS * DEPTH * 6
    assert report.coverage.share == of_weights / (of_weights + of_scores)
    assert any("'scores' (MatMul): passed over: it multiplies two activations" in note for note in report.notes)


def test_integer_operators_are_counted_alike(tmp_path: Path) -> None:
    path, inputs = save(integer_operators(), tmp_path / "m.onnx"), samples(tmp_path, 1, np.int8)
    report = fewflips.measure(path, Accelerator(name="small", lanes=LANES, columns=1), inputs=inputs)
    _, first, second = report.layers
    with np.load(inputs) as held:
        expected = within(held["b"][0].astype(np.int64).swapaxes(-1, -2), NumberFormat.AS_STORED)
    assert first.weights.flips == second.weights.flips == expected
    assert first.activations == second.activations


def test_a_matrix_that_several_groups_share(tmp_path: Path) -> None:
    network = adapter.read(save(attention((1, 1, DEPTH, COLUMNS)), tmp_path / "m.onnx"))
    (left_out,) = network.left_out
    assert left_out.product is not None
    assert left_out.product.groups == HEADS
    assert left_out.product.macs == left_out.macs


def test_floats_and_zero_points_of_the_moment_are_not_counted(tmp_path: Path) -> None:
    build = QDQ(5)
    a = build.input("a", FLOAT, [2, 8])
    names = ["codes", "scale", "zero"]
    build.nodes.append(helper.make_node("DynamicQuantizeLinear", [a], names))
    turned = build.node("Transpose", ["codes"])
    build.output(build.node("MatMulInteger", ["codes", turned, "zero", "zero"]), TensorProto.INT32)
    build.output(build.node("MatMul", [a, build.node("Transpose", [a])]), FLOAT)
    build.output(build.node("MatMul", [build.activation(a), build.weights(build.int8(8, 3), 1)]), FLOAT)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx"))
    assert [(left_out.operator, left_out.product) for left_out in network.left_out] == [
        ("MatMulInteger", None),
        ("MatMul", None),
    ]


def test_rows_of_matrices() -> None:
    tensor = np.arange(2 * 3 * 4, dtype=np.int8).reshape(2, 1, 3, 4)
    rows = MatrixBatch((2, 5), transposed=True).rows(tensor, 10, 0)
    for first in range(2):
        for second in range(5):
            for row in range(4):
                assert rows[first * 5 + second, row].tolist() == [tensor[first, 0, i, row] for i in range(3)]
    with pytest.raises(InputError, match="expected a tensor that fits"):
        MatrixBatch((3,)).rows(tensor, 3, 0)
    with pytest.raises(InputError, match="expected 3 matrices, got 2 groups"):
        MatrixBatch((3,)).rows(tensor, 2, 0)
