"""Quantization parameters of the tensors of a TFLite file, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.network.tflite.elements import BITS


@dataclass(frozen=True, eq=False)
class Quantization:
    """Quantization parameters of one tensor: views into the file's bytes.

    Parameters
    ----------
    scale : ndarray of float32, shape (0,), (1,) or (channels,)
        Real value of one step.
    zero_point : ndarray of int64, shape (0,), (1,) or (channels,)
        The integer that means zero; none in the file means 0.
    minimum, maximum : ndarray of float32
        Ranges seen in training; unused by inference, but they move with their channels.
    axis : int
        The axis of the channels where there is more than one scale.
    has_details : bool
        Whether parameters of another kind (custom, block-wise) stand beside or instead of these.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    minimum: NDArray[np.float32]
    maximum: NDArray[np.float32]
    axis: int
    has_details: bool

    @property
    def vectors(self) -> tuple[NDArray[Any], ...]:
        """Every vector that moves with the channels."""
        return self.scale, self.zero_point, self.minimum, self.maximum


def fault_of(parameters: Quantization, shape: Sequence[int], dtype: str, *, is_constant: bool) -> str:
    """Say what is wrong with the quantization parameters of a tensor.

    Parameters
    ----------
    parameters : Quantization
        As the file gives them.
    shape : sequence of int
        The tensor's shape.
    dtype : str
        The schema's name of its type.
    is_constant : bool
        Whether the file holds its values: scales of constants may be 0.

    Returns
    -------
    str
        What follows the tensor's name in a sentence; empty where nothing is wrong.

    Examples
    --------
    >>> floats, integers = np.ones(4, np.float32), np.zeros(4, np.int64)
    >>> fault_of(Quantization(floats, integers, floats, floats, 3, False), (4,), "INT32", is_constant=True)
    ' of shape [4] has the quantized dimension 3'
    """
    integer = dtype in BITS and "INT" in dtype
    fault = _zero_point_fault(parameters, dtype) if integer else ""
    if fault or parameters.has_details:
        return fault
    scales, zeros = parameters.scale.size, parameters.zero_point.size
    if scales == 0:
        return f": expected a scale for each zero point, got 0 for {zeros}" if zeros > 1 else ""
    return (
        _axis_fault(parameters, shape)
        or (f": expected 1 or {scales} zero points, got {zeros}" if zeros not in (0, 1, scales) else "")
        or _scale_fault(parameters, may_be_zero=is_constant or not integer)
    )


def _zero_point_fault(parameters: Quantization, dtype: str) -> str:
    if parameters.zero_point.size == 0:
        return ""
    bits = BITS[dtype]
    low, high = (0, 2**bits - 1) if dtype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    lowest, highest = int(parameters.zero_point.min()), int(parameters.zero_point.max())
    if low <= lowest and highest <= high:
        return ""
    return f" of type {dtype}: expected zero points from {low} to {high}, got {lowest} to {highest}"


def _axis_fault(parameters: Quantization, shape: Sequence[int]) -> str:
    scales = parameters.scale.size
    if scales == 1:
        return ""
    if not 0 <= parameters.axis < len(shape):
        return f" of shape {list(shape)} has the quantized dimension {parameters.axis}"
    if scales != shape[parameters.axis]:
        return f": expected {shape[parameters.axis]} scales along axis {parameters.axis}, got {scales}"
    return ""


def _scale_fault(parameters: Quantization, *, may_be_zero: bool) -> str:
    lowest = parameters.scale.min()
    if np.isfinite(parameters.scale).all() and (lowest > 0 or (lowest == 0 and may_be_zero)):
        return ""
    return f": expected finite, positive scales, got {lowest} to {parameters.scale.max()}"
