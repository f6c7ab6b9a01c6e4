"""Memory files for ``$readmemh``: one word a line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hexadecimal(codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """ASCII digits of words that consist of several codes.

    Parameters
    ----------
    codes : ndarray of integers, shape (T, L)
        Of each word, the one in its lowest bits first; only the low `bits` bits of each count.
    bits : int
        Width of a code, up to 64.

    Returns
    -------
    ndarray of uint8, shape (T, digits)
        The highest digit first.
    """
    cycles, lanes = codes.shape
    in_lane = (codes[:, :, None] >> np.arange(bits, dtype=codes.dtype)) & codes.dtype.type(1)
    padded = np.zeros((cycles, 4 * digits(bits * lanes)), dtype=np.uint8)
    padded[:, : bits * lanes] = in_lane.reshape(cycles, bits * lanes)
    nibbles = padded.reshape(cycles, -1, 4) @ np.array([1, 2, 4, 8], dtype=np.uint8)
    return np.frombuffer(b"0123456789abcdef", dtype=np.uint8)[nibbles[:, ::-1]]


def digits(bits: int) -> int:
    """Hexadecimal digits of a word."""
    return -(-bits // 4)


def memory_text(codes: NDArray[np.integer], bits: int) -> str:
    r"""Content of a memory file.

    Parameters
    ----------
    codes : ndarray of integers, shape (T, L)
        As for :func:`hexadecimal`.
    bits : int
        Width of a code.

    Returns
    -------
    str
        T lines.

    Examples
    --------
    >>> memory_text(np.array([[1, 2], [-1, 0]]), bits=4)
    '21\n0f\n'
    """
    letters = hexadecimal(codes, bits)
    newline = np.full((len(letters), 1), ord("\n"), dtype=np.uint8)
    return np.concatenate((letters, newline), axis=1).tobytes().decode("ascii")
