"""Views of the layers of torchao's quantization-aware training (tested with 0.18.0).

torchao's fake quantizers return only dequantized weights, so the views repeat their rounding; scales and zero points
come from torchao's own functions. torchao is not imported: a network with these layers has already loaded it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fewflips.training.weight_views.geometry import geometry
from fewflips.training.weight_views.view import UnsupportedLayerError, WeightView, exact_float


@dataclass(frozen=True, eq=False)
class TorchaoView(WeightView):
    """A layer whose weights an IntxFakeQuantizer rounds, with scales per output channel or per group of inputs."""

    @property
    def _quantizer(self) -> Any:
        return self.module.weight_fake_quantizer

    @property
    def scale_follows_weight(self) -> bool:
        """Whether torchao chooses the scales at every step (at the next one, for static scales not yet chosen)."""
        return bool(self._quantizer._should_compute_qparams())

    @property
    def symmetric(self) -> bool:
        """Whether the zero point is zero."""
        return bool(self._quantizer.config.is_symmetric)

    def _parameters(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point from torchao, shape (N, groups of inputs)."""
        quantizer, weight = self._quantizer, self.weight
        if not self.scale_follows_weight:
            return quantizer.scale, quantizer.zero_point
        config, utils = quantizer.config, sys.modules["torchao.quantization.utils"]
        choose = utils.get_group_qparams_symmetric if config.is_symmetric else utils.get_groupwise_affine_qparams
        with torch.no_grad():
            scale, zero_point = choose(
                weight, self.bits, _group_size(self.module, config), config.scale_precision, eps=config.eps
            )
        return scale, zero_point.to(config.zero_point_precision)

    def scale_and_offset(self) -> tuple[Tensor, Tensor | None]:
        """Scale and zero point from torchao, float, shape (R, 1); no offset if the zero point is zero."""
        scale, zero_point = (values.reshape(-1, 1) for values in self._parameters())
        if self.symmetric:
            return exact_float(scale), None
        if not _float_zero_point(self._quantizer.config):
            return exact_float(scale), exact_float(zero_point)
        return exact_float(scale), -exact_float(self._smallest(scale, zero_point)) / exact_float(scale)

    @torch.no_grad()
    def quantized(self) -> Tensor:
        """Rounding and clamping in torchao's order of operations and precision."""
        scale, zero_point = (values.reshape(-1, 1) for values in self._parameters())
        rows = self.weight.reshape(len(scale), -1)
        if _float_zero_point(self._quantizer.config):
            return torch.round((rows - self._smallest(scale, zero_point)) / scale).clamp(self.low, self.high)
        return (torch.round(rows * (1.0 / scale)) + zero_point).clamp(self.low, self.high)

    def _smallest(self, scale: Tensor, zero_point: Tensor) -> Tensor:
        """The weight of code 0: a zero point in the float domain is the weight in the middle of the range."""
        return zero_point - scale * ((self.high + self.low + 1) / 2)

    def _latent(self, scale: Tensor, offset: Tensor | None) -> Tensor:
        # torchao's symmetric scales put the largest weight between two codes: the last bit decides, as in `quantized`.
        rows = self.weight.reshape(len(scale), -1) * (1.0 / scale)
        return rows if offset is None else rows + offset


@dataclass(frozen=True, eq=False)
class TorchaoInt4View(WeightView):
    """A layer for torchao's int4 kernel with bfloat16 activations: a group's minimum and maximum become -8 and 7."""

    @property
    def scale_follows_weight(self) -> bool:
        """Always: torchao chooses the scales at every step."""
        return True

    @property
    def symmetric(self) -> bool:
        """Never."""
        return False

    def _parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of each group in float32, their minimum, and their scale."""
        config: Any = self.module.weight_fake_quantizer.config  # type: ignore[union-attr]
        rows = self.weight.to(torch.float32).reshape(-1, config.group_size)
        smallest, largest = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
        return rows, smallest, torch.clamp(largest - smallest, min=1e-6) / 15

    @torch.no_grad()
    def scale_and_offset(self) -> tuple[Tensor, Tensor]:
        """Scale and code of a weight of zero, float32, shape (R, 1)."""
        _, smallest, scale = self._parameters()
        return scale, self.low - smallest / scale

    @torch.no_grad()
    def quantized(self) -> Tensor:
        """Rounding and clamping in torchao's order of operations."""
        rows, smallest, scale = self._parameters()
        return torch.round((rows - smallest) / scale).clamp(0, 15) + self.low


def torchao_view(name: str, module: nn.Module) -> WeightView:
    """The view of a torchao FakeQuantizedLinear, or of a class derived from it.

    Raises
    ------
    UnsupportedLayerError
        If its weights are not rounded to integers of 2 to 8 bits, or its zero points are not whole numbers.
    """
    quantizer: Any = getattr(module, "weight_fake_quantizer", None)
    if quantizer is None or not quantizer.enabled:
        raise UnsupportedLayerError("its weights are not fake quantized to integers, or its fake quantizer is disabled")
    classes = {base.__name__ for base in type(quantizer).__mro__}
    if "Int4WeightFakeQuantizer" in classes and quantizer.config.activation_dtype == torch.bfloat16:
        return TorchaoInt4View(name, module, 4, -8, 7, *geometry(module))
    if "IntxFakeQuantizer" not in classes:
        raise UnsupportedLayerError(f"its weights are not rounded to integers alone ({quantizer.config})")
    primitives = sys.modules["torchao.quantization.quant_primitives"]
    config = quantizer.config
    low, high = primitives._DTYPE_TO_QVALUE_BOUNDS[config.dtype]
    bits = (high - low).bit_length()
    if not 2 <= bits <= 8:
        raise UnsupportedLayerError(f"its weights have {bits} bits, not 2 to 8")
    _check_granularity(module, config)
    _check_zero_point(quantizer)
    return TorchaoView(name, module, bits, low, high, *geometry(module))


def _check_granularity(module: nn.Module, config: Any) -> None:
    if type(config.granularity).__name__ not in ("PerAxis", "PerGroup"):
        raise UnsupportedLayerError(f"scales {config.granularity} are not per output channel or per group of inputs")
    size, inputs = _group_size(module, config), module.in_features
    assert isinstance(inputs, int)
    if inputs % size:
        raise UnsupportedLayerError(f"its {inputs} inputs are not a multiple of its groups of {size}")


def _check_zero_point(quantizer: Any) -> None:
    config = quantizer.config
    if config.range_learning and quantizer.scale is None:
        raise UnsupportedLayerError("its learned scales are not set; call initialize_fake_quantizers first")
    if config.zero_point_domain.name == "NONE":
        raise UnsupportedLayerError("torchao's fake quantizer has no forward pass without zero points")
    whole = config.is_symmetric or not config.zero_point_precision.is_floating_point
    if not _float_zero_point(config) and (not whole or (config.range_learning and not config.is_symmetric)):
        raise UnsupportedLayerError("its zero points are not whole numbers, so that its codes are not integers")


def _float_zero_point(config: Any) -> bool:
    return bool(config.zero_point_domain.name == "FLOAT")


def _group_size(module: nn.Module, config: Any) -> int:
    size = config.group_size if type(config.granularity).__name__ == "PerGroup" else module.in_features
    assert isinstance(size, int)
    return size
