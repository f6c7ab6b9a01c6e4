"""A network's layer as a scheduled column runs it: its words, its passes, and the results to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment
from fewflips.dataflows.hold_flags import HoldFlags, hold_flags, load_flags
from fewflips.dataflows.layer_operands import LayerOperands, layer_operands
from fewflips.dataflows.layout import pad_last, pass_starts
from fewflips.dataflows.sign_flags import NO_SIGN_FLAGS, streamed_codes
from fewflips.datapath.design import Datapath
from fewflips.datapath.scheduled_column.contents import ColumnCodes
from fewflips.datapath.scheduled_column.design import ColumnDesign, column_design
from fewflips.datapath.scheduled_column.passes import Pass, column_passes
from fewflips.errors import AcceleratorError, InputError
from fewflips.formats.number_formats import NumberFormat, StorageType
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import Operand
from fewflips.machine.coding_names import BUS_INVERT, PLAIN
from fewflips.network.layer import Layer
from fewflips.streams.stream import Stream


@dataclass(frozen=True, eq=False)
class ColumnLayer:
    """A column, a layer for it, and the layer's results.

    Parameters
    ----------
    design : ColumnDesign
        The smallest column that runs the layer.
    passes : tuple of Pass
        What its controller walks through.
    codes : ColumnCodes
        Contents of its memories.
    expected : ndarray of int64, shape (M, N)
        Results, computed by a matrix product from the integers in the file, and its bias.
    notes : tuple of str
        What the results are, where that is not plain.
    holds : HoldFlags or None
        What hold flags leave to be fetched, as the bill counts it, for the pixels that are computed.
    """

    design: ColumnDesign
    passes: tuple[Pass, ...] = field(repr=False)
    codes: ColumnCodes = field(repr=False)
    expected: NDArray[np.int64] = field(repr=False)
    notes: tuple[str, ...] = ()
    holds: HoldFlags | None = None


def check_machine(array: Accelerator) -> None:
    """Raise :class:`AcceleratorError` unless the units of a machine can stand in a scheduled column."""
    wanted = "an activation-stationary machine whose words reach all columns at once"
    if array.dataflow != "activation-stationary":
        raise AcceleratorError(f"{array.name}: a column needs {wanted}, got {array.dataflow}: take another machine")
    if array.forwarding != "broadcast":
        raise AcceleratorError(f"{array.name}: a column needs {wanted}, got {array.forwarding} forwarding")
    for port, operand in (("weights", array.weights), ("activations", array.activations)):
        if operand.coding not in (PLAIN, BUS_INVERT):
            raise AcceleratorError(
                f"{array.name}: a column has no encoders of coding {operand.coding}: set {port}.coding to {PLAIN} or "
                f"{BUS_INVERT}"
            )
    if not array.datapath.partial_sum_input:
        raise AcceleratorError(f"{array.name}: a column adds partial sums: set datapath.partial_sum_input")
    if array.turns:
        raise AcceleratorError(f"{array.name}: a column's controller only counts upwards: leave replay out")


def column_layer(
    layer: Layer,
    rows: NDArray[np.integer],
    segments: Sequence[Segment],
    array: Accelerator,
    datapath: Datapath,
    *,
    columns: int = 1,
    preload: bool = False,
) -> ColumnLayer:
    """Prepare a layer for a scheduled column.

    A unit multiplies codes. Where a format leaves the zero point of an operand in its code, results contain it. What
    depends on weights alone may be preloaded as the start of each sum, with the bias b: with w and x the codes and z
    the zero points in them, sums that start at ``b + K z_w z_x - z_x sum w`` end at ``b + sum (w - z_w)(x - z_x) +
    z_w sum x``. Without z_w, these are the accumulators of the runtime.

    Parameters
    ----------
    layer : Layer
        The layer.
    rows : ndarray of int8, uint8 or int16, shape (G, M, K)
        Its activations; M may be smaller than the layer's.
    segments : sequence of Segment
        Its schedule.
    array : Accelerator
        Formats and tiling.
    datapath : Datapath
        The unit.
    columns : int
        Columns behind the controller.
    preload : bool
        Whether sums start from the bias and constants of the zero points.

    Returns
    -------
    ColumnLayer
        The layer.

    Raises
    ------
    AcceleratorError
        If the machine has no such columns, or operands, or sums with their bias, do not fit its words.
    InputError
        If constants are to be preloaded and the zero point of the activations is chosen at run time.
    """
    check_machine(array)
    operands = layer_operands(layer, rows, array, datapath)
    groups = np.arange(layer.n) // (layer.n // layer.groups)
    pairs = [(segment.lanes, segment.order) for segment in segments]
    if not datapath.sign_flags and any(segment.sign_flags.any() for segment in segments):
        raise AcceleratorError(f"{layer}: {NO_SIGN_FLAGS}")
    passes = column_passes(
        pairs,
        layer.n,
        layer.k,
        None if layer.is_depthwise else groups,
        [segment.negated for segment in segments],
    )
    left = _LeftZeroPoints.of(layer, array)
    weights, activations = left.codes_of(layer, rows)
    starts = left.starts(layer, weights) + _bias(layer) if preload else None
    expected = _product(weights, activations) + (0 if starts is None else starts)
    if starts is not None:
        _check_width(expected, layer, array, datapath)
    words = _streamed_words(operands, passes)
    stream = _weight_stream(words, datapath.weights.bits, passes, -(-rows.shape[1] // columns), array)
    loads = load_flags(stream) if datapath.hold_flags else None
    design = column_design(
        datapath,
        passes,
        layer.n,
        rows.shape[1],
        columns=columns,
        tile_rows=array.tiling.pixels,
        own_activations=layer.is_depthwise,
        starts=preload,
        loads=loads,
    )
    return ColumnLayer(
        design,
        passes,
        ColumnCodes(words, operands.activations, groups, starts, loads),
        expected,
        (*left.notes(preload), *_bias_notes(layer, preload), *_offset_notes(datapath)),
        hold_flags(stream) if datapath.hold_flags else None,
    )


def _streamed_words(operands: LayerOperands, passes: Sequence[Pass]) -> NDArray[np.unsignedinteger]:
    """Weights as they stream for a pixel, (words, lanes)."""
    found = []
    for one in passes:
        segment = Segment(one.lanes, one.channels, one.negated)
        codes = operands.weights[np.ix_(one.channels, one.lanes)]
        found.append(pad_last(streamed_codes(codes, segment, operands.datapath.weights), operands.datapath.lanes))
    return np.concatenate(found)


def _weight_stream(
    words: NDArray[np.unsignedinteger], bits: int, passes: Sequence[Pass], rows: int, array: Accelerator
) -> Stream:
    """Weights as the column takes them: a pass for each row of a tile of pixels, then the next one."""
    tile_rows = min(array.tiling.pixels, rows)
    tiles = -(-rows // tile_rows)
    return Stream(
        port="weights",
        words=words,
        pass_starts=pass_starts([len(one.channels) for one in passes]),
        bits=bits,
        repeats=tiles,
        pass_repeats=tile_rows,
        last_pass_repeats=rows - (tiles - 1) * tile_rows,
    )


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
