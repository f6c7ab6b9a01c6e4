"""Measure and reduce the bit flips of quantized neural networks on accelerators, and their energy at gate level.

>>> import fewflips
>>> fewflips.load_accelerator("edge16").dataflow
'activation-stationary'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fewflips.version import __version__

if TYPE_CHECKING:
    from fewflips.accelerator import Accelerator, builtin_accelerators, load_accelerator
    from fewflips.errors import FewflipsError
    from fewflips.measurement import measure
    from fewflips.network import Network, load
    from fewflips.network_energy.estimate import energy
    from fewflips.network_energy.run import EnergyOptions
    from fewflips.optimization import optimize
    from fewflips.verification import verify

_HOMES = {
    "Accelerator": "fewflips.accelerator",
    "EnergyOptions": "fewflips.network_energy.run",
    "FewflipsError": "fewflips.errors",
    "Network": "fewflips.network",
    "builtin_accelerators": "fewflips.accelerator",
    "energy": "fewflips.network_energy.estimate",
    "load": "fewflips.network",
    "load_accelerator": "fewflips.accelerator",
    "measure": "fewflips.measurement",
    "optimize": "fewflips.optimization",
    "verify": "fewflips.verification",
}
"""Where each public name lives; modules are imported when a name is first used."""

__all__ = [
    "Accelerator",
    "EnergyOptions",
    "FewflipsError",
    "Network",
    "__version__",
    "builtin_accelerators",
    "energy",
    "load",
    "load_accelerator",
    "measure",
    "optimize",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fewflips' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
