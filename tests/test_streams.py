from __future__ import annotations

import numpy as np
import pytest

from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import INT4, INT16, UINT8, NumberFormat
from fewflips.machine import Operand
from fewflips.streams.codes import activation_codes, weight_codes
from fewflips.streams.counting import FlipCount, add_counts, count_flips, ones_shares
from fewflips.streams.stream import Stream
from tests.layers import altered, dense_layer, random_rows


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


def test_one_sample_is_its_own_mean():
    count = FlipCount(4, 2, (3, 1), 10, 2, 3, 5)
    assert add_counts([count]) == count
    assert add_counts([count] * 3) == count


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


def test_a_stream_is_sent_once_through_one_register_unless_it_says_otherwise():
    stream = Stream("weights", np.array([[0], [1], [3]], dtype=np.uint8), np.array([0]), 2)
    assert count_flips(stream) == FlipCount(2, 0, (1, 1), 2, 2, 1, 1)


def test_half_of_all_bits_flip_in_random_words():
    assert FlipCount(12, 5, (12,), 3, 8, 2, 1).nhd == 0.5
    assert FlipCount(0, 0, (0,), 0, 8, 1, 1).nhd == 0.0  # one word: nothing changes


@pytest.mark.parametrize(("repeats", "pass_repeats"), [(1, 1), (1, 3), (2, 1), (2, 3), (3, 2)])
def test_passes_and_seams_of_the_whole_sequence_laid_out(repeats, pass_repeats):
    words = np.random.default_rng(0).integers(0, 32, size=(7, 3), dtype=np.uint8)
    starts = [0, 3, 4]
    passes = np.split(words, starts[1:])
    sequence = np.concatenate([part for part in passes for _ in range(pass_repeats)] * repeats)
    changes = sequence[1:] ^ sequence[:-1]
    inside = [change for part in passes for change in part[1:] ^ part[:-1]]
    within = int(np.bitwise_count(inside).sum())
    count = count_flips(Stream("weights", words, np.array(starts), 5, repeats, pass_repeats, hops=4))
    assert count.within == within
    assert count.total == np.bitwise_count(changes).sum(dtype=np.int64)
    assert count.bit_positions == tuple(int((np.array(inside) >> bit & 1).sum()) for bit in range(5))
    assert (count.transitions, count.bits, count.repeats, count.hops) == (4 * 3, 5, repeats * pass_repeats, 4)


def test_an_empty_stream_has_no_flips():
    count = count_flips(Stream("weights", np.zeros((0, 3), dtype=np.uint8), np.zeros(0, dtype=np.int64), 4))
    assert (count.within, count.seams, count.bit_positions, count.transitions) == (0, 0, (0, 0, 0, 0), 0)


def test_a_layer_without_weights_takes_the_width_of_its_type():
    layer = dense_layer(1, 0, 3)
    for number_format in NumberFormat:
        codes, bits = weight_codes(layer, Operand(format=number_format))
        assert (codes.shape, bits) == ((0, 3), 8)


@pytest.mark.parametrize(("low", "high", "fits"), [(-8, 7, True), (-9, 7, False), (-8, 8, False), (0, 0, True)])
def test_values_fit_a_width_up_to_both_ends(low, high, fits):
    layer = dense_layer(1, 1, 2)
    layer.weights[:] = [[low, high]]
    operand = Operand(format=NumberFormat.TWOS_COMPLEMENT, bits=4)
    if fits:
        codes, bits = weight_codes(layer, operand)
        assert (codes.tolist(), bits) == ([[low % 16, high % 16]], 4)
    else:
        with pytest.raises(AcceleratorError, match=r"with 4 bits \(-8 to 7\); set bits to 5 or leave it out"):
            weight_codes(layer, operand)


def test_a_wider_operand_is_used_as_it_is():
    assert weight_codes(dense_layer(1, 2, 3, storage=INT4), Operand(bits=8))[1] == 8
    assert weight_codes(dense_layer(1, 2, 3, storage=INT4), Operand(bits=4))[1] == 4


