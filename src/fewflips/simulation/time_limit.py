"""Decides how much to simulate in the time given by the user."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

ZERO_DELAY_PART = 0.25
"""Share of the time that zero-delay simulation may take before it is sampled."""
SMALLEST_SHARE = 2.0**-14


@dataclass(frozen=True)
class Shares:
    """Share of the cycles to simulate under each delay model: 1, 1/2, 1/4, ..."""

    zero_delay: float = 1.0
    inertial: float = 1.0


def shares_within(seconds: float, zero_delay_seconds: float, inertial_seconds: float) -> Shares:
    """Shares with which both simulations stay within a time limit.

    They are powers of two, so that a slightly slower or faster machine draws the same sample.

    Parameters
    ----------
    seconds : float
        The time limit.
    zero_delay_seconds, inertial_seconds : float
        Time that all cycles would take.

    Returns
    -------
    Shares
        1 if everything fits.

    Examples
    --------
    >>> shares_within(100, 8, 80)
    Shares(zero_delay=1.0, inertial=1.0)
    >>> shares_within(100, 8, 300)
    Shares(zero_delay=1.0, inertial=0.25)
    """
    if zero_delay_seconds + inertial_seconds <= seconds:
        return Shares()
    zero_delay = _share(ZERO_DELAY_PART * seconds, zero_delay_seconds)
    return Shares(zero_delay, _share(seconds - zero_delay * zero_delay_seconds, inertial_seconds))


def _share(seconds: float, needed: float) -> float:
    if needed <= seconds:
        return 1.0
    return float(max(SMALLEST_SHARE, 2.0 ** -ceil(log2(needed / seconds)))) if seconds > 0 else SMALLEST_SHARE
