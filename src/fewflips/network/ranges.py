"""Other ranges for a network's activations: the scale and the zero point of tensors between its operators.

The integers that layers multiply follow from the range, while weights stay as they are: whoever writes the tensor
requantizes to it, and the biases of the layers that read it count its steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.formats.number_formats import StorageType
from fewflips.network.graph import Network


@dataclass(frozen=True)
class ActivationRange:
    """A tensor of integers whose range the file holds for it alone, so that it can be replaced.

    Parameters
    ----------
    tensor : str
        Its name, the `input_tensor` of the layers that read it.
    storage : StorageType
        Its type.
    scale : float
        Real value of one step.
    zero_point : int
        The integer that means zero.
    """

    tensor: str
    storage: StorageType
    scale: float
    zero_point: int


@dataclass(frozen=True)
class NewRange:
    """What takes the place of a range.

    Parameters
    ----------
    factor : float
        How many of the present steps one of the new steps is worth.
    zero_point : int
        The integer that means zero.
    """

    factor: float
    zero_point: int


def ranges_of(
    network: Network, places: Mapping[str, ActivationRange], ranges: Mapping[str, NewRange]
) -> list[tuple[ActivationRange, NewRange]]:
    """Ranges that are replaced, each known to be one of the file's and to fit its type.

    Parameters
    ----------
    network : Network
        The network.
    places : mapping of str to ActivationRange
        Ranges that can be replaced, by their tensor's name.
    ranges : mapping of str to NewRange
        What is to be written, likewise.

    Returns
    -------
    list of (ActivationRange, NewRange)
        In the order of `ranges`.

    Raises
    ------
    InputError
        If a tensor's range cannot be replaced, a factor is not a positive number, a scale leaves the range of float32,
        or a zero point is not one of the type's integers.
    """
    return [(_place(network, places, tensor), _checked(tensor, places, new)) for tensor, new in ranges.items()]


def rescaled_bias(tensor: str, bias: NDArray[np.int32], factor: float) -> NDArray[np.int32]:
    """A bias of a layer that reads a tensor, in products of the tensor's new steps, rounded to the nearest.

    Parameters
    ----------
    tensor : str
        The tensor, for the error.
    bias : ndarray of int32
        In products of the present steps.
    factor : float
        How many of these one of the new steps is worth.

    Returns
    -------
    ndarray of int32
        The bias.

    Raises
    ------
    InputError
        If int32 does not hold it.
    """
    values = np.rint(bias / factor)
    limits = np.iinfo(np.int32)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise InputError(f"tensor '{tensor}': expected a factor with which int32 holds the biases, got {factor:g}")
    return values.astype(np.int32)


def _place(network: Network, places: Mapping[str, ActivationRange], tensor: str) -> ActivationRange:
    if tensor not in places:
        raise InputError(
            f"{network.path}: tensor '{tensor}': expected one whose range belongs to it alone, between layers and "
            "sums of the network; leave it as it is"
        )
    return places[tensor]


def _checked(tensor: str, places: Mapping[str, ActivationRange], new: NewRange) -> NewRange:
    place = places[tensor]
    scale = np.float32(place.scale * new.factor) if np.isfinite(new.factor) else np.float32(np.inf)
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(
            f"tensor '{tensor}': expected a factor above 0 that gives a scale that float32 holds, got {new.factor:g}"
        )
    if not place.storage.low <= new.zero_point <= place.storage.high:
        raise InputError(
            f"tensor '{tensor}': expected a zero point from {place.storage.low} to {place.storage.high}, as "
            f"{place.storage.name} holds it, got {new.zero_point}"
        )
    return new
