"""Converts pixels to network inputs, with random crops and flips in training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fewflips.training.config import AugmentationOptions

_GREY = 128  # zero to the network


def to_input(images: Tensor) -> Tensor:
    """Pixels in [-1, 1): (pixel - 128) / 128, which the quantizer of the input represents exactly.

    Parameters
    ----------
    images : Tensor of uint8, shape (count, height, width, channels)
        Pixels.

    Returns
    -------
    Tensor of float32, shape (count, channels, height, width)
        In channels-last memory order.
    """
    return (images.permute(0, 3, 1, 2).float() - 128.0) / 128.0


def augment(images: Tensor, options: AugmentationOptions, generator: torch.Generator) -> Tensor:
    """Random crop of the padded image, then random flip.

    Parameters
    ----------
    images : Tensor of uint8, shape (count, height, width, channels)
        Pixels.
    options : AugmentationOptions
        How far to shift, and whether to flip.
    generator : torch.Generator
        Always on the CPU, so that every device sees the same images.

    Returns
    -------
    Tensor of uint8, shape (count, height, width, channels)
        A new tensor.
    """
    count, height, width, _ = images.shape
    pad = options.padding
    padded = functional.pad(images, (0, 0, pad, pad, pad, pad), value=_GREY)
    rows = torch.randint(0, 2 * pad + 1, (count, 1), generator=generator) + torch.arange(height)
    columns = torch.randint(0, 2 * pad + 1, (count, 1), generator=generator) + torch.arange(width)
    if options.flip:
        kept = torch.randint(0, 2, (count, 1), generator=generator).bool()
        columns = torch.where(kept, columns, columns.flip(1))
    rows, columns = rows.to(images.device), columns.to(images.device)
    places = torch.arange(count, device=images.device)
    return padded[places[:, None, None], rows[:, :, None], columns[:, None, :]]
