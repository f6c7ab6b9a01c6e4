"""What the errors of a layer's weights do to its output: means and covariances of its activations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.execution.samples import Samples
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.progress import Progress

MOST_COLUMNS = 4096
"""Layers of longer reductions are left as they are: their covariances would take more than 64 MiB."""

_ROWS = 1024
"""Rows of one input that are taken of a layer; more say little that is new."""

_SHRINKAGE = 0.02
"""Part of a covariance off the diagonal that is given up: samples are few (Ledoit and Wolf, J. Multivariate Analysis
88, 2004)."""

_FLOOR = 0.01
"""Least variance, as a part of the mean one: an activation that is still on these inputs may move on others."""


@dataclass(frozen=True, eq=False)
class Activations:
    """A layer's activations on the calibration inputs, less their zero point, in steps of their scale.

    Parameters
    ----------
    mean : ndarray of float64, shape (G, K)
        Mean of each group's rows.
    second : ndarray of float64, shape (G, K, K)
        Mean product of each two.
    """

    mean: NDArray[np.float64] = field(repr=False)
    second: NDArray[np.float64] = field(repr=False)

    def covariance(self, *, centred: bool) -> NDArray[np.float32]:
        """What an error of the weights is measured with: d^T C d is the mean square of an output's error.

        Parameters
        ----------
        centred : bool
            Whether the bias takes up the mean error, so that only what varies around it counts.

        Returns
        -------
        ndarray of float32, shape (G, K, K)
            Shrunk towards its diagonal, which is positive.
        """
        found = self.second.copy()
        if centred:
            found -= self.mean[:, :, None] * self.mean[:, None, :]
        places = np.arange(found.shape[1])
        variances = np.maximum(found[:, places, places], 0)
        least = np.maximum(_FLOOR * variances.mean(axis=1, keepdims=True), 1e-6)
        found *= 1 - _SHRINKAGE
        found[:, places, places] = variances + least
        return found.astype(np.float32)


def observed_activations(
    network: Network, layers: Iterable[Layer], samples: Samples, seed: int, progress: Progress | None = None
) -> dict[str, Activations]:
    """Run a network on calibration inputs, and add up the activations of some of its layers.

    Parameters
    ----------
    network : Network
        The network.
    layers : iterable of Layer
        Layers whose activations are integers in the file.
    samples : Samples
        Calibration inputs.
    seed : int
        Of the choice of rows.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    dict of str to Activations
        By the layer's name.
    """
    chosen, random = list(layers), np.random.default_rng(seed)
    sums: dict[str, tuple[int, NDArray[np.float64], NDArray[np.float64]]] = {}
    for tensors in run_samples(network, samples, progress):
        for layer in chosen:
            rows = lowered_rows(layer, tensors)
            if rows.shape[1] > _ROWS:
                rows = rows[:, random.choice(rows.shape[1], _ROWS, replace=False)]
            values = rows.astype(np.float32) - np.float32(layer.activation_zero_point or 0)
            total, product = values.sum(axis=1, dtype=np.float64), np.matmul(values.swapaxes(1, 2), values)
            count, mean, second = sums.get(layer.name, (0, np.zeros(()), np.zeros(())))
            sums[layer.name] = (count + values.shape[1], mean + total, second + product)
    return {name: Activations(mean / count, second / count) for name, (count, mean, second) in sums.items()}
