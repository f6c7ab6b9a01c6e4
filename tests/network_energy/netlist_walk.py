"""A mapped netlist evaluated cell by cell and cycle by cycle in plain Python: toggles without delays."""

from __future__ import annotations

import numpy as np

from fewflips.gates.liberty.functions import truth_table


def toggles(netlist, library, cycles, settle):
    """Toggles of each net; `cycles` is a list of {port: integer}, the first of which holds `settle` cycles before."""
    gates, registers = _cells(netlist, library)
    values = np.zeros(len(netlist.nets), dtype=np.int64)
    values[1] = 1
    counts = np.zeros(len(netlist.nets), dtype=np.int64)
    ordered = _ordered(gates, {0, 1, *(net for nets in netlist.inputs.values() for net in nets)}, registers)
    for number, ports in enumerate([cycles[0]] * settle + cycles):
        before = values.copy()
        for data, output, inverted in registers:
            values[output] = before[data] ^ inverted
        for name, word in ports.items():
            for bit, net in enumerate(netlist.inputs[name]):
                values[net] = (word >> bit) & 1
        for inputs, output, table in ordered:
            values[output] = (table >> sum(int(values[net]) << bit for bit, net in enumerate(inputs))) & 1
        if number > settle:
            counts += values != before
    return counts


def _cells(netlist, library):
    """Gates as (inputs, output, truth table), registers as (data, output, whether it is inverted)."""
    gates, registers = [], []
    for instance in netlist.instances:
        cell = library.cells[instance.cell]
        outputs = [pin for pin in cell.outputs if pin.name in instance.pins]
        if cell.flip_flop is not None:
            (data,) = (pin for pin in cell.inputs if not pin.is_clock)
            inverted = cell.flip_flop.inverted_state
            registers += [
                (instance.pins[data.name], instance.pins[pin.name], pin.function == inverted) for pin in outputs
            ]
            continue
        names = [pin.name for pin in cell.inputs]
        nets = [instance.pins[name] for name in names]
        gates += [(nets, instance.pins[pin.name], truth_table(pin.function, names)) for pin in outputs]
    return gates, registers


def _ordered(gates, known, registers):
    known = known | {output for _, output, _ in registers}
    waiting, ordered = list(gates), []
    while waiting:
        ready = [gate for gate in waiting if all(net in known for net in gate[0])]
        ordered += ready
        known |= {output for _, output, _ in ready}
        waiting = [gate for gate in waiting if gate[1] not in known]
    return ordered
