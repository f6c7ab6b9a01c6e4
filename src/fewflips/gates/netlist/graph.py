"""A netlist as a graph: what a cell computes, what drives a net, and the order in which gates settle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fewflips.errors import CellLibraryError, NetlistError
from fewflips.gates.liberty.cells import Cell, CellLibrary
from fewflips.gates.liberty.functions import truth_table
from fewflips.gates.netlist.netlist import ONE_NET, ZERO_NET, Netlist

NO_DRIVER = -1
"""Represents the driver of an input port, a constant or an undriven net."""


@dataclass(frozen=True, eq=False)
class NetlistGraph:
    """Connections of a netlist whose cells are all in a library.

    Parameters
    ----------
    netlist : Netlist
        The netlist.
    library : CellLibrary
        Its cells.
    """

    netlist: Netlist
    library: CellLibrary

    def cell(self, instance: int) -> Cell:
        """The cell of an instance."""
        return self.library.cells[self.netlist.instances[instance].cell]

    def input_nets(self, instance: int, clocks: bool = False) -> list[int]:
        """Nets at the connected input pins of an instance, in the cell's pin order; clock pins on request."""
        pins = self.netlist.instances[instance].pins
        return [
            pins[pin.name] for pin in self.cell(instance).inputs if pin.name in pins and (clocks or not pin.is_clock)
        ]

    def output_nets(self, instance: int) -> list[int]:
        """Nets at the connected output pins of an instance."""
        pins = self.netlist.instances[instance].pins
        return [pins[pin.name] for pin in self.cell(instance).outputs if pin.name in pins]

    @cached_property
    def registers(self) -> tuple[int, ...]:
        """Indices of the flip-flops among the instances."""
        return tuple(
            index
            for index, instance in enumerate(self.netlist.instances)
            if self.library.cells[instance.cell].flip_flop is not None
        )

    @cached_property
    def drivers(self) -> list[int]:
        """For each net, the instance that drives it, or :data:`NO_DRIVER`."""
        drivers = [NO_DRIVER] * len(self.netlist.nets)
        for index in range(len(self.netlist.instances)):
            for net in self.output_nets(index):
                drivers[net] = index
        return drivers

    @cached_property
    def combinational_order(self) -> tuple[int, ...]:
        """Indices of the gates, each after those that drive it; flip-flops are left out.

        Raises
        ------
        NetlistError
            If there is a combinational loop; the message names nets on it.
        """
        count = len(self.netlist.instances)
        registers = set(self.registers)
        waiting = [0] * count
        readers: list[list[int]] = [[] for _ in range(count)]
        for index in range(count):
            if index in registers:
                continue
            for net in self.input_nets(index, clocks=True):
                driver = self.drivers[net]
                if driver != NO_DRIVER and driver not in registers:
                    waiting[index] += 1
                    readers[driver].append(index)
        order = [index for index in range(count) if index not in registers and waiting[index] == 0]
        for index in order:  # grows during the walk
            for reader in readers[index]:
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    order.append(reader)
        if len(order) + len(registers) < count:
            unsettled = {index for index in range(count) if waiting[index] > 0}
            raise NetlistError(self._loop_message(unsettled))
        return tuple(order)

    def _loop_message(self, unsettled: set[int]) -> str:
        """Walk backwards among gates that depend on one another until one repeats."""
        index = min(unsettled)
        walked: dict[int, str] = {}
        while index not in walked:
            net = next(net for net in self.input_nets(index, clocks=True) if self.drivers[net] in unsettled)
            walked[index] = self.netlist.nets[net]
            index = self.drivers[net]
        on_loop = list(walked)[list(walked).index(index) :]
        names = [walked[gate] for gate in reversed(on_loop)]
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return (
            f"netlist {self.netlist.name}: expected no combinational loop, got one through the nets {listed}; "
            "break it by a flip-flop"
        )

    @cached_property
    def constants(self) -> dict[int, int]:
        """Value of every net that is constant because of tie cells and the gates after them."""
        known = {ZERO_NET: 0, ONE_NET: 1}
        for index in self.combinational_order:
            nets = self.input_nets(index, clocks=True)
            if all(net in known for net in nets):
                pins = self.netlist.instances[index].pins
                names = tuple(pin.name for pin in self.cell(index).inputs if pin.name in pins)
                row = sum(known[net] << position for position, net in enumerate(nets))
                for pin in self.cell(index).outputs:
                    if pin.name in pins and pin.function is not None:
                        known[pins[pin.name]] = truth_table(pin.function, names) >> row & 1
        return known


def single_input_gate(cell: Cell) -> bool | None:
    """Whether a cell is an inverter (True), a buffer (False), or neither (None)."""
    if len(cell.inputs) != 1 or len(cell.outputs) != 1 or cell.flip_flop is not None or cell.is_latch:
        return None
    function = cell.outputs[0].function
    if function is None:
        return None
    try:
        return {0b10: False, 0b01: True}.get(truth_table(function, (cell.inputs[0].name,)))
    except CellLibraryError:
        return None  # a function of internal nodes
