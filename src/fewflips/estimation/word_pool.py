"""Words of a network to draw from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.streams.counting import ones_shares


@dataclass(frozen=True, eq=False)
class WordPool:
    """Words to draw from, so that a stream has the values of a network.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (W,)
        Codes, each repeated in proportion to its frequency.
    bits : int
        Width of a code.
    """

    words: NDArray[np.unsignedinteger] = field(repr=False)
    bits: int

    @property
    def bit_rates(self) -> NDArray[np.float64]:
        """How often each bit differs in two words drawn independently; float64 of shape (bits,)."""
        ones = ((self.words[:, None] >> np.arange(self.bits, dtype=self.words.dtype)) & 1).mean(axis=0)
        return 2 * ones * (1 - ones)

    @property
    def nhd(self) -> float:
        """The same as one figure: NHD of a stream of independently drawn words."""
        return float(self.bit_rates.mean())

    @property
    def ones_shares(self) -> NDArray[np.float64]:
        """Share of words with 0, 1, ... ones; float64 of shape (bits + 1,)."""
        return ones_shares(self.words, self.bits)
