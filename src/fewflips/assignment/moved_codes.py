"""Cheapest codes at a given distance from present ones: which codes a cost likes, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fewflips.assignment.nearest_codes import WordCosts, nearest_codes
from fewflips.errors import InputError

_PRICES = (0.1, 1e5)
_HALVINGS = 14


def codes_moved_by(
    codes: NDArray[np.integer], costs: Callable[[float], WordCosts], distance: float, *, jobs: int = 1
) -> NDArray[np.int16]:
    """Move codes to cheaper ones by a relative distance; the price that does so is found by bisection.

    Parameters
    ----------
    codes : ndarray of integers, shape (T, L)
        Codes in streaming order, one lane a column, not all zero.
    costs : callable
        What flips and words cost at a price: ``costs(price)``, such as :meth:`WordCosts.priced` with its other
        arguments bound. Tried prices lie between 0.1 and 100000.
    distance : float
        Root mean square of the change over that of the codes.
    jobs : int
        Blocks of lanes solved at a time, in threads; the result does not depend on it.

    Returns
    -------
    ndarray of int16, shape (T, L)
        The codes at the last price tried; their distance is as near to the one asked for as steps of the price of
        one part in a thousand come.

    Raises
    ------
    InputError
        If all codes are zero, or they do not fit the costs.
    """
    present = np.square(codes.astype(float)).mean() if codes.size else 0.0
    if present == 0:
        raise InputError("assignment: expected codes to move by a relative distance, got none that is not zero")
    latent = codes.astype(np.float32)
    curvature = np.ones_like(latent)
    low, high = _PRICES
    for _ in range(_HALVINGS):
        price = float(np.sqrt(low * high))
        moved = nearest_codes(latent, curvature, costs(price), jobs=jobs)
        away = np.sqrt(np.square(moved.astype(float) - codes).mean() / present)
        low, high = (price, high) if away < distance else (low, price)
    return moved
