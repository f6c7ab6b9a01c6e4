"""Layers with fake-quantized weights and activations, for quantization-aware training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fewflips.errors import InputError
from fewflips.training.networks.blocks import ActivationFunction
from fewflips.training.quantization.fake_quantization import QuantizedActivation, QuantizedWeights
from fewflips.training.quantization.weight_scales import MIN_WEIGHT_SCALE, weight_scale

LEVELS = 255
"""Activations are uint8 codes 0..255."""

RANGE_MOMENTUM = 0.02
"""Weight of one step's smallest and largest value in the moving averages."""

CEILINGS: Mapping[ActivationFunction, float] = {"none": math.inf, "relu": math.inf, "relu6": 6.0}
"""Largest value after each activation function."""


class ActivationQuantizer(nn.Module):
    """Fake uint8 quantization, per tensor and affine; the range is a moving average of smallest and largest value.

    An activation function before the quantizer is absorbed: the range is limited to the function's, and the quantizer's
    saturation does the clipping, in training as in the exported model. The range is observed in training mode until it
    is frozen.

    Parameters
    ----------
    function : {"none", "relu", "relu6"}
        The activation function to absorb.
    observe_every : int
        Steps between two observations.

    Attributes
    ----------
    low, high : Tensor of float32
        Ends of the range, shape (); NaN until the first observation.
    frozen : bool
        Whether the range is fixed.
    observe_every : int
        Steps between two observations.
    headroom : float
        Factor by which the grid exceeds the range; see :meth:`widen`.
    """

    low: Tensor
    high: Tensor

    def __init__(self, function: ActivationFunction = "none", observe_every: int = 1) -> None:
        super().__init__()
        self.function: ActivationFunction = function
        self.observe_every = observe_every
        self.frozen = False
        self.headroom = 1.0
        self._steps = 0
        self._grid: tuple[float, float, float, float] | None = None
        self.register_buffer("low", torch.tensor(math.nan))
        self.register_buffer("high", torch.tensor(math.nan))

    @property
    def observing(self) -> bool:
        """Whether the next forward pass may move the range."""
        return self.training and not self.frozen

    def start(self, low: float, high: float) -> None:
        """Start with this range, as if it had been observed.

        Parameters
        ----------
        low, high : float
            Its ends, low <= 0 <= high.

        Raises
        ------
        InputError
            If the range is empty or does not contain 0.
        """
        if not (math.isfinite(low) and math.isfinite(high) and low <= 0 <= high and low < high):
            raise InputError(f"activation range: expected low <= 0 <= high and low < high, got {low} to {high}")
        self.low.fill_(low)
        self.high.fill_(high)
        self._steps, self._grid = max(self._steps, 1), None

    def fix(self, low: float, high: float) -> ActivationQuantizer:
        """Use exactly this range from now on: like :meth:`start`, but frozen.

        Returns
        -------
        ActivationQuantizer
            The quantizer itself.
        """
        self.start(low, high)
        self.frozen = True
        return self

    def widen(self, headroom: float) -> None:
        """Extend the grid beyond the range, so that codes stay small and fewer of their bits are 1, or flip.

        A code loses log2(headroom) bits of precision. If values can also be negative, the code of 0 is placed where the
        codes around it have the fewest ones.

        Parameters
        ----------
        headroom : float
            Ratio of the grid's width to the range's, 1 or more.

        Raises
        ------
        InputError
            If it is less than 1 or more than 64.
        """
        if not 1 <= headroom <= 64:
            raise InputError(f"headroom of activations: expected 1 to 64, got {headroom}")
        self.headroom, self._grid = headroom, None

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Move the range towards the smallest and the largest value of a tensor (of any shape)."""
        low, high = torch.zeros_like(self.low), x.amax().clamp(min=1e-3, max=CEILINGS[self.function])
        if self.function == "none":
            low = x.amin().clamp(max=0.0)
        if self._steps == 0:
            self.low.copy_(low)
            self.high.copy_(high)
        else:
            momentum = 1.0 - (1.0 - RANGE_MOMENTUM) ** self.observe_every
            self.low.lerp_(low, momentum)
            self.high.lerp_(high, momentum)
        self._grid = None

    def scale_and_zero_point(self) -> tuple[Tensor, Tensor]:
        """Step of the grid and the code of 0.

        Returns
        -------
        scale : Tensor of float32
            Shape ().
        zero_point : Tensor of int32
            Shape (), 0 to 255.
        """
        scale = (self.high - self.low) * self.headroom / LEVELS
        zero_point = torch.round(-self.low / scale).clamp(0, LEVELS)
        if self.headroom > 1 and bool(zero_point > 0):
            highest = LEVELS - int(torch.round(self.high / scale))
            zero_point = torch.tensor(sparse_zero_point(int(zero_point), highest))
        return scale, zero_point.to(torch.int32)

    def forward(self, x: Tensor) -> Tensor:
        """Round values of any shape to the nearest ones on the grid, float32.

        Raises
        ------
        InputError
            If the range was neither observed nor fixed.
        """
        x = x.float()
        if self.observing:
            if self._steps % self.observe_every == 0:
                self.observe(x)
            self._steps += 1
        return QuantizedActivation.apply(x, *self.grid)

    @property
    def grid(self) -> tuple[float, float, float, float]:
        """Scale, its reciprocal in float32, lowest and highest multiple, as Python numbers.

        Raises
        ------
        InputError
            If the range was neither observed nor fixed.
        """
        if self._grid is None:
            self._grid = self._read_grid()
        return self._grid

    @property
    def step(self) -> float:
        """Scale of the grid, as a Python number."""
        return self.grid[0]

    @torch.no_grad()
    def _read_grid(self) -> tuple[float, float, float, float]:
        if self._steps == 0:
            raise InputError("activation range: none was observed yet; run calibrate() before the network is used")
        scale, zero_point = self.scale_and_zero_point()
        if not torch.isfinite(scale):  # NaN activations propagate to the loss, where they are reported
            return math.nan, math.nan, 0.0, float(LEVELS)
        zero = int(zero_point)
        return float(scale), float(1.0 / scale), float(-zero), float(LEVELS - zero)

    def get_extra_state(self) -> Tensor:
        """Steps seen, whether the range is frozen, and the headroom, for checkpoints: float64, shape (3,)."""
        return torch.tensor([self._steps, int(self.frozen), self.headroom], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the result of :meth:`get_extra_state`."""
        known = isinstance(state, Tensor) and state.dtype == torch.float64 and state.shape == (3,)
        if not known or not bool(torch.isfinite(state).all()) or bool((state < 0).any()):
            raise ValueError("activation range: expected steps, whether it is frozen, and headroom, got something else")
        self._steps, self.frozen, self.headroom = int(state[0]), bool(state[1]), float(state[2])
        self._grid = None


