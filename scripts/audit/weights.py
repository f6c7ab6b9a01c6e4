"""What the weights of a network are, whatever their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import fewflips
from fewflips.network.graph import Network

from .figures import WeightFigures


def weight_figures(model: Path) -> WeightFigures:
    """Share of zeros and entropy of a network's weight codes.

    Parameters
    ----------
    model : Path
        A quantized network.

    Returns
    -------
    WeightFigures
        Over all weights of the layers that are counted; a code is a weight less its zero point.
    """
    network = fewflips.load(model)
    codes = np.concatenate([_codes(network, index) for index in range(len(network.layers))])
    _, counts = np.unique(codes, return_counts=True)
    shares = counts / counts.sum()
    return WeightFigures(
        network=model.stem,
        parameters=int(codes.size),
        weight_bits=max(layer.weight_type.bits for layer in network.layers),
        zero_share=round(float((codes == 0).mean()), 4),
        entropy_bits=round(float(-(shares * np.log2(shares)).sum()), 3),
    )


def _codes(network: Network, index: int) -> np.ndarray:
    layer = network.layers[index]
    return (layer.weights.astype(np.int32) - layer.weight_zero_points[:, None]).ravel()
