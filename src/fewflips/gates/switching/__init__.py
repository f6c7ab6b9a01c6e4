"""Switching simulation: how often each net of a netlist toggles with given operands."""

from fewflips.gates.switching.circuit import Circuit, compile_circuit
from fewflips.gates.switching.cutting import cut_windows
from fewflips.gates.switching.simulation import Mode, simulate, simulate_groups
from fewflips.gates.switching.waveforms import waveforms

__all__ = ["Circuit", "Mode", "compile_circuit", "cut_windows", "simulate", "simulate_groups", "waveforms"]
