"""The weights of a layer as a matrix, made of a constant's bytes when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.formats.number_formats import StorageType
from fewflips.network.onnx.elements import values_of
from fewflips.network.operand import Matrix
from fewflips.network.stored_bytes import StoredBytes


@dataclass(frozen=True)
class StoredArray:
    """Values of a constant.

    Parameters
    ----------
    stored : StoredBytes
        Its bytes, as ``raw_data`` holds them.
    element_type : int
        ``onnx.TensorProto.DataType``.
    shape : tuple of int
        Its shape.
    """

    stored: StoredBytes
    element_type: int
    shape: tuple[int, ...]

    def __call__(self) -> NDArray[Any]:
        """Read the values: an ndarray of the shape."""
        return values_of(self.stored.read(), self.element_type, self.shape)


@dataclass(frozen=True, eq=False)
class QuantizedArray:
    """Integers that an operator of the file makes of a constant's floats.

    Parameters
    ----------
    floats : StoredArray
        The constant.
    scale : ndarray of floats
        Broadcasts against the constant.
    zero_point : ndarray of int32
        Broadcasts against the constant.
    storage : StorageType
        Type of the integers, of at most 8 bits.
    """

    floats: StoredArray
    scale: NDArray[Any] = field(repr=False)
    zero_point: NDArray[np.int32] = field(repr=False)
    storage: StorageType

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the integers."""
        return np.broadcast_shapes(self.floats.shape, self.scale.shape, self.zero_point.shape)

    def __call__(self) -> NDArray[Any]:
        """Read the floats and quantize them: an ndarray of int8 or uint8 of the shape."""
        floats = self.floats()
        with np.errstate(all="ignore"):
            steps = np.rint(floats / self.scale.astype(floats.dtype)) + self.zero_point
        codes = np.clip(np.nan_to_num(steps), self.storage.low, self.storage.high)
        return codes.astype(np.int8 if self.storage.signed else np.uint8)


@dataclass(frozen=True)
class PartOfArray:
    """One index of a constant's first axis.

    Parameters
    ----------
    whole : StoredArray or QuantizedArray
        The constant.
    index : int
        Which part.
    """

    whole: StoredArray | QuantizedArray | PartOfArray
    index: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part."""
        return self.whole.shape[1:]

    def __call__(self) -> NDArray[Any]:
        """Read the values: an ndarray of the shape."""
        part: NDArray[Any] = self.whole()[self.index]
        return part


ArraySource = StoredArray | QuantizedArray | PartOfArray


@dataclass(frozen=True)
class OnnxMatrix:
    """Weights that a file holds, with output channels as rows.

    Parameters
    ----------
    source : ArraySource
        The weights as the file has them.
    axes : tuple of int
        Its axes: that of the output channels, then the others in the order of the operator that reads them.
    row_axes : int
        How many of these, from the first, say which row it is.
    """

    source: ArraySource
    axes: tuple[int, ...]
    row_axes: int = 1

    def __call__(self) -> Matrix:
        """Read the weights.

        Returns
        -------
        ndarray of int8 or uint8, shape (N, K)
            Not to be written to.
        """
        tensor = self.source().transpose(self.axes)
        matrix = np.ascontiguousarray(tensor.reshape(prod(tensor.shape[: self.row_axes]), -1))
        matrix.setflags(write=False)
        return matrix
