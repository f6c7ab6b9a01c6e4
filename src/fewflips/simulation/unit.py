"""One arithmetic unit of the array, at gate level: netlist, delays, and cost of toggles."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.unit_work import UnitWork
from fewflips.datapath.design import Datapath
from fewflips.errors import NetlistError
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.checks import check_netlist, clock_nets
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.prepared import unit_netlist
from fewflips.gates.netlist.reader import read_netlist
from fewflips.gates.netlist.registers import gates_in_front, register_banks
from fewflips.gates.netlist.synthesis import netlist_area_um2
from fewflips.gates.operands import Toggles
from fewflips.gates.parasitics.spef import read_spef
from fewflips.gates.parasitics.wires import WireModel, fanout_wire_ff, spef_wire_ff
from fewflips.gates.power.attribution import Attribution, attribute, part_coefficients
from fewflips.gates.power.clock_gates import ClockGate, clock_gate
from fewflips.gates.power.energy import FJ_PER_NW_SECOND, Energy, EnergyModel, energy_model, energy_of, scaled
from fewflips.gates.switching import Circuit, compile_circuit, simulate
from fewflips.gates.timing import Timing, analyze_timing
from fewflips.progress import Progress
from fewflips.simulation.encoders import PortEncoder, port_encoder
from fewflips.simulation.function_check import check_function
from fewflips.simulation.toggles import LayerToggles
from fewflips.simulation.typical_operands import typical_operands

_SECONDS_PER_CYCLE_AT_1_MHZ = 1e-6
"""Seconds of a clock cycle at 1 MHz."""


@dataclass(frozen=True, eq=False)
class LaneClockGates:
    """Clock gates of the weight registers, one for each lane.

    Parameters
    ----------
    gate : ClockGate
        The cost of one.
    lanes : tuple of list of int
        Instances of the flip-flops behind each.
    """

    gate: ClockGate
    lanes: tuple[list[int], ...]


@dataclass(frozen=True, eq=False)
class ArithmeticUnit:
    """A unit, ready to be simulated.

    Parameters
    ----------
    datapath : Datapath
        The function it computes.
    library : CellLibrary
        Its cells.
    netlist : Netlist
        Its gates.
    timing : Timing
        Loads, slews, delays.
    circuit : Circuit
        The circuit for the switching simulation.
    model : EnergyModel
        Cost of each toggle.
    banks : dict of str to list of int
        Instances of the registers of each operand.
    attribution : Attribution
        To which part of the unit each instance and net belongs.
    wire_ff : ndarray of float64, shape (nets,)
        Capacitance of each net's wire, in fF.
    origin : str
        What made the netlist.
    wires : str
        Where wire capacitances come from.
    clock_gates : LaneClockGates or None
        Those of a unit with hold flags.
    encoders : dict of str to PortEncoder
        For each coded port, the encoder of a lane.
    converter : list of int
        Instances of the gates in front of the activations' registers, if they convert; shared like these.
    """

    datapath: Datapath
    library: CellLibrary
    netlist: Netlist = field(repr=False)
    timing: Timing = field(repr=False)
    circuit: Circuit = field(repr=False)
    model: EnergyModel = field(repr=False)
    banks: dict[str, list[int]] = field(repr=False)
    attribution: Attribution = field(repr=False)
    wire_ff: NDArray[np.float64] = field(repr=False)
    origin: str
    wires: str
    clock_gates: LaneClockGates | None = None
    encoders: dict[str, PortEncoder] = field(default_factory=dict, repr=False)
    converter: list[int] = field(default_factory=list, repr=False)

    @property
    def estimated_entries(self) -> tuple[str, ...]:
        """Entries of the bill that are estimates: the clock, where it passes clock gates."""
        return () if self.clock_gates is None else ("units.clock_pj",)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the unit's energies has to know."""
        if self.clock_gates is None:
            return ()
        return (
            "The clock gates of hold flags are estimated from a flip-flop and an AND gate of the library; they are "
            "part of the clock.",
        )

    @property
    def area_um2(self) -> float:
        """Area of the netlist, and of the clock gates and encoders of its lanes beside it."""
        lane_um2 = sum(encoder.area_um2 for encoder in self.encoders.values())
        if self.clock_gates is not None:
            lane_um2 += self.clock_gates.gate.area_um2
        return netlist_area_um2(self.netlist, self.library) + self.datapath.lanes * lane_um2

    @property
    def estimated(self) -> tuple[str, ...]:
        """Entries of a bill that are estimates, not simulated: clock gates stand beside the netlist."""
        return () if self.clock_gates is None else ("units.clock_pj",)

    def energy(self, toggles: LayerToggles, work: UnitWork, clock_mhz: float) -> Energy:
        """Energy of one layer in one inference.

        Parameters
        ----------
        toggles : LayerToggles
            Toggles of the units' nets.
        work : UnitWork
            How long the units work, and what they share.
        clock_mhz : float
            Clock frequency, for leakage.

        Returns
        -------
        Energy
            Energy of all units, in fJ.
        """
        model = self.shared_model(work.weight_share, work.activation_share)
        instances = len(self.netlist.instances)
        cycles = np.full(instances, float(work.unit_cycles))
        for port, loads in (("weights", work.weight_loads), ("activations", work.activation_loads)):
            cycles[self.banks.get(port, [])] = loads
            cycles[self.banks.get(f"{port}_invert", [])] = loads
        cycles[self.banks.get("negate", [])] = work.weight_loads
        if self.clock_gates is not None and work.holds is not None:
            for bank, loaded in zip(self.clock_gates.lanes, work.holds.loads, strict=True):
                cycles[bank] = loaded
        counted = energy_of(model, toggles.exact, cycles, 0.0)
        sample = energy_of(model, toggles.sample, 0.0, 0.0)
        gates = self.clock_gate_energy(work, clock_mhz)
        return counted + sample * toggles.scale + self._leakage(work, clock_mhz) + gates

    def clock_gate_energy(self, work: UnitWork, clock_mhz: float) -> Energy:
        """Energy of the clock gates of hold flags, which are estimated beside the netlist.

        Parameters
        ----------
        work : UnitWork
            How long the units work, and how often lanes load.
        clock_mhz : float
            Clock frequency, for leakage.

        Returns
        -------
        Energy
            Clock (flags included) and leakage of the gates of all units, in fJ; nothing without hold flags.
        """
        if self.clock_gates is None or work.holds is None:
            return Energy(0.0, 0.0, 0.0, 0.0)
        gate, lanes = self.clock_gates.gate, len(self.clock_gates.lanes)
        clock_fj = gate.cycle_fj * work.unit_cycles * lanes + gate.load_fj * sum(work.holds.loads)
        clock_fj += gate.flag_fj * work.holds.flag_toggles
        seconds = work.array_cycles * _SECONDS_PER_CYCLE_AT_1_MHZ / clock_mhz
        leakage_fj = gate.leakage_nw * lanes * work.units * work.weight_copies * seconds * FJ_PER_NW_SECOND
        return Energy(0.0, 0.0, clock_fj * work.weight_share, leakage_fj)

    def encoder_energy(self, port: str, toggles: LayerToggles, work: UnitWork, clock_mhz: float) -> Energy:
        """Energy of the encoders of a coded port for one layer in one inference.

        Parameters
        ----------
        port : {"weights", "activations"}
            The port.
        toggles : LayerToggles
            Toggles of its encoders' nets.
        work : UnitWork
            How long the array works, and how many registers, and so encoders, it has.
        clock_mhz : float
            Clock frequency, for leakage.

        Returns
        -------
        Energy
            Energy of all encoders, in fJ.
        """
        copies = work.weight_copies if port == "weights" else work.activation_copies
        seconds = work.array_cycles * _SECONDS_PER_CYCLE_AT_1_MHZ / clock_mhz
        return self.encoders[port].energy(toggles, seconds * work.units * copies * self.datapath.lanes)

    def data_by_part(self, toggles: LayerToggles, work: UnitWork) -> NDArray[np.float64]:
        """Energy of the data of one layer in one inference, by the part of the unit that spends it.

        Parameters
        ----------
        toggles : LayerToggles
            Toggles of the units' nets.
        work : UnitWork
            What the units share.

        Returns
        -------
        ndarray of float64, shape (parts,)
            Energy of all units, in fJ, in the order of :data:`fewflips.gates.power.attribution.PARTS`; the sum is the
            data energy of :meth:`energy`, but for rounding.
        """
        model = self.shared_model(work.weight_share, work.activation_share)
        counted = toggles.exact.toggles + toggles.scale * toggles.sample.toggles
        return part_coefficients(model, self.attribution) @ counted

    def _leakage(self, work: UnitWork, clock_mhz: float) -> Energy:
        """Leakage of all units of the array, working or idle, for as long as the layer takes."""
        seconds = work.array_cycles * _SECONDS_PER_CYCLE_AT_1_MHZ / clock_mhz
        nothing = np.zeros(len(self.netlist.nets), dtype=np.int64)
        model = self.shared_model(work.weight_copies, work.activation_copies)
        return energy_of(model, Toggles(nothing, nothing, 0), 0.0, seconds * work.units)

    def shared_model(self, weight_share: float, activation_share: float) -> EnergyModel:
        """Cost of a unit's toggles when operand registers serve several units.

        Parameters
        ----------
        weight_share, activation_share : float
            The unit's share of the operand's registers and of the wires in front of them.

        Returns
        -------
        EnergyModel
            Scaled coefficients.
        """
        instance_share = np.ones(len(self.netlist.instances))
        net_share = np.ones(len(self.netlist.nets))
        for operand, share in (("weights", weight_share), ("activations", activation_share)):
            for port in (operand, f"{operand}_invert", *(["negate"] if operand == "weights" else [])):
                instance_share[self.banks.get(port, [])] = share
                net_share[list(self.netlist.inputs.get(port, ()))] = share
        if self.converter:
            instance_share[self.converter] = activation_share
            net_share[np.isin(self.model.drivers, self.converter)] = activation_share
        return scaled(self.model, instance_share, net_share)


