from __future__ import annotations

import pickle
from itertools import product as indices_of
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError, ModelError
from fewflips.formats.number_formats import INT8, UINT8
from fewflips.network import ActivationOperand, ConstantOperand, Layer, Product
from fewflips.network.lowering import MatrixProduct
from fewflips.network.operand import HeldMatrix
from fewflips.network.quantization_values import QuantizationValues, StoredQuantizationValues
from fewflips.network.stored_bytes import FileBytes
from tests.layers import altered, dense_layer
from tests.property_settings import examples

SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)


@st.composite
def blocked(draw: st.DrawFn) -> tuple[tuple[int, ...], int, int, np.ndarray]:
    """A shape, an axis, elements of a block along it, and values for each block, some axes sharing theirs."""
    shape = draw(SHAPES)
    axis, block = draw(st.integers(0, len(shape) - 1)), draw(st.integers(1, 9))
    lengths = [
        len(range(0, length, block)) if position == axis else draw(st.sampled_from([1, length]))
        for position, length in enumerate(shape)
    ]
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(-128, 128, lengths).astype(np.int32)
    return shape, axis, block, values


@examples(60)
@given(shape=SHAPES, value=st.integers(-128, 127))
def test_one_zero_point_for_all_elements(shape: tuple[int, ...], value: int) -> None:
    spread = QuantizationValues.per_tensor(np.int32(value), len(shape)).elements(shape)
    assert spread.shape == shape
    assert spread.dtype == np.int32
    assert all(spread[index] == value for index in np.ndindex(*shape))


