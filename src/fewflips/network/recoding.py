"""Other integers for a layer's weights and bias, in the places where its file keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.network.graph import Network
from fewflips.network.layer import Layer


@dataclass(frozen=True, eq=False)
class Recodable:
    """A layer whose weights the file holds for it alone, so that they can be replaced.

    Parameters
    ----------
    bias : ndarray of int32, shape (N,), or None
        Its bias, where that is integers of the file that nothing else reads; None otherwise.
    bias_steps : ndarray of float64, shape (N,)
        Steps of the bias that are worth one unit of the integer product, for each output channel: 1 where the bias
        is added to that product. Empty without a bias.
    """

    bias: NDArray[np.int32] | None = field(repr=False)
    bias_steps: NDArray[np.float64] = field(repr=False)

    @classmethod
    def without_bias(cls) -> Recodable:
        """A layer of which only the weights can be replaced."""
        return cls(None, np.zeros(0))


@dataclass(frozen=True, eq=False)
class NewCodes:
    """What takes the place of a layer's integers.

    Parameters
    ----------
    weights : ndarray of int, shape (N, K)
        Weights as the file is to store them, those narrower than 8 bits one to an element.
    bias : ndarray of int, shape (N,), or None
        The bias; None to keep it.
    """

    weights: NDArray[np.integer] = field(repr=False)
    bias: NDArray[np.integer] | None = field(default=None, repr=False)


def checked_weights(layer: Layer, codes: NewCodes) -> NDArray[np.integer]:
    """New weights of a layer, known to fit its type.

    Parameters
    ----------
    layer : Layer
        The layer.
    codes : NewCodes
        What is to be written.

    Returns
    -------
    ndarray, same dtype as the layer's weights, shape (N, K)
        The weights.

    Raises
    ------
    InputError
        If they are of another shape, not integers, or out of the range of the type.
    """
    weights = np.asarray(codes.weights)
    if weights.shape != (layer.n, layer.k) or weights.dtype.kind not in "iu":
        raise InputError(
            f"{layer}: expected integers of shape {(layer.n, layer.k)}, got {weights.dtype} of shape {weights.shape}"
        )
    storage = layer.weight_type
    low, high = int(weights.min()), int(weights.max())
    if low < storage.low or high > storage.high:
        raise InputError(
            f"{layer}: expected weights from {storage.low} to {storage.high}, as {storage.name} holds them, got "
            f"{low} to {high}"
        )
    kept: NDArray[np.integer] = weights.astype(layer.weights.dtype)
    return kept


def checked_bias(layer: Layer, place: Recodable, codes: NewCodes) -> NDArray[np.int32] | None:
    """New bias of a layer, known to fit int32; None where it stays.

    Parameters
    ----------
    layer : Layer
        The layer.
    place : Recodable
        What of it can be replaced.
    codes : NewCodes
        What is to be written.

    Returns
    -------
    ndarray of int32, shape (N,), or None
        The bias.

    Raises
    ------
    InputError
        If the layer has none that can be replaced, or it does not fit.
    """
    if codes.bias is None:
        return None
    if place.bias is None:
        raise InputError(f"{layer}: expected no new bias, since the file holds none that belongs to it alone")
    bias: NDArray[Any] = np.asarray(codes.bias)
    limits = np.iinfo(np.int32)
    fits = bias.shape == (layer.n,) and bias.dtype.kind in "iu"
    if not fits or bias.min() < limits.min or bias.max() > limits.max:
        raise InputError(f"{layer}: expected {layer.n} biases that int32 holds, got {bias.dtype} of {bias.shape}")
    return bias.astype(np.int32)


def layers_of(network: Network, codes: Mapping[str, NewCodes]) -> list[tuple[Layer, NewCodes]]:
    """Layers that get new integers, in the network's order; raises :class:`InputError` for a name that none has."""
    if unknown := codes.keys() - {layer.name for layer in network.layers}:
        raise InputError(f"{network.path}: expected names of layers, got '{min(unknown)}'")
    return [(layer, codes[layer.name]) for layer in network.layers if layer.name in codes]


def not_recodable(layer: Layer) -> InputError:
    """The error for a layer whose weights cannot be replaced."""
    return InputError(
        f"{layer}: expected weights that the file holds as integers for this layer alone; leave them as they are"
    )
