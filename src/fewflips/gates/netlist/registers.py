"""Determines from the connections what flip-flops hold, since names do not survive place and route."""

from __future__ import annotations

from collections.abc import Iterator

from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.graph import NO_DRIVER, NetlistGraph
from fewflips.gates.netlist.netlist import Netlist

INTERNAL = "internal"
"""The bank of products, sums, accumulators and every register that is not fed by a single port."""


def register_banks(netlist: Netlist, library: CellLibrary) -> dict[str, list[int]]:
    """Group flip-flops by what feeds them.

    The data input is traced back through buffers, inverters and gates to ports and other flip-flops. If it comes from
    a single input port, the flip-flop belongs to that port's bank: ``weights``, ``activations``,
    ``partial_sum``, ``clear``.

    Parameters
    ----------
    netlist : Netlist
        A checked netlist.
    library : CellLibrary
        Its cells.

    Returns
    -------
    dict of str to list of int
        Instance indices by bank, in ascending order: every input port with a bank, then :data:`INTERNAL`.
    """
    graph = NetlistGraph(netlist, library)
    sources = _sources(graph)
    names = {1 << position: name for position, name in enumerate(netlist.inputs)}
    banks: dict[str, list[int]] = {name: [] for name in (*netlist.inputs, INTERNAL)}
    for index in graph.registers:
        banks[names.get(_union(sources, graph.input_nets(index)), INTERNAL)].append(index)
    return {name: members for name, members in banks.items() if members or name == INTERNAL}


def gates_in_front(netlist: Netlist, library: CellLibrary, port: str) -> list[int]:
    """Gates that compute from a single port alone: a converter or decoder in front of its registers, or buffers.

    Parameters
    ----------
    netlist : Netlist
        A checked netlist.
    library : CellLibrary
        Its cells.
    port : str
        Name of the input port.

    Returns
    -------
    list of int
        Instance indices; none where the port has no such gates.
    """
    graph = NetlistGraph(netlist, library)
    sources = _sources(graph)
    only = 1 << list(netlist.inputs).index(port)
    return [
        index for index in graph.combinational_order if _union(sources, graph.input_nets(index, clocks=True)) == only
    ]


def _sources(graph: NetlistGraph) -> list[int]:
    """What each net is computed from: a bit for each input port, in order, and one for all flip-flops."""
    netlist = graph.netlist
    ports = list(netlist.inputs)
    from_register = 1 << len(ports)
    sources = [0] * len(netlist.nets)  # one bit per port, and one for all flip-flops
    for position, nets in enumerate(netlist.inputs.values()):
        for net in nets:
            sources[net] = 1 << position
    for index in graph.registers:
        for net in graph.output_nets(index):
            sources[net] = from_register
    for index in graph.combinational_order:
        reached = _union(sources, graph.input_nets(index, clocks=True))
        for net in graph.output_nets(index):
            sources[net] = reached
    return sources


def feedback_registers(netlist: Netlist, library: CellLibrary) -> frozenset[int]:
    """Flip-flops whose content depends on itself: accumulators, in a cycle of gates, and those with gated clocks.

    Parameters
    ----------
    netlist : Netlist
        A checked netlist.
    library : CellLibrary
        Its cells.

    Returns
    -------
    frozenset of int
        Instance indices.
    """
    graph = NetlistGraph(netlist, library)
    registers = set(graph.registers)
    found: set[int] = set(netlist.holds)
    for component in _Components(_predecessors(graph)).found():
        if _is_cycle(graph, component):
            found.update(registers.intersection(component))
    return frozenset(found)


def _union(sources: list[int], nets: list[int]) -> int:
    reached = 0
    for net in nets:
        reached |= sources[net]
    return reached


def _predecessors(graph: NetlistGraph) -> list[list[int]]:
    """For each instance, the instances that drive its data inputs; clocks are left out."""
    return [
        [graph.drivers[net] for net in graph.input_nets(index) if graph.drivers[net] != NO_DRIVER]
        for index in range(len(graph.netlist.instances))
    ]


def _is_cycle(graph: NetlistGraph, component: list[int]) -> bool:
    if len(component) > 1:
        return True
    index = component[0]
    return any(graph.drivers[net] == index for net in graph.input_nets(index))


class _Components:
    """Strongly connected components of a graph (R. Tarjan, SIAM J. Computing 1972), without recursion."""

    def __init__(self, predecessors: list[list[int]]) -> None:
        self.predecessors = predecessors
        self.number = [0] * len(predecessors)  # in the order of the search; 0 before a node is visited
        self.lowest = [0] * len(predecessors)
        self.open: list[int] = []
        self.is_open = [False] * len(predecessors)
        self.counted = 0

    def found(self) -> Iterator[list[int]]:
        """The components, each after those from which it can be reached."""
        for start in range(len(self.predecessors)):
            if not self.number[start]:
                yield from self._search(start)

    def _search(self, start: int) -> Iterator[list[int]]:
        way = [self._meet(start)]
        while way:
            node, remaining = way[-1]
            fresh = next((other for other in remaining if self._is_fresh(node, other)), None)
            if fresh is not None:
                way.append(self._meet(fresh))
                continue
            way.pop()
            if way:
                above = way[-1][0]
                self.lowest[above] = min(self.lowest[above], self.lowest[node])
            if self.lowest[node] == self.number[node]:
                yield self._close(node)

    def _meet(self, node: int) -> tuple[int, Iterator[int]]:
        self.counted += 1
        self.number[node] = self.lowest[node] = self.counted
        self.open.append(node)
        self.is_open[node] = True
        return node, iter(self.predecessors[node])

    def _is_fresh(self, node: int, other: int) -> bool:
        if not self.number[other]:
            return True
        if self.is_open[other]:
            self.lowest[node] = min(self.lowest[node], self.number[other])
        return False

    def _close(self, node: int) -> list[int]:
        component = [self.open.pop()]
        while component[-1] != node:
            component.append(self.open.pop())
        for member in component:
            self.is_open[member] = False
        return component
