"""How much work the search may do."""

from __future__ import annotations

from dataclasses import dataclass

from fewflips.ordering import Effort


@dataclass(frozen=True)
class ClusterEffort:
    """A work limit for each group of channels, counted in steps and never in seconds.

    Parameters
    ----------
    assignments : int
        Assignments of all channels from each start.
    starts : int
        Arrangements to begin with: the natural one, the one of like channels, then random ones.
    exchanges : float
        Exchanges to try, per channel of the group.
    most_words : int
        Words that the segments of all these exchanges may have, so that layers with many outputs get fewer.
    heat : float
        By how much an exchange may raise the cost at first, in shares of what a channel costs on average.
    kicks : float
        Kicks of the paths at the end, per word.
    """

    assignments: int
    starts: int
    exchanges: float
    most_words: int
    heat: float
    kicks: float

    @classmethod
    def default(cls) -> ClusterEffort:
        """Assignments from two starts, then exchanges that improve."""
        return cls(assignments=40, starts=2, exchanges=16, most_words=150_000, heat=0, kicks=0.1)

    @classmethod
    def thorough(cls) -> ClusterEffort:
        """More starts, and exchanges with a falling temperature."""
        return cls(assignments=80, starts=6, exchanges=200, most_words=20_000_000, heat=0.1, kicks=0.25)

    @classmethod
    def beside(cls, effort: Effort) -> ClusterEffort:
        """What goes with the work limit of the orders.

        Parameters
        ----------
        effort : Effort
            Work limit of the paths.

        Returns
        -------
        ClusterEffort
            The thorough one where orders are to be proven optimal.
        """
        return cls.thorough() if effort == Effort.prove() else cls.default()
