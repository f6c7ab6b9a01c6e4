"""Magnitude pruning: the smallest weights become zero and stay zero (Han et al., NeurIPS 2015, arXiv 1506.02626)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewflips.errors import InputError
from fewflips.training.quantization.quantized_layers import QuantizedConv, QuantizedWeight, quantized_weights


@torch.no_grad()
def prune(network: nn.Module, share: float) -> None:
    """Set the smallest weights of each dense layer to zero.

    The first and the last layer and depthwise convolutions, which have few weights and suffer most, are not pruned.

    Parameters
    ----------
    network : nn.Module
        A network from :func:`~fewflips.training.quantization.quantize.quantize`.
    share : float
        Share of each layer's weights, 0 to less than 1.

    Raises
    ------
    InputError
        If the share is out of range.
    """
    if not 0 <= share < 1:
        raise InputError(f"pruning: expected a share from 0 to less than 1, got {share}")
    for layer in _dense_layers(network):
        count = int(share * layer.weight.numel())
        kept = torch.ones(layer.weight.numel(), dtype=torch.bool)
        kept[layer.weight.abs().flatten().argsort(stable=True)[:count]] = False
        layer.weight.mul_(kept.reshape(layer.weight.shape).to(layer.weight.device))


def hold_zeros(network: nn.Module) -> None:
    """Keep weights that are exactly zero unchanged in training, in the layers that :func:`prune` prunes.

    Parameters
    ----------
    network : nn.Module
        A network from :func:`~fewflips.training.quantization.quantize.quantize`. The weights themselves
        determine which are held, so a resumed run holds the same ones.
    """
    for layer in _dense_layers(network):
        layer.weight.register_hook(_Held(layer))


class _Held:
    """Gradient of a layer's weights, without those of its zeros."""

    def __init__(self, layer: QuantizedWeight) -> None:
        self._layer = layer

    def __call__(self, gradient: Tensor) -> Tensor:
        return gradient * (self._layer.weight.detach() != 0)


def _dense_layers(network: nn.Module) -> list[QuantizedWeight]:
    layers = list(quantized_weights(network).values())[1:-1]
    return [layer for layer in layers if not (isinstance(layer, QuantizedConv) and layer.groups > 1)]
