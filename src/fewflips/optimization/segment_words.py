"""The words of a network's segments, made when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.optimization.layer_codes import LayerCodes


class SegmentWords(Sequence[NDArray[np.unsignedinteger]]):
    """A sequence with the words of each segment, which holds the codes of one layer at a time.

    The codes of the layer asked for last are kept, so that a walk through the segments encodes each layer once.
    Threads may share it.

    Parameters
    ----------
    array : Accelerator
        Its dataflow says which weights a word has, its number format what is on the wires.
    segments : sequence of (Layer, Segment)
        Each segment with the layer that it belongs to.
    """

    def __init__(self, array: Accelerator, segments: Sequence[tuple[Layer, Segment]]) -> None:
        self._array = array
        self._segments = segments
        self._codes = LayerCodes(array)

    def __len__(self) -> int:
        return len(self._segments)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.unsignedinteger]: ...

    @overload
    def __getitem__(self, index: slice) -> SegmentWords: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.unsignedinteger] | SegmentWords:
        if isinstance(index, slice):
            return SegmentWords(self._array, self._segments[index])
        layer, segment = self._segments[index]
        return dataflow_of(self._array).segment_words(self._codes(layer), segment)