def build_unit(
    datapath: Datapath,
    library: CellLibrary,
    *,
    netlist: Path | None = None,
    spef: Path | None = None,
    step_ps: float = 10.0,
    progress: Progress | None = None,
) -> ArithmeticUnit:
    """Synthesize a unit, or read it from a file, and prepare it for simulation.

    Parameters
    ----------
    datapath : Datapath
        What to build.
    library : CellLibrary
        Cells.
    netlist : Path, optional
        Structural Verilog from another flow, with the ports of `datapath`.
    spef : Path, optional
        Wire capacitances of that netlist. By default they are estimated from fanout.
    step_ps : float
        Step to which delays are rounded.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    ArithmeticUnit
        The checked unit.

    Raises
    ------
    FewflipsError
        If Yosys fails, or the files do not match the datapath or one another.
    """
    if netlist is None:
        gates, origin = unit_netlist(datapath.ungated, library, progress)
    else:
        gates, origin = read_netlist(netlist, library), netlist.name
    check_netlist(gates, library)
    _check_ports(gates, library, datapath)
    wire_ff, wires = _wires(gates, library, spef)
    timing = analyze_timing(gates, library, wire_ff)
    circuit = compile_circuit(gates, library, timing.delays_ps, step_ps)
    operands = typical_operands(datapath)
    check_function(circuit, datapath.ungated, operands)
    activity = simulate(circuit, operands, "inertial")
    return ArithmeticUnit(
        datapath=datapath,
        library=library,
        netlist=gates,
        timing=timing,
        circuit=circuit,
        model=energy_model(gates, library, timing, wire_ff, activity),
        banks=register_banks(gates, library),
        attribution=attribute(gates, library, _lane_bits(datapath), running=datapath.traits.skewed),
        wire_ff=wire_ff,
        origin=origin,
        wires=wires,
        clock_gates=_clock_gates(gates, library, datapath, wire_ff) if datapath.hold_flags else None,
        encoders={
            port: port_encoder(getattr(datapath, port).bits, library, step_ps, progress)
            for port in datapath.bus_invert_ports
        },
        converter=gates_in_front(gates, library, "activations") if datapath.activation_converter else [],
    )


