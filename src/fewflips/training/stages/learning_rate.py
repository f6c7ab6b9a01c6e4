"""The learning rate over a stage."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LearningRateSchedule:
    """Linear warm-up from a tenth of the peak, then half a cosine to zero.

    Parameters
    ----------
    peak : float
        Largest learning rate.
    warmup : float
        Share of the stage in which it rises, from 0 to below 1.
    epochs : int
        Length of the stage.
    """

    peak: float
    warmup: float
    epochs: int

    def at(self, epoch: float) -> float:
        """The learning rate after a (fractional) number of epochs.

        Examples
        --------
        >>> schedule = LearningRateSchedule(peak=0.2, warmup=0.5, epochs=10)
        >>> [round(schedule.at(epoch), 3) for epoch in (0, 5, 7.5, 10)]
        [0.02, 0.2, 0.1, 0.0]
        """
        progress = epoch / self.epochs
        if progress < self.warmup:
            return self.peak * (0.1 + 0.9 * progress / self.warmup)
        progress = (progress - self.warmup) / (1.0 - self.warmup)
        return self.peak * 0.5 * (1.0 + math.cos(math.pi * progress))
