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
    from fewflips.api.check import check
    from fewflips.api.compare import compare
    from fewflips.api.doctor import doctor
    from fewflips.api.energy import energy
    from fewflips.api.explore import ExploreOptions, explore
    from fewflips.api.explored import Exploration
    from fewflips.api.measure import measure
    from fewflips.api.optimize import optimize
    from fewflips.api.optimized import Optimization
    from fewflips.api.tables import to_dataframe
    from fewflips.api.verify import Verification, verify
    from fewflips.coding import Coding, register_coding
    from fewflips.dataflows import Dataflow, Segment, register_dataflow
    from fewflips.errors import FewflipsError
    from fewflips.estimation.calibration.calibrate import CalibrationRequest, calibrate
    from fewflips.execution.sessions import ModelRuntime, register_runtime
    from fewflips.exploration.search import SearchOptions
    from fewflips.exploration.space import Space, load_space
    from fewflips.gates.liberty.cells import CellLibrary
    from fewflips.gates.liberty.load import load_cells
    from fewflips.machine import Accelerator, builtin_accelerators, load_accelerator
    from fewflips.network import Layer, Network, Reader, load, register_reader
    from fewflips.optimization.budget import ErrorBudget
    from fewflips.optimization.registration import register_step
    from fewflips.optimization.request import EnergyRequest
    from fewflips.optimization.step import Step
    from fewflips.parallel.limit import Limit
    from fewflips.progress import Progress
    from fewflips.records.budget import NetworkBudget
    from fewflips.records.calibration import Calibration
    from fewflips.records.check import CheckReport
    from fewflips.records.comparison import ComparisonReport
    from fewflips.records.doctor import DoctorReport
    from fewflips.records.energy import EnergyReport
    from fewflips.records.exploration import ExplorationReport
    from fewflips.records.optimization import MeasureReport, OptimizeReport
    from fewflips.records.schedule import Schedule
    from fewflips.simulation.run import EnergyOptions
    from fewflips.streams.transition_cost import TransitionCost

_HOMES = {
    "Accelerator": "fewflips.machine",
    "Calibration": "fewflips.records.calibration",
    "CalibrationRequest": "fewflips.estimation.calibration.calibrate",
    "CellLibrary": "fewflips.gates.liberty.cells",
    "CheckReport": "fewflips.records.check",
    "Coding": "fewflips.coding",
    "ComparisonReport": "fewflips.records.comparison",
    "Dataflow": "fewflips.dataflows",
    "DoctorReport": "fewflips.records.doctor",
    "EnergyOptions": "fewflips.simulation.run",
    "EnergyReport": "fewflips.records.energy",
    "EnergyRequest": "fewflips.optimization.request",
    "ErrorBudget": "fewflips.optimization.budget",
    "Exploration": "fewflips.api.explored",
    "ExplorationReport": "fewflips.records.exploration",
    "ExploreOptions": "fewflips.api.explore",
    "FewflipsError": "fewflips.errors",
    "Layer": "fewflips.network",
    "Limit": "fewflips.parallel.limit",
    "MeasureReport": "fewflips.records.optimization",
    "ModelRuntime": "fewflips.execution.sessions",
    "Network": "fewflips.network",
    "NetworkBudget": "fewflips.records.budget",
    "Optimization": "fewflips.api.optimized",
    "OptimizeReport": "fewflips.records.optimization",
    "Progress": "fewflips.progress",
    "Reader": "fewflips.network",
    "Schedule": "fewflips.records.schedule",
    "SearchOptions": "fewflips.exploration.search",
    "Segment": "fewflips.dataflows",
    "Space": "fewflips.exploration.space",
    "Step": "fewflips.optimization.step",
    "TransitionCost": "fewflips.streams.transition_cost",
    "Verification": "fewflips.api.verify",
    "builtin_accelerators": "fewflips.machine",
    "calibrate": "fewflips.estimation.calibration.calibrate",
    "check": "fewflips.api.check",
    "compare": "fewflips.api.compare",
    "doctor": "fewflips.api.doctor",
    "energy": "fewflips.api.energy",
    "explore": "fewflips.api.explore",
    "load": "fewflips.network",
    "load_accelerator": "fewflips.machine",
    "load_cells": "fewflips.gates.liberty.load",
    "load_space": "fewflips.exploration.space",
    "measure": "fewflips.api.measure",
    "optimize": "fewflips.api.optimize",
    "register_coding": "fewflips.coding",
    "register_dataflow": "fewflips.dataflows",
    "register_reader": "fewflips.network",
    "register_runtime": "fewflips.execution.sessions",
    "register_step": "fewflips.optimization.registration",
    "to_dataframe": "fewflips.api.tables",
    "verify": "fewflips.api.verify",
}
"""Where each public name lives; modules are imported when a name is first used."""

__all__ = [
    "Accelerator",
    "Calibration",
    "CalibrationRequest",
    "CellLibrary",
    "CheckReport",
    "Coding",
    "ComparisonReport",
    "Dataflow",
    "DoctorReport",
    "EnergyOptions",
    "EnergyReport",
    "EnergyRequest",
    "ErrorBudget",
    "Exploration",
    "ExplorationReport",
    "ExploreOptions",
    "FewflipsError",
    "Layer",
    "Limit",
    "MeasureReport",
    "ModelRuntime",
    "Network",
    "NetworkBudget",
    "Optimization",
    "OptimizeReport",
    "Progress",
    "Reader",
    "Schedule",
    "SearchOptions",
    "Segment",
    "Space",
    "Step",
    "TransitionCost",
    "Verification",
    "__version__",
    "builtin_accelerators",
    "calibrate",
    "check",
    "compare",
    "doctor",
    "energy",
    "explore",
    "load",
    "load_accelerator",
    "load_cells",
    "load_space",
    "measure",
    "optimize",
    "register_coding",
    "register_dataflow",
    "register_reader",
    "register_runtime",
    "register_step",
    "to_dataframe",
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
