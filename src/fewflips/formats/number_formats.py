"""Number formats: how an integer value becomes the bits on a wire."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError

MAX_BITS = 16
"""Width of the widest word on a wire."""


@dataclass(frozen=True)
class StorageType:
    """The integer type in which a model file stores an operand.

    Parameters
    ----------
    bits : int
        Width in bits, 2 to 16.
    signed : bool
        Two's complement when true, unsigned when false.
    """

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= MAX_BITS:
            raise InputError(f"operand width: expected 2 to {MAX_BITS} bits, got {self.bits}")

    @property
    def name(self) -> str:
        """Conventional name, such as ``int8`` or ``uint4``."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def low(self) -> int:
        """Smallest stored integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest stored integer."""
        return self.low + (1 << self.bits) - 1


INT8 = StorageType(8, signed=True)
UINT8 = StorageType(8, signed=False)
INT16 = StorageType(16, signed=True)
INT4 = StorageType(4, signed=True)
UINT4 = StorageType(4, signed=False)


class NumberFormat(StrEnum):
    """Encoding of an operand on the accelerator's wires.

    ``as-stored`` puts the file's own code on the wire. The other three encode an integer value:
    ``twos-complement`` and ``sign-magnitude`` encode ``stored - zero_point``, the value used in arithmetic;
    ``unsigned`` is offset binary, the stored integer counted from the smallest one of its type.
    """

    AS_STORED = "as-stored"
    TWOS_COMPLEMENT = "twos-complement"
    UNSIGNED = "unsigned"
    SIGN_MAGNITUDE = "sign-magnitude"


def value_range(number_format: NumberFormat, bits: int) -> tuple[int, int]:
    """Smallest and largest value that a format holds.

    Parameters
    ----------
    number_format : NumberFormat
        Any format but ``as-stored``, whose range is that of the storage type.
    bits : int
        Width of the code, sign included.

    Returns
    -------
    tuple of int
        (low, high), inclusive.

    Examples
    --------
    >>> value_range(NumberFormat.TWOS_COMPLEMENT, 8)
    (-128, 127)
    >>> value_range(NumberFormat.SIGN_MAGNITUDE, 8)
    (-127, 127)
    """
    half = 1 << (bits - 1)
    if number_format is NumberFormat.UNSIGNED:
        return 0, 2 * half - 1
    if number_format is NumberFormat.SIGN_MAGNITUDE:
        return -(half - 1), half - 1
    return -half, half - 1


def width_for(number_format: NumberFormat, low: int, high: int) -> int:
    """Smallest width in bits in which a format holds every value from `low` to `high`.

    Examples
    --------
    >>> width_for(NumberFormat.TWOS_COMPLEMENT, -151, 104)
    9
    >>> width_for(NumberFormat.SIGN_MAGNITUDE, -128, 127)
    9
    """
    if number_format is NumberFormat.UNSIGNED and low < 0:
        raise InputError(f"unsigned format: expected values from 0, got {low}; use another format")
    for bits in range(1, 64):
        lowest, highest = value_range(number_format, bits)
        if lowest <= low and high <= highest:
            return bits
    raise InputError(f"values from {low} to {high} need more than 63 bits")


def encode(
    values: NDArray[np.integer], number_format: NumberFormat, bits: int
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Codes of integer values.

    Parameters
    ----------
    values : ndarray of int, any shape
        Integer values within :func:`value_range`.
    number_format : NumberFormat
        ``twos-complement``, ``unsigned`` or ``sign-magnitude``; ``as-stored`` codes are treated as two's
        complement of the same width, which leaves an unsigned code unchanged.
    bits : int
        Width of the code, 1 to 16.

    Returns
    -------
    ndarray of uint8 (bits <= 8) or uint16, same shape
        The codes, right-aligned.

    Raises
    ------
    InputError
        If a value does not fit.

    Examples
    --------
    >>> encode(np.array([-1, 1]), NumberFormat.TWOS_COMPLEMENT, 8).tolist()
    [255, 1]
    >>> encode(np.array([-1, 1]), NumberFormat.SIGN_MAGNITUDE, 8).tolist()
    [129, 1]
    """
    if not 1 <= bits <= MAX_BITS:
        raise InputError(f"code width: expected 1 to {MAX_BITS} bits, got {bits}")
    mask = (1 << bits) - 1
    if number_format is NumberFormat.AS_STORED:  # without a wider copy: there may be 10^8 of them
        stored = np.asarray(values)
        return stored.astype(np.uint8) & np.uint8(mask) if bits <= 8 else stored.astype(np.uint16) & np.uint16(mask)
    wide = np.asarray(values, dtype=np.int32)
    _check_range(wide, number_format, bits)
    if number_format is NumberFormat.SIGN_MAGNITUDE:
        wide = np.where(wide < 0, (1 << (bits - 1)) - wide, wide)
    codes = wide & mask
    return codes.astype(np.uint8) if bits <= 8 else codes.astype(np.uint16)


def decode(codes: NDArray[np.unsignedinteger], number_format: NumberFormat, bits: int) -> NDArray[np.int32]:
    """Integer values of codes: the inverse of :func:`encode`.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, any shape
        Right-aligned codes.
    number_format : NumberFormat
        ``twos-complement``, ``unsigned`` or ``sign-magnitude``.
    bits : int
        Width of the code.

    Returns
    -------
    ndarray of int32, same shape
        The values.
    """
    if number_format is NumberFormat.AS_STORED:
        raise InputError("as-stored codes mean nothing without their storage type: decode by another format")
    wide = np.asarray(codes, dtype=np.int32)
    sign = wide >> (bits - 1)
    if number_format is NumberFormat.TWOS_COMPLEMENT:
        return wide - (sign << bits)
    if number_format is NumberFormat.SIGN_MAGNITUDE:
        magnitude = wide & ((1 << (bits - 1)) - 1)
        return np.where(sign == 1, -magnitude, magnitude).astype(np.int32)
    return wide


def _check_range(values: NDArray[np.int32], number_format: NumberFormat, bits: int) -> None:
    low, high = value_range(number_format, bits)
    if values.size and (values.min() < low or values.max() > high):
        needed = width_for(number_format, int(values.min()), int(values.max()))
        raise InputError(
            f"{number_format.value} with {bits} bits holds {low} to {high}, got values from "
            f"{values.min()} to {values.max()}: give it {needed} bits"
        )
