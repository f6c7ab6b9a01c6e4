"""Segments: passes through the array."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class Segment:
    """One pass through the array: the indices on the lanes, and the order in which the others stream.

    Parameters
    ----------
    lanes : ndarray of int64, shape (L,)
        Indices of the dataflow's `lanes_axis` that share the pass.
    order : ndarray of int64, shape (T,)
        Indices of the dataflow's `order_axis`, in the order in which they are visited.
    """

    lanes: NDArray[np.int64] = field(repr=False)
    order: NDArray[np.int64] = field(repr=False)

    @property
    def index_bits(self) -> int:
        """Bits of its order in an index table: ceil(log2 T) for each entry."""
        return len(self.order) * (len(self.order) - 1).bit_length()
