"""What an activation-stationary array reads and writes: weights for every row of pixels, activations once a load."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.accesses import (
    Accesses,
    CodeWidths,
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
from fewflips.dataflows.sign_flags import flag_codes
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
        Columns, and tiling: a row is an output pixel in each column, a tile of pixels some rows that take a segment
        one after the other.
    widths : CodeWidths
        Bits of each operand.
    scheduled : bool
        Whether an order is read with the weights.

    Returns
    -------
    Accesses
        A run of partial sums or results is one output channel in all columns.
    """
    rows = -(-layer.m // array.columns)
    sums, results = _sums(layer, segments, array, widths)
    kept = array.tiling.outputs is not None
    return Accesses(
        weights=_weights(layer, segments, array, widths, rows),
        activations=_activations(layer, segments, array, widths, rows),
        results=results,
        partial_sums=Traffic(code_bits=widths.partial_sums) if kept else sums,
        register_files=sums if kept else Traffic(code_bits=widths.partial_sums),
        index_table=index_traffic(segments, rows) if scheduled else Traffic(),
    )


def _weights(layer: Layer, segments: tuple[Segment, ...], array: Accelerator, widths: CodeWidths, rows: int) -> Traffic:
    """All weights of a segment, and its sign flags, for every row of pixels; a single word stays in its register."""
    tiles = -(-rows // array.tiling.pixels)
    lengths = [
        (len(segment.order), len(segment.order) * len(segment.lanes) + flag_codes(segment, widths.weights))
        for segment in segments
    ]
    if len(segments) == 1 and lengths[0][0] == 1:
        read = runs_of([(1, lengths[0][1])])
    else:
        read = runs_of((tiles if words == 1 else rows, codes) for words, codes in lengths)
    every_tile = runs_of((tiles, codes) for _, codes in lengths)
    return Traffic(
        code_bits=widths.weights,
        read=read,
        working_sets=(
            WorkingSet(max(codes for _, codes in lengths), every_tile),
            whole_tensor(sum(codes for _, codes in lengths)),
        ),
    )


def _activations(
    layer: Layer, segments: tuple[Segment, ...], array: Accelerator, widths: CodeWidths, rows: int
) -> Traffic:
    """A load of each column's lanes, wherever lanes or group differ from those of the word before."""
    tile = min(layer.m, array.tiling.pixels * array.columns)
    still = _pixels_that_stay(layer, array, rows)
    loads = []
    before = None
    for segment in segments:
        groups = groups_along(segment, layer)
        held = before is not None and np.array_equal(before[0], segment.lanes) and before[1] == groups[0]
        changes = 1 + int(np.count_nonzero(np.diff(groups)))
        loads.append((layer.m * changes - (still if held else 0), len(segment.lanes)))
        before = (segment.lanes, groups[-1])
    return Traffic(
        code_bits=widths.activations,
        read=runs_of(loads),
        working_sets=(
            WorkingSet(tile * layer.groups * layer.k, runs_of([(layer.m * layer.groups, layer.k)])),
            whole_tensor(distinct_activations(layer)),
        ),
    )


def _pixels_that_stay(layer: Layer, array: Accelerator, rows: int) -> int:
    """Output pixels that are the only one of their column in a tile: the next segment finds them in the registers."""
    if array.tiling.pixels == 1:
        return layer.m
    rows_of_last_tile = (rows - 1) % array.tiling.pixels + 1
    pixels_of_last_row = layer.m - (rows - 1) * array.columns
    return {1: pixels_of_last_row, 2: array.columns - pixels_of_last_row}.get(rows_of_last_tile, 0)


def _sums(
    layer: Layer, segments: tuple[Segment, ...], array: Accelerator, widths: CodeWidths
) -> tuple[Traffic, Traffic]:
    """Partial sums, and results."""
    passed_on = sum(len(segment.order) for segment in segments) - layer.n
    per_column = array.tiling.outputs is not None
    full, rest = (layer.m, 0) if per_column else divmod(layer.m, array.columns)
    width = 1 if per_column else array.columns
    runs = runs_of([(passed_on * full, width), (passed_on, rest)])
    live = min(layer.m, array.tiling.pixels * array.columns) * unfinished_sums(layer, segments)
    full, rest = divmod(layer.m, array.columns)
    return (
        Traffic(code_bits=widths.partial_sums, read=runs, written=runs, live=live),
        Traffic(code_bits=widths.activations, written=runs_of([(layer.n * full, array.columns), (layer.n, rest)])),
    )


def with_hold_flags(
    found: Accesses, layer: Layer, segments: tuple[Segment, ...], load: NDArray[np.bool_], array: Accelerator
) -> Accesses:
    """The same with hold flags: the buffer holds a flag for each weight, and no weight that repeats on its lane.

    Parameters
    ----------
    found : Accesses
        Without flags.
    layer : Layer
        The layer.
    segments : tuple of Segment
        Lanes and order of each pass.
    load : ndarray of bool, shape (T, lanes)
        Which words are fetched; see :func:`fewflips.dataflows.hold_flags.load_flags`.
    array : Accelerator
        Columns and tiling.

    Returns
    -------
    Accesses
        Weights counted in bits: a pass is one run, for each cycle the flags and then the weights that it fetches, and
        its sign flags, if it has some.
    """
    rows = -(-layer.m // array.columns)
    tiles = -(-rows // array.tiling.pixels)
    starts = np.concatenate(([0], np.cumsum([len(segment.order) for segment in segments])[:-1]))
    fetched = np.add.reduceat(load.sum(axis=1, dtype=np.int64), starts)
    bits = [
        len(segment.order) * load.shape[1] + int(count) * found.weights.code_bits + flag_codes(segment, 1)
        for segment, count in zip(segments, fetched, strict=True)
    ]
    every_tile = runs_of((tiles, count) for count in bits)
    weights = Traffic(
        code_bits=1,
        read=runs_of((rows, count) for count in bits),
        working_sets=(WorkingSet(max(bits), every_tile), whole_tensor(sum(bits))),
    )
    return replace(found, weights=weights)
