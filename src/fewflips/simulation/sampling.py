"""Selects the transitions of a layer to simulate: all, or a stratified sample of windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.unit_work import Part
from fewflips.gates.operands import Windows

REPLICATES = 20
"""Number of independent samples of a layer, whose spread gives the confidence interval."""
_STUDENT_T_975 = (
    12.706204736174694,
    4.302652729749462,
    3.1824463052837078,
    2.7764451051977934,
    2.5705818356363146,
    2.4469118511449786,
    2.364624251592784,
    2.306004135204166,
    2.262157162798205,
    2.228138851986274,
    2.200985160091639,
    2.1788128296672284,
    2.1603686564627913,
    2.144786687917804,
    2.131449545559776,
    2.1199052992212546,
    2.1098155778333156,
    2.1009220402410382,
    2.0930240544083087,
)
"""97.5 % quantiles of Student's t with 1, 2, ... `REPLICATES` - 1 degrees of freedom, as given by SciPy."""
WINDOWS = 64
"""Windows per replicate: one in each of this many equal stretches of the layer's cycles."""
SHORTEST_WINDOW = 16
"""Minimum number of transitions of a window; priming its registers costs a few cycles."""


def all_windows(part: Part, cut: Windows) -> Windows:
    """Windows cut from the transitions that belong to a part, shifted to their place in it.

    Parameters
    ----------
    part : Part
        The part.
    cut : Windows
        Cut from sequences of ``part.transitions + 1`` cycles.

    Returns
    -------
    Windows
        The same windows, counted from the start of the part's sequences.
    """
    return Windows(cut.sequence, cut.first + part.first_transitions[cut.sequence] - 1, cut.transitions)


def is_worth_sampling(transitions: int, share: float) -> bool:
    """Whether a sample of a share of the transitions is smaller than the whole.

    Examples
    --------
    >>> is_worth_sampling(10_000_000, 0.1), is_worth_sampling(20_000, 0.1)
    (True, False)
    """
    return share < 1 and transitions >= REPLICATES * WINDOWS * SHORTEST_WINDOW * 2


def sample_windows(part: Part, share: float, generator: np.random.Generator) -> list[Windows]:
    """Windows of each replicate.

    Parameters
    ----------
    part : Part
        The part.
    share : float
        Share of its transitions to simulate, 0 to 1.
    generator : numpy.random.Generator
        Chooses the windows.

    Returns
    -------
    list of Windows
        One per replicate. Every sequence is cut into windows of equal length (the last may be shorter); from each of
        :data:`WINDOWS` stretches of equal length, the window around a random transition is taken.
    """
    ends = np.cumsum(part.transitions)
    total = int(ends[-1])
    length = max(SHORTEST_WINDOW, int(np.ceil(share * total / (REPLICATES * WINDOWS))))
    stretches = np.linspace(0, total, WINDOWS + 1)
    replicates = []
    for _ in range(REPLICATES):
        places = np.floor(generator.uniform(stretches[:-1], np.maximum(stretches[1:], stretches[:-1] + 1)))
        place = np.minimum(places.astype(np.int64), total - 1)
        sequence = np.searchsorted(ends, place, side="right")
        offset = (place - (ends - part.transitions)[sequence]) // length * length
        count = np.minimum(length, part.transitions[sequence] - offset)
        replicates.append(Windows(sequence, part.first_transitions[sequence] + offset, count))
    return replicates


def relative_ci95(replicates: Sequence[float]) -> float:
    """Half width of the 95 % confidence interval of a mean, relative to the mean, by Student's t.

    Parameters
    ----------
    replicates : sequence of float
        Independent estimates, at most :data:`REPLICATES`.

    Returns
    -------
    float
        0 for fewer than two estimates or a mean of zero.
    """
    values: NDArray[np.float64] = np.array(replicates, dtype=np.float64)
    if len(values) < 2 or not values.mean():
        return 0.0
    half = _STUDENT_T_975[len(values) - 2] * values.std(ddof=1) / np.sqrt(len(values))
    return float(half / values.mean())
