"""Words sent over coded wires: encoded, decoded, and compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.coding.coding import Coding, Wires
from fewflips.errors import AcceleratorError
from fewflips.formats.codes import Codes


def send(coding: Coding, codes: Codes, state: NDArray[Any]) -> tuple[Wires, NDArray[Any]]:
    """Encode the words of a pass, and check that decoding gives them back.

    Parameters
    ----------
    coding : Coding
        Encoder and decoder.
    codes : Codes
        Words of uint8 or uint16, shape (T, L), and their width.
    state : ndarray
        What the coding remembers of the passes before.

    Returns
    -------
    Wires
        What the wires hold.
    ndarray
        The state after the last word.

    Raises
    ------
    AcceleratorError
        If the wires do not hold one word of their width a cycle, or decoding gives other words.
    """
    wires, after = coding.encode(codes, state.copy())
    for part in wires.parts:
        _check_part(coding, part, len(codes.words))
    _check_words(coding, codes.words, coding.decode(wires, codes.bits, state.copy()))
    return wires, after


def _check_part(coding: Coding, part: Codes, cycles: int) -> None:
    words, bits = part
    if words.dtype not in (np.uint8, np.uint16) or words.ndim != 2 or len(words) != cycles:
        raise AcceleratorError(
            f"coding {coding.name}: expected wires as a matrix of uint8 or uint16, one row in each of {cycles} cycles, "
            f"got shape {words.shape} of {words.dtype}"
        )
    widest = int(words.max(initial=0)).bit_length()
    if not max(widest, 1) <= bits <= 8 * words.dtype.itemsize:
        raise AcceleratorError(
            f"coding {coding.name}: expected wires of 1 to {8 * words.dtype.itemsize} bits ({words.dtype}) and words "
            f"that fit, got {bits} bits and a word that takes {widest}"
        )


def _check_words(coding: Coding, sent: NDArray[np.unsignedinteger], found: NDArray[np.unsignedinteger]) -> None:
    if found.shape != sent.shape:
        raise AcceleratorError(
            f"coding {coding.name}: expected decode to give words of shape {sent.shape}, got {found.shape}"
        )
    differing = np.argwhere(sent != found)
    if len(differing):
        cycle, lane = differing[0]
        raise AcceleratorError(
            f"coding {coding.name}: expected decode to give the words back, got {len(differing)} of {sent.size} wrong "
            f"(first in cycle {cycle} of a pass, lane {lane}: {sent[cycle, lane]} became {found[cycle, lane]}); "
            "a coding must be lossless"
        )
