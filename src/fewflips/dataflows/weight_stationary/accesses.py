"""What a weight-stationary array reads and writes: weights once, activations for every tile of output channels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.accesses import (
    Accesses,
    CodeWidths,
    Runs,
    Traffic,
    WorkingSet,
    distinct_activations,
    groups_along,
    index_traffic,
    runs_of,
    unfinished_sums,
    whole_tensor,
)
from fewflips.dataflows.segment import Segment
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer


def accesses(
    layer: Layer, segments: tuple[Segment, ...], array: Accelerator, widths: CodeWidths, *, scheduled: bool
) -> Accesses:
    """Accesses of a layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        Lanes and order of each pass.
    array : Accelerator
        Columns.
    widths : CodeWidths
        Bits of each operand.
    scheduled : bool
        Whether an order is read with the weights. It stays in the columns while pixels stream.

    Returns
    -------
    Accesses
        A run of partial sums or results is neighbouring output channels of one pixel, in one tile; those of a
        schedule are seldom neighbours.
    """
    columns = 1 if layer.is_depthwise else array.columns
    live = layer.m * unfinished_sums(layer, segments)
    read, written, complete = _sums(layer, segments, columns)
    return Accesses(
        weights=Traffic(
            code_bits=widths.weights,
            read=runs_of((1, len(segment.order) * len(segment.lanes)) for segment in segments),
            working_sets=(whole_tensor(layer.n * layer.k),),
        ),
        activations=_activations(layer, segments, columns, widths, turns=array.turns),
        results=Traffic(code_bits=widths.activations, written=complete),
        partial_sums=Traffic(code_bits=widths.partial_sums, read=read, written=written, live=live),
        index_table=index_traffic(segments, 1) if scheduled else Traffic(),
    )


def _activations(
    layer: Layer, segments: tuple[Segment, ...], columns: int, widths: CodeWidths, *, turns: bool
) -> Traffic:
    """The lanes of every pixel for every tile; a single pixel, or one where pixels turn, stays in its registers."""
    loads = []
    inputs_of_segment = 0
    for segment in segments:
        groups = groups_along(segment, layer)[::columns]
        changes = 1 + int(np.count_nonzero(np.diff(groups)))
        held = len(groups) - changes if turns or layer.m == 1 else 0
        loads.append((layer.m * len(groups) - held, changes, len(segment.lanes)))
        inputs_of_segment = max(inputs_of_segment, layer.m * len(segment.lanes))
    return Traffic(
        code_bits=widths.activations,
        read=runs_of((count, lanes) for count, _, lanes in loads),
        working_sets=(
            WorkingSet(inputs_of_segment, runs_of((layer.m * changes, lanes) for _, changes, lanes in loads)),
            whole_tensor(distinct_activations(layer)),
        ),
    )


def _sums(layer: Layer, segments: tuple[Segment, ...], columns: int) -> tuple[tuple[Runs, ...], ...]:
    """Runs of partial sums read and written, and of results written."""
    last = np.zeros(layer.n, dtype=np.int64)
    for index, segment in enumerate(segments):
        last[segment.order] = index
    begun = np.zeros(layer.n, dtype=np.bool_)
    read: list[tuple[int, int]] = []
    written: list[tuple[int, int]] = []
    complete: list[tuple[int, int]] = []
    for index, segment in enumerate(segments):
        tile = np.arange(len(segment.order)) // columns
        ends = last[segment.order] == index
        for found, chosen in ((read, begun[segment.order]), (written, ~ends), (complete, ends)):
            found += [(layer.m, codes) for codes in _neighbours(segment.order[chosen], tile[chosen])]
        begun[segment.order] = True
    return runs_of(read), runs_of(written), runs_of(complete)


def _neighbours(channels: NDArray[np.int64], tile: NDArray[np.int64]) -> Iterator[int]:
    """Lengths of runs of neighbouring output channels in each tile."""
    if not len(channels):
        return
    in_order = np.lexsort((channels, tile))
    channels, tile = channels[in_order], tile[in_order]
    begins = np.flatnonzero((np.diff(channels) != 1) | (np.diff(tile) != 0)) + 1
    yield from np.diff(np.concatenate(([0], begins, [len(channels)]))).tolist()
