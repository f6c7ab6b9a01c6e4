"""A layer: an integer matrix product of activations and weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.formats.number_formats import StorageType
from fewflips.network.bias import Bias
from fewflips.network.lowering import Lowering
from fewflips.network.operand import ActivationOperand, ConstantOperand, HeldMatrix, Matrix
from fewflips.network.product import Product
from fewflips.network.quantization_values import QuantizationValues


@dataclass(frozen=True, eq=False)
class Layer(Product):
    """One weighted operator of a quantized network: a product Y[M, N] = X[M, K] W[K, N] whose W is a constant.

    K indexes the weight tensor flattened in the file's own layout after the output axis: (kh, kw, ci) for a
    TFLite convolution, (ci, kh, kw) for an ONNX one, kernel positions alone for a depthwise one, points of time for
    the time weights of an SVDF operator.

    Parameters
    ----------
    name : str
        Unique within the network.
    operator : str
        The file's own operator: ``CONV_2D``, ``QLinearConv``, ``Conv`` (in QDQ form), ...
    left : ActivationOperand
        X, of shape (M, K).
    right : ConstantOperand
        The weights, of shape (N, K).
    groups : int
        1 for a dense product; N (or a divisor of N) for a grouped one. Output channel n belongs to group
        ``n // (N // groups)``. A layer with one input channel a group is depthwise.
    bias : Bias or None
        What is added to its products; None where the operator has none.
    """

    left: ActivationOperand
    right: ConstantOperand
    bias: Bias | None = None

    @classmethod
    def of_array(
        cls,
        *,
        name: str,
        operator: str,
        weights: Matrix,
        weight_type: StorageType,
        weight_zero_points: NDArray[np.int32],
        groups: int,
        m: int,
        lowering: Lowering,
        weights_tensor: str,
        input_tensor: str | None = None,
        activation_type: StorageType | None = None,
        activation_zero_point: int | None = None,
    ) -> Layer:
        """A layer whose weights are in memory.

        Parameters
        ----------
        name, operator : str
            As of the layer.
        weights : ndarray of int8, uint8 or int16, shape (N, K)
            The integers as a file would store them, 4-bit ones one to a byte; they are not copied.
        weight_type : StorageType
            Their type.
        weight_zero_points : ndarray of int32, shape (N,)
            Zero point of each output channel.
        groups : int
            As of the layer.
        m : int
            Rows of X in one inference.
        lowering : Lowering
            How X follows from the input tensor.
        weights_tensor : str
            Name of the constant.
        input_tensor : str or None
            Name of the integer tensor; None where the activations are not integers.
        activation_type : StorageType or None
            Its type.
        activation_zero_point : int or None
            Its zero point; None where it is chosen at run time.

        Returns
        -------
        Layer
            The layer.
        """
        n, k = weights.shape
        activations = ActivationOperand((m, k), lowering, input_tensor, activation_type, activation_zero_point)
        zero_points = QuantizationValues.per_channel(weight_zero_points)
        constant = ConstantOperand(weights_tensor, (n, k), weight_type, zero_points, HeldMatrix(weights))
        return cls(name, operator, activations, constant, groups)

    @property
    def weights(self) -> Matrix:
        """The stored integers, an ndarray of int8, uint8 or int16, shape (N, K), read anew each time."""
        return self.right.load()

    @property
    def weight_type(self) -> StorageType:
        """Width and signedness of the weights in the file."""
        return self.right.storage

    @property
    def weight_zero_points(self) -> NDArray[np.int32]:
        """Zero point of each output channel, int32, shape (N,); those of elements are `right.element_zero_points()`.

        Raises
        ------
        InputError
            If zero points differ within an output channel.
        """
        values = self.right.zero_points.along(0, self.right.shape)
        if values is None:
            raise InputError(f"{self}: expected one zero point an output channel, got one a block of its weights")
        return values

    @property
    def weights_tensor(self) -> str:
        """Name of the constant that holds the weights."""
        return self.right.name

    @property
    def lowering(self) -> Lowering:
        """How X follows from the input tensor."""
        return self.left.lowering

    @property
    def input_tensor(self) -> str | None:
        """Name of the integer tensor from which X is lowered; None where the activations are float in the file."""
        return self.left.tensor

    @property
    def activation_type(self) -> StorageType | None:
        """Type of the input tensor."""
        return self.left.storage

    @property
    def activation_zero_point(self) -> int | None:
        """Zero point of the input tensor; None where it is chosen at run time."""
        return self.left.zero_point

    @property
    def is_depthwise(self) -> bool:
        """Whether each output channel reads a single input channel of its own."""
        return self.groups > 1 and self.k == self.lowering.kernel_positions
