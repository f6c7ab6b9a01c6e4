"""What the logic that lanes share spends on a step of one of them: a straight line through energies of random steps.

An adder sees the steps of all lanes at once, so that no simulation tells what one lane adds. Its energy is explained by
sums over the lanes of three kinds of figures: what the step costs in the lane's own logic, glitches included; which
bits of the weight flip; and which are 1 before and after, whose rows of partial products carry glitches on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_HELD_OUT = 5
"""Every fifth group of steps is left out of the fit that tells how good it is."""


@dataclass(frozen=True, eq=False)
class SharedLogic:
    """Energy that steps of a lane cost in logic that lanes share.

    Parameters
    ----------
    steps_fj : ndarray of float64, shape (codes, codes)
        Energy of a step in fJ, on top of what is spent anyway.
    held_out_r2 : float
        Coefficient of determination on groups of steps that a fit to the others has not seen: 1 if it predicts each
        group's shared energy, 0 if it says no more than their mean.
    """

    steps_fj: NDArray[np.float64] = field(repr=False)
    held_out_r2: float


def fit_shared_logic(
    own_fj: NDArray[np.float64], pairs: NDArray[np.unsignedinteger], shared_fj: NDArray[np.float64]
) -> SharedLogic:
    """Fit the shared energy of groups of steps, by least squares.

    Parameters
    ----------
    own_fj : ndarray of float64, shape (codes, codes)
        Energy of each step in a lane's own logic; symmetric.
    pairs : ndarray of uint8, shape (groups, lanes, 2)
        Steps that were simulated together.
    shared_fj : ndarray of float64, shape (groups,)
        What they cost in shared logic.

    Returns
    -------
    SharedLogic
        Fitted to all groups.
    """
    figures = _figures(own_fj)
    sums = figures[:, pairs[..., 0], pairs[..., 1]].sum(axis=2).T
    design = np.column_stack((np.ones(len(sums)), sums))
    held_out = np.arange(len(design)) % _HELD_OUT == 0
    seen, *_ = np.linalg.lstsq(design[~held_out], shared_fj[~held_out])
    missed = shared_fj[held_out] - design[held_out] @ seen
    spread = float(shared_fj[held_out].var())
    everything, *_ = np.linalg.lstsq(design, shared_fj)
    steps = np.tensordot(everything[1:], figures, axes=1)
    return SharedLogic(steps, 1 - float((missed**2).mean()) / spread if spread else 1.0)


def _figures(own_fj: NDArray[np.float64]) -> NDArray[np.float64]:
    """What explains the shared energy of a step, shape (figures, codes, codes); all 0 for a step to the same code."""
    bits = np.arange(max(1, len(own_fj).bit_length() - 1))
    codes = np.arange(len(own_fj))
    ones = (codes >> bits[:, None]) & 1
    flips = ones[:, :, None] ^ ones[:, None]
    standing = (ones[:, :, None] & ones[:, None]) * (codes[:, None] != codes)
    return np.concatenate((own_fj[None], flips, standing)).astype(np.float64)
