"""Sign flags: words of a stream whose values are negated, for units that then subtract the sum of their products.

The weights that the lanes take in one cycle are a *word*; a flag beside it says whether it is negated. The negative is
that of the number on the wires: in two's complement of b bits all but -2 ** (b - 1) have one; in sign and magnitude all
have, the code with the other sign. Zero points are no concern of the unit's, so that the sums that it computes remain
the same. Unsigned numbers have no negatives.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.segment import Segment
from fewflips.datapath.design import UNSIGNED_WEIGHTS, Word, WordFormat
from fewflips.errors import InputError
from fewflips.streams.stream import Stream

NO_SIGN_FLAGS = (
    "words of its segments stream negated, and the machine's units have no sign flags: set datapath.sign_flags, or "
    "take orders without them"
)
"""Why a segment's flags are refused."""


def negated_codes(codes: NDArray[np.unsignedinteger], word: Word) -> NDArray[np.unsignedinteger]:
    """Codes of the negatives.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, any shape
        Right-aligned codes, of numbers that have a negative.
    word : Word
        Two's complement or sign-magnitude.

    Returns
    -------
    ndarray, same dtype and shape
        The codes; that of zero in sign and magnitude has its sign inverted like all others.

    Raises
    ------
    InputError
        If numbers are unsigned.

    Examples
    --------
    >>> codes = np.array([0, 1, 127, 129], dtype=np.uint8)
    >>> negated_codes(codes, Word(WordFormat.TWOS_COMPLEMENT, 8)).tolist()
    [0, 255, 129, 127]
    >>> negated_codes(codes, Word(WordFormat.SIGN_MAGNITUDE, 8)).tolist()
    [128, 129, 255, 1]
    """
    if not word.signed:
        raise InputError(UNSIGNED_WEIGHTS)
    if word.format is WordFormat.SIGN_MAGNITUDE:
        return codes ^ codes.dtype.type(1 << (word.bits - 1))
    mask = codes.dtype.type((1 << word.bits) - 1)
    return (~codes & mask) + codes.dtype.type(1) & mask


def negatable(codes: NDArray[np.unsignedinteger], word: Word) -> NDArray[np.bool_]:
    """Which words have a negative.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (..., L)
        Codes of L lanes.
    word : Word
        Their format and width.

    Returns
    -------
    ndarray of bool, shape (...)
        Whether every lane's number does.
    """
    if word.format is WordFormat.TWOS_COMPLEMENT:
        return np.asarray((codes != 1 << (word.bits - 1)).all(axis=-1))
    return np.full(codes.shape[:-1], word.signed)


def streamed_codes(codes: NDArray[np.unsignedinteger], segment: Segment, word: Word) -> NDArray[np.unsignedinteger]:
    """Words of a segment as they stream.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (T, L)
        Words in the order of streaming.
    segment : Segment
        Its flags.
    word : Word
        Format and width of the codes.

    Returns
    -------
    ndarray, same dtype and shape
        Those that the segment has negated, negated.
    """
    if segment.negated is None or not segment.negated.any():
        return codes
    return np.where(segment.negated[:, None], negated_codes(codes, word), codes)


def flag_stream(stream: Stream, segments: tuple[Segment, ...]) -> Stream:
    """What the wire of the flags sees.

    Parameters
    ----------
    stream : Stream
        The weights; a flag comes with each word, as often.
    segments : tuple of Segment
        The same passes.

    Returns
    -------
    Stream
        Words of one bit on a single lane.
    """
    flags = np.concatenate([segment.sign_flags for segment in segments])
    return replace(stream, words=flags.astype(np.uint8).reshape(-1, 1), bits=1)


def flag_codes(segment: Segment, code_bits: int) -> int:
    """Codes of a weight buffer that the flags of a segment fill; none if all its words stream as they are.

    Parameters
    ----------
    segment : Segment
        A pass. Its flags lie in front of its weights.
    code_bits : int
        Width of a weight's code.

    Returns
    -------
    int
        T / `code_bits`, rounded up.
    """
    return -(-len(segment.order) // code_bits) if segment.sign_flags.any() else 0


def stored_codes(codes: NDArray[np.unsignedinteger], segment: Segment, word: Word) -> NDArray[np.unsignedinteger]:
    """What a weight buffer holds of a segment, code by code.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (T, L)
        Words in the order of streaming.
    segment : Segment
        Its flags.
    word : Word
        Format and width of the codes.

    Returns
    -------
    ndarray, same dtype, shape (F + T x L,)
        F = :func:`flag_codes` codes with a flag in each bit, the first one least significant; then the words as they
        stream.

    Examples
    --------
    >>> segment = Segment(np.array([0]), np.array([0, 1, 2]), np.array([True, False, True]))
    >>> stored_codes(np.array([[1], [2], [3]], dtype=np.uint8), segment, Word(WordFormat.TWOS_COMPLEMENT, 4)).tolist()
    [5, 15, 2, 13]
    """
    words = streamed_codes(codes, segment, word).reshape(-1)
    count = flag_codes(segment, word.bits)
    flags = np.zeros(count * word.bits, dtype=codes.dtype)
    flags[: len(segment.order)] = segment.sign_flags[: len(flags)]
    packed = (flags.reshape(count, word.bits) << np.arange(word.bits, dtype=codes.dtype)).sum(axis=1, dtype=codes.dtype)
    return np.concatenate([packed, words])
