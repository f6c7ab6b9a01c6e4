"""The cost of a toggle of each net, of a clock cycle, and of leakage.

Everything is linear in toggles, so the energy of a netlist is a few dot products with coefficients that are computed
once. Each coefficient belongs to exactly one term:

=========== =========================================================================================
switching   1/2 C V^2 for each toggle of a net that carries data, including those driven by ports;
            C = input pins + wire
internal    what cells spend internally for each toggle at their data pins: of the output that drives
a net, and of the input pins on it (the D pin of a flip-flop, for example)
clock       the whole cost of a clock cycle: for each pin on a clock net two toggles of its capacitance
            and of its share of the wire, and the internal energy of a rising and a falling edge;
            buffers of a clock tree within the netlist are part of it
leakage     leakage power of all cells, for the time given
=========== =========================================================================================

:mod:`fewflips.gates.power.internal_energy` explains where the internal figures come from, and how states and related
pins are weighted. The weights follow a reference activity and are then fixed, so that energies add up over streams.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.gates.liberty.cells import CellLibrary, Pin
from fewflips.gates.netlist.cell_groups import OPEN, CellGroup, cell_groups
from fewflips.gates.netlist.checks import clock_nets
from fewflips.gates.netlist.netlist import ONE_NET, Netlist
from fewflips.gates.operands import Toggles
from fewflips.gates.power.internal_energy import Activity, input_energy_fj, output_energy_fj
from fewflips.gates.timing import Timing

FJ_PER_NW_SECOND = 1e6
"""Energy in fJ of a power of one nW over one second."""
_TOGGLES_PER_CYCLE = 2
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Energy:
    """Energy by where it is spent, in fJ; energies can be added and scaled.

    Parameters
    ----------
    switching_fj, internal_fj, clock_fj, leakage_fj : float
        The terms; see the module.

    Examples
    --------
    >>> (Energy(1.0, 2.0, 4.0, 0.0) + 2 * Energy(1.0, 0.0, 0.0, 0.5)).total_fj
    10.0
    """

    switching_fj: float
    internal_fj: float
    clock_fj: float
    leakage_fj: float

    @property
    def data_fj(self) -> float:
        """Cost of the data's toggles: switching and internal."""
        return self.switching_fj + self.internal_fj

    @property
    def total_fj(self) -> float:
        """All terms."""
        return self.data_fj + self.clock_fj + self.leakage_fj

    def __add__(self, other: Energy) -> Energy:
        return Energy(
            self.switching_fj + other.switching_fj,
            self.internal_fj + other.internal_fj,
            self.clock_fj + other.clock_fj,
            self.leakage_fj + other.leakage_fj,
        )

    def __mul__(self, factor: float) -> Energy:
        return Energy(
            self.switching_fj * factor, self.internal_fj * factor, self.clock_fj * factor, self.leakage_fj * factor
        )

    __rmul__ = __mul__


@dataclass(frozen=True, eq=False)
class EnergyModel:
    """Coefficients of a netlist's energy.

    Parameters
    ----------
    switching_fj : ndarray of float64, shape (nets,)
        Per toggle of the net; 0 for clock nets and constants.
    output_fj : ndarray of float64, shape (nets,)
        Internal energy of the driver, per toggle of the net; 0 if a port drives it.
    input_fj : ndarray of float64, shape (pins,)
        Internal energy of each input pin that has any, per toggle of its net.
    input_nets, input_instances : ndarray of int64, shape (pins,)
        Net and instance of each of these pins.
    drivers : ndarray of int64, shape (nets,)
        The instance that drives each net; -1 for ports and constants.
    clock_nets : ndarray of bool, shape (nets,)
        Nets that lead to clock pins, through buffers if there are any.
    clock_fj : ndarray of float64, shape (instances,)
        Per clock cycle of the instance.
    leakage_nw : ndarray of float64, shape (instances,)
        Leakage power.
    """

    switching_fj: NDArray[np.float64] = field(repr=False)
    output_fj: NDArray[np.float64] = field(repr=False)
    input_fj: NDArray[np.float64] = field(repr=False)
    input_nets: NDArray[np.int64] = field(repr=False)
    input_instances: NDArray[np.int64] = field(repr=False)
    drivers: NDArray[np.int64] = field(repr=False)
    clock_nets: NDArray[np.bool_] = field(repr=False)
    clock_fj: NDArray[np.float64] = field(repr=False)
    leakage_nw: NDArray[np.float64] = field(repr=False)

    @property
    def internal_fj(self) -> NDArray[np.float64]:
        """Internal energy per toggle of each net, of its driver and its input pins; float64 of shape (nets,)."""
        pins = np.bincount(self.input_nets, weights=self.input_fj, minlength=len(self.output_fj))
        return self.output_fj + pins