def test_activations_that_are_not_known_are_refused():
    layer = dense_layer(2, 1, 3)
    with pytest.raises(AcceleratorError, match="its activations are not integers in the file"):
        activation_codes(altered(layer, activation_type=None), random_rows(layer), Operand())
    at_run_time = altered(layer, activation_zero_point=None)
    with pytest.raises(AcceleratorError, match="so that unsigned activations are not known; use as-stored"):
        activation_codes(at_run_time, random_rows(layer), Operand(format=NumberFormat.UNSIGNED))
    codes, _ = activation_codes(at_run_time, random_rows(layer), Operand())
    assert codes.tolist() == random_rows(layer).tolist()


def test_unsigned_words_are_counted_from_the_least_value_of_their_type():
    layer = dense_layer(1, 1, 3)
    layer.weights[:] = [[-128, 0, 127]]
    assert weight_codes(layer, Operand(format=NumberFormat.UNSIGNED))[0].tolist() == [[0, 128, 255]]


def test_activations_of_zero_point_0_are_values_as_they_are():
    layer = altered(dense_layer(1, 1, 3), activation_zero_point=0)
    rows = np.array([[[0, 1, 200]]], dtype=np.uint8)
    for number_format in (NumberFormat.SIGN_MAGNITUDE, NumberFormat.TWOS_COMPLEMENT):
        codes, bits = activation_codes(layer, rows, Operand(format=number_format))
        assert (codes.tolist(), bits) == ([[[0, 1, 200]]], 9)


def test_sixteen_bit_activations_take_sixteen_wires():
    layer = altered(dense_layer(2, 3, 4), activation_type=INT16, activation_zero_point=0)
    rows = np.array([[[-32768, 32767, -1, 0]] * 2], dtype=np.int16)
    for number_format, expected in [
        (NumberFormat.AS_STORED, [0x8000, 0x7FFF, 0xFFFF, 0]),
        (NumberFormat.TWOS_COMPLEMENT, [0x8000, 0x7FFF, 0xFFFF, 0]),
        (NumberFormat.UNSIGNED, [0, 0xFFFF, 0x7FFF, 0x8000]),
    ]:
        codes, bits = activation_codes(layer, rows, Operand(format=number_format))
        assert (bits, codes.dtype, codes[0, 0].tolist()) == (16, np.uint16, expected)


@pytest.mark.parametrize(
    ("operand", "words"),
    [
        (Operand(bits=8), "stored as int16, the accelerator has 8 bits: give it more"),
        (
            Operand(format=NumberFormat.TWOS_COMPLEMENT, bits=15),
            r"values from -32768 to 7 do not fit twos-complement with 15 bits \(-16384 to 16383\); "
            "set bits to 16 or leave it out",
        ),
        (
            Operand(format=NumberFormat.SIGN_MAGNITUDE),
            "values from -32768 to 7 take 17 bits as sign-magnitude, words have at most 16: use as-stored",
        ),
        (
            Operand(format=NumberFormat.SIGN_MAGNITUDE, bits=16),
            r"values from -32768 to 7 do not fit sign-magnitude with 16 bits \(-32767 to 32767\); use as-stored",
        ),
    ],
)
def test_sixteen_bit_activations_that_do_not_fit(operand, words):
    layer = altered(dense_layer(1, 3, 2), activation_type=INT16, activation_zero_point=0)
    with pytest.raises(AcceleratorError, match=f"activations of dense .*: {words}$"):
        activation_codes(layer, np.array([[[-32768, 7]]], dtype=np.int16), operand)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (4, 3), (0, 3)])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_words_are_shared_out_by_their_ones(shape, bits):
    words = np.random.default_rng(bits).integers(1 << bits, size=shape, dtype=np.uint8)
    ones = [bin(word).count("1") for word in words.ravel().tolist()]
    shares = ones_shares(words, bits)
    assert shares.shape == (bits + 1,)
    assert shares.tolist() == [ones.count(number) / max(len(ones), 1) for number in range(bits + 1)]
