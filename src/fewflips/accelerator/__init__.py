"""Accelerators: array, dataflow, forwarding and number formats; built-in machines and YAML."""

from fewflips.accelerator.dataflows import DATAFLOWS, Dataflow, Segment
from fewflips.accelerator.machine import (
    Accelerator,
    Operand,
    builtin_accelerators,
    load_accelerator,
)

__all__ = [
    "DATAFLOWS",
    "Accelerator",
    "Dataflow",
    "Operand",
    "Segment",
    "builtin_accelerators",
    "load_accelerator",
]
