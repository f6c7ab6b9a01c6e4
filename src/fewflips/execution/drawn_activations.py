"""Activations for networks that no runtime runs: drawn, since there is nothing to compute them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fewflips.execution.samples import Samples
from fewflips.network import Network

DRAWN = "drawn"
"""Source of such samples."""


@dataclass(frozen=True, eq=False)
class DrawnTensors(Mapping[str, NDArray[np.float32]]):
    """Input tensors of layers, standard normal, drawn anew each time that one is asked for.

    Parameters
    ----------
    shapes : mapping of str to (int, int)
        Rows and columns of each.
    seed : int
        Seed; the same gives the same values, in whichever order tensors are asked for.
    """

    shapes: Mapping[str, tuple[int, int]] = field(repr=False)
    seed: int

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        entropy = np.random.SeedSequence([self.seed, crc32(name.encode())])
        return np.random.default_rng(entropy).standard_normal(self.shapes[name], dtype=np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def drawn_samples(network: Network, seed: int) -> tuple[Samples, tuple[str, ...]]:
    """One sample for a network that no runtime runs, and a note that says so.

    Parameters
    ----------
    network : Network
        A network whose activations are quantized on the fly.
    seed : int
        Seed.

    Returns
    -------
    samples : Samples
        Its only feed holds the layers' input tensors themselves.
    notes : tuple of str
        What was drawn.
    """
    shapes = {layer.input_tensor: (layer.m, layer.k) for layer in network.layers if layer.input_tensor is not None}
    note = (
        "Activations are drawn from a normal distribution, a value for each element: the format has no runtime that "
        "would compute them. Those of real networks have outliers, which leave the other integers of a row smaller."
    )
    return Samples((DrawnTensors(shapes, seed),), DRAWN, note), (note,)
