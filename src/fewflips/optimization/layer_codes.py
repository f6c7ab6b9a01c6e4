"""The codes of a network's layers, made when they are asked for."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.codes import weight_codes


class LayerCodes:
    """The codes of one layer at a time: those of the layer asked for last are kept. Threads may share it.

    Parameters
    ----------
    array : Accelerator
        Its number format says what is on the wires.
    """

    def __init__(self, array: Accelerator) -> None:
        self._array = array
        self._lock = threading.Lock()
        self._layer: Layer | None = None
        self._codes: NDArray[np.unsignedinteger] | None = None

    def __call__(self, layer: Layer) -> NDArray[np.unsignedinteger]:
        """Codes of a layer's weights, uint8 or uint16, shape (N, K)."""
        with self._lock:
            if self._codes is None or self._layer is not layer:
                self._codes = None  # frees the last layer's before the next one's are made
                self._codes, self._layer = weight_codes(layer, self._array.weights).words, layer
            return self._codes
