"""A layer whose weights and bias are trained, and take the cheapest codes near them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.optimization.rounding.layer import RoundedLayer
from fewflips.training.distillation.products import ReplayedProduct


class TrainedLayer:
    """Latent weights and bias, and the codes that were assigned to them.

    The network computes with whole codes: latent weights, shifted so that they were the assigned codes when these were
    assigned, and rounded. Gradients pass straight through to the latent weights.

    Parameters
    ----------
    rounded : RoundedLayer
        Its codes and orders.
    product : ReplayedProduct
        Its product, with the weights and the bias to begin with.

    Attributes
    ----------
    rounded : RoundedLayer
        Its codes and orders.
    latent : Tensor of float32, shape (N, K)
        Latent weights: integers less their zero points, as real numbers.
    bias : Tensor of float32, shape (N,), or None
        What is added to the product's own bias, in units of the length of a row of activations; None where the file's
        bias cannot be replaced.
    """

    def __init__(self, rounded: RoundedLayer, product: ReplayedProduct) -> None:
        self.rounded, self._product = rounded, product
        storage = rounded.layer.weight_type
        self._zero_points = rounded.layer.weight_zero_points.astype(np.float32)[:, None]
        ends = torch.tensor(np.stack([storage.low - self._zero_points, storage.high - self._zero_points]))
        self._low, self._high = ends[0], ends[1]
        self.latent = product.weight.clone().requires_grad_()
        self.bias: Tensor | None = None
        if rounded.place.bias is not None and product.bias is not None:
            self.bias = torch.zeros_like(product.bias).requires_grad_()
        self._shift, self._bias_shift = torch.zeros_like(product.weight), torch.zeros(rounded.layer.n)

    def codes(self) -> tuple[Tensor, Tensor | None]:
        """Whole weights and the bias, as :class:`ReplayedProduct` takes them, with gradients."""
        shifted = self.latent + self._shift
        whole = shifted + (shifted.round().clamp(self._low, self._high) - shifted).detach()
        if self.bias is None or self._product.bias is None:
            return whole, self._product.bias
        return whole, self._product.bias + self.bias * self.rounded.norm + self._bias_shift

    def assign(self, price: float) -> None:
        """Give the latent weights their cheapest codes.

        Parameters
        ----------
        price : float
            What a unit of cost is worth in square error of the network's outputs.
        """
        bias = self._trained_bias()
        latent = self.latent.detach().numpy() + self._zero_points
        self.rounded.aim(latent, self.rounded.place.bias if bias is None else bias)
        self.rounded.descend(price)
        self.begin()

    def begin(self) -> None:
        """Compute with the codes that the layer has now, and with the bias that goes with them."""
        bias = self._trained_bias()
        new = self.rounded.new_codes()
        self._shift = torch.tensor(new.weights - self._zero_points, dtype=torch.float32) - self.latent.detach()
        if bias is not None and new.bias is not None:
            self._bias_shift = torch.tensor((new.bias - bias) / self.rounded.place.bias_steps, dtype=torch.float32)

    def _trained_bias(self) -> NDArray[np.float64] | None:
        """The bias as it is trained now, in steps of the file's."""
        if self.bias is None or self._product.bias is None:
            return None
        trained = self._product.bias + self.bias.detach() * self.rounded.norm
        steps: NDArray[np.float64] = trained.numpy().astype(np.float64) * self.rounded.place.bias_steps
        return steps
