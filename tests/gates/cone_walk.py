"""Parts of a unit by a plain walk from every net back to ports, one net at a time."""

from __future__ import annotations

import sys

from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.netlist import Netlist


class ConeWalk:
    """Sets of everything upstream of a net, found by recursion.

    `lane_bits` gives the bits of a lane at each port of operands; every other port but ``clk`` is one of sums.
    """

    def __init__(self, netlist: Netlist, library: CellLibrary, lane_bits: dict[str, int], running: bool = False):
        self.netlist, self.library, self.running = netlist, library, running
        self.drivers, self.readers = {}, {}
        for number, instance in enumerate(netlist.instances):
            for pin, net in instance.pins.items():
                if self._pin(instance, pin).direction == "output":
                    self.drivers[net] = number
                else:
                    self.readers.setdefault(net, []).append((number, pin))
        self.ports = {
            net: ("lane", bit // lane_bits[port]) if port in lane_bits else ("sum", port)
            for port, nets in netlist.inputs.items()
            for bit, net in enumerate(nets)
        }
        self.upstream = {}

    def _pin(self, instance, pin):
        return self.library.cells[instance.cell].pins[pin]

    def is_register(self, number):
        return self.library.cells[self.netlist.instances[number].cell].flip_flop is not None

    def data_nets(self, number):
        instance = self.netlist.instances[number]
        pins = {pin: self._pin(instance, pin) for pin in instance.pins}
        return [instance.pins[name] for name, pin in pins.items() if pin.direction == "input" and not pin.is_clock]

    def behind(self, net):
        """Ports and instances upstream of a net, the driver of the net included."""
        if net not in self.upstream:
            sys.setrecursionlimit(max(sys.getrecursionlimit(), 10 * len(self.netlist.nets) + 1000))
            met = set()
            self._walk(net, met)
            self.upstream[net] = met
        return self.upstream[net]

    def _walk(self, net, met):
        if net in self.ports:
            met.add(self.ports[net])
        number = self.drivers.get(net)
        if number is not None and number not in met:
            met.add(number)
            for data in self.data_nets(number):
                self._walk(data, met)

    def is_accumulator(self, number):
        return self.is_register(number) and any(number in self.behind(net) for net in self.data_nets(number))

    def part_of(self, nets):
        """The part of logic with these inputs."""
        met = set().union(*(self.behind(net) for net in nets))
        ports = [one for one in met if isinstance(one, tuple)]
        lanes = {lane for kind, lane in ports if kind == "lane"}
        sums = any(kind == "sum" for kind, _ in ports)
        sums = sums or any(self.is_accumulator(one) for one in met if isinstance(one, int))
        if sums or (self.running and len(lanes) > 1):
            return "partial sums"
        if len(lanes) > 1:
            return "adders"
        return "multipliers" if lanes else "registers"

    def is_repeater(self, number):
        cell = self.library.cells[self.netlist.instances[number].cell]
        return cell.flip_flop is None and len(cell.inputs) == 1 and len(cell.outputs) == 1

    def comes_from_a_port(self, net):
        if net in self.ports:
            return True
        number = self.drivers.get(net)
        return number is not None and self.is_repeater(number) and self.comes_from_a_port(self.data_nets(number)[0])

    def goes_to_registers(self, net):
        if any(net in nets for nets in self.netlist.outputs.values()):
            return False
        for number, _ in self.readers.get(net, []):
            if self.is_register(number):
                continue
            if not self.is_repeater(number):
                return False
            (output,) = (
                other
                for pin, other in self.netlist.instances[number].pins.items()
                if self._pin(self.netlist.instances[number], pin).direction == "output"
            )
            if not self.goes_to_registers(output):
                return False
        return True

    def is_front(self, net):
        return self.comes_from_a_port(net) and self.goes_to_registers(net)

    def instance_part(self, number):
        outputs = [net for net, driver in self.drivers.items() if driver == number]
        if self.is_register(number) or all(self.is_front(net) for net in outputs):
            return "registers"
        return self.part_of(self.data_nets(number))

    def net_part(self, net):
        if net in self.drivers:
            return self.instance_part(self.drivers[net])
        if net in self.ports and not self.is_front(net):
            return self.part_of([net])
        return "registers"
