from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fewflips.errors import InputError
from fewflips.streams.flips import bit_position_flips, pack_rows, pairwise_distances, row_flips, stream_flips

WORDS = st.one_of(
    *(
        arrays(dtype, st.tuples(st.integers(0, 12), st.integers(0, 19)), elements=st.integers(0, np.iinfo(dtype).max))
        for dtype in (np.uint8, np.uint16)
    )
)


def bits_of(words: np.ndarray) -> np.ndarray:
    """(T, L, width) array of bits, by arithmetic alone."""
    width = 8 * words.dtype.itemsize
    return (words[..., np.newaxis].astype(np.int64) // 2 ** np.arange(width)) % 2


@given(WORDS)
def test_flips_equal_counting_bit_by_bit(words):
    changes = np.abs(np.diff(bits_of(words), axis=0))
    assert stream_flips(words) == changes.sum()
    width = 8 * words.dtype.itemsize
    assert bit_position_flips(words, width).tolist() == changes.sum(axis=(0, 1)).tolist()
    rows = np.arange(1, len(words))
    assert row_flips(words, rows) == changes.sum()


@given(WORDS)
def test_pairwise_distances_equal_counting_bit_by_bit(words):
    bits = bits_of(words).reshape(len(words), words.shape[1] * 8 * words.dtype.itemsize)
    expected = np.abs(bits[:, np.newaxis] - bits[np.newaxis]).sum(axis=2)
    np.testing.assert_array_equal(pairwise_distances(words), expected)


def test_a_long_stream_crosses_the_kernels_blocks():
    words = np.random.default_rng(0).integers(0, 256, size=(5000, 24)).astype(np.uint8)
    expected = np.bitwise_count(words[1:] ^ words[:-1]).sum(dtype=np.int64)
    assert stream_flips(words) == expected
    assert bit_position_flips(words, 8).sum() == expected


def test_rows_of_whole_words_are_not_copied():
    words = np.zeros((4, 16), dtype=np.uint8)
    assert np.shares_memory(pack_rows(words), words)


def test_non_contiguous_words():
    words = np.random.default_rng(0).integers(0, 256, size=(40, 32)).astype(np.uint8)
    assert stream_flips(words[::2, ::2]) == stream_flips(words[::2, ::2].copy())


@pytest.mark.parametrize(
    "words",
    [
        np.zeros((2, 2)),
        np.zeros(3, dtype=np.uint8),
        np.zeros((2, 2, 2), dtype=np.uint8),
        np.zeros((2, 2), dtype=np.int32),
        np.zeros((2, 2), dtype=np.int64),
        np.zeros((2, 2), dtype=np.bool_),
    ],
)
def test_other_arrays_are_refused(words):
    with pytest.raises(InputError, match="expected a matrix of 8- or 16-bit integers"):
        stream_flips(words)


def test_bit_positions_outside_the_word_are_refused():
    with pytest.raises(InputError, match="expected 1 to 8 for uint8, got 9"):
        bit_position_flips(np.zeros((2, 2), dtype=np.uint8), 9)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int8, np.int16])
@pytest.mark.parametrize("lanes", range(18))
def test_packed_rows_hold_the_bytes_and_zeros(dtype, lanes):
    limits = np.iinfo(dtype)
    words = np.random.default_rng(lanes).integers(limits.min, limits.max, size=(3, lanes), dtype=dtype, endpoint=True)
    packed = pack_rows(words)
    used = lanes * words.itemsize
    assert packed.dtype == np.uint64
    assert packed.shape == (3, max(1, -(-used // 8)))
    for row, word in zip(packed, words, strict=True):
        assert row.tobytes() == word.tobytes().ljust(8 * len(row), b"\0")


def test_single_transitions_are_those_to_the_rows_given():
    words = np.array([[0b000], [0b001], [0b110], [0b110]], dtype=np.uint8)
    flips = [row_flips(words, np.array(rows, dtype=np.int64)) for rows in ([], [1], [2], [3], [1, 2], [2, 2])]
    assert flips == [0, 1, 3, 0, 4, 6]


@pytest.mark.parametrize("bits", [1, 5, 8])
def test_positions_are_reported_from_the_least_significant(bits):
    words = np.array([[0], [0b10010001], [0b10000001]], dtype=np.uint8)
    assert bit_position_flips(words, bits).tolist() == [1, 0, 0, 0, 2, 0, 0, 1][:bits]


@pytest.mark.parametrize("bits", [0, 17, -1])
def test_other_numbers_of_positions_are_refused(bits):
    with pytest.raises(InputError, match=f"expected 1 to 16 for uint16, got {bits}"):
        bit_position_flips(np.zeros((2, 2), dtype=np.uint16), bits)


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 70])
def test_pairwise_distances_across_the_kernels_tiles(rows):
    words = np.random.default_rng(rows).integers(0, 256, size=(rows, 9), dtype=np.uint8)
    expected = np.bitwise_count(words[:, np.newaxis] ^ words[np.newaxis]).sum(axis=2)
    assert pairwise_distances(words).tolist() == expected.tolist()


@pytest.mark.parametrize("rows", [4096, 4097, 4098, 8195])
def test_positions_of_streams_that_end_at_the_kernels_blocks(rows):
    words = np.zeros((rows, 8), dtype=np.uint8)
    words[-1, 0], words[0, 7] = 0b1000, 0b1
    assert bit_position_flips(words, 8).tolist() == [1, 0, 0, 1, 0, 0, 0, 0]
