"""Tiles of an activation-stationary array: which outputs a column completes before it goes on to others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.layout import chunks
from fewflips.machine.accelerator import Accelerator
from fewflips.network.layer import Layer


def channel_tiles(layer: Layer, array: Accelerator) -> list[NDArray[np.int64]]:
    """Output channels of each tile, group after group, contiguous in natural order.

    A layer whose reduction fits the lanes is not cut: its sums are complete when they leave the unit, so that none
    has to be kept. All channels of a depthwise layer form one group.

    Parameters
    ----------
    layer : Layer
        The layer.
    array : Accelerator
        Lanes and tiling.

    Returns
    -------
    list of ndarray of int64
        Disjoint, and together all channels.
    """
    groups = 1 if layer.is_depthwise else layer.groups
    outputs = layer.n // groups
    size = tile_outputs(layer, array)
    return [tile for group in range(groups) for tile in chunks(outputs, size, group * outputs)]


def tile_outputs(layer: Layer, array: Accelerator) -> int:
    """Output channels of a tile, of which the last of a group may have fewer.

    Parameters
    ----------
    layer : Layer
        The layer.
    array : Accelerator
        Lanes and tiling.

    Returns
    -------
    int
        All channels of a group where the machine has no tiles, or where the layer has no partial sums.
    """
    outputs = layer.n if layer.is_depthwise else layer.n // layer.groups
    if array.tiling.outputs is None or layer.k <= array.lanes:
        return outputs
    return min(array.tiling.outputs, outputs)


def visits(
    rows: int, segments: int, pixels: int, *, serpentine: bool = False, tiles_before: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """In which order the array takes rows of output pixels and segments.

    Parameters
    ----------
    rows : int
        Rows of output pixels, one pixel in each column.
    segments : int
        Segments of the layer, those of one tile of channels after those of another.
    pixels : int
        Rows of a tile of pixels, of which the last may have fewer.
    serpentine : bool
        Whether every other tile takes the segments from the last to the first.
    tiles_before : int
        Tiles of pixels before the first of these rows.

    Returns
    -------
    row, segment : ndarray of int64, shape (rows x segments,)
        Tile after tile; in each, segment after segment; for each segment, row after row.

    Examples
    --------
    >>> row, segment = visits(3, 2, 2)
    >>> list(zip(row.tolist(), segment.tolist()))
    [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (2, 1)]
    """
    pixels = min(pixels, rows)
    tile, segment, pixel = np.indices((-(-rows // pixels), segments, pixels))
    row = tile * pixels + pixel
    if serpentine:
        segment = np.where((tile + tiles_before) % 2, segments - 1 - segment, segment)
    inside = row < rows
    return row[inside], segment[inside]
