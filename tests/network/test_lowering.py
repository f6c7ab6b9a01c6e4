"""Lowering: rows of X against a convolution written out as loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError
from fewflips.network.lowering import Convolution2D, MatrixProduct
from tests.property_settings import examples


def convolution_by_loops(
    image: np.ndarray, weights: np.ndarray, lowering: Convolution2D, groups: int, pad_value: int
) -> np.ndarray:
    """A grouped convolution of an NCHW image with weights (N, C / groups, kh, kw), element by element."""
    batch, channels, height, width = image.shape
    n = weights.shape[0]
    out_h, out_w = lowering.output_size(height, width)
    output = np.zeros((batch, n, out_h, out_w), np.int64)
    for b, o, row, column in itertools.product(range(batch), range(n), range(out_h), range(out_w)):
        first = o // (n // groups) * (channels // groups)
        for c, kr, kc in itertools.product(range(weights.shape[1]), range(weights.shape[2]), range(weights.shape[3])):
            y = row * lowering.strides[0] - lowering.pads[0] + kr * lowering.dilations[0]
            x = column * lowering.strides[1] - lowering.pads[1] + kc * lowering.dilations[1]
            inside = 0 <= y < height and 0 <= x < width
            value = image[b, first + c, y, x] if inside else pad_value
            output[b, o, row, column] += int(value) * int(weights[o, c, kr, kc])
    return output


small = st.integers(1, 3)


@given(
    layout=st.sampled_from(["NHWC", "NCHW"]),
    kernel=st.tuples(small, small),
    strides=st.tuples(small, small),
    dilations=st.tuples(small, small),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    groups=st.integers(1, 3),
    batch=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
)
@examples(60)
def test_rows_times_weights_is_the_convolution(
    layout: str,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    groups: int,
    batch: int,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    image = generator.integers(-128, 128, (batch, 2 * groups, 7, 8), np.int8, endpoint=False)
    weights = generator.integers(-128, 128, (3 * groups, 2, *kernel), np.int8, endpoint=False)
    lowering = Convolution2D(layout, kernel, strides, dilations, pads)  # type: ignore[arg-type]
    channels_last = layout == "NHWC"
    tensor = image.transpose(0, 2, 3, 1) if channels_last else image
    rows = lowering.rows(tensor, groups, 5).astype(np.int64)
    matrix = (weights.transpose(0, 2, 3, 1) if channels_last else weights).reshape(groups, 3, -1).astype(np.int64)
    product = np.einsum("gmk,gnk->gnm", rows, matrix)
    expected = convolution_by_loops(image, weights, lowering, groups, 5)
    out = expected.shape[2:]
    assert np.array_equal(product.reshape(3 * groups, batch, *out).swapaxes(0, 1), expected)


def test_rows_of_a_two_by_two_kernel_by_hand() -> None:
    """A 3 x 3 image, one channel, 2 x 2 kernel, stride 1: four rows in raster order."""
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
    lowering = Convolution2D("NHWC", (2, 2), (1, 1), (1, 1), (0, 0, 0, 0))
    expected = [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]
    assert lowering.rows(image, 1, 0).tolist() == [expected]


def test_order_of_k_follows_the_layout() -> None:
    pixel = np.arange(8, dtype=np.uint8).reshape(1, 2, 2, 2)
    last = Convolution2D("NHWC", (2, 2), (1, 1), (1, 1), (0, 0, 0, 0))
    first = Convolution2D("NCHW", (2, 2), (1, 1), (1, 1), (0, 0, 0, 0))
    assert last.rows(pixel, 1, 0).tolist() == [[[0, 1, 2, 3, 4, 5, 6, 7]]]
    assert first.rows(pixel, 1, 0).tolist() == [[[0, 1, 2, 3, 4, 5, 6, 7]]]
    assert last.rows(pixel, 2, 0).tolist() == [[[0, 2, 4, 6]], [[1, 3, 5, 7]]]


def test_convolution_that_does_not_fit() -> None:
    lowering = Convolution2D("NHWC", (3, 3), (1, 1), (2, 2), (0, 0, 0, 0))
    with pytest.raises(InputError, match=r"kernel of extent \(5, 5\) does not fit the padded image \(4, 4\)"):
        lowering.rows(np.zeros((1, 4, 4, 2), np.int8), 1, 0)
    with pytest.raises(InputError, match="expected a NHWC tensor with a multiple of 3 channels"):
        lowering.rows(np.zeros((1, 8, 8, 2), np.int8), 3, 0)


@pytest.mark.parametrize(("k", "rows"), [(None, 6), (12, 2), (2, 12)])
def test_matrix_product(k: int | None, rows: int) -> None:
    tensor = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    result = MatrixProduct(k).rows(tensor, 1, 0)
    assert result.shape == (1, rows, 24 // rows)
    assert np.array_equal(result.reshape(-1), tensor.reshape(-1))


@pytest.mark.parametrize(
    ("k", "groups", "message"),
    [(5, 1, r"expected rows of 5 elements, got a tensor of shape \(2, 3, 4\)"), (None, 2, "expected 1 group, got 2")],
)
def test_matrix_product_that_does_not_fit(k: int | None, groups: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MatrixProduct(k).rows(np.zeros((2, 3, 4), np.int8), groups, 0)
