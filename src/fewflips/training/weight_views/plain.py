"""Views of plain PyTorch layers, which have no quantizer: the usual symmetric one per output channel is assumed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewflips.training.weight_views.geometry import geometry
from fewflips.training.weight_views.view import UnsupportedLayerError, WeightView, exact_float


@dataclass(frozen=True, eq=False)
class PlainView(WeightView):
    """A plain layer: per output channel, the largest magnitude becomes the largest code.

    A channel with only zero weights gets the scale 1, so that no gradient is infinite; its codes are zero. Folding a
    BatchNorm into the layer later scales whole channels, which leaves the codes unchanged except for the sign of
    channels whose BatchNorm weight is negative.
    """

    @property
    def scale_follows_weight(self) -> bool:
        """Always: a plain layer stores no scale."""
        return True

    @torch.no_grad()
    def scale_and_offset(self) -> tuple[Tensor, None]:
        """Largest magnitude of each channel over the largest code, float, shape (N, 1); no offset."""
        rows = self.weight.flatten(1)
        # Two reductions without a copy: several times faster than abs() or a vector norm.
        peak = exact_float(torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True)))
        return torch.where(peak > 0, peak / self.high, 1.0), None

    @torch.no_grad()
    def quantized(self) -> Tensor:
        """Rounded to the nearest code, ties to even."""
        return self.latent_codes().round_().clamp_(self.low, self.high)


def plain_view(name: str, module: nn.Module, bits: int) -> PlainView:
    """The view of a plain layer at an assumed number of bits.

    Raises
    ------
    UnsupportedLayerError
        If the layer has one of PyTorch's own quantizers (torch.ao.nn.qat), whose scale would differ from the assumed.
    """
    if hasattr(module, "weight_fake_quant"):
        raise UnsupportedLayerError(
            f"{type(module).__name__} of torch.ao.nn.qat is not read; prepare the network with torchao or Brevitas"
        )
    peak = 2 ** (bits - 1) - 1
    return PlainView(name, module, bits, -peak, peak, *geometry(module))