def sparse_zero_point(lowest: int, highest: int) -> int:
    """Code of 0 with the fewest ones around it.

    Parameters
    ----------
    lowest, highest : int
        Limits of the code, so that the range fits into the codes 0 to 255 on both sides.

    Returns
    -------
    int
        The code of 0 that gives the fewest ones on average over a normal distribution whose standard deviation is a
        quarter of the range's wider side.
    """
    deviation = max(lowest, LEVELS - highest) / 4
    codes = np.arange(LEVELS + 1)
    ones = np.bitwise_count(codes.astype(np.uint8))
    candidates = np.arange(lowest, max(highest, lowest) + 1)
    shares = np.exp(-0.5 * ((codes[None, :] - candidates[:, None]) / max(deviation, 0.5)) ** 2)
    return int(candidates[np.argmin((shares * ones).sum(axis=1) / shares.sum(axis=1))])


class QuantizedWeight(nn.Module):
    """A weight and bias with fake quantization: symmetric, one scale per output channel.

    Parameters
    ----------
    weight : Tensor of float32
        Shape (N, C / groups, kernel height, kernel width) or (N, K).
    bias : Tensor of float32
        Shape (N,).
    bits : int
        Bits of a code, 2 to 8.
    learned_scales : bool
        Whether the scales are parameters (learned step size) or fixed.

    Attributes
    ----------
    weight, bias : nn.Parameter
        The latent weights, as above.
    weight_scale : Tensor or nn.Parameter of float32
        Shape (N,).
    bits, peak : int
        Bits of a code; the largest one, 2**(bits - 1) - 1.
    code_shift : Tensor of float32 or None
        Added to the codes before rounding; the shape of `weight`.
    """

    weight_scale: Tensor
    code_shift: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor, bits: int = 8, learned_scales: bool = False) -> None:
        super().__init__()
        if not 2 <= bits <= 8:
            raise InputError(f"bits of a weight: expected 2 to 8, got {bits}")
        self.bits = bits
        self.peak = 2 ** (bits - 1) - 1
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self._before: tuple[ActivationQuantizer, ...] = ()  # a tuple, so that it is not a submodule
        scale = weight_scale(weight.detach(), bits)
        if learned_scales:
            self.weight_scale = nn.Parameter(scale)
        else:
            self.register_buffer("weight_scale", scale)
        self.register_buffer("code_shift", None)

    def codes(self) -> Tensor:
        """Latent codes: weight / scale, neither shifted, rounded nor clipped; float32, the weight's shape."""
        return self.weight / self._columns()

    def fake_quantized(self) -> Tensor:
        """Values used in the layer's product: rounded and clipped codes times scale; float32, the weight's shape."""
        if isinstance(self.weight_scale, nn.Parameter):
            with torch.no_grad():
                self.weight_scale.clamp_(min=MIN_WEIGHT_SCALE)  # an optimizer step may have gone too far
        return QuantizedWeights.apply(self.weight, self.weight_scale, self.code_shift, self.peak)

    def connect(self, before: ActivationQuantizer) -> None:
        """Set the quantizer of the layer's input; biases are then rounded to multiples of its scale."""
        self._before = (before,)

    @property
    def input_quantizer(self) -> ActivationQuantizer | None:
        """The quantizer of the layer's input; None if :meth:`connect` was not called."""
        return self._before[0] if self._before else None

    @property
    def input_scale(self) -> float | None:
        """Scale of the layer's input; None if :meth:`connect` was not called."""
        return self._before[0].step if self._before else None

    def fake_quantized_bias(self) -> Tensor:
        """Bias as in the exported model: whole multiples of input scale * weight scale; float32, shape (N,)."""
        step = self.input_scale
        if step is None:
            return self.bias
        with torch.no_grad():
            scale = self.weight_scale * step
            error = (self.bias / scale).round_().mul_(scale).sub_(self.bias)
        return self.bias + error

    @torch.no_grad()
    def integer_codes(self) -> Tensor:
        """Integers that the export writes; int8, the weight's shape."""
        codes = self.codes() if self.code_shift is None else self.codes() + self.code_shift
        return codes.round_().clamp_(-self.peak, self.peak).to(torch.int8)

    def extra_repr(self) -> str:
        """Shape and bits, for print()."""
        return f"{list(self.weight.shape)}, bits={self.bits}"

    def _columns(self) -> Tensor:
        return self.weight_scale.view(-1, *[1] * (self.weight.ndim - 1))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Allocate or drop the code shift, depending on whether the checkpoint has one."""
        if f"{prefix}code_shift" not in state_dict:
            self.code_shift = None
        elif self.code_shift is None:
            self.code_shift = torch.empty_like(self.weight.detach())
        super()._load_from_state_dict(state_dict, prefix, *args)


class QuantizedConv(QuantizedWeight):
    """A convolution with quantized weights and a quantized output.

    Parameters
    ----------
    weight, bias, bits, learned_scales
        As in :class:`QuantizedWeight`.
    stride, padding : tuple of int
        Vertical and horizontal values.
    groups : int
        Groups of channels.
    function : {"none", "relu", "relu6"}
        The activation function absorbed by the output's range.
    observe_every : int
        As in :class:`ActivationQuantizer`.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        bits: int = 8,
        learned_scales: bool = False,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        groups: int = 1,
        function: ActivationFunction = "none",
        observe_every: int = 1,
    ) -> None:
        super().__init__(weight, bias, bits, learned_scales)
        self.stride, self.padding, self.groups = stride, padding, groups
        self.output = ActivationQuantizer(function, observe_every)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) to (B, N, H', W'), float32."""
        weight, bias = self.fake_quantized(), self.fake_quantized_bias()
        x = functional.conv2d(x, weight, bias, self.stride, self.padding, groups=self.groups)
        return self.output(x)


class QuantizedLinear(QuantizedWeight):
    """A fully connected layer with quantized weights; its output, the logits, remains float."""

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, K) to logits (B, N), float32."""
        return functional.linear(x, self.fake_quantized(), self.fake_quantized_bias())


def quantized_weights(network: nn.Module) -> dict[str, QuantizedWeight]:
    """Layers with quantized weights, in forward order.

    Parameters
    ----------
    network : nn.Module
        A network from :func:`~fewflips.training.quantization.quantize.quantize`.

    Returns
    -------
    dict of str to QuantizedWeight
        Layers by their names in the exported model.
    """
    return {name: module for name, module in network.named_modules() if isinstance(module, QuantizedWeight)}
