"""A layer as an integer matrix product Y[M, N] = X[M, K] W[K, N]."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.formats.number_formats import StorageType
from fewflips.network.lowering import Lowering


@dataclass(frozen=True, eq=False)
class Layer:
    """One weighted operator of a quantized network.

    K indexes the weight tensor flattened in the file's own layout after the output axis: (kh, kw, ci) for a
    TFLite convolution, (ci, kh, kw) for an ONNX one, kernel positions alone for a depthwise one, points of time for
    the time weights of an SVDF operator.

    Parameters
    ----------
    name : str
        Unique within the network.
    operator : str
        The file's own operator: ``CONV_2D``, ``QLinearConv``, ``Conv`` (in QDQ form), ...
    weights : ndarray of int8, uint8 or int16, shape (N, K)
        The integers as stored; 4-bit weights are unpacked, one to a byte.
    weight_type : StorageType
        Width and signedness in the file.
    weight_zero_points : ndarray of int32, shape (N,)
        Zero point of each output channel.
    groups : int
        1 for a dense product; N (or a divisor of N) for a grouped one. Output channel n belongs to group
        ``n // (N // groups)``. A layer with one input channel a group is depthwise.
    m : int
        Rows of X in one inference: output pixels x batch.
    lowering : Lowering
        How X follows from the input tensor.
    weights_tensor : str
        Name of the constant that holds the weights.
    input_tensor : str or None
        Name of the integer tensor from which X is lowered, with its content after the operator; None where the
        activations are float in the file (quantized on the fly), so that they are not known as integers.
    activation_type : StorageType or None
        Type of `input_tensor`.
    activation_zero_point : int or None
        Zero point of `input_tensor`; None where it is chosen at run time.
    """

    name: str
    operator: str
    weights: NDArray[np.int8] | NDArray[np.uint8] | NDArray[np.int16] = field(repr=False)
    weight_type: StorageType
    weight_zero_points: NDArray[np.int32] = field(repr=False)
    groups: int
    m: int
    lowering: Lowering
    weights_tensor: str
    input_tensor: str | None = None
    activation_type: StorageType | None = None
    activation_zero_point: int | None = None

    @property
    def n(self) -> int:
        """Output channels."""
        return int(self.weights.shape[0])

    @property
    def k(self) -> int:
        """Reduction length of one output."""
        return int(self.weights.shape[1])

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of one inference."""
        return self.m * self.n * self.k

    @property
    def is_depthwise(self) -> bool:
        """Whether each output channel reads a single input channel of its own."""
        return self.groups > 1 and self.k == self.lowering.kernel_positions

    def __str__(self) -> str:
        return f"{self.name} ({self.operator}, M={self.m}, N={self.n}, K={self.k})"