@examples(60)
@given(shape=SHAPES, data=st.data())
def test_one_zero_point_a_channel(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    values = np.arange(10, 10 + shape[axis], dtype=np.int32)
    spread = QuantizationValues.per_channel(values, axis, len(shape)).elements(shape)
    assert spread.shape == shape
    assert all(spread[index] == values[index[axis]] for index in np.ndindex(*shape))


@examples(60)
@given(blocked())
def test_one_zero_point_a_block(drawn: tuple[tuple[int, ...], int, int, np.ndarray]) -> None:
    shape, axis, block, values = drawn
    spread = QuantizationValues(values, axis, block).elements(shape)
    assert spread.shape == shape
    for index in np.ndindex(*shape):
        place = [0 if values.shape[other] == 1 else at for other, at in enumerate(index)]
        place[axis] = index[axis] // block
        assert spread[index] == values[tuple(place)]


@examples(60)
@given(blocked())
def test_values_that_are_read_when_asked_for_are_the_same(drawn: tuple[tuple[int, ...], int, int, np.ndarray]) -> None:
    shape, axis, block, values = drawn
    held = QuantizationValues(values, axis, block)
    stored = StoredQuantizationValues(lambda: values, values.shape, axis, block)
    np.testing.assert_array_equal(stored.elements(shape), held.elements(shape))
    np.testing.assert_array_equal(stored.groups_along(axis, shape), held.groups_along(axis, shape))
    assert (stored.along(axis, shape) is None) == (held.along(axis, shape) is None)


def test_values_that_are_read_when_asked_for_have_the_shape_that_was_said() -> None:
    def unread() -> np.ndarray:
        raise AssertionError("read before it was asked for")

    StoredQuantizationValues(unread, (3, 2), 1, 4).check((3, 8))
    with pytest.raises(InputError, match=r"expected 1 or as many as \[3, 2\] along each axis, got shape \[3, 1\]"):
        StoredQuantizationValues(unread, (3, 1), 1, 4).check((3, 8))
    with pytest.raises(InputError, match="at least 1 element, got 0"):
        StoredQuantizationValues(unread, (3, 2), 1, 0)
    with pytest.raises(InputError, match=r"expected values of shape \(3, 2\), got \(2, 3\)"):
        StoredQuantizationValues(lambda: np.zeros((2, 3)), (3, 2)).elements((3, 2))


@examples(60)
@given(blocked(), st.data())
def test_axes_are_transposed_as_those_of_the_operand(
    drawn: tuple[tuple[int, ...], int, int, np.ndarray], data: st.DataObject
) -> None:
    shape, axis, block, values = drawn
    order = data.draw(st.permutations(range(len(shape))))
    whole = QuantizationValues(values, axis, block)
    moved = whole.transposed(order).elements([shape[old] for old in order])
    np.testing.assert_array_equal(moved, np.transpose(whole.elements(shape), order))


@examples(60)
@given(blocked(), st.data())
def test_values_along_an_axis_are_those_of_all_its_elements(
    drawn: tuple[tuple[int, ...], int, int, np.ndarray], data: st.DataObject
) -> None:
    shape, axis, block, values = drawn
    chosen = data.draw(st.integers(0, len(shape) - 1))
    values = data.draw(st.sampled_from([values, np.take(values, [0], chosen).repeat(values.shape[chosen], chosen)]))
    values = data.draw(st.sampled_from([values, np.full_like(values, 5)]))
    whole = QuantizationValues(values, axis, block)
    spread = whole.elements(shape)
    found: list[set[int]] = [set() for _ in range(shape[chosen])]
    for index in indices_of(*map(range, shape)):
        found[index[chosen]].add(int(spread[index]))
    along = whole.along(chosen, shape)
    if all(len(different) == 1 for different in found):
        assert along is not None
        assert along.tolist() == [different.pop() for different in found]
    else:
        assert along is None


@pytest.mark.parametrize(
    ("values", "axis", "block"),
    [
        (np.zeros((3, 1)), None, 1),
        (np.zeros(4), None, 1),
        (np.zeros((4, 2)), 1, 2),
        (np.zeros((4, 1)), 1, 5),
    ],
)
def test_values_that_do_not_fit_are_refused(values: np.ndarray, axis: int | None, block: int) -> None:
    with pytest.raises(InputError, match=r"shape \[4, 6\]: expected 1 or as many"):
        QuantizationValues(values, axis, block).elements((4, 6))


def test_axes_without_elements() -> None:
    assert QuantizationValues.per_channel(np.zeros(0, np.int32)).along(0, (0, 3)) is not None
    assert QuantizationValues(np.zeros((2, 0), np.int32)).along(0, (2, 0)) is None
    assert QuantizationValues.per_tensor(np.int32(1)).elements((0, 3)).shape == (0, 3)


def test_blocks_without_elements_are_refused() -> None:
    with pytest.raises(InputError, match="expected blocks of at least 1 element, got 0"):
        QuantizationValues(np.zeros((4, 3)), 1, 0)


def constant(values: np.ndarray, zero_points: QuantizationValues | None = None) -> ConstantOperand:
    n, k = values.shape
    zero_points = zero_points or QuantizationValues.per_tensor(np.int32(0))
    return ConstantOperand("w", (n, k), INT8, zero_points, HeldMatrix(values))


def test_a_constant_is_known_before_its_values_are_read() -> None:
    reads: list[int] = []

    def source() -> np.ndarray:
        reads.append(1)
        return np.zeros((3, 8), np.int8)

    blocks = QuantizationValues(np.arange(6, dtype=np.int32).reshape(3, 2), 1, 4)
    operand = ConstantOperand("w", (3, 8), INT8, blocks, source)
    layer = Layer("l", "MatMul", ActivationOperand((5, 8), MatrixProduct()), operand, 1)
    assert (layer.n, layer.k, layer.m, layer.macs, layer.weight_type) == (3, 8, 5, 120, INT8)
    assert operand.element_zero_points().tolist() == [[0] * 4 + [1] * 4, [2] * 4 + [3] * 4, [4] * 4 + [5] * 4]
    assert not reads
    with pytest.raises(InputError, match="expected one zero point an output channel, got one a block"):
        layer.weight_zero_points  # noqa: B018
    assert layer.weights.shape == (3, 8)
    assert layer.weights.shape == (3, 8)
    assert len(reads) == 2


def test_a_source_of_another_shape_is_refused() -> None:
    operand = ConstantOperand(
        "w", (2, 3), INT8, QuantizationValues.per_tensor(np.int32(0)), HeldMatrix(np.zeros((3, 2), np.int8))
    )
    with pytest.raises(InputError, match=r"'w': expected values of shape \(2, 3\), got \(3, 2\)"):
        operand.load()


def test_operands_of_different_reductions_are_refused() -> None:
    with pytest.raises(InputError, match=r"p \(MatMul\): expected operands with rows of one length"):
        Product("p", "MatMul", ActivationOperand((2, 3), MatrixProduct()), constant(np.zeros((2, 4), np.int8)), 1)


def test_a_product_of_two_activations() -> None:
    scores = Product(
        "scores",
        "MatMul",
        ActivationOperand((16, 64), MatrixProduct(), "queries", INT8, -3),
        ActivationOperand((12 * 16, 64), MatrixProduct(), "keys", UINT8, 128),
        groups=12,
    )
    assert scores.macs == 12 * sum(64 for _ in range(16) for _ in range(16))
    assert str(scores) == "scores (MatMul, M=16, N=192, K=64)"


def test_a_layer_of_an_array_gives_the_array() -> None:
    layer = dense_layer(2, 3, 4, zero_point=7)
    assert layer.weights is layer.weights
    assert layer.weight_zero_points.tolist() == [7, 7, 7]
    assert altered(layer, weights=np.ones((3, 4), np.int8)).weights.tolist() == [[1] * 4] * 3


def stored(path: Path, content: bytes, offset: int) -> FileBytes:
    path.write_bytes(b"\xff" * offset + content + b"\xff" * 3)
    return FileBytes.of(path, offset, content)


def test_bytes_of_a_file_are_read_from_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    part = stored(Path("file"), b"weights", 5)
    monkeypatch.chdir("/")
    assert part.read() == b"weights" == pickle.loads(pickle.dumps(part)).read()


@pytest.mark.parametrize("content", [b"\xff" * 5 + b"Weights" + b"\xff" * 3, b"\xff" * 5 + b"weigh", b""])
def test_a_file_that_changed_is_refused(tmp_path: Path, content: bytes) -> None:
    part = stored(tmp_path / "file", b"weights", 5)
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=r"file: the file has changed since it was read; read it again"):
        part.read()


def test_a_file_replaced_by_its_equal_is_read(tmp_path: Path) -> None:
    part = stored(tmp_path / "file", b"weights", 5)
    (tmp_path / "file").unlink()
    stored(tmp_path / "file", b"weights", 5)
    assert part.read() == b"weights"


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    part = stored(tmp_path / "file", b"weights", 5)
    (tmp_path / "file").unlink()
    with pytest.raises(ModelError, match=r"its weights cannot be read again: No such file .*; put the file back"):
        part.read()
