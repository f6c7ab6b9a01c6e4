"""The weights or the bias of a layer as a matrix, made of a constant's bytes when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewflips.network.operand import Matrix
from fewflips.network.stored_bytes import StoredBytes
from fewflips.network.tflite.elements import codes


@dataclass(frozen=True)
class TFLiteMatrix:
    """Weights, or a bias, that a file holds.

    Parameters
    ----------
    stored : StoredBytes
        Their bytes.
    dtype : str
        The schema's name of their type: integers of at most 16 bits, or INT32 or INT64.
    shape : tuple of int
        Of the tensor.
    outputs_last : bool
        Whether output channels are the last axis, as in a depthwise convolution, rather than the first.
    """

    stored: StoredBytes
    dtype: str
    shape: tuple[int, ...]
    outputs_last: bool

    def __call__(self) -> Matrix:
        """Read them.

        Returns
        -------
        ndarray of int8, uint8, int16, int32 or int64, shape (N, K)
            Not to be written to.
        """
        tensor = codes(np.frombuffer(self.stored.read(), np.uint8), self.dtype, self.shape)
        if self.outputs_last:
            matrix = np.ascontiguousarray(tensor.reshape(-1, self.shape[-1]).T)
        else:
            matrix = tensor.reshape(self.shape[0], -1)
        matrix.setflags(write=False)
        return matrix
