"""Operands of integer matrix products: constants of a file, whose values are read when needed, and activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.formats.number_formats import StorageType
from fewflips.network.lowering import Lowering
from fewflips.network.quantization_values import QuantizationValues

Matrix = NDArray[np.int8] | NDArray[np.uint8] | NDArray[np.int16]


@dataclass(frozen=True)
class HeldMatrix:
    """Values that are in memory.

    Parameters
    ----------
    values : ndarray of int8, uint8 or int16, shape (N, K)
        The values; they are not copied.
    """

    values: Matrix = field(repr=False)

    def __call__(self) -> Matrix:
        """The values themselves."""
        return self.values


@dataclass(frozen=True, eq=False)
class ConstantOperand:
    """A constant whose shape and format are known before its values.

    Parameters
    ----------
    name : str
        The tensor of the file that holds it.
    shape : (int, int)
        N and K: rows are output channels.
    storage : StorageType
        Width and signedness in the file.
    zero_points : QuantizationValues
        The integers that mean zero, int32.
    source : callable
        Gives the values, an ndarray of int8, uint8 or int16, shape (N, K); one of the package reads them from the
        model's file, and can be pickled.
    scales : QuantizationValues or None
        Real values of one step, floats; None where they are not known, or lie otherwise than along rows and columns.
    offsets : QuantizationValues or None
        Real values, floats, that are added to ``scale * (stored - zero point)``: formats whose minima are no multiples
        of their steps have them. None where there are none. They multiply sums of activations, outside of the
        integer product.
    """

    name: str
    shape: tuple[int, int]
    storage: StorageType
    zero_points: QuantizationValues
    source: Callable[[], Matrix] = field(repr=False)
    scales: QuantizationValues | None = None
    offsets: QuantizationValues | None = None

    def __post_init__(self) -> None:
        for values in (self.zero_points, self.scales, self.offsets):
            if values is not None:
                values.check(self.shape)

    def load(self) -> Matrix:
        """Read the values.

        Returns
        -------
        ndarray of int8, uint8 or int16, shape (N, K)
            The integers as stored, those narrower than 8 bits one to a byte. Nothing but the caller keeps them, and
            those of a file cannot be written to.

        Raises
        ------
        ModelError
            If the model's file can no longer be read.
        InputError
            If it has changed since, or the values do not have the shape.
        """
        values = self.source()
        if values.shape != self.shape:
            raise InputError(f"constant '{self.name}': expected values of shape {self.shape}, got {values.shape}")
        return values

    def element_zero_points(self) -> NDArray[np.int32]:
        """Zero point of each element.

        Returns
        -------
        ndarray of int32, shape (N, K)
            Not to be written to.
        """
        return self.zero_points.elements(self.shape)

    def scale_groups(self) -> NDArray[np.int64]:
        """Which indices of the reduction share their scales: only their products add up as integers.

        Returns
        -------
        ndarray of int64, shape (K,)
            Number of the group of each index, from 0 on; 0 throughout where each output channel has one scale, or
            where scales are not known.
        """
        if self.scales is None:
            return np.zeros(self.shape[1], np.int64)
        return self.scales.groups_along(1, self.shape).copy()


@dataclass(frozen=True, eq=False)
class ActivationOperand:
    """An operand that the network computes.

    Parameters
    ----------
    shape : (int, int)
        Rows, and the length of the reduction; those of one group.
    lowering : Lowering
        How the rows follow from the tensor.
    tensor : str or None
        Name of the integer tensor, with its content after the operator; None where the operand is float in the file
        (quantized on the fly), so that it is not known as integers.
    storage : StorageType or None
        Type of the tensor.
    zero_point : int or None
        Its zero point; None where it is chosen at run time.
    float_tensor : str or None
        Where the operand is float in the file, the name of its tensor in the format's runtime, if there is one.
    on_the_fly : bool
        Whether `tensor` holds floats, and the machine makes integers of each row
        (:func:`fewflips.network.on_the_fly.quantize_on_the_fly`).
    """

    shape: tuple[int, int]
    lowering: Lowering
    tensor: str | None = None
    storage: StorageType | None = None
    zero_point: int | None = None
    float_tensor: str | None = None
    on_the_fly: bool = False


Operand = ConstantOperand | ActivationOperand