def _clock_gates(
    netlist: Netlist, library: CellLibrary, datapath: Datapath, wire_ff: NDArray[np.float64]
) -> LaneClockGates:
    """A gate in front of each lane's flip-flops, with wires as long as those of the weights."""
    nets, bits = netlist.inputs["weights"], datapath.weights.bits
    flags = netlist.inputs.get("weights_invert")
    ports = {
        f"lane {lane}": nets[lane * bits : (lane + 1) * bits] + (flags[lane : lane + 1] if flags else ())
        for lane in range(datapath.lanes)
    }
    others = {name: () if name in ("weights", "weights_invert") else port for name, port in netlist.inputs.items()}
    banks = register_banks(replace(netlist, inputs={**others, **ports}), library)
    lanes = tuple(banks.get(name, []) for name in ports)
    flip_flop = library.cells[netlist.instances[lanes[0][0]].cell]
    gate = clock_gate(library, flip_flop, len(lanes[0]), float(wire_ff[list(nets)].mean()))
    return LaneClockGates(gate, lanes)


def compiled_unit(datapath: Datapath, library: CellLibrary) -> ArithmeticUnit:
    """Synthesize a unit, and make sure that the kernels that simulate it are compiled and cached on disk.

    Parameters
    ----------
    datapath : Datapath
        What to build.
    library : CellLibrary
        Cells.

    Returns
    -------
    ArithmeticUnit
        Result of :func:`build_unit`, which uses only the kernels of inertial delays.

    Raises
    ------
    FewflipsError
        If the cells do not suffice to build it, or Yosys is needed and fails.
    """
    unit = build_unit(datapath, library)
    simulate(unit.circuit, typical_operands(datapath), "zero-delay")
    return unit


