"""Rising, concave curves and surfaces through measured points, and their values in between.

The energy of a datapath rises ever less steeply with the flips of its operands: the more nets already toggle, the fewer
a further flip adds. The curve is the lowest one of that shape above the points, so it follows the points wherever they
have that shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError

_ENOUGH_ROUNDS = 200
_SETTLED = 1e-12


def rising_concave_curve(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lowest curve on or above some points that never falls and is concave.

    The upper hull of the points by Andrew's monotone chain (Inf. Process. Lett. 9(5), 1979), after each point is
    raised to the highest one before it.

    Parameters
    ----------
    x : ndarray of float64, shape (P,)
        Places, strictly ascending.
    y : ndarray of float64, shape (P,)
        Measured values.

    Returns
    -------
    ndarray of float64, shape (P,)
        Values of the curve at the same places.

    Raises
    ------
    InputError
        If the places do not ascend, or the shapes differ.

    Examples
    --------
    >>> rising_concave_curve(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 4.0, 3.0])).tolist()
    [0.0, 2.0, 4.0, 4.0]
    """
    _check_places(x, len(y))
    risen = np.maximum.accumulate(y)
    hull: list[int] = []
    for point in range(len(x)):
        while len(hull) > 1 and _lies_below(x, risen, hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return np.interp(x, x[hull], risen[hull])


def rising_concave_surface(
    rows: NDArray[np.float64], columns: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The lowest surface on or above the points of a grid that never falls and is concave along either axis.

    Rows and columns are raised alternately to their curves until nothing changes; no step raises a point above any such
    surface, so the limit is the lowest of them.

    Parameters
    ----------
    rows, columns : ndarray of float64, shapes (R,) and (C,)
        Places along the axes, strictly ascending.
    values : ndarray of float64, shape (R, C)
        Measured values.

    Returns
    -------
    ndarray of float64, shape (R, C)
        Values of the surface at the same places.

    Raises
    ------
    InputError
        If the places do not ascend, or the shapes differ.
    """
    if values.shape != (len(rows), len(columns)):
        raise InputError(f"surface: expected {len(rows)} x {len(columns)} values, got shape {values.shape}")
    surface = values.astype(np.float64)
    for _ in range(_ENOUGH_ROUNDS):
        raised = np.stack([rising_concave_curve(columns, row) for row in surface])
        raised = np.stack([rising_concave_curve(rows, column) for column in raised.T], axis=1)
        settled = np.abs(raised - surface).max() <= _SETTLED * np.abs(raised).max()
        surface = raised
        if settled:
            break
    return surface


def surface_at(
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    surface: NDArray[np.float64],
    row_places: NDArray[np.float64],
    column_places: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Values of a surface by bilinear interpolation, constant beyond its edges.

    Parameters
    ----------
    rows, columns : ndarray of float64, shapes (R,) and (C,)
        Places along the axes, strictly ascending; an axis of one place is constant.
    surface : ndarray of float64, shape (R, C)
        Values.
    row_places, column_places : ndarray of float64, shape (Q,)
        Places to evaluate.

    Returns
    -------
    ndarray of float64, shape (Q,)
        The values at these places.

    Examples
    --------
    >>> grid = np.array([[0.0, 2.0], [4.0, 6.0]])
    >>> axis = np.array([0.0, 1.0])
    >>> surface_at(axis, axis, grid, np.array([0.5, 2.0]), np.array([0.5, 0.0])).tolist()
    [3.0, 4.0]
    """
    row, row_part = _cell(rows, row_places)
    column, column_part = _cell(columns, column_places)
    below = np.minimum(row + 1, len(rows) - 1)
    right = np.minimum(column + 1, len(columns) - 1)
    upper = surface[row, column] * (1 - column_part) + surface[row, right] * column_part
    lower = surface[below, column] * (1 - column_part) + surface[below, right] * column_part
    return upper * (1 - row_part) + lower * row_part


def _lies_below(x: NDArray[np.float64], y: NDArray[np.float64], left: int, middle: int, right: int) -> bool:
    """Whether a point lies on or below the line from its left to its right neighbour."""
    run, rise = x[right] - x[left], y[right] - y[left]
    return bool((y[middle] - y[left]) * run <= rise * (x[middle] - x[left]))


def _cell(axis: NDArray[np.float64], places: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The grid line before each place, and the fraction of the way to the next one."""
    if len(axis) == 1:
        return np.zeros(len(places), dtype=np.int64), np.zeros(len(places))
    inside = np.clip(places, axis[0], axis[-1])
    line = np.clip(np.searchsorted(axis, inside, side="right") - 1, 0, len(axis) - 2).astype(np.int64)
    return line, (inside - axis[line]) / (axis[line + 1] - axis[line])


def _check_places(x: NDArray[np.float64], values: int) -> None:
    if x.ndim != 1 or len(x) == 0 or len(x) != values:
        raise InputError(f"curve: expected as many places as values, got {x.shape} places and {values} values")
    if not (np.diff(x) > 0).all():
        raise InputError(f"curve: expected strictly ascending places, got {x.tolist()}")
