"""Streams of a layer's own activations, as the units of each dataflow see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.estimation.transitions.held_bench import ActivationSource


def along_pixels(codes: NDArray[np.unsignedinteger], segment_lanes: int) -> ActivationSource:
    """Output pixels that follow one another past the weights of a segment, as in a weight-stationary array.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (G, M, K)
        Activations on the wires.
    segment_lanes : int
        Lanes of a segment; those beyond K are idle, and see zeros.

    Returns
    -------
    callable
        Draws groups, segments and first pixels; the last pixel is followed by the first.
    """

    def draw(windows: int, cycles: int, lanes: int, generator: np.random.Generator) -> NDArray[np.unsignedinteger]:
        groups, pixels, reduction = codes.shape
        group = generator.integers(groups, size=windows)
        first = generator.integers(-(-reduction // segment_lanes), size=windows) * segment_lanes
        pixel = (generator.integers(pixels, size=windows)[:, None] + np.arange(cycles)) % pixels
        lane = first[:, None] + np.arange(lanes)
        found = codes[group[:, None, None], pixel[..., None], np.minimum(lane, reduction - 1)[:, None]]
        return np.where((lane < reduction)[:, None], found, 0).astype(codes.dtype)

    return draw


def along_reduction(codes: NDArray[np.unsignedinteger]) -> ActivationSource:
    """Activations of one output pixel after the other along k, as in an output-stationary array.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (G, M, K)
        Activations on the wires.

    Returns
    -------
    callable
        Draws groups, pixels and places of k; the end of a pixel is followed by the next one.
    """
    groups, pixels, reduction = codes.shape
    flat = codes.reshape(groups, pixels * reduction)

    def draw(windows: int, cycles: int, lanes: int, generator: np.random.Generator) -> NDArray[np.unsignedinteger]:
        group = generator.integers(groups, size=(windows, lanes))
        start = generator.integers(flat.shape[1], size=(windows, lanes))
        place = (start[:, None] + np.arange(cycles)[:, None]) % flat.shape[1]
        return np.asarray(flat[group[:, None], place])

    return draw


def along_channels(codes: NDArray[np.unsignedinteger]) -> ActivationSource:
    """Channels of a depthwise layer that follow one another at one output pixel, past an activation-stationary column.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (G, M, K)
        Activations on the wires, one group a channel.

    Returns
    -------
    callable
        Draws pixels and first channels; the last channel is followed by the first.
    """
    groups, pixels, reduction = codes.shape

    def draw(windows: int, cycles: int, lanes: int, generator: np.random.Generator) -> NDArray[np.unsignedinteger]:
        pixel = generator.integers(pixels, size=windows)
        group = (generator.integers(groups, size=windows)[:, None] + np.arange(cycles)) % groups
        lane = np.arange(lanes)
        found = codes[group[..., None], pixel[:, None, None], np.minimum(lane, reduction - 1)]
        return np.where(lane < reduction, found, 0).astype(codes.dtype)

    return draw
