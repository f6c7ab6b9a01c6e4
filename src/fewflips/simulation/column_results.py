"""The results of a layer on a scheduled column, by a matrix product, and what its sums start from.

A unit multiplies codes. Where a format leaves the zero point of an operand in its code, results contain it. What
depends on weights alone may be preloaded as the start of each sum, with the bias b: with w and x the codes and z the
zero points in them, sums that start at ``b + K z_w z_x - z_x sum w`` end at ``b + sum (w - z_w)(x - z_x) + z_w sum x``.
Without z_w, these are the accumulators of the runtime.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.design import Datapath
from fewflips.errors import AcceleratorError, InputError
from fewflips.formats.number_formats import NumberFormat, StorageType
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import Operand
from fewflips.network.layer import Layer


@dataclass(frozen=True, eq=False)
class ColumnResults:
    """What a column has to find.

    Parameters
    ----------
    expected : ndarray of int64, shape (M, N)
        Results, without the offset of the unit's sums.
    starts : ndarray of int64, shape (N,), or None
        What the sums of each channel start from, if that is preloaded.
    notes : tuple of str
        What the results are, where that is not plain.
    """

    expected: NDArray[np.int64] = field(repr=False)
    starts: NDArray[np.int64] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


def column_results(
    layer: Layer, rows: NDArray[np.integer], array: Accelerator, datapath: Datapath, *, preload: bool
) -> ColumnResults:
    """Compute results from the integers in the file, which knows nothing of segments, passes, codes, flags or signs.

    Parameters
    ----------
    layer : Layer
        The layer.
    rows : ndarray of int8, uint8 or int16, shape (G, M, K)
        Its activations; M may be smaller than the layer's.
    array : Accelerator
        Formats.
    datapath : Datapath
        The unit.
    preload : bool
        Whether sums start from the bias and constants of the zero points.

    Returns
    -------
    ColumnResults
        Results and starts.

    Raises
    ------
    AcceleratorError
        If sums with their bias do not fit the unit.
    InputError
        If constants are to be preloaded and the zero point of the activations is chosen at run time.
    """
    left = _LeftZeroPoints.of(layer, array)
    weights, activations = left.codes_of(layer, rows)
    notes = (*left.notes(preload), *_bias_notes(layer, preload), *_offset_notes(datapath))
    products = _product(weights, activations)
    if not preload:
        return ColumnResults(products, None, notes)
    starts = left.starts(layer, weights) + _bias(layer)
    _check_width(products + starts, layer, array, datapath)
    return ColumnResults(products + starts, starts, notes)


@dataclass(frozen=True, eq=False)
class _LeftZeroPoints:
    """What the formats leave in the codes: of the weights of each channel (N,), and of the activations."""

    weights: NDArray[np.int64]
    activations: int | None

    @classmethod
    def of(cls, layer: Layer, array: Accelerator) -> _LeftZeroPoints:
        weight_zeros = layer.weight_zero_points.astype(np.int64)
        weights = weight_zeros - _value_of_code_zero(array.weights, layer.weight_type, weight_zeros)
        storage, zero_point = layer.activation_type, layer.activation_zero_point
        if storage is None or zero_point is None:
            return cls(weights, None)
        zero = _value_of_code_zero(array.activations, storage, np.array(zero_point))
        return cls(weights, zero_point - int(zero))

    def codes_of(self, layer: Layer, rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Values of the words of both operands, from the integers in the file: (N, K) and (G, M, K)."""
        weights = layer.weights.astype(np.int64) - (layer.weight_zero_points - self.weights)[:, None]
        zero_point = layer.activation_zero_point or 0
        return weights, rows.astype(np.int64) - (zero_point - (self.activations or 0))

    def starts(self, layer: Layer, weights: NDArray[np.int64]) -> NDArray[np.int64]:
        """The constants of each channel, (N,)."""
        if self.activations is None:
            raise InputError(
                f"{layer}: its zero point is chosen at run time, so that no constant of it can be preloaded; leave "
                "--preload out"
            )
        return self.activations * (layer.k * self.weights - weights.sum(axis=1))

    def notes(self, preload: bool) -> tuple[str, ...]:
        """What results still contain."""
        left = []
        if self.activations != 0 and not preload:
            left.append("the activations'")
        if self.weights.any():
            left.append("the weights'")
        if not left:
            return ()
        words = " and ".join(left)
        return (f"Results contain {words} zero points, which the machine's formats leave in its words.",)


def _bias(layer: Layer) -> NDArray[np.int64]:
    """The bias of each channel, (N,), where the file has integers."""
    if layer.bias is None or not layer.bias.is_integer:
        return np.zeros(layer.n, dtype=np.int64)
    return layer.bias.load(layer.n)


def _bias_notes(layer: Layer, preload: bool) -> tuple[str, ...]:
    if not preload or layer.bias is None or layer.bias.is_integer:
        return ()
    return ("Results are without the layer's bias, which the file does not hold as integers.",)


def _check_width(results: NDArray[np.int64], layer: Layer, array: Accelerator, datapath: Datapath) -> None:
    """Raise an error where a result cannot be told from another one by the bits of a sum."""
    low, high = int(results.min()), int(results.max())
    needed = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + (low < 0 or datapath.signed)
    if needed > datapath.accumulator_bits:
        raise AcceleratorError(
            f"{array.name}: sums of {layer} that start from its bias take {needed} bits, its units have "
            f"{datapath.accumulator_bits}: set datapath.accumulator_bits to {needed}, or leave --preload out"
        )


def _offset_notes(datapath: Datapath) -> tuple[str, ...]:
    return ("Results carry the offset of the machine's sums.",) if datapath.sum_offset(1) else ()


def _value_of_code_zero(operand: Operand, storage: StorageType, zero_points: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stored integer whose code is zero."""
    if operand.format is NumberFormat.AS_STORED:
        return np.zeros_like(zero_points)
    return np.full_like(zero_points, storage.low) if operand.format is NumberFormat.UNSIGNED else zero_points


def _product(weights: NDArray[np.int64], activations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Results (M, N) of (N, K) weights and the (G, M, K) activations of their groups."""
    by_group = weights.reshape(len(activations), -1, weights.shape[1])
    return np.concatenate([rows @ block.T for rows, block in zip(activations, by_group, strict=True)], axis=1)
