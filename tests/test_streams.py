from __future__ import annotations

import numpy as np
import pytest

from fewflips.accelerator import Operand
from fewflips.errors import AcceleratorError
from fewflips.formats import INT4, UINT8, NumberFormat
from fewflips.streams import FlipCount, activation_codes, add_counts, weight_codes
from tests.layers import dense_layer, random_rows


def test_as_stored_weights_keep_their_code():
    layer = dense_layer(1, 3, 4)
    codes, bits = weight_codes(layer, Operand())
    assert bits == 8
    np.testing.assert_array_equal(codes.view(np.int8), layer.weights)


def test_four_bit_weights_use_four_wires():
    codes, bits = weight_codes(dense_layer(1, 5, 7, storage=INT4), Operand())
    assert bits == 4
    assert codes.max() < 16


def test_values_are_counted_from_the_zero_point():
    layer = dense_layer(1, 1, 2, storage=UINT8, zero_point=151)
    layer.weights[:] = [[0, 255]]
    codes, bits = weight_codes(layer, Operand(format=NumberFormat.TWOS_COMPLEMENT))
    assert (codes.tolist(), bits) == ([[512 - 151, 104]], 9)
    codes, bits = weight_codes(layer, Operand(format=NumberFormat.SIGN_MAGNITUDE))
    assert (codes.tolist(), bits) == ([[256 + 151, 104]], 9)
    codes, bits = weight_codes(layer, Operand(format=NumberFormat.UNSIGNED))
    assert (codes.tolist(), bits) == ([[0, 255]], 8)


def test_a_width_that_is_too_small_names_the_layer_and_the_width_it_needs():
    layer = dense_layer(1, 1, 2, storage=UINT8, zero_point=151)
    layer.weights[:] = [[0, 255]]
    with pytest.raises(AcceleratorError, match=r"weights of dense \(TEST, M=1, N=1, K=2\): values from -151 to 104"):
        weight_codes(layer, Operand(format=NumberFormat.TWOS_COMPLEMENT, bits=8))
    with pytest.raises(AcceleratorError, match="stored as uint8, the accelerator has 4 bits"):
        weight_codes(layer, Operand(bits=4))


def test_activations_use_their_own_zero_point():
    layer = dense_layer(2, 1, 3)
    rows = random_rows(layer)
    codes, bits = activation_codes(layer, rows, Operand(format=NumberFormat.SIGN_MAGNITUDE))
    values = rows.astype(int) - 3
    expected = np.where(values < 0, 2 ** (bits - 1) - values, values)
    np.testing.assert_array_equal(codes, expected)


def test_counts_of_samples_are_averaged():
    counts = [FlipCount(w, s, (w, 0), 10, 2, 3, 1) for w, s in ((4, 2), (7, 3))]
    mean = add_counts(counts)
    assert (mean.within, mean.seams, mean.bit_positions) == (6, 2, (6, 0))
    assert mean.total == 3 * 6 + 2


def test_bit_positions_of_a_mean_sum_to_its_flips():
    counts = [FlipCount(3, 0, (1, 1, 1), 10, 3, 1, 1), FlipCount(6, 0, (2, 2, 2), 10, 3, 1, 1)]
    mean = add_counts(counts)
    assert mean.within == sum(mean.bit_positions) == 4


def test_words_are_as_wide_as_they_are_stored_even_where_the_values_are_small():
    layer = dense_layer(1, 1, 3)
    layer.weights[:] = [[-1, 0, 1]]
    codes, bits = weight_codes(layer, Operand(format=NumberFormat.TWOS_COMPLEMENT))
    assert (codes.tolist(), bits) == ([[255, 0, 1]], 8)
    codes, bits = weight_codes(layer, Operand(format=NumberFormat.SIGN_MAGNITUDE))
    assert (codes.tolist(), bits) == ([[129, 0, 1]], 8)


@pytest.mark.parametrize("seams", [(0, 10, 20), (20, 10, 0), (7, 9, 14)])
def test_seams_of_a_mean_are_those_of_all_samples(seams):
    mean = add_counts([FlipCount(0, count, (0,), 10, 1, 1, 1) for count in seams])
    assert mean.seams == 10
