"""Float activations that the machine quantizes on the fly, as engines for weight-only networks do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.formats.number_formats import StorageType
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.network.lowering import MatrixProduct

FORMATS: Mapping[str, StorageType] = {"int8": StorageType(8, True), "int16": StorageType(16, True)}
"""What activations may become, by name."""
NOT_KNOWN = ("the activation port is left out", "its activations are not known as integers")
"""How readers' remarks on float activations end."""


def quantize_on_the_fly(network: Network, to: str | None) -> tuple[Network, tuple[str, ...]]:
    """Give layers with float activations integers of a machine's choice.

    Each row of X gets a scale of its own at run time, its largest magnitude over the largest integer, and the zero
    point 0. Layers whose activations are integers in the file stay as they are, and so do convolutions, whose rows
    overlap in the tensor that would be quantized, and operators that keep their rows to themselves, as recurrent ones.

    Parameters
    ----------
    network : Network
        A network.
    to : str or None
        A name of :data:`FORMATS`; None leaves the network as it is.

    Returns
    -------
    network : Network
        The same layers, their activations of the new type.
    notes : tuple of str
        How many were changed, and how.

    Raises
    ------
    InputError
        If the format is not known, or no layer has float activations.
    """
    if to is None:
        return network, ()
    if to not in FORMATS:
        raise InputError(f"activations: expected {' or '.join(FORMATS)}, got '{to}'")
    layers = tuple(
        _quantized(layer, FORMATS[to]) if _is_eligible(layer, network) else layer for layer in network.layers
    )
    changed = sum(layer.left.on_the_fly for layer in layers)
    if not changed:
        raise InputError(
            f"{network.path}: activations: expected layers with float activations to quantize to {to}, got none: "
            "leave the option out"
        )
    remarks = network.notes
    if all(layer.activation_type is not None for layer in layers):
        remarks = tuple(note for note in remarks if not note.endswith(NOT_KNOWN))
    note = (
        f"Float activations of {changed} layers are quantized on the fly to {to}: a scale for each row, no zero point."
    )
    return replace(network, layers=layers, notes=remarks), (note,)


def quantized_rows(rows: NDArray[np.number], to: StorageType) -> NDArray[np.integer]:
    """Rows of X as integers.

    Parameters
    ----------
    rows : ndarray of floats, shape (G, M, K)
        Values.
    to : StorageType
        Type of the integers.

    Returns
    -------
    ndarray of int8 or int16, shape (G, M, K)
        Each row times its largest integer over its largest magnitude, rounded half to even; rows of zeros stay so.

    Raises
    ------
    InputError
        If a value is not finite.

    Examples
    --------
    >>> quantized_rows(np.array([[[0.5, -1.0, 0.0]]]), FORMATS["int8"]).tolist()
    [[[64, -127, 0]]]
    """
    values = rows.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("activations: expected finite values to quantize, got infinities or NaN")
    largest = np.abs(values).max(axis=2, keepdims=True, initial=0.0)
    scaled = np.divide(values, largest, out=np.zeros_like(values), where=largest > 0)  # as a factor, tiny rows overflow
    return np.rint(scaled * to.high).astype(np.int8 if to.bits <= 8 else np.int16)


def _is_eligible(layer: Layer, network: Network) -> bool:
    """Whether its activations are floats that a tensor of the file holds, or that no file has (they are drawn)."""
    known = layer.left.float_tensor is not None or network.tokens is not None
    return known and layer.activation_type is None and isinstance(layer.lowering, MatrixProduct) and layer.groups == 1


def _quantized(layer: Layer, to: StorageType) -> Layer:
    tensor = layer.left.float_tensor or f"activations of {layer.name}"
    return replace(layer, left=replace(layer.left, tensor=tensor, storage=to, zero_point=0, on_the_fly=True))
