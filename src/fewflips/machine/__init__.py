"""Accelerators: array, dataflow, forwarding and number formats; built-in machines and YAML."""

from fewflips.machine.accelerator import Accelerator, Operand, builtin_accelerators, load_accelerator

__all__ = ["Accelerator", "Operand", "builtin_accelerators", "load_accelerator"]
