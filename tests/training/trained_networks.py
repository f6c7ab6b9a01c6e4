"""Small networks whose layers see values of usual size, as after training: for tests of quantization and export."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fewflips.training.networks import build_network
from fewflips.training.networks.blocks import ImageClassifier
from fewflips.training.quantization.quantize import calibrate, quantize


def images(count: int, channels: int = 3, size: int = 32, seed: int = 0) -> Tensor:
    """Smooth random images on the grid of 8-bit pixels."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (smooth * 255).round() / 128 - 1


def float_network(name: str, batch: Tensor, **options: Any) -> ImageClassifier:
    """A network with random weights, its batch normalization at the statistics of a batch."""
    torch.manual_seed(0)
    network = build_network(name, channels=batch.shape[1], image_size=batch.shape[2], **options)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0.0, 0.3)
        network.train()
        network(batch)
        network.classifier.weight.mul_(10.0)
    return network


def quantized_network(name: str, batch: Tensor, weight_bits: Any = 8, **options: Any) -> ImageClassifier:
    """The quantized form of such a network, calibrated on the batch, in evaluation mode."""
    network = quantize(float_network(name, batch, **options), weight_bits=weight_bits)
    calibrate(network, [batch])
    return network.eval()
