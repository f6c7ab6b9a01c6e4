"""The words of a network's segments, made when they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.codes import weight_codes


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
        self._lock = threading.Lock()
        self._layer: Layer | None = None
        self._codes: NDArray[np.unsignedinteger] | None = None

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
        return dataflow_of(self._array).segment_words(self._codes_of(layer), segment)

    def _codes_of(self, layer: Layer) -> NDArray[np.unsignedinteger]:
        with self._lock:
            if self._codes is None or self._layer is not layer:
                self._codes = None  # frees the last layer's before the next one's are made
                self._codes, self._layer = weight_codes(layer, self._array.weights).words, layer
            return self._codes
