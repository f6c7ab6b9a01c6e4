"""A layer's operands as its arithmetic units see them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.segment import Segment
from fewflips.dataflows.unit_words import stored_word, widen
from fewflips.datapath.design import Datapath, Word
from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import NumberFormat, decode
from fewflips.machine import Accelerator, Operand
from fewflips.network.layer import Layer
from fewflips.streams.codes import activation_codes, weight_codes


@dataclass(frozen=True, eq=False)
class LayerOperands:
    """Codes and values of both operands of a layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    datapath : Datapath
        The unit; codes are at its widths.
    weights : ndarray of uint8 or uint16, shape (N, K)
        Codes.
    activations : ndarray of uint8 or uint16, shape (G, M, K)
        Codes of each group's rows.
    """

    layer: Layer
    datapath: Datapath
    weights: NDArray[np.unsignedinteger] = field(repr=False)
    activations: NDArray[np.unsignedinteger] = field(repr=False)

    def group_of(self, n: int) -> int:
        """The group that an output channel belongs to."""
        return n // (self.layer.n // self.layer.groups)

    def groups_of(self, channels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The groups that output channels belong to."""
        return channels // (self.layer.n // self.layer.groups)

    def weight_values(self, channels: NDArray[np.int64], lanes: NDArray[np.int64]) -> NDArray[np.floating]:
        """Values of W[channels, lanes], shape (len(channels), len(lanes)), as floats in which sums are exact."""
        return self._values(self.weights[np.ix_(channels, lanes)], self.datapath.weights)

    def activation_values(self, codes: NDArray[np.unsignedinteger]) -> NDArray[np.floating]:
        """Values of activation codes, same shape, as floats in which sums are exact."""
        return self._values(codes, self.datapath.activations)

    def _values(self, codes: NDArray[np.unsignedinteger], word: Word) -> NDArray[np.floating]:
        # sums of one segment stay below 2**24 in float32 for 8-bit operands and up to 256 lanes
        exact = self.datapath.product_bits + self.datapath.lanes.bit_length() <= 24
        return decode(codes, word.format.number_format, word.bits).astype(np.float32 if exact else np.float64)


def layer_operands(layer: Layer, rows: NDArray[np.integer], array: Accelerator, datapath: Datapath) -> LayerOperands:
    """Convert a layer's operands to the words of the unit.

    Parameters
    ----------
    layer : Layer
        The layer.
    rows : ndarray of int8, uint8 or int16, shape (G, M, K)
        Lowered activations.
    array : Accelerator
        Number formats.
    datapath : Datapath
        The unit.

    Returns
    -------
    LayerOperands
        Codes at the unit's widths.

    Raises
    ------
    AcceleratorError
        If the layer's activations are not available as integers, or an operand does not fit.
    """
    if layer.activation_type is None:
        raise AcceleratorError(f"{layer}: its activations are not integers in the file")
    weights, weight_bits = weight_codes(layer, array.weights)
    at_port = array.activations
    if datapath.activation_converter:
        at_port = Operand(format=NumberFormat.TWOS_COMPLEMENT, bits=datapath.activations.bits)
    activations, activation_bits = activation_codes(layer, rows, at_port)
    return LayerOperands(
        layer=layer,
        datapath=datapath,
        weights=widen(weights, stored_word(layer.weight_type, array.weights, weight_bits), datapath.weights),
        activations=widen(
            activations,
            stored_word(layer.activation_type, at_port, activation_bits),
            datapath.activations,
        ),
    )


def segment_products(operands: LayerOperands, segment: Segment, rows: slice) -> NDArray[np.int64]:
    """Sums over a segment's lanes for some output pixels, shape (pixels, len(order))."""
    weights = operands.weight_values(segment.order, segment.lanes)
    if operands.layer.is_depthwise:
        codes = operands.activations[operands.groups_of(segment.order), rows][:, :, segment.lanes]
        return np.einsum("nmk,nk->mn", operands.activation_values(codes), weights).astype(np.int64)
    codes = operands.activations[operands.group_of(int(segment.order[0])), rows][:, segment.lanes]
    return np.rint(operands.activation_values(codes) @ weights.T).astype(np.int64)
