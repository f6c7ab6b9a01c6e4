"""How many cycles a scheduled column takes, word by word."""

from __future__ import annotations

from collections.abc import Sequence

from fewflips.datapath.scheduled_column.design import ColumnDesign
from fewflips.datapath.scheduled_column.passes import Pass

CYCLES_AROUND = 4
"""Cycles of the first word before it reaches the unit, from the one in which the column is told to start."""


def column_cycles(design: ColumnDesign, passes: Sequence[Pass], rows: int) -> tuple[int, int]:
    """Cycles of a layer, and how many of them the controller waits.

    A word waits until the sum that it adds to has been written, where another word of the last few cycles still has it
    in the unit; a word of a first pass starts a sum, and does not wait.

    Parameters
    ----------
    design : ColumnDesign
        The column.
    passes : sequence of Pass
        The passes of a pixel.
    rows : int
        Pixels of each column.

    Returns
    -------
    cycles : int
        From the one in which the column is told to start to the one in which its last result appears, both included.
    waits : int
        Those in which a word was held back.
    """
    words = sum(len(one.channels) for one in passes)
    whole, left = divmod(rows, design.tile_rows)
    tiles = [(design.tile_rows, whole), *([(left, 1)] if left else [])]
    waits = sum(_waits(design, passes, of_tile) * count for of_tile, count in tiles)
    return words * rows + waits + CYCLES_AROUND + design.datapath.latency, waits


def _waits(design: ColumnDesign, passes: Sequence[Pass], rows: int) -> int:
    """Waiting cycles in one tile; the passes that begin sums wait for none, so that tiles do not affect one another."""
    ready: dict[tuple[int, int], int] = {}  # the first cycle in which a word that adds to that sum may pass
    cycle = waits = 0
    for one in passes:
        for row in range(rows):
            for address in one.addresses.tolist():
                begin = cycle if one.first else max(cycle, ready[row, address])
                waits += begin - cycle
                cycle = begin + 1
                ready[row, address] = begin + design.shortest_return
    return waits
