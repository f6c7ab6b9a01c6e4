"""A layer's product in PyTorch: in real numbers, of the file's integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D, OwnRows
from fewflips.training.distillation.errors import not_replayed


class ReplayedProduct:
    """The product of one layer, whose weights and bias are given each time.

    Weights are integers less their zero points, or real numbers in their place; a bias is in units of the integer
    product.

    Parameters
    ----------
    layer : Layer
        The layer.
    input_scale : float
        Real value of a step of its activations.
    bias : ndarray of float64, shape (N,), or None
        Its bias in real numbers.
    rounds_up : float
        Real value of a step of its output, where the runtime rounds twice and the output is never negative: to
        multiples of 2^-s of a step, and these half up, with 2^-(s+1) <= product / step < 2^-s (gemmlowp's fixed-point
        multiplier). That is as if 2^-(s+1) of a step were added; 0 for runtimes that round once.

    Attributes
    ----------
    layer : Layer
        The layer.
    weight : Tensor of float32, shape (N, K)
        The file's integers less their zero points.
    bias : Tensor of float32, shape (N,), or None
        The file's bias in units of the integer product.

    Raises
    ------
    InputError
        If the layer has no scale an output channel, or is no matrix product or convolution.
    """

    def __init__(
        self, layer: Layer, input_scale: float, bias: NDArray[np.float64] | None, rounds_up: float = 0.0
    ) -> None:
        scales = None if layer.right.scales is None else layer.right.scales.along(0, layer.right.shape)
        if scales is None or isinstance(layer.lowering, OwnRows) or not input_scale > 0:
            raise not_replayed(layer.operator, layer.name, "expected one scale an output channel and an input")
        self.layer = layer
        steps = np.broadcast_to(scales, (layer.n,)).astype(np.float64)
        product = np.maximum(steps * input_scale, np.finfo(np.float32).tiny)
        zero_points = layer.weight_zero_points.astype(np.int32)[:, None]
        self.weight = torch.tensor(layer.weights.astype(np.int32) - zero_points, dtype=torch.float32)
        self.bias = None if bias is None else torch.tensor(bias / product, dtype=torch.float32)
        self._scales = torch.tensor(steps, dtype=torch.float32)
        self._product = torch.tensor(product, dtype=torch.float32)
        self._offset = torch.tensor(_nudges(product, rounds_up), dtype=torch.float32)

    def __call__(self, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply.

        Parameters
        ----------
        values : Tensor of float32
            Activations in real numbers, in the file's layout; a batch along the first axis.
        weight : Tensor of float32, shape (N, K)
            Weights.
        bias : Tensor of float32, shape (N,), or None
            The bias.

        Returns
        -------
        Tensor of float32
            In the layout of the input: (B, H, W, N), (B, N, H, W), or (..., N).
        """
        weight = weight * self._scales[:, None]
        real_bias = self._offset if bias is None else bias * self._product + self._offset
        lowering = self.layer.lowering
        if isinstance(lowering, Convolution2D):
            return self._convolved(lowering, values, weight, real_bias)
        return functional.linear(values, weight, real_bias)

    def _convolved(self, lowering: Convolution2D, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        last = lowering.layout == "NHWC"
        if last:
            kernel = weight.reshape(self.layer.n, *lowering.kernel, -1).permute(0, 3, 1, 2)
            values = values.permute(0, 3, 1, 2)
        else:
            kernel = weight.reshape(self.layer.n, -1, *lowering.kernel)
        top, left, bottom, right = lowering.pads
        padding: Any = (top, left)
        if (top, left) != (bottom, right):
            values, padding = functional.pad(values, (left, right, top, bottom)), 0
        result = functional.conv2d(
            values, kernel, bias, lowering.strides, padding, lowering.dilations, self.layer.groups
        )
        return result.permute(0, 2, 3, 1) if last else result


def _nudges(product: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """What rounding twice adds, for each output channel."""
    if not step:
        return np.zeros_like(product)
    _, exponents = np.frexp(product / step)
    return step * np.exp2(np.minimum(exponents, 0) - 1.0)
