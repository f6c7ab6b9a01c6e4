"""Synthetic streams have the flips and values that they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fewflips.datapath.design import Word, WordFormat
from fewflips.errors import InputError
from fewflips.estimation.calibration.synthetic import (
    ZERO_SHARE,
    _chain,
    flipping_words,
    likely_words,
    synthetic_activations,
)
from fewflips.estimation.word_pool import WordPool
from fewflips.streams.counting import ones_shares
from tests.property_settings import examples

CYCLES, LANES = 2000, 8


def measured_rates(words, bits):
    changed = words[1:] ^ words[:-1]
    return np.array([((changed >> bit) & 1).mean() for bit in range(bits)])


def tolerance(rate):
    """Five standard deviations of a share over all words, and some for lanes that follow one another."""
    return 5 * np.sqrt(max(rate * (1 - rate), 1e-4) / (CYCLES * LANES)) * 1.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=16), st.integers(0, 2**31))
def test_each_bit_flips_as_often_as_asked(rates, seed):
    words = flipping_words(CYCLES, LANES, np.array(rates), np.random.default_rng(seed))
    assert words.shape == (CYCLES, LANES)
    assert words.dtype == (np.uint8 if len(rates) <= 8 else np.uint16)
    for found, rate in zip(measured_rates(words, len(rates)), rates, strict=True):
        assert found == pytest.approx(rate, abs=tolerance(rate))


def test_certain_flips_are_certain():
    words = flipping_words(50, 3, np.array([0.0, 1.0]), np.random.default_rng(0))
    assert measured_rates(words, 2).tolist() == [0.0, 1.0]


@given(st.floats(0.02, 0.98), st.floats(0.05, 0.95), st.integers(0, 2**31))
@example(0.5, 0.5, 0)
@examples(40)
def test_words_of_a_pool_have_the_nhd_asked_for(nhd, zeros, seed):
    generator = np.random.default_rng(seed)
    values = np.where(generator.random(4000) < zeros, 0, generator.integers(0, 256, 4000))
    pool = WordPool(values.astype(np.uint8), 8)
    words = likely_words(pool, 30, 2000, nhd, generator)
    # each lane is a chain of its own: its mean over 29 steps is one draw with a deviation of at most 1/2
    assert measured_rates(words, 8).mean() == pytest.approx(nhd, abs=5 * 0.5 / np.sqrt(2000))


def test_words_change_as_if_drawn_anew_at_the_nhd_of_the_pool():
    generator = np.random.default_rng(3)
    pool = WordPool(np.array([0, 0, 0, 7, 200], dtype=np.uint8), 8)
    words = likely_words(pool, 200, 500, pool.nhd, generator)
    for value, share in ((0, 0.6), (7, 0.2), (200, 0.2)):
        assert (words == value).mean() == pytest.approx(share, abs=0.03)


@given(st.floats(0.02, 0.9), st.integers(0, 2**31))
@example(0.8984375, 1333066)
@examples(20)
def test_chains_are_stationary(nhd, seed):
    pool = WordPool(np.array([0, 0, 0, 3, 90, 255, 17], dtype=np.uint8), 8)
    words = likely_words(pool, 40, 3000, nhd, np.random.default_rng(seed))
    first, last = (np.bitwise_count(words[cycle]).astype(float) for cycle in (0, -1))
    # lanes are independent of one another: the standard error is that of the change within a lane, which both ends
    # and what they have in common go into; an end alone has 1 / sqrt(2) of it where they have nothing in common
    change = last - first
    assert change.mean() == pytest.approx(0, abs=5 * change.std() / np.sqrt(change.size))


@given(st.floats(0, 1), st.lists(st.integers(0, 15), min_size=1, max_size=8))
@example(0.8984375, [0, 0, 0, 3, 15])
def test_words_start_as_often_as_the_chain_returns_to_them(nhd, values):
    steps, start = _chain(WordPool(np.array(values, dtype=np.uint8), 4), nhd)
    assert steps.sum(axis=1) == pytest.approx(np.ones(16), abs=1e-12)
    assert start.sum() == pytest.approx(1, abs=1e-12)
    assert start @ steps == pytest.approx(start, abs=1e-12)


def test_wide_words_flip_bit_by_bit():
    pool = WordPool(np.arange(1 << 12, dtype=np.uint16), 12)
    words = likely_words(pool, CYCLES, LANES, 0.2, np.random.default_rng(0))
    for rate in measured_rates(words, 12):
        assert rate == pytest.approx(0.2, abs=tolerance(0.2))


def test_nhd_of_a_pool_by_hand():
    pool = WordPool(np.array([0b00, 0b00, 0b01, 0b11], dtype=np.uint8), 2)
    assert pool.bit_rates.tolist() == [0.5, 0.375]
    assert pool.nhd == 0.4375
    assert pool.ones_shares.tolist() == [0.5, 0.25, 0.25]


@pytest.mark.parametrize("number_format", WordFormat)
def test_synthetic_activations(number_format):
    pool = synthetic_activations(Word(number_format, 8), np.random.default_rng(1))
    assert (pool.words == 0).mean() == pytest.approx(ZERO_SHARE, abs=0.03)
    highest = Word(number_format, 8).value_range[1]
    assert pool.words.max() <= highest
    rest = pool.words[pool.words > 0]
    assert np.sqrt((rest.astype(float) ** 2).mean()) == pytest.approx(highest / 4, rel=0.05)


def test_same_seed_same_stream():
    pool = synthetic_activations(Word(WordFormat.UNSIGNED, 8), np.random.default_rng(1))
    streams = [likely_words(pool, 100, 4, 0.2, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*streams)


def test_ones_of_wide_words():
    assert ones_shares(np.array([[0xFFFF], [0]], dtype=np.uint16), 16).tolist() == [0.5, *[0.0] * 15, 0.5]


def test_shares_that_are_none():
    with pytest.raises(InputError, match=r"^stream: expected 1 to 16 flip probabilities from 0 to 1, got \[1.5\]$"):
        flipping_words(2, 1, np.array([1.5]), np.random.default_rng(0))
    with pytest.raises(InputError, match=r"^stream: expected an NHD from 0 to 1, got -0.1$"):
        likely_words(WordPool(np.zeros(1, dtype=np.uint8), 8), 2, 1, -0.1, np.random.default_rng(0))
