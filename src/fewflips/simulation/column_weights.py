"""Weights of a layer as a scheduled column takes them, and which of them its lanes fetch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment
from fewflips.dataflows.hold_flags import HoldFlags, hold_flags, load_flags
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.layout import pad_last, pass_starts
from fewflips.dataflows.sign_flags import streamed_codes
from fewflips.datapath.scheduled_column.passes import Pass
from fewflips.streams.stream import Stream


@dataclass(frozen=True, eq=False)
class ColumnWeights:
    """The words of a pixel.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (words, lanes)
        Codes in the order of the passes, negated where these are; idle lanes hold zero.
    loads : ndarray of bool, shape (words, lanes), or None
        Which of them are fetched, where the unit has hold flags.
    holds : HoldFlags or None
        What that is in all pixels, as the bill counts it.
    """

    words: NDArray[np.unsignedinteger] = field(repr=False)
    loads: NDArray[np.bool_] | None = field(default=None, repr=False)
    holds: HoldFlags | None = None


def column_weights(operands: LayerOperands, passes: Sequence[Pass], rows: int, tile_rows: int) -> ColumnWeights:
    """Lay out the words of a pixel.

    Parameters
    ----------
    operands : LayerOperands
        Codes, and the unit.
    passes : sequence of Pass
        The layer's passes.
    rows : int
        Pixels of each column.
    tile_rows : int
        Pixels of a column that go through a pass before the next pass begins.

    Returns
    -------
    ColumnWeights
        The words, and their hold flags.
    """
    datapath = operands.datapath
    words = np.concatenate([pad_last(_streamed(operands, one), datapath.lanes) for one in passes])
    if not datapath.hold_flags:
        return ColumnWeights(words)
    together = min(tile_rows, rows)
    tiles = -(-rows // together)
    stream = Stream(
        port="weights",
        words=words,
        pass_starts=pass_starts([len(one.channels) for one in passes]),
        bits=datapath.weights.bits,
        repeats=tiles,
        pass_repeats=together,
        last_pass_repeats=rows - (tiles - 1) * together,
    )
    return ColumnWeights(words, load_flags(stream), hold_flags(stream))


def _streamed(operands: LayerOperands, one: Pass) -> NDArray[np.unsignedinteger]:
    segment = Segment(one.lanes, one.channels, one.negated)
    return streamed_codes(operands.weights[np.ix_(one.channels, one.lanes)], segment, operands.datapath.weights)
