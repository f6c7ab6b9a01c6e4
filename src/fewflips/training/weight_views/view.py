"""The interface of all views of a layer's weights: latent codes, integer codes, and their assignment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewflips.errors import InputError
from fewflips.training.weight_views.anchors import hold_peak, hold_range


class UnsupportedLayerError(Exception):
    """A layer has no view; the text says why."""


@dataclass(frozen=True, eq=False)
class WeightView(ABC):
    """One weighted layer, seen as integers.

    N is the number of output channels and K the number of weights of each; K runs over (input channel, kernel
    row, kernel column), the layout of ONNX.

    Parameters
    ----------
    name : str
        Dotted name of the module in its network.
    module : torch.nn.Module
        The layer.
    bits : int
        Width of the integer codes, 2 to 8.
    low, high : int
        Smallest and largest code, e.g. -127 and 127.
    groups : int
        Groups of the convolution; 1 for a linear layer.
    kernel_positions : int
        Positions of the convolution's kernel; 1 for a linear layer.
    """

    name: str
    module: nn.Module
    bits: int
    low: int
    high: int
    groups: int
    kernel_positions: int

    @property
    def weight(self) -> nn.Parameter:
        """The layer's trainable weights."""
        weight = self.module.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K)."""
        weight = self.weight
        return weight.shape[0], weight[0].numel()

    @property
    @abstractmethod
    def scale_follows_weight(self) -> bool:
        """Whether the quantizer derives its scale from the weights at every step."""

    @property
    def symmetric(self) -> bool:
        """Whether a derived scale depends on the largest magnitude only (not on minimum and maximum)."""
        return True

    @abstractmethod
    def scale_and_offset(self) -> tuple[Tensor, Tensor | None]:
        """Parameters of the quantizer: code = weight / scale + offset.

        Returns
        -------
        scale, offset : torch.Tensor
            float32 or float64, shape (R, 1) for R runs of weights with one scale each (1, N, or a multiple of N);
            no offset means 0. Detached if the quantizer derives them from the weights.
        """

    @abstractmethod
    def quantized(self) -> Tensor:
        """The weights as rounded by the quantizer's own forward pass.

        Returns
        -------
        torch.Tensor
            Floating point, whole numbers, N * K of them in the order of the weights; no gradient.
        """

    def latent_codes(self) -> Tensor:
        """Codes before rounding and clamping.

        Returns
        -------
        torch.Tensor
            float32 (float64 for float64 weights), shape (N, K), differentiable with respect to the layer's
            weights, and to scales that the layer learns.
        """
        return self._latent(*self.scale_and_offset()).reshape(self.shape)

    @torch.no_grad()
    def integer_codes(self) -> Tensor:
        """The codes that the quantizer's own forward pass uses.

        Returns
        -------
        torch.Tensor
            int16, shape (N, K).

        Raises
        ------
        InputError
            If a weight is not finite.
        """
        codes = self.quantized().reshape(self.shape)
        if not (_is_finite(self.weight) and _is_finite(codes)):
            raise InputError(
                f"layer {self.name}: expected finite weights, got NaN or infinity in its {tuple(self.weight.shape)} "
                "weights; go back to the last good checkpoint, and lower the learning rate"
            )
        return codes.to(torch.int16)

    @torch.no_grad()
    def assign_codes(self, codes: Tensor) -> int:
        """Write the weights that the quantizer rounds to the given codes, in place.

        The scale does not change. If the quantizer derives it from the largest weight (or from the smallest and the
        largest) of a run of weights, one weight of the run must stay at that extreme: one that is given the extreme's
        code if there is any, else the extreme weight itself, whose code then differs from the given one. Scales from
        other statistics (percentiles, least squared error) may move and change further codes.

        Parameters
        ----------
        codes : torch.Tensor
            Any type, shape (N, K), whole numbers from `low` to `high`.

        Returns
        -------
        int
            How many weights the quantizer now rounds to a code other than the given one.

        Raises
        ------
        InputError
            If the codes have another shape, or are not whole numbers in that range.
        """
        wanted = self._checked(codes)
        scale, offset = self.scale_and_offset()
        rows = wanted.to(scale.dtype).reshape(len(scale), -1)
        weights = (rows if offset is None else rows - offset) * scale
        if self.scale_follows_weight:
            hold = hold_peak if self.symmetric else hold_range
            present = self.weight.reshape(len(scale), -1).to(scale.dtype)
            hold(weights, rows, present, self._latent(scale, offset), self.low, self.high)
        self.weight.copy_(weights.reshape(self.weight.shape))
        return int((self.integer_codes() != wanted).sum())

    def _latent(self, scale: Tensor, offset: Tensor | None) -> Tensor:
        rows = self.weight.reshape(len(scale), -1) / scale
        return rows if offset is None else rows + offset

    def _checked(self, codes: Tensor) -> Tensor:
        if tuple(codes.shape) != self.shape:
            raise InputError(f"layer {self.name}: expected codes of shape {self.shape}, got {tuple(codes.shape)}")
        codes = codes.detach().to(self.weight.device)
        whole = codes.to(torch.int16)
        if not (whole == codes).all() or whole.min() < self.low or whole.max() > self.high:
            raise InputError(
                f"layer {self.name}: expected codes that are whole numbers from {self.low} to {self.high}, got "
                f"{codes.min().item()} to {codes.max().item()}; round and clamp them first"
            )
        return whole


def exact_float(values: Tensor) -> Tensor:
    """Half-precision values in float32, since they cannot hold codes of 8 bits with fractions."""
    return values if values.dtype == torch.float64 else values.float()


def _is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite, without copying the values."""
    return bool(torch.stack(torch.aminmax(values)).isfinite().all())
