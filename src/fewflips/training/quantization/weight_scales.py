"""Scales of quantized weights, one per output channel."""

from __future__ import annotations

import torch
from torch import Tensor

MIN_WEIGHT_SCALE = 1e-6


@torch.no_grad()
def weight_scale(weight: Tensor, bits: int) -> Tensor:
    """Scale of each output channel's codes.

    With 8 bits the largest magnitude gets the largest code. With fewer bits the scale minimizes the squared error: it
    is the best of 128 multiples (0.1 to 1.3) of that scale, each refined by least squares for fixed codes.

    Parameters
    ----------
    weight : Tensor of float32
        Shape (N, ...).
    bits : int
        Bits of a code, 2 to 8.

    Returns
    -------
    Tensor of float32
        Shape (N,), at least 1e-6.
    """
    peak = 2 ** (bits - 1) - 1
    rows = weight.flatten(1)
    widest = (rows.abs().amax(1) / peak).clamp(min=MIN_WEIGHT_SCALE)
    if bits == 8:
        return widest
    best, least = widest, _squared_error(rows, widest, peak)
    for fraction in torch.linspace(0.1, 1.3, 128).tolist():
        scale = (widest * fraction).clamp(min=MIN_WEIGHT_SCALE)
        for candidate in (scale, _fitted(rows, scale, peak)):
            error = _squared_error(rows, candidate, peak)
            best = torch.where(error < least, candidate, best)
            least = torch.minimum(error, least)
    return best


def _rounded(rows: Tensor, scale: Tensor, peak: int) -> Tensor:
    return (rows / scale[:, None]).round_().clamp_(-peak, peak)


def _squared_error(rows: Tensor, scale: Tensor, peak: int) -> Tensor:
    return (_rounded(rows, scale, peak) * scale[:, None] - rows).square().sum(1)


def _fitted(rows: Tensor, scale: Tensor, peak: int) -> Tensor:
    """Scale of least squared error for the codes given by another scale."""
    codes = _rounded(rows, scale, peak)
    power = codes.square().sum(1)
    fitted = (codes * rows).sum(1) / power.clamp(min=1.0)
    return torch.where(power > 0, fitted.clamp(min=MIN_WEIGHT_SCALE), scale)