def energy_model(
    netlist: Netlist,
    library: CellLibrary,
    timing: Timing,
    wire_ff: NDArray[np.float64],
    activity: Toggles | None = None,
) -> EnergyModel:
    """Energy coefficients of a netlist.

    Parameters
    ----------
    netlist : Netlist
        Mapped to cells of the library.
    library : CellLibrary
        Its cells and supply voltage.
    timing : Timing
        Slews and loads, from the same wires.
    wire_ff : ndarray of float64, shape (nets,)
        Capacitance of each net's wire.
    activity : Toggles, optional
        Toggles of a representative stream, used to weight the library's figures by state and related pin.

    Returns
    -------
    EnergyModel
        The coefficients.

    Raises
    ------
    CellLibraryError
        If the library lacks a cell, or a condition in it is malformed.
    NetlistError
        If an instance has a pin that its cell lacks.
    InputError
        If `timing`, `wire_ff` or `activity` belongs to another netlist.
    """
    nets = len(netlist.nets)
    _check_lengths(nets, timing, wire_ff, activity)
    groups = cell_groups(netlist, library)
    clocks = np.zeros(nets, dtype=np.bool_)
    clocks[list(clock_nets(netlist, library))] = True
    wire_share_ff = wire_ff / np.maximum(_pins_on_nets(groups, nets), 1)
    sums = _Sums(len(netlist.instances), clocks, timing, Activity(clocks, activity, netlist.holds))
    for group in groups:
        sums.leakage_nw[group.instances] = group.cell.leakage_nw
        for pin in group.cell.inputs:
            sums.add_input(group, pin, wire_share_ff, library.voltage_v)
        sums.add_outputs(group)
    switching = 0.5 * timing.loads_ff * library.voltage_v**2
    switching[clocks] = 0.0
    switching[: ONE_NET + 1] = 0.0
    return sums.model(switching)


def scaled(model: EnergyModel, instance_share: NDArray[np.float64], net_share: NDArray[np.float64]) -> EnergyModel:
    """The model with instances and nets counted in part, because several copies of the netlist share them.

    Parameters
    ----------
    model : EnergyModel
        Coefficients of one copy.
    instance_share : ndarray of float64, shape (instances,)
        Scales everything spent inside an instance: internal, clock and leakage. It is 1/16 for a register shared by 16
        columns.
    net_share : ndarray of float64, shape (nets,)
        Scales the switching energy of a net.

    Returns
    -------
    EnergyModel
        Scaled coefficients.

    Raises
    ------
    InputError
        If a share is missing.
    """
    if instance_share.shape != model.clock_fj.shape or net_share.shape != model.switching_fj.shape:
        raise InputError(
            f"shares: expected one for each of {len(model.clock_fj)} instances and {len(model.switching_fj)} nets,"
            f" got shapes {instance_share.shape} and {net_share.shape}"
        )
    of_drivers = np.append(instance_share, 1.0)[model.drivers]  # -1, a port, takes the last entry
    return replace(
        model,
        switching_fj=model.switching_fj * net_share,
        output_fj=model.output_fj * of_drivers,
        input_fj=model.input_fj * instance_share[model.input_instances],
        clock_fj=model.clock_fj * instance_share,
        leakage_nw=model.leakage_nw * instance_share,
    )


