"""A unit and its nets' activity, as files for other power tools."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fewflips.dataflows.unit_work import Part
from fewflips.errors import InputError, OutputError
from fewflips.files.atomic import atomic_write, make_folder
from fewflips.gates.netlist.checks import clock_nets
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.gates.operands import Toggles, Windows
from fewflips.gates.parasitics.spef_writer import spef_text
from fewflips.gates.power.saif import write_saif
from fewflips.gates.power.vcd import write_vcd
from fewflips.gates.switching import waveforms
from fewflips.simulation.run import EnergyOptions
from fewflips.simulation.toggles import DelayModel
from fewflips.simulation.unit import ArithmeticUnit

_PS_PER_CYCLE_AT_1_MHZ = 1e6
WAVEFORM_CYCLES = 64
"""Number of cycles written as waveforms."""


def write_activity(
    folder: Path, unit: ArithmeticUnit, toggles: Mapping[DelayModel, Toggles], part: Part, options: EnergyOptions
) -> tuple[Path, ...]:
    """Write the netlist of a unit, its wires, and the toggles of its pins.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    unit : ArithmeticUnit
        The unit.
    toggles : mapping of {"zero-delay", "inertial"} to Toggles
        Toggles of one unit, summed over everything simulated.
    part : Part
        What the units see; the first cycles of the first unit are written as waveforms.
    options : EnergyOptions
        Length of a cycle and of a time step.

    Returns
    -------
    tuple of Path
        ``unit.v`` (structural Verilog), ``unit.spef`` (wire capacitances), ``zero_delay.saif`` and
        ``inertial.saif`` (toggles of every pin), and ``inertial.vcd`` (waveforms including glitches).

    Raises
    ------
    InputError
        If a time step is not a whole number of picoseconds.
    OutputError
        If a file cannot be written.
    """
    make_activity_folder(folder)
    netlist, library = unit.netlist, unit.library
    files = [folder / "unit.v", folder / "unit.spef"]
    atomic_write(files[0], netlist_verilog(netlist, library).encode())
    wires = {net: float(unit.wire_ff[net]) for net in range(2, len(netlist.nets))}
    atomic_write(files[1], spef_text(netlist, library, wires, unit.wires).encode())
    for mode, counted in toggles.items():
        files.append(folder / f"{mode.replace('-', '_')}.saif")
        write_saif(files[-1], netlist, library, counted, _PS_PER_CYCLE_AT_1_MHZ / options.clock_mhz)
    files.append(folder / "inertial.vcd")
    _write_waveforms(files[-1], unit, part, options)
    return tuple(files)


def make_activity_folder(folder: Path) -> None:
    """Create a folder, and its parents, if it does not exist.

    Raises
    ------
    OutputError
        If that is impossible, or nothing can be written there.
    """
    make_folder(folder, "--activity")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write into {folder}: permission denied; give a folder that can be written")


def _write_waveforms(path: Path, unit: ArithmeticUnit, part: Part, options: EnergyOptions) -> None:
    """The first cycles of the first unit; the period is lengthened if the slowest path needs it."""
    if options.step_ps != int(options.step_ps):
        raise InputError(f"waveforms: expected a step of whole picoseconds, got {options.step_ps:g}; change --step-ps")
    transitions = np.array([min(WAVEFORM_CYCLES, int(part.transitions[0]))])
    window = Windows(np.zeros(1, dtype=np.int64), part.first_transitions[:1], transitions)
    changes = waveforms(unit.circuit, part.sequences, window, "inertial")
    step_ps = int(options.step_ps)
    settled_ps = (int(changes.steps.max(initial=0)) + 1) * step_ps
    period_ps = max(round(_PS_PER_CYCLE_AT_1_MHZ / options.clock_mhz), settled_ps)
    clocks = sorted(clock_nets(unit.netlist, unit.library))
    write_vcd(path, unit.netlist, changes, period_ps, step_ps, clocks)
