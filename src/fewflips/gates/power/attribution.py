"""Which part of an arithmetic unit spends the energy of data: multipliers, adders, partial sums, registers.

Parts are told apart by what cells depend on (:mod:`fewflips.gates.netlist.cones`), not by names:

============= ======================================================================================
multipliers   gates that depend on operands of one lane alone
adders        gates that depend on several lanes, and on no partial sum
partial sums  gates that depend on a partial sum, an accumulator, or what clears it; in a chain, also
              those that depend on several lanes: the sum of an earlier element passes through them
registers     flip-flops, and the wires in front of them: ports and their buffers that lead to nothing
              else (and encoders of coded ports, which are netlists of their own)
============= ======================================================================================

A net counts with the cell that drives it, and what a cell spends inside counts with the cell. Some libraries give
small negative figures for input pins, which correct the 1/2 C V^2 of the net in front of the cell: these count with
that net. The clock and leakage are no part's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.cones import NO_LANE, SEVERAL_LANES, cones
from fewflips.gates.netlist.graph import NetlistGraph, single_input_gate
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.power.energy import EnergyModel

PARTS = ("multipliers", "adders", "partial sums", "registers")
"""The parts, in the order of their indices."""
MULTIPLIERS, ADDERS, PARTIAL_SUMS, REGISTERS = range(len(PARTS))


@dataclass(frozen=True, eq=False)
class Attribution:
    """The part of every instance and net of a unit, as an index of :data:`PARTS`.

    Parameters
    ----------
    instances : ndarray of int64, shape (instances,)
        The part to which each cell belongs. Cells that depend on nothing (ties, buffers of the clock) spend nothing
        on data; they are put to the registers.
    nets : ndarray of int64, shape (nets,)
        The part with which each net's charge counts.
    """

    instances: NDArray[np.int64] = field(repr=False)
    nets: NDArray[np.int64] = field(repr=False)


def attribute(
    netlist: Netlist, library: CellLibrary, lane_bits: Mapping[str, int], *, running: bool = False
) -> Attribution:
    """Tell the parts of a unit apart.

    Parameters
    ----------
    netlist : Netlist
        A checked netlist.
    library : CellLibrary
        Its cells.
    lane_bits : mapping of str to int
        The input ports that hold something for each lane, with its bits for one lane.
    running : bool
        Whether lanes are added one after the other, each to the sum of those before, as in a systolic chain.

    Returns
    -------
    Attribution
        The part of each instance and net.
    """
    graph = NetlistGraph(netlist, library)
    found = cones(netlist, library, lane_bits)
    registers = set(graph.registers)
    fronts = _fronts(graph)
    count = len(netlist.instances)
    instances = np.full(count, REGISTERS, dtype=np.int64)
    nets = np.full(len(netlist.nets), REGISTERS, dtype=np.int64)
    for index in range(count):
        outputs = graph.output_nets(index)
        if index not in registers and not fronts.issuperset(outputs):
            instances[index] = _part(*found.of_several(graph.input_nets(index)), running)
        nets[outputs] = instances[index]
    for port in netlist.inputs.values():
        for net in port:
            if net not in fronts:
                nets[net] = _part(found.lanes[net], found.sums[net], running)
    return Attribution(instances, nets)


def part_coefficients(model: EnergyModel, attribution: Attribution) -> NDArray[np.float64]:
    """Energy of data by part, per toggle of each net.

    Parameters
    ----------
    model : EnergyModel
        Coefficients of the unit, or of its share where copies share registers.
    attribution : Attribution
        Its parts.

    Returns
    -------
    ndarray of float64, shape (parts, nets)
        In fJ; the sum over the parts is ``switching_fj + internal_fj`` of the model, but for rounding.
    """
    count = len(attribution.nets)
    of_pins = np.where(
        model.input_fj < 0, attribution.nets[model.input_nets], attribution.instances[model.input_instances]
    )
    places = np.concatenate([attribution.nets * count + np.arange(count), of_pins * count + model.input_nets])
    figures = np.concatenate([model.switching_fj + model.output_fj, model.input_fj])
    sums = np.bincount(places, weights=figures, minlength=len(PARTS) * count).astype(np.float64)
    return sums.reshape(len(PARTS), count)


def _part(lane: int, is_sum: bool, running: bool) -> int:
    if is_sum:
        return PARTIAL_SUMS
    if lane == SEVERAL_LANES:
        return PARTIAL_SUMS if running else ADDERS
    return REGISTERS if lane == NO_LANE else MULTIPLIERS


def _fronts(graph: NetlistGraph) -> set[int]:
    """Nets from a port, through buffers and inverters if there are any, to flip-flops alone."""
    netlist = graph.netlist
    repeaters = [index for index in graph.combinational_order if single_input_gate(graph.cell(index)) is not None]
    from_ports = {net for nets in netlist.inputs.values() for net in nets}
    for index in repeaters:
        if from_ports.issuperset(graph.input_nets(index)):
            from_ports.update(graph.output_nets(index))
    fronts = from_ports.difference(*netlist.outputs.values())
    repeating = set(repeaters)
    for index in reversed(graph.combinational_order):  # what is behind a net has been decided before the net
        if index not in repeating or not fronts.issuperset(graph.output_nets(index)):
            fronts.difference_update(graph.input_nets(index))
    return fronts
