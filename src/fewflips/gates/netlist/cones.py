"""What each net of an arithmetic unit depends on: which lanes' operands, and whether a sum from elsewhere.

The cone of a net reaches back through gates and registers to the input ports. Names are not used, since they do not
survive place and route: what a register holds follows from what feeds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.checks import clock_nets
from fewflips.gates.netlist.graph import NetlistGraph
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.registers import feedback_registers

NO_LANE = -1
"""Stands for the lane of a net that depends on no operand."""
SEVERAL_LANES = -2
"""Stands for the lane of a net that depends on operands of more than one lane."""


@dataclass(frozen=True, eq=False)
class Cones:
    """What nets depend on.

    Parameters
    ----------
    lanes : list of int, one per net
        The lane whose operands the net depends on, :data:`NO_LANE` or :data:`SEVERAL_LANES`.
    sums : list of bool, one per net
        Whether it depends on an accumulator, or on an input port that holds no operand of a lane (a partial sum, or
        what clears an accumulator).
    """

    lanes: list[int] = field(repr=False)
    sums: list[bool] = field(repr=False)

    def of_several(self, nets: list[int]) -> tuple[int, bool]:
        """What a gate with these inputs depends on."""
        lane = NO_LANE
        for net in nets:
            other = self.lanes[net]
            if lane in (NO_LANE, other):
                lane = other
            elif other != NO_LANE:
                lane = SEVERAL_LANES
        return lane, any(self.sums[net] for net in nets)


def cones(netlist: Netlist, library: CellLibrary, lane_bits: Mapping[str, int]) -> Cones:
    """Find what each net depends on, through gates and registers.

    Parameters
    ----------
    netlist : Netlist
        A checked netlist.
    library : CellLibrary
        Its cells.
    lane_bits : mapping of str to int
        The input ports that hold something for each lane, with its bits for one lane: lane l is at bits ``l * bits``
        and up.

    Returns
    -------
    Cones
        For every net. The clock, and nets that depend on constants alone, depend on nothing.
    """
    graph = NetlistGraph(netlist, library)
    found = Cones([NO_LANE] * len(netlist.nets), [False] * len(netlist.nets))
    clocks = clock_nets(netlist, library)
    for port, nets in netlist.inputs.items():
        for position, net in enumerate(nets):
            if port in lane_bits:
                found.lanes[net] = position // lane_bits[port]
            elif net not in clocks:
                found.sums[net] = True
    _spread(graph, found, feedback_registers(netlist, library))
    return found


def _spread(graph: NetlistGraph, found: Cones, accumulators: frozenset[int]) -> None:
    """Carry dependences from nets to the outputs of what they feed until nothing changes.

    A net changes at most three times, so that the work is proportional to the number of pins.
    """
    count = len(graph.netlist.instances)
    inputs = [graph.input_nets(index) for index in range(count)]
    outputs = [graph.output_nets(index) for index in range(count)]
    readers: dict[int, list[int]] = {}
    for index, nets in enumerate(inputs):
        for net in nets:
            readers.setdefault(net, []).append(index)
    waiting = deque((*graph.combinational_order, *graph.registers))
    is_waiting = [True] * count
    while waiting:
        index = waiting.popleft()
        is_waiting[index] = False
        lane, is_sum = found.of_several(inputs[index])
        is_sum = is_sum or index in accumulators
        for net in outputs[index]:
            if (found.lanes[net], found.sums[net]) == (lane, is_sum):
                continue
            found.lanes[net], found.sums[net] = lane, is_sum
            fresh = [reader for reader in readers.get(net, []) if not is_waiting[reader]]
            waiting.extend(fresh)
            for reader in fresh:
                is_waiting[reader] = True