def _lane_bits(datapath: Datapath) -> dict[str, int]:
    """Ports that hold something for each lane, with its bits: operands, and flags of coded ones."""
    flags = {f"{port}_invert": 1 for port in datapath.bus_invert_ports}
    return {"weights": datapath.weights.bits, "activations": datapath.activations.bits, **flags}


def _wires(netlist: Netlist, library: CellLibrary, spef: Path | None) -> tuple[NDArray[np.float64], str]:
    if spef is None:
        model = WireModel.estimated(netlist, library)
        return fanout_wire_ff(netlist, library, model.per_fanout_ff, model.base_ff), model.source
    return spef_wire_ff(netlist, read_spef(spef)), spef.name


def _check_ports(netlist: Netlist, library: CellLibrary, datapath: Datapath) -> None:
    expected = {
        "weights": datapath.lanes * datapath.weights.bits,
        "activations": datapath.lanes * datapath.activations.bits,
    }
    if datapath.partial_sum_input:
        expected["partial_sum"] = datapath.accumulator_bits
    for port in datapath.bus_invert_ports:
        expected[f"{port}_invert"] = datapath.lanes
    if datapath.sign_flags:
        expected["negate"] = 1
    if datapath.traits.accumulates:
        expected["clear"] = 1
    clocks = clock_nets(netlist, library)
    found = {name: len(nets) for name, nets in netlist.inputs.items() if not clocks.issuperset(nets)}
    if found != expected:
        raise NetlistError(
            f"netlist {netlist.name}: expected input ports {_ports(expected)} for this accelerator and network, got "
            f"{_ports(found)}: give the netlist of this unit, other inputs tied, or an accelerator with its widths"
        )


def _ports(widths: dict[str, int]) -> str:
    return ", ".join(f"{name}[{bits}]" for name, bits in sorted(widths.items())) or "none"
