"""Observations of a layer's activations in a run of the model, in addition to their flips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import dataflow_of
from fewflips.machine import Accelerator
from fewflips.streams.counting import ones_shares


@dataclass(frozen=True, eq=False)
class ObservedActivations:
    """Statistics of a layer's activation values that estimates need.

    Parameters
    ----------
    ones : ndarray of float64, shape (bits + 1,)
        Share of words with 0, 1, ... ones.
    by_input : ndarray of float64, shape (G, K, bits), or None
        Flips of each bit of each input from one output pixel to the next; None if they do not stream in this way.
    """

    ones: NDArray[np.float64] = field(repr=False)
    by_input: NDArray[np.float64] | None = field(repr=False)


def observe(codes: NDArray[np.unsignedinteger], bits: int, array: Accelerator) -> ObservedActivations:
    """Observe the activations of a layer in one inference.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (G, M, K)
        Activations of each group's rows.
    bits : int
        Width of a code.
    array : Accelerator
        The machine.

    Returns
    -------
    ObservedActivations
        Flips by input if activations stream over output pixels, as in weight-stationary arrays.
    """
    streaming = dataflow_of(array).activations_follow_pixels
    return ObservedActivations(ones_shares(codes, bits), flips_by_input(codes, bits) if streaming else None)


def mean_observed(samples: Sequence[ObservedActivations]) -> ObservedActivations:
    """Mean over several inferences of the same layer on the same machine."""
    by_input = [sample.by_input for sample in samples if sample.by_input is not None]
    return ObservedActivations(
        np.mean([sample.ones for sample in samples], axis=0), np.mean(by_input, axis=0) if by_input else None
    )


def flips_by_input(codes: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.float64]:
    """Flips of each bit from one output pixel to the next, for each input.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (G, M, K)
        Activations of each group's rows.
    bits : int
        Width of a code.

    Returns
    -------
    ndarray of float64, shape (G, K, bits)
        Shares of transitions; 0 for a single output pixel.

    Examples
    --------
    >>> flips_by_input(np.array([[[0, 1], [1, 1], [0, 1]]], dtype=np.uint8), 2).tolist()
    [[[1.0, 0.0], [0.0, 0.0]]]
    """
    changed = codes[:, 1:] ^ codes[:, :-1]
    if not changed.shape[1]:
        return np.zeros((codes.shape[0], codes.shape[2], bits))
    return np.stack([((changed >> bit) & 1).mean(axis=1) for bit in range(bits)], axis=2)
