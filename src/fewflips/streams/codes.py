"""Codes of a layer's operands on the wires."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import AcceleratorError
from fewflips.formats.codes import Codes
from fewflips.formats.number_formats import MAX_BITS, NumberFormat, StorageType, encode, value_range, width_for

if TYPE_CHECKING:
    from fewflips.machine.accelerator import Operand
    from fewflips.network.layer import Layer


def weight_codes(layer: Layer, operand: Operand) -> Codes:
    """Codes of a layer's weights on the wires.

    Parameters
    ----------
    layer : Layer
        The layer.
    operand : Operand
        Number format and width.

    Returns
    -------
    Codes
        Of shape (N, K). As stored, they are the integers of the file; other formats take them less their zero points,
        those of blocks among them.

    Raises
    ------
    AcceleratorError
        If a value does not fit the width that the accelerator gives.
    """
    zero_points = layer.right.element_zero_points()
    return _operand_codes(layer.weights, layer.weight_type, zero_points, operand, f"weights of {layer}")


def activation_codes(layer: Layer, rows: NDArray[np.integer], operand: Operand) -> Codes:
    """Codes of a layer's activations on the wires.

    Parameters
    ----------
    layer : Layer
        The layer; its activation type and zero point are used.
    rows : ndarray of int8, uint8 or int16, shape (G, M, K)
        Lowered activations.
    operand : Operand
        Number format and width.

    Returns
    -------
    Codes
        Of shape (G, M, K).

    Raises
    ------
    AcceleratorError
        If the layer's activations are not available as integers, or do not fit the width.
    """
    if layer.activation_type is None:
        raise AcceleratorError(f"{layer}: its activations are not integers in the file")
    if layer.activation_zero_point is None and operand.format is not NumberFormat.AS_STORED:
        raise AcceleratorError(
            f"{layer}: its zero point is chosen at run time, so that {operand.format.value} activations are not "
            "known; use as-stored"
        )
    zero_point = np.int32(layer.activation_zero_point or 0)
    return _operand_codes(rows, layer.activation_type, zero_point, operand, f"activations of {layer}")


def operand_width(storage: StorageType, number_format: NumberFormat, low: int, high: int, what: str) -> int:
    """Width of an operand's words if the accelerator gives none.

    Parameters
    ----------
    storage : StorageType
        Its type in the file: no word is narrower.
    number_format : NumberFormat
        Any but ``as-stored``.
    low, high : int
        Smallest and largest value.
    what : str
        The operand, for messages.

    Returns
    -------
    int
        Bits.

    Raises
    ------
    AcceleratorError
        If no word is wide enough.
    """
    bits = max(storage.bits, width_for(number_format, low, high))
    if bits > MAX_BITS:
        raise AcceleratorError(
            f"{what}: values from {low} to {high} take {bits} bits as {number_format.value}, words have at most "
            f"{MAX_BITS}: use as-stored"
        )
    return bits


def _operand_codes(
    stored: NDArray[np.integer],
    storage: StorageType,
    zero_point: NDArray[np.int32] | np.int32,
    operand: Operand,
    what: str,
) -> Codes:
    number_format = operand.format
    if number_format is NumberFormat.AS_STORED:
        bits = operand.bits or storage.bits
        if bits < storage.bits:
            raise AcceleratorError(f"{what}: stored as {storage.name}, the accelerator has {bits} bits: give it more")
        return Codes(encode(stored, number_format, bits), bits)
    if number_format is NumberFormat.UNSIGNED:
        values = stored.astype(np.int32) - storage.low
    else:
        values = stored.astype(np.int32) - zero_point
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    bits = operand.bits or operand_width(storage, number_format, low, high, what)
    lowest, highest = value_range(number_format, bits)
    if low < lowest or high > highest:
        raise AcceleratorError(
            f"{what}: values from {low} to {high} do not fit {number_format.value} with {bits} bits "
            f"({lowest} to {highest}); {_advice(width_for(number_format, low, high))}"
        )
    return Codes(encode(values, number_format, bits), bits)


def _advice(bits: int) -> str:
    return f"set bits to {bits} or leave it out" if bits <= MAX_BITS else "use as-stored"
