"""Views of Brevitas layers (tested with 0.13.4).

The proxy `weight_quant` of a layer holds a module that computes bit width, scale, zero point and, from them, the
codes. A view calls the parts that return scale and zero point, so that the scales are Brevitas' own, and none of
its straight-through rounding. Brevitas is not imported: its modules are recognized by their class names, which also
works for its compiled modules (BREVITAS_JIT=1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fewflips.training.weight_views.geometry import geometry
from fewflips.training.weight_views.view import UnsupportedLayerError, WeightView, exact_float

_STORED = ("ConstScaling", "ParameterScaling", "ParameterFromStatsFromParameterScaling")
_DERIVED = ("StatsFromParameterScaling", "RuntimeDynamicGroupStatsScaling")
_STORED_ZERO = ("ZeroZeroPoint", "ParameterZeroPoint", "ParameterFromStatsFromParameterZeroPoint")
_DERIVED_ZERO = ("StatsFromParameterZeroPoint", "RuntimeDynamicGroupZeroPoint")


@dataclass(frozen=True, eq=False)
class BrevitasView(WeightView):
    """A Brevitas layer; learned scales and zero points stay in the graph, derived ones are detached."""

    @property
    def _quantizer(self) -> Any:
        return self.module.weight_quant.tensor_quant  # type: ignore[union-attr]

    @property
    def scale_follows_weight(self) -> bool:
        """Whether scale or zero point are statistics of the weights (otherwise they are parameters)."""
        quantizer = self._quantizer
        return _kind(quantizer.scaling_impl) in _DERIVED or _kind(quantizer.zero_point_impl) in _DERIVED_ZERO

    @property
    def symmetric(self) -> bool:
        """Whether the zero point is zero."""
        return _kind(self._quantizer.zero_point_impl) == "ZeroZeroPoint"

    def _parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        quantizer, weight = self._quantizer, self.weight
        bit_width = quantizer.msb_clamp_bit_width_impl()
        with torch.set_grad_enabled(torch.is_grad_enabled() and _kind(quantizer.scaling_impl) in _STORED):
            scale = quantizer.scaling_impl(weight, quantizer.int_scaling_impl(bit_width))
        with torch.set_grad_enabled(torch.is_grad_enabled() and _kind(quantizer.zero_point_impl) in _STORED_ZERO):
            zero_point = quantizer.zero_point_impl(weight, scale, bit_width)
        return scale, zero_point, bit_width

    def scale_and_offset(self) -> tuple[Tensor, Tensor | None]:
        """Brevitas' scale and zero point, float, shape (R, 1); no offset if the zero point is zero."""
        scale, zero_point, _ = self._parameters()
        return exact_float(scale).reshape(-1, 1), None if self.symmetric else exact_float(zero_point).reshape(-1, 1)

    @torch.no_grad()
    def quantized(self) -> Tensor:
        """Brevitas' own rounding and clamping."""
        scale, zero_point, bit_width = self._parameters()
        codes: Tensor = self._quantizer.int_quant.to_int(scale, zero_point, bit_width, self.weight)
        return codes


def brevitas_view(name: str, module: nn.Module) -> BrevitasView:
    """The view of a Brevitas layer.

    Raises
    ------
    UnsupportedLayerError
        If its weights are not rounded to the nearest code of 2 to 8 bits, with a scale that is a constant, a
        parameter, or a statistic of the weights, per tensor, per output channel, or per group of a linear layer.
    """
    proxy: Any = module.weight_quant
    if not proxy.is_quant_enabled:
        raise UnsupportedLayerError("its weight quantizer is disabled")
    quantizer = proxy.tensor_quant
    if _kind(quantizer) != "RescalingIntQuant":
        raise UnsupportedLayerError(f"its quantizer {_kind(quantizer)} is not Brevitas' integer quantizer")
    _require(quantizer.int_quant.float_to_int_impl, ("RoundSte", "DPURoundSte"), "rounding")
    _require(quantizer.msb_clamp_bit_width_impl, ("BitWidthConst", "BitWidthStatefulConst"), "bit width")
    _require(quantizer.scaling_impl, _STORED + _DERIVED, "scale")
    _require(quantizer.zero_point_impl, _STORED_ZERO + _DERIVED_ZERO, "zero point")
    bit_width = quantizer.msb_clamp_bit_width_impl()
    bits = int(bit_width.item())
    if not 2 <= bits <= 8:
        raise UnsupportedLayerError(f"its weights have {bits} bits, not 2 to 8")
    groups, kernel_positions = geometry(module)
    if proxy.is_groupwise:
        _require_whole_groups(module, proxy.group_size)
    low, high = (int(bound(bit_width).item()) for bound in (quantizer.int_quant.min_int, quantizer.int_quant.max_int))
    return BrevitasView(name, module, bits, low, high, groups, kernel_positions)


def _kind(module: Any) -> str:
    """Name of a module's class, even if TorchScript has compiled it."""
    return str(getattr(module, "original_name", type(module).__name__))


def _require(module: nn.Module, kinds: tuple[str, ...], role: str) -> None:
    if _kind(module) not in kinds:
        raise UnsupportedLayerError(f"its {role} ({_kind(module)}) is none of {', '.join(kinds)}")


def _require_whole_groups(module: nn.Module, group_size: int) -> None:
    if not isinstance(module, nn.Linear):
        raise UnsupportedLayerError("scales per group of a convolution's channels are not read")
    if module.in_features % group_size:
        raise UnsupportedLayerError(f"its {module.in_features} inputs are not a multiple of its groups of {group_size}")
