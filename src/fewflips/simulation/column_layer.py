"""A network's layer as a scheduled column runs it: its words, its passes, and the results to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment
from fewflips.dataflows.hold_flags import HoldFlags
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.sign_flags import NO_SIGN_FLAGS
from fewflips.datapath.design import Datapath
from fewflips.datapath.scheduled_column.contents import ColumnCodes
from fewflips.datapath.scheduled_column.design import ColumnDesign, column_design
from fewflips.datapath.scheduled_column.passes import Pass, column_passes
from fewflips.errors import AcceleratorError
from fewflips.machine import Accelerator
from fewflips.machine.coding_names import BUS_INVERT, PLAIN
from fewflips.network.layer import Layer
from fewflips.simulation.column_results import column_results
from fewflips.simulation.column_weights import column_weights


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
    if not datapath.sign_flags and any(segment.sign_flags.any() for segment in segments):
        raise AcceleratorError(f"{layer}: {NO_SIGN_FLAGS}")
    passes = column_passes(
        [(segment.lanes, segment.order) for segment in segments],
        layer.n,
        layer.k,
        None if layer.is_depthwise else groups,
        [segment.negated for segment in segments],
    )
    results = column_results(layer, rows, array, datapath, preload=preload)
    weights = column_weights(operands, passes, -(-rows.shape[1] // columns), array.tiling.pixels)
    design = column_design(
        datapath,
        passes,
        layer.n,
        rows.shape[1],
        columns=columns,
        tile_rows=array.tiling.pixels,
        own_activations=layer.is_depthwise,
        starts=preload,
        loads=weights.loads,
    )
    return ColumnLayer(
        design,
        passes,
        ColumnCodes(weights.words, operands.activations, groups, results.starts, weights.loads),
        results.expected,
        results.notes,
        weights.holds,
    )
