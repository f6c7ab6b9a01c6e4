"""Codes: words on wires, with their width."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Codes(NamedTuple):
    """Right-aligned codes of one operand.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, any shape
        The codes.
    bits : int
        Their width.
    """

    words: NDArray[np.unsignedinteger]
    bits: int
