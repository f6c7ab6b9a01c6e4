"""The energy of a whole network in an accelerator's arithmetic units, simulated at gate level."""

from fewflips.network_energy.estimate import energy
from fewflips.network_energy.run import EnergyOptions

__all__ = ["EnergyOptions", "energy"]
