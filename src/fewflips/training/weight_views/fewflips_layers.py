"""Views of fewflips' own quantized layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewflips.training.quantization.quantized_layers import QuantizedWeight
from fewflips.training.weight_views.geometry import geometry
from fewflips.training.weight_views.view import WeightView


@dataclass(frozen=True, eq=False)
class FewflipsView(WeightView):
    """A quantized layer of fewflips; its latent codes exclude its code shift, its integer codes include it."""

    module: QuantizedWeight

    @property
    def scale_follows_weight(self) -> bool:
        """Never: the scale is fixed or learned."""
        return False

    def scale_and_offset(self) -> tuple[Tensor, None]:
        """Scale of each channel, float32, shape (N, 1); no offset."""
        return self.module.weight_scale.reshape(-1, 1), None

    def latent_codes(self) -> Tensor:
        """The layer's own codes, float32, shape (N, K)."""
        return self.module.codes().reshape(self.shape)

    @torch.no_grad()
    def quantized(self) -> Tensor:
        """The codes that the export writes."""
        return self.module.integer_codes().float()

    @torch.no_grad()
    def assign_codes(self, codes: Tensor) -> int:
        """Write the weights of the given codes, in place, and drop the code shift; see :class:`WeightView`."""
        self._checked(codes)
        self.module.code_shift = None
        return super().assign_codes(codes)


def fewflips_view(name: str, module: QuantizedWeight) -> FewflipsView:
    """The view of a quantized layer of fewflips."""
    return FewflipsView(name, module, module.bits, -module.peak, module.peak, *geometry(module))
