"""What a model file says, taken apart: its constants, and everything else.

This is the reading side of the check that a rewritten file is the original with its channels moved. It shares no
code with the writers: a fault in those must not be repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Part = Literal["values", "scales", "zero points", "minima", "maxima"]


@dataclass(frozen=True, eq=False)
class ConstantPart:
    """The elements of a constant, or a vector of its quantization parameters.

    Parameters
    ----------
    tensor : str
        Name of the constant, as :class:`fewflips.network.channels.TiedAxis` gives it.
    part : str
        What of it: its values, or quantization parameters that the file keeps with the tensor.
    values : ndarray, shape of the constant or (channels,)
        As stored.
    along : int or None
        The axis of the constant along which a vector of parameters lies; None for values.
    """

    tensor: str
    part: Part
    values: NDArray[Any] = field(repr=False)
    along: int | None = None

    def own_axis(self, axis: int) -> int | None:
        """Axis of this array that moves with an axis of the constant; None where nothing does."""
        if self.along is None:
            return axis
        return 0 if axis == self.along and self.values.size > 1 else None


@dataclass(frozen=True, eq=False)
class Contents:
    """A model file, taken apart.

    Parameters
    ----------
    parts : tuple of ConstantPart
        In the file's order.
    rest : mapping of str to bytes
        Everything else, by where it stands: operators, attributes, shapes, names, metadata.
    outside : bytes or None
        The file without its constants, where what `rest` names need not cover all of it; None where it does.
    """

    parts: tuple[ConstantPart, ...]
    rest: Mapping[str, bytes] = field(repr=False)
    outside: bytes | None = field(default=None, repr=False)


def as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Elements as bytes, shape (*values.shape, bytes of an element): NaN and -0.0 are told apart like all others."""
    plain = np.ascontiguousarray(values)
    return plain.reshape(-1).view(np.uint8).reshape(*values.shape, plain.dtype.itemsize)
