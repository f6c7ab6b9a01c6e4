"""A unit and what its nets do, as files for other power tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fewflips.atomic import atomic_write
from fewflips.errors import OutputError
from fewflips.gates.operands import Toggles
from fewflips.gates.saif import write_saif
from fewflips.gates.spef_writer import spef_text
from fewflips.gates.verilog import netlist_verilog
from fewflips.network_energy.simulation import DelayModel
from fewflips.network_energy.unit import ArithmeticUnit

_PS_PER_CYCLE_AT_1_MHZ = 1e6


def write_activity(
    folder: Path, unit: ArithmeticUnit, toggles: Mapping[DelayModel, Toggles], clock_mhz: float
) -> tuple[Path, ...]:
    """Write the netlist of a unit, its wires, and the toggles of its pins.

    Parameters
    ----------
    folder : Path
        Created where it does not exist.
    unit : ArithmeticUnit
        The unit.
    toggles : mapping of {"zero-delay", "inertial"} to Toggles
        Of one unit, summed over all that was simulated.
    clock_mhz : float
        How long a cycle takes.

    Returns
    -------
    tuple of Path
        ``unit.v`` (structural Verilog), ``unit.spef`` (wire capacitances), and ``zero_delay.saif`` and
        ``inertial.saif`` (toggles of every pin).

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create {folder}: {error.strerror}; give a folder that can be written") from error
    netlist, library = unit.netlist, unit.library
    files = [folder / "unit.v", folder / "unit.spef"]
    atomic_write(files[0], netlist_verilog(netlist, library).encode())
    wires = {net: float(unit.wire_ff[net]) for net in range(2, len(netlist.nets))}
    atomic_write(files[1], spef_text(netlist, library, wires, unit.wires).encode())
    for mode, counted in toggles.items():
        files.append(folder / f"{mode.replace('-', '_')}.saif")
        write_saif(files[-1], netlist, library, counted, _PS_PER_CYCLE_AT_1_MHZ / clock_mhz)
    return tuple(files)
