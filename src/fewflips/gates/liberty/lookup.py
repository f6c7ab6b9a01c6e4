"""Lookup of delays, slews and energies in the tables of a cell library, for many gates at once.

Between the points of a table values are interpolated bilinearly; beyond its ends the outermost interval is
extended, as `Table.at` does for a single point.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.liberty.cells import Table
from fewflips.kernels.compiled import compiled


def values_at(table: Table, slews_ps: NDArray[np.float64], loads_ff: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of one table at many points.

    Parameters
    ----------
    table : Table
        In ps or fJ.
    slews_ps, loads_ff : ndarray of float64, shape (I,)
        Input slew and output load of each point.

    Returns
    -------
    ndarray of float64, shape (I,)
        In the unit of the table.
    """
    row, down = _intervals(table.slews_ps, slews_ps)
    column, across = _intervals(table.loads_ff, loads_ff)
    next_row = np.minimum(row + 1, len(table.slews_ps) - 1)
    next_column = np.minimum(column + 1, len(table.loads_ff) - 1)
    values = table.values
    upper = values[row, column] * (1 - across) + values[row, next_column] * across
    lower = values[next_row, column] * (1 - across) + values[next_row, next_column] * across
    return upper * (1 - down) + lower * down


def _intervals(axis: NDArray[np.float64], points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The interval of an axis in which each point is looked up, and how far into it the point lies."""
    if len(axis) == 1:
        return np.zeros(len(points), dtype=np.int64), np.zeros(len(points))
    left = np.clip(np.searchsorted(axis, points) - 1, 0, len(axis) - 2).astype(np.int64)
    return left, (points - axis[left]) / (axis[left + 1] - axis[left])


class TableBank(NamedTuple):
    """Tables laid out one after another, for compiled code.

    Parameters
    ----------
    shapes : ndarray of int64, shape (T, 5)
        For each table: number of slews, number of loads, and where in `numbers` its slews, its loads and its
        values (row by row) begin.
    numbers : ndarray of float64, shape (N,)
        Axes in ps and fF, and values.
    """

    shapes: NDArray[np.int64]
    numbers: NDArray[np.float64]


def table_bank(tables: list[Table]) -> TableBank:
    """Lay out tables for compiled code; table i of the bank is ``tables[i]``."""
    shapes = np.zeros((len(tables), 5), dtype=np.int64)
    parts: list[NDArray[np.float64]] = [np.zeros(0)]
    end = 0
    for position, table in enumerate(tables):
        slews, loads = table.values.shape
        shapes[position] = slews, loads, end, end + slews, end + slews + loads
        parts += [table.slews_ps, table.loads_ff, table.values.ravel()]
        end += slews + loads + slews * loads
    return TableBank(shapes, np.concatenate(parts).astype(np.float64))


@compiled
def look_up(bank: TableBank, table: int, slew_ps: float, load_ff: float) -> Any:
    """One table of a bank at one point, for use in compiled code."""
    rows, columns, slews, loads, values = bank.shapes[table]
    row = _interval(bank.numbers, slews, rows, slew_ps)
    column = _interval(bank.numbers, loads, columns, load_ff)
    down, across = 0.0, 0.0
    next_row, next_column = row, column
    if rows > 1:
        next_row = row + 1
        first = bank.numbers[slews + row]
        down = (slew_ps - first) / (bank.numbers[slews + next_row] - first)
    if columns > 1:
        next_column = column + 1
        first = bank.numbers[loads + column]
        across = (load_ff - first) / (bank.numbers[loads + next_column] - first)
    upper = values + row * columns
    lower = values + next_row * columns
    above = bank.numbers[upper + column] * (1 - across) + bank.numbers[upper + next_column] * across
    below = bank.numbers[lower + column] * (1 - across) + bank.numbers[lower + next_column] * across
    return above * (1 - down) + below * down


@compiled
def _interval(numbers: NDArray[np.float64], start: int, points: int, value: float) -> Any:
    left = 0
    while left < points - 2 and numbers[start + left + 1] < value:
        left += 1
    return left
