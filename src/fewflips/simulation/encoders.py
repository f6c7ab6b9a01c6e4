"""Encoders in front of the coded ports of an array, at gate level."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fewflips.datapath.bus_invert_encoder import encoder_name, encoder_verilog
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.synthesis import netlist_area_um2, synthesize_verilog
from fewflips.gates.operands import OperandSequences, PortRows
from fewflips.gates.parasitics.wires import WireModel, fanout_wire_ff
from fewflips.gates.power.energy import FJ_PER_NW_SECOND, Energy, EnergyModel, energy_model, energy_of
from fewflips.gates.switching import Circuit, compile_circuit, simulate
from fewflips.gates.timing import analyze_timing
from fewflips.progress import Progress
from fewflips.simulation.toggles import LayerToggles

_TYPICAL_WORDS = 4096


@dataclass(frozen=True, eq=False)
class PortEncoder:
    """The encoder of one lane of a port.

    Parameters
    ----------
    netlist : Netlist
        Its gates.
    circuit : Circuit
        The circuit for the switching simulation.
    model : EnergyModel
        Cost of each toggle.
    area_um2 : float
        Area of one lane's.
    critical_path_ps : float
        Longest path from its inputs to its outputs.
    """

    netlist: Netlist = field(repr=False)
    circuit: Circuit = field(repr=False)
    model: EnergyModel = field(repr=False)
    area_um2: float
    critical_path_ps: float

    def energy(self, toggles: LayerToggles, leaking_seconds: float) -> Energy:
        """Energy of all encoders of a port for one layer.

        Parameters
        ----------
        toggles : LayerToggles
            Toggles of their nets.
        leaking_seconds : float
            How long they leak, summed over all encoders of the array.

        Returns
        -------
        Energy
            In fJ.
        """
        counted = energy_of(self.model, toggles.exact, 0.0, 0.0)
        counted += energy_of(self.model, toggles.sample, 0.0, 0.0) * toggles.scale
        leakage_fj = float(self.model.leakage_nw.sum()) * leaking_seconds * FJ_PER_NW_SECOND
        return counted + Energy(0.0, 0.0, 0.0, leakage_fj)


def port_encoder(
    bits: int, library: CellLibrary, step_ps: float = 10.0, progress: Progress | None = None
) -> PortEncoder:
    """Synthesize the bus-invert encoder of a lane.

    Parameters
    ----------
    bits : int
        Width of a word.
    library : CellLibrary
        Cells.
    step_ps : float
        Step to which delays are rounded.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    PortEncoder
        Wires are estimated from fanout. Figures that depend on the state of other pins are weighted by random words.

    Raises
    ------
    FewflipsError
        If the cells do not suffice to build it, or Yosys is missing or fails.
    """
    netlist = synthesize_verilog(encoder_verilog(bits), encoder_name(bits), library, progress)
    wires = WireModel.estimated(netlist, library)
    wire_ff = fanout_wire_ff(netlist, library, wires.per_fanout_ff, wires.base_ff)
    timing = analyze_timing(netlist, library, wire_ff)
    circuit = compile_circuit(netlist, library, timing.delays_ps, step_ps)
    activity = simulate(circuit, _random_words(bits), "inertial")
    return PortEncoder(
        netlist=netlist,
        circuit=circuit,
        model=energy_model(netlist, library, timing, wire_ff, activity),
        area_um2=netlist_area_um2(netlist, library),
        critical_path_ps=timing.critical_path_ps,
    )


def _random_words(bits: int) -> OperandSequences:
    generator, start = np.random.default_rng(0), np.zeros(1, dtype=np.int64)
    inputs = {
        name: PortRows(generator.integers(0, 1 << width, (_TYPICAL_WORDS, 1)).astype(np.int32), width, start, 1)
        for name, width in (("word", bits), ("before", bits + 1))
    }
    return OperandSequences(np.array([_TYPICAL_WORDS]), start, inputs)
