"""Words of operands laid out as a port sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import AcceleratorError

if TYPE_CHECKING:
    from fewflips.machine.accelerator import Accelerator
    from fewflips.network.layer import Layer


LARGEST_STREAM_BYTES = 1 << 30
"""Larger activation streams are refused rather than laid out in memory."""


def chunks(count: int, size: int, start: int = 0) -> list[NDArray[np.int64]]:
    """Contiguous index ranges of at most `size` that cover ``start .. start + count - 1``."""
    return [
        np.arange(first, min(first + size, start + count), dtype=np.int64)
        for first in range(start, start + count, size)
    ]


def pad_last(words: NDArray[np.unsignedinteger], width: int) -> NDArray[np.unsignedinteger]:
    """Append zeros (idle lanes) along the last axis up to `width`."""
    missing = width - words.shape[-1]
    return np.pad(words, [(0, 0)] * (words.ndim - 1) + [(0, missing)]) if missing else words


def check_stream_size(words: int, layer: Layer, array: Accelerator) -> None:
    """Raise :class:`AcceleratorError` if a stream would take more memory than :data:`LARGEST_STREAM_BYTES`."""
    if words > LARGEST_STREAM_BYTES:
        raise AcceleratorError(
            f"{layer}: its activation stream on {array.lanes} lanes x {array.columns} columns takes "
            f"{words / 2**30:.1f} GiB, expected at most {LARGEST_STREAM_BYTES / 2**30:g}: take a smaller array, or "
            "measure without sample inputs"
        )


def pass_starts(lengths: list[int]) -> NDArray[np.int64]:
    """First cycle of each pass, from the lengths of the passes."""
    return np.concatenate(([0], np.cumsum(lengths[:-1]))).astype(np.int64)


def output_tiles(rows: NDArray[np.unsignedinteger], size: int) -> NDArray[np.unsignedinteger]:
    """Rows cut into tiles of output pixels, the last one padded with zeros.

    Parameters
    ----------
    rows : ndarray, shape (G, M, K)
        Rows of each group.
    size : int
        Output pixels per tile.

    Returns
    -------
    ndarray, same dtype, shape (G, ceil(M / size), size, K)
        The tiles.
    """
    groups, m, k = rows.shape
    tiles = -(-m // size)
    padded = np.pad(rows, ((0, 0), (0, tiles * size - m), (0, 0)))
    return padded.reshape(groups, tiles, size, k)