def energy_of(
    model: EnergyModel, toggles: Toggles, clock_cycles: float | NDArray[np.float64], seconds: float
) -> Energy:
    """Energy of a stream.

    Parameters
    ----------
    model : EnergyModel
        Coefficients.
    toggles : Toggles
        Toggles of every net.
    clock_cycles : float, or ndarray of float64, shape (instances,)
        Clock cycles of all instances, or of each instance: fewer for registers whose clock is gated.
    seconds : float
        Time during which the netlist leaks.

    Returns
    -------
    Energy
        In fJ.

    Raises
    ------
    InputError
        If the toggles or clock cycles belong to another netlist.
    """
    if toggles.toggles.shape != model.switching_fj.shape:
        raise InputError(
            f"toggles: expected those of {len(model.switching_fj)} nets, got shape {toggles.toggles.shape};"
            " use toggles of the same netlist"
        )
    cycles = np.asarray(clock_cycles, dtype=np.float64)
    if cycles.shape not in ((), model.clock_fj.shape):
        raise InputError(
            f"clock_cycles: expected one, or {len(model.clock_fj)} for instances, got shape {cycles.shape}"
        )
    return Energy(
        switching_fj=float(model.switching_fj @ toggles.toggles),
        internal_fj=float(model.internal_fj @ toggles.toggles),
        clock_fj=float((model.clock_fj * cycles).sum()),
        leakage_fj=float(model.leakage_nw.sum() * seconds * FJ_PER_NW_SECOND),
    )


class _Sums:
    """Coefficients under construction."""

    def __init__(self, instances: int, clock_nets: NDArray[np.bool_], timing: Timing, activity: Activity) -> None:
        self.timing, self.activity, self.clock_nets = timing, activity, clock_nets
        self.output_fj = np.zeros(len(clock_nets))
        self.drivers = np.full(len(clock_nets), OPEN, dtype=np.int64)
        self.clock_fj, self.leakage_nw = np.zeros(instances), np.zeros(instances)
        self.input_fj, self.input_nets, self.input_instances = [np.zeros(0)], [_NONE], [_NONE]

    def add_input(self, group: CellGroup, pin: Pin, wire_share_ff: NDArray[np.float64], voltage_v: float) -> None:
        """Add an input pin's energy to the clock if a clock net leads to it, else to its net."""
        nets = group.nets[pin.name]
        internal = input_energy_fj(group, pin, self.timing, self.activity)
        clocked = (nets != OPEN) & self.clock_nets[nets]
        charging = 0.5 * (pin.capacitance_ff + wire_share_ff[nets]) * voltage_v**2
        self.clock_fj[group.instances[clocked]] += _TOGGLES_PER_CYCLE * (internal + charging)[clocked]
        if pin.internal:
            data = (nets > ONE_NET) & ~clocked
            self.input_fj.append(internal[data])
            self.input_nets.append(nets[data])
            self.input_instances.append(group.instances[data])

    def add_outputs(self, group: CellGroup) -> None:
        """Add the output pins' energy; an open output of a flip-flop toggles with the connected one."""
        for pin in group.cell.outputs:
            nets = group.nets[pin.name]
            internal = output_energy_fj(group, pin, self.timing, self.activity)
            self.drivers[nets[nets != OPEN]] = group.instances[nets != OPEN]
            if group.cell.flip_flop is not None:
                for sibling in group.cell.outputs:
                    nets = np.where(nets == OPEN, group.nets[sibling.name], nets)
            clocked = (nets != OPEN) & self.clock_nets[nets]
            data = (nets > ONE_NET) & ~clocked
            np.add.at(self.clock_fj, group.instances[clocked], _TOGGLES_PER_CYCLE * internal[clocked])
            np.add.at(self.output_fj, nets[data], internal[data])

    def model(self, switching_fj: NDArray[np.float64]) -> EnergyModel:
        return EnergyModel(
            switching_fj=switching_fj,
            output_fj=self.output_fj,
            input_fj=np.concatenate(self.input_fj),
            input_nets=np.concatenate(self.input_nets),
            input_instances=np.concatenate(self.input_instances),
            drivers=self.drivers,
            clock_nets=self.clock_nets,
            clock_fj=self.clock_fj,
            leakage_nw=self.leakage_nw,
        )


def _pins_on_nets(groups: tuple[CellGroup, ...], nets: int) -> NDArray[np.int64]:
    """Number of input pins on each net."""
    pins = [group.nets[pin.name] for group in groups for pin in group.cell.inputs]
    connected = np.concatenate([_NONE, *pins])
    return np.bincount(connected[connected != OPEN], minlength=nets)


def _check_lengths(nets: int, timing: Timing, wire_ff: NDArray[np.float64], activity: Toggles | None) -> None:
    given = {"timing": timing.loads_ff.shape, "wire_ff": wire_ff.shape}
    if activity is not None:
        given["activity"] = activity.toggles.shape
    for name, shape in given.items():
        if shape != (nets,):
            raise InputError(
                f"{name}: expected figures of {nets} nets, got shape {shape}; use those of the same netlist"
            )
