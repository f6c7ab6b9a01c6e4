"""Scans: in which order the output pixels of a convolution stream past held weights.

Neighbouring pixels have similar activations, so that a curve through the image decides how many bits flip from one
pixel to the next. Addresses of these curves are generated, as those of the raster are: no table is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fewflips.machine.accelerator import Accelerator, Scan
from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D

BAND = 4
"""Rows of a band of the blocked scan."""


def scan_order(scan: Scan, height: int, width: int) -> NDArray[np.int64]:
    """The pixels of an image in the order of a scan.

    Parameters
    ----------
    scan : {"raster", "serpentine", "blocked", "hilbert"}
        Row by row; the same with every other row backwards; in bands of four rows, column by column to and fro, with
        every other band backwards; or along a generalized Hilbert curve (J. Červený, "gilbert", 2018), which fits every
        size, with a diagonal step where it needs one.
    height, width : int
        Size of the image.

    Returns
    -------
    ndarray of int64, shape (height * width,)
        Places in raster order: each once.

    Examples
    --------
    >>> scan_order("serpentine", 2, 3).tolist()
    [0, 1, 2, 5, 4, 3]
    >>> scan_order("hilbert", 2, 2).tolist()
    [0, 2, 3, 1]
    """
    order = _SCANS[scan](np.arange(height * width, dtype=np.int64).reshape(height, width))
    return np.ascontiguousarray(order)


def scanned(layer: Layer, codes: NDArray[np.unsignedinteger], array: Accelerator) -> NDArray[np.unsignedinteger]:
    """Activations of a layer with its output pixels in the order of a machine's scan.

    Parameters
    ----------
    layer : Layer
        The layer. Rows of anything else than a convolution stay in their order, and images follow one another.
    codes : ndarray of uint8 or uint16, shape (G, M, K)
        Rows of each group.
    array : Accelerator
        The machine.

    Returns
    -------
    ndarray, same dtype and shape
        The same array in raster order.
    """
    grid = layer.lowering.grid if isinstance(layer.lowering, Convolution2D) else None
    if array.scan == "raster" or grid is None:
        return codes
    order = _cached_order(array.scan, *grid)
    images = codes.shape[1] // len(order)
    return codes[:, (np.arange(images)[:, None] * len(order) + order).reshape(-1)]


@cache
def _cached_order(scan: Scan, height: int, width: int) -> NDArray[np.int64]:
    return scan_order(scan, height, width)


def _raster(image: NDArray[np.int64]) -> NDArray[np.int64]:
    return image.reshape(-1)


def _serpentine(image: NDArray[np.int64]) -> NDArray[np.int64]:
    turned = image.copy()
    turned[1::2] = turned[1::2, ::-1]
    return turned.reshape(-1)


def _blocked(image: NDArray[np.int64]) -> NDArray[np.int64]:
    columns = [image[:0].reshape(-1)]
    for band, first in enumerate(range(0, len(image), BAND)):
        across = image[first : first + BAND].T[:: -1 if band % 2 else 1]
        columns += [column[:: -1 if number % 2 else 1] for number, column in enumerate(across)]
    return np.concatenate(columns)


def _hilbert(image: NDArray[np.int64]) -> NDArray[np.int64]:
    height, width = image.shape
    if not image.size:
        return image.reshape(-1)
    along, across = ((0, width), (height, 0)) if width >= height else ((height, 0), (0, width))
    return np.array([image[place] for place in _curve((0, 0), along, across)], dtype=np.int64)


_Step = tuple[int, int]
"""Rows and columns."""


def _curve(start: _Step, along: _Step, across: _Step) -> Iterator[_Step]:
    """A curve through a rectangle, from its corner `start` to the corner at the end of its edge `along`."""
    length, breadth = abs(sum(along)), abs(sum(across))
    if breadth == 1 or length == 1:
        yield from _line(start, along if breadth == 1 else across)
        return
    ahead, aside = _unit(along), _unit(across)
    half_along, half_across = _half(along), _half(across)
    if 2 * length > 3 * breadth:
        if abs(sum(half_along)) % 2 and length > 2:
            half_along = _plus(half_along, ahead)
        yield from _curve(start, half_along, across)
        yield from _curve(_plus(start, half_along), _plus(along, half_along, -1), across)
        return
    if abs(sum(half_across)) % 2 and breadth > 2:
        half_across = _plus(half_across, aside)
    rest = _plus(across, half_across, -1)
    yield from _curve(start, half_across, half_along)
    yield from _curve(_plus(start, half_across), along, rest)
    corner = _plus(_plus(_plus(start, along), ahead, -1), _plus(half_across, aside, -1))
    yield from _curve(corner, _times(half_across, -1), _times(_plus(along, half_along, -1), -1))


def _line(start: _Step, along: _Step) -> Iterator[_Step]:
    for number in range(abs(sum(along))):
        yield _plus(start, _unit(along), number)


def _unit(step: _Step) -> _Step:
    return int(np.sign(step[0])), int(np.sign(step[1]))


def _half(step: _Step) -> _Step:
    return step[0] // 2, step[1] // 2


def _times(step: _Step, factor: int) -> _Step:
    return factor * step[0], factor * step[1]


def _plus(step: _Step, other: _Step, factor: int = 1) -> _Step:
    return step[0] + factor * other[0], step[1] + factor * other[1]


_SCANS: dict[Scan, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
    "raster": _raster,
    "serpentine": _serpentine,
    "blocked": _blocked,
    "hilbert": _hilbert,
}
