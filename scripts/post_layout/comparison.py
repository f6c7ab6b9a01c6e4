"""Two reports that belong together."""

from __future__ import annotations

from dataclasses import dataclass

from fewflips.records.energy import EnergyReport


@dataclass(frozen=True)
class Comparison:
    """Energies of the same network before and after optimization.

    Parameters
    ----------
    baseline, optimized : EnergyReport
        In stored order, and in that of the schedule.
    """

    baseline: EnergyReport
    optimized: EnergyReport
