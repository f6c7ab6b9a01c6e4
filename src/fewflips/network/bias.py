"""Biases: what a runtime adds to the integer products of each output channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError


@dataclass(frozen=True, eq=False)
class Bias:
    """The bias of a layer.

    Parameters
    ----------
    name : str
        The tensor of the file that holds it.
    source : callable or None
        Gives the values, an ndarray of int32 or int64 with one entry or one an output channel, in any shape; one of the
        package reads them from the model's file. None where the file holds them as floats, or computes them.
    """

    name: str
    source: Callable[[], NDArray[Any]] | None = field(default=None, repr=False)

    @property
    def is_integer(self) -> bool:
        """Whether the file holds integers, which the runtime adds to sums of integer products as they are."""
        return self.source is not None

    def load(self, n: int) -> NDArray[np.int64]:
        """Read the values.

        Parameters
        ----------
        n : int
            Output channels.

        Returns
        -------
        ndarray of int64, shape (N,)
            What the runtime adds to the sum of products of each output channel.

        Raises
        ------
        InputError
            If the file has no integers, or has changed since.
        ModelError
            If the file can no longer be read.
        """
        if self.source is None:
            raise InputError(f"bias '{self.name}': expected integers in the file, got floats, or an operator's result")
        values = self.source().reshape(-1).astype(np.int64)
        if values.size not in (1, n):
            raise InputError(f"bias '{self.name}': expected {n} values, got {values.size}")
        return np.broadcast_to(values, (n,)).copy()
