"""Segments: passes through the array."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Segment:
    """One pass through the array: the indices on the lanes, and the order in which the others stream.

    Parameters
    ----------
    lanes : ndarray of int64, shape (L,)
        Indices of the dataflow's `lanes_axis` that share the pass.
    order : ndarray of int64, shape (T,)
        Indices of the dataflow's `order_axis`, in the order in which they are visited.
    negated : ndarray of bool, shape (T,), or None
        In the order of streaming: words whose values stream negated, for units that then subtract the sum of their
        products (docs/steps.md, `signs`). None: no word does.
    """

    lanes: NDArray[np.int64] = field(repr=False)
    order: NDArray[np.int64] = field(repr=False)
    negated: NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def index_bits(self) -> int:
        """Bits of its order in an index table: ceil(log2 T) for each entry."""
        return len(self.order) * (len(self.order) - 1).bit_length()

    @property
    def sign_flags(self) -> NDArray[np.bool_]:
        """`negated` as an array, all False where it is None, shape (T,)."""
        return np.zeros(len(self.order), dtype=np.bool_) if self.negated is None else self.negated

    def is_same(self, other: Segment) -> bool:
        """Whether lanes, order and flags are those of another segment; flags that are all False are none.

        Parameters
        ----------
        other : Segment
            A pass of the same layer, or of another.

        Returns
        -------
        bool
            True if both stream the same words in the same cycles.
        """
        return (
            np.array_equal(self.lanes, other.lanes)
            and np.array_equal(self.order, other.order)
            and np.array_equal(self.sign_flags, other.sign_flags)
        )
