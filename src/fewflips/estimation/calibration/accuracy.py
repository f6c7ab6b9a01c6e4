"""How well predictions agree with simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.records.calibration import Accuracy


def r_squared(simulated: NDArray[np.float64], predicted: NDArray[np.float64]) -> float | None:
    """Coefficient of determination: 1 - residual sum of squares / sum of squares about the mean.

    Nothing is fitted: a prediction that is off by a constant factor is penalized, and the figure may be negative.

    Parameters
    ----------
    simulated, predicted : ndarray of float64, shape (Q,)
        Simulated and predicted values.

    Returns
    -------
    float or None
        At most 1; None for fewer than two values, or if all simulated values are equal.

    Examples
    --------
    >>> r_squared(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    0.5
    """
    if len(simulated) < 2:
        return None
    about_mean = float(((simulated - simulated.mean()) ** 2).sum())
    return 1 - float(((simulated - predicted) ** 2).sum()) / about_mean if about_mean > 0 else None


def accuracy_of(
    names: Sequence[str], macs: Sequence[int], simulated: Sequence[float], predicted: Sequence[float]
) -> Accuracy:
    """Figures over the layers of a network.

    Parameters
    ----------
    names : sequence of str
        Layers.
    macs : sequence of int
        Multiplications of each.
    simulated, predicted : sequence of float
        Energies of each layer, in one unit.

    Returns
    -------
    Accuracy
        Layers with a simulated energy of zero count only in the total.

    Raises
    ------
    InputError
        If there is no layer.
    """
    if not names:
        raise InputError("accuracy: expected at least one layer, got none")
    found, expected, work = (np.array(column, dtype=np.float64) for column in (simulated, predicted, macs))
    known = (found > 0) & (work > 0)
    errors = np.where(known, np.abs(expected / np.where(known, found, 1.0) - 1), 0.0)
    per_mac = r_squared(found[known] / work[known], expected[known] / work[known])
    logarithms = known & (expected > 0)
    worst = int(errors.argmax())
    return Accuracy(
        layers=len(names),
        r2=per_mac,
        r2_log=r_squared(np.log(found[logarithms]), np.log(expected[logarithms])),
        median_error_percent=100 * float(np.median(errors[known])) if known.any() else 0.0,
        worst_error_percent=100 * float(errors[worst]),
        worst_layer=names[worst],
        total_error_percent=100 * float(expected.sum() / found.sum() - 1) if found.sum() > 0 else 0.0,
    )
