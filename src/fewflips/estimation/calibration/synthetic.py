"""Synthetic operand streams with a given normalized Hamming distance (NHD)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.design import Word
from fewflips.errors import InputError
from fewflips.estimation.word_pool import WordPool
from fewflips.formats.number_formats import encode

ZERO_SHARE = 0.45
"""Share of zeros among synthetic activations: typical of a quantized network after a ReLU."""
_SPREAD = 1 / 4
"""Standard deviation of the half-normal rest, as a share of the largest value."""
_POOL_WORDS = 1 << 14
_UNIFORM_SHARE = 0.02
_WIDEST_CHAIN = 10
_STEEPEST = 30.0
_BISECTIONS = 50


def synthetic_activations(word: Word, generator: np.random.Generator) -> WordPool:
    """Activations without a network: 45 % zeros, the rest half of a normal distribution.

    Parameters
    ----------
    word : Word
        Format and width. The half-normal part has a standard deviation of a quarter of the largest value, at
        which it is clipped.
    generator : numpy.random.Generator
        Draws the values.

    Returns
    -------
    WordPool
        16,384 words.
    """
    highest = word.value_range[1]
    values = np.abs(generator.normal(0, _SPREAD * highest, _POOL_WORDS))
    values[generator.random(_POOL_WORDS) < ZERO_SHARE] = 0
    codes = encode(np.minimum(np.rint(values), highest).astype(np.int64), word.format.number_format, word.bits)
    return WordPool(codes, word.bits)


def flipping_words(
    cycles: int, lanes: int, rates: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.unsignedinteger]:
    """A stream in which each bit is an independent Markov chain: it flips with a given probability, or stays.

    Parameters
    ----------
    cycles, lanes : int
        Size of the stream.
    rates : ndarray of float64, shape (bits,)
        Probability of a flip, least significant bit first.
    generator : numpy.random.Generator
        Draws first words and flips.

    Returns
    -------
    ndarray of uint8 (up to 8 bits) or uint16, shape (cycles, lanes)
        Words; in any cycle all values are equally likely.

    Raises
    ------
    InputError
        If a rate is not a probability, or there are not 1 to 16 of them.
    """
    bits = len(rates)
    if not 1 <= bits <= 16 or not ((rates >= 0) & (rates <= 1)).all():
        raise InputError(f"stream: expected 1 to 16 flip probabilities from 0 to 1, got {rates.tolist()}")
    dtype = np.uint8 if bits <= 8 else np.uint16
    changes = np.zeros((cycles, lanes), dtype=dtype)
    for bit, rate in enumerate(rates):
        changes |= ((generator.random((cycles, lanes)) < rate) << bit).astype(dtype)
    if cycles:
        changes[0] = generator.integers(0, 1 << bits, lanes)
    return np.bitwise_xor.accumulate(changes, axis=0)


def likely_words(
    pool: WordPool, cycles: int, lanes: int, nhd: float, generator: np.random.Generator
) -> NDArray[np.unsignedinteger]:
    """A stream with a given NHD and the values of a pool: as random as both allow.

    Each lane is a Markov chain that goes from w to v with probability proportional to ``p(v) exp(-b d(w, v))``, where p
    are the pool's shares (blended with a few uniform words, so that every NHD can be reached) and d is the Hamming
    distance. It is reversible; b is found from the NHD by bisection. Words of more than 10 bits flip bit by bit, as in
    :func:`flipping_words`.

    Parameters
    ----------
    pool : WordPool
        Values.
    cycles, lanes : int
        Size of the stream.
    nhd : float
        Expected NHD, 0 to 1.
    generator : numpy.random.Generator
        Draws the words.

    Returns
    -------
    ndarray of uint8 or uint16, shape (cycles, lanes)
        Words.

    Raises
    ------
    InputError
        If `nhd` is not a share.
    """
    if not 0 <= nhd <= 1:
        raise InputError(f"stream: expected an NHD from 0 to 1, got {nhd}")
    if pool.bits > _WIDEST_CHAIN:
        return flipping_words(cycles, lanes, np.full(pool.bits, nhd), generator)
    steps, stationary = _chain(pool, nhd)
    cumulative = np.cumsum(steps, axis=1)
    # one sorted array for all words: row w lies between w and w + 1
    ladder = (np.minimum(cumulative, 1.0) + np.arange(len(steps))[:, None]).reshape(-1)
    words = np.empty((cycles, lanes), dtype=pool.words.dtype)
    word = generator.choice(len(steps), lanes, p=stationary)
    for cycle in range(cycles):
        words[cycle] = word
        place = np.searchsorted(ladder, word + generator.random(lanes), side="right")
        word = np.minimum(place - word * len(steps), len(steps) - 1)
    return words


def _chain(pool: WordPool, nhd: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transition probabilities of the chain with a given NHD, and its stationary distribution."""
    count = 1 << pool.bits
    shares = np.bincount(pool.words, minlength=count) / len(pool.words)
    shares = (1 - _UNIFORM_SHARE) * shares + _UNIFORM_SHARE / count
    codes = np.arange(count, dtype=np.uint16)
    distances = np.bitwise_count(codes[:, None] ^ codes).astype(np.float64)
    lowest, highest = -_STEEPEST, _STEEPEST
    for _ in range(_BISECTIONS):
        steepness = (lowest + highest) / 2
        weights = shares * np.exp(-steepness * distances - max(0.0, -steepness) * pool.bits)
        sums = weights.sum(axis=1)
        stationary = shares * sums / (shares @ sums)
        found = float(stationary / sums @ (weights * distances).sum(axis=1)) / pool.bits
        lowest, highest = (steepness, highest) if found > nhd else (lowest, steepness)
    return weights / sums[:, None], stationary
