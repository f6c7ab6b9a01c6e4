"""Keeps the scale of a quantizer that derives it from the extreme weights, while all other weights move.

Each function modifies `weights` in place. Common parameters, all of shape (R, M) for R runs of weights with one scale
each: the weights to write, the wanted codes, and the current weights with their latent codes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hold_peak(weights: Tensor, wanted: Tensor, present: Tensor, latent: Tensor, low: int, high: int) -> None:
    """Make one weight of each run keep the run's largest magnitude, of either sign, and none exceed it."""
    magnitude = present.abs()
    peak = magnitude.amax(1, keepdim=True)
    edge = latent.abs().amax(1, keepdim=True)
    fits_top = wanted == edge.round().clamp(low, high)
    fits_bottom = wanted == (-edge).round().clamp(low, high)
    torch.clamp(weights, -peak, peak, out=weights)
    extreme = magnitude == peak
    index = _best(fits_top | fits_bottom, extreme)
    sign = fits_top.to(peak.dtype) - (fits_bottom & ~fits_top).to(peak.dtype)
    chosen_sign = sign.gather(1, index)
    weights.scatter_(1, index, torch.where(chosen_sign == 0, present.gather(1, index), chosen_sign * peak))


def hold_range(weights: Tensor, wanted: Tensor, present: Tensor, latent: Tensor, low: int, high: int) -> None:
    """Make one weight of each run keep the run's smallest value, another the largest, and the rest lie between."""
    torch.clamp(weights, present.amin(1, keepdim=True), present.amax(1, keepdim=True), out=weights)
    taken = torch.zeros_like(wanted, dtype=torch.bool)
    for extreme, edge in (
        (present.amin(1, keepdim=True), latent.amin(1, keepdim=True)),
        (present.amax(1, keepdim=True), latent.amax(1, keepdim=True)),
    ):
        index = _best(wanted == edge.round().clamp(low, high), present == extreme, taken)
        weights.scatter_(1, index, extreme)
        taken.scatter_(1, index, torch.ones_like(index, dtype=torch.bool))


def _best(fits: Tensor, extreme: Tensor, taken: Tensor | None = None) -> Tensor:
    """Index (R, 1) of the weight that keeps the extreme: one with a matching code, preferably the extreme itself."""
    score = 2 * fits.to(torch.int8) + extreme.to(torch.int8)
    if taken is not None:
        score = score - 4 * taken.to(torch.int8)
    return score.argmax(1, keepdim=True)
