"""Random netlists with registers and feedback, operand sequences for them, and plain references cycle by cycle."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.liberty.functions import truth_table
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.netlist import ONE_NET, ZERO_NET, Instance, Netlist
from fewflips.gates.operands import OperandSequences, PortRows, Windows

LIBRARY = load_cells("nangate45")
GATES = sorted(name for name, cell in LIBRARY.cells.items() if cell.flip_flop is None and not cell.is_latch)


@dataclass(frozen=True, eq=False)
class Case:
    """A netlist with everything that a simulation needs."""

    netlist: Netlist
    delay_steps: NDArray[np.int64]
    sequences: OperandSequences
    windows: Windows


def random_case(seed: int, gates: int, registers: int, states: int, repeats: bool) -> Case:
    """A netlist of random cells; `registers` in pipelines, `states` with feedback, shown at a port.

    With `repeats`, several pins of a gate may be on one net. Icarus Verilog 11 mixes up processes that wait for
    changes of such pins, or fails (assertion in t-dll-api.cc), so comparisons with it go without.
    """
    random = np.random.default_rng(seed)
    lanes, bits = int(random.integers(1, 4)), int(random.integers(1, 4))
    netlist = _random_netlist(random, gates, registers, states, {"a": lanes * bits, "b": 3}, repeats)
    delays = random.integers(1, int(random.choice([3, 7, 70])), len(netlist.nets))
    sequences = _random_sequences(random, netlist, lanes, bits)
    return Case(netlist, delays, sequences, _random_windows(random, sequences))


def _random_netlist(
    random: np.random.Generator, gates: int, registers: int, states: int, widths: dict[str, int], repeats: bool
) -> Netlist:
    clocked = registers + states > 0
    names = ["1'b0", "1'b1"] + ["clk"] * clocked
    clock = len(names) - 1

    def new(name: str) -> int:
        names.append(name)
        return len(names) - 1

    inputs = {port: tuple(new(f"{port}[{bit}]") for bit in range(width)) for port, width in widths.items()}
    held = tuple(new(f"state[{bit}]") for bit in range(states))
    pool = [ZERO_NET, ONE_NET, *held, *(net for nets in inputs.values() for net in nets)]
    late: set[int] = set()  # nets behind a register: states must not depend on them, or they would be feedback too
    instances: list[Instance] = []
    kinds = random.permutation(["gate"] * gates + ["register"] * registers)
    for number, kind in enumerate(kinds):
        recent = pool[-12:] + [ZERO_NET, ONE_NET] * (random.random() < 0.1)
        if kind == "register":
            data = int(random.choice(recent))
            pins = {"D": data, "CK": clock, "Q": new(f"q{number}")}
            if random.random() < 0.3:
                pins["QN"] = new(f"qn{number}")
            instances.append(Instance(f"r{number}", "DFF_X1", pins))
            made = [pins[pin] for pin in ("Q", "QN") if pin in pins]
            late.update(made)
        else:
            cell = LIBRARY.cells[GATES[int(random.integers(len(GATES)))]]
            many = len(cell.inputs)
            nets = random.choice(recent, many, replace=repeats or len(recent) < many).tolist()
            pins = {pin.name: net for pin, net in zip(cell.inputs, nets, strict=True)}
            made = []
            for pin in cell.outputs:
                pins[pin.name] = new(f"n{number}_{pin.name}")
                made.append(pins[pin.name])
            instances.append(Instance(f"g{number}", cell.name, pins))
            if late.intersection(pins.values()):
                late.update(made)
        pool.extend(made)
    early = [net for net in pool if net not in late]
    for bit, net in enumerate(held):
        data = new(f"d{bit}")
        other = int(random.choice([other for other in early[-10:] if other != net]))
        instances.append(Instance(f"g_state{bit}", "XOR2_X1", {"A": other, "B": net, "Z": data}))
        instances.append(Instance(f"s{bit}", "DFF_X1", {"D": data, "CK": clock, "Q": net}))
    outputs = ({"state": held} if held else {}) | {"out": tuple(pool[-3:])}
    ports = {"clk": (clock,), **inputs} if clocked else inputs
    return Netlist("random", tuple(names), tuple(instances), ports, outputs)


def _random_sequences(random: np.random.Generator, netlist: Netlist, lanes: int, bits: int) -> OperandSequences:
    passes = int(random.integers(1, 5))
    lengths = random.integers(1, 12, passes)
    lengths[0] += 1
    first = [0, *(p for p in range(1, passes) if random.random() < 0.4)]
    kind = [np.uint8, np.uint16, np.int32, np.int64][int(random.integers(4))]

    def rows(lanes: int, bits: int, stride: int) -> PortRows:
        count = 20
        words = random.integers(0, 1 << bits, (count, lanes))
        if kind in (np.int32, np.int64):
            words = words - (1 << bits - 1)  # negative codes, in two's complement
        start = random.integers(0, count - (stride * (lengths - 1)))
        return PortRows(
            words.astype(kind), bits, start, stride, delay=int(random.integers(0, 3)), skew=bool(random.random() < 0.4)
        )

    inputs = {"a": rows(lanes, bits, int(random.integers(0, 2))), "b": rows(1, 3, 1)}
    bare = OperandSequences(lengths, np.array(first), inputs)
    states = netlist.outputs.get("state")
    if states is None:
        return bare
    contents = _state_contents(random, netlist, bare, states)
    return OperandSequences(lengths, np.array(first), inputs, {"state": contents})


def _state_contents(
    random: np.random.Generator, netlist: Netlist, sequences: OperandSequences, states: tuple[int, ...]
) -> PortRows:
    """What the state registers hold in every cycle, from a random content in cycle 0 of each sequence."""
    data = {i.pins["Q"]: i.pins["D"] for i in netlist.instances if i.name.startswith("s")}
    rows = []
    for sequence, cycles in enumerate(sequences.sequence_cycles.tolist()):
        contents = {net: int(random.integers(2)) for net in states}
        machine = Machine(netlist, sequences, sequence)
        for cycle in range(cycles):
            rows.append([contents[net] for net in states])
            values = machine.settle(cycle, contents)
            contents = {net: values[data[net]] for net in states}
    start = np.cumsum(sequences.lengths) - sequences.lengths
    return PortRows(np.array(rows, dtype=np.uint8), 1, start, 1)


def _random_windows(random: np.random.Generator, sequences: OperandSequences) -> Windows:
    """Some windows, which may overlap."""
    chosen = []
    cycles = sequences.sequence_cycles
    for sequence in np.flatnonzero(cycles > 1):
        for _ in range(int(random.integers(1, 4))):
            first = int(random.integers(1, cycles[sequence]))
            chosen.append((sequence, first, int(random.integers(1, cycles[sequence] - first + 1))))
    columns = np.array(chosen).T
    return Windows(columns[0], columns[1], columns[2])


def port_values(sequences: OperandSequences, port: PortRows, sequence: int, cycles: range) -> list[int]:
    """The integer at a port in each cycle of a sequence, straight from the definition of the rows."""
    ends = [*sequences.first_passes.tolist()[1:], len(sequences.lengths)]
    schedule = [
        (number, cycle)
        for number in range(int(sequences.first_passes[sequence]), ends[sequence])
        for cycle in range(int(sequences.lengths[number]))
    ]
    values = []
    for cycle in cycles:
        value = 0
        for lane in range(port.words.shape[1]):
            late = port.delay + (lane if port.skew else 0)
            number, within = schedule[min(max(cycle - late, 0), len(schedule) - 1)]
            code = int(port.words[int(port.start[number]) + port.stride * within, lane]) & ((1 << port.bits) - 1)
            value |= code << (lane * port.bits)
        values.append(value)
    return values


class Machine:
    """Settled values of all nets, cycle by cycle, by one look-up in a truth table per cell output."""

    def __init__(self, netlist: Netlist, sequences: OperandSequences, sequence: int) -> None:
        self._netlist = netlist
        self._sequences = sequences
        self._sequence = sequence
        self._pipeline: dict[int, int] = {}
        self.values: dict[int, int] = {}

    def settle(self, cycle: int, states: dict[int, int]) -> dict[int, int]:
        """Values in a cycle, given the contents of state registers; cycles come one after the other from 0."""
        if cycle == 0:
            for _ in range(len(self._netlist.instances) + 1):  # long enough for every register
                self._step(0, states)
        return self._step(cycle, states)

    def _step(self, cycle: int, states: dict[int, int]) -> dict[int, int]:
        values = {ZERO_NET: 0, ONE_NET: 1, **states}
        for name, port in self._sequences.inputs.items():
            (word,) = port_values(self._sequences, port, self._sequence, range(cycle, cycle + 1))
            values |= {net: word >> bit & 1 for bit, net in enumerate(self._netlist.inputs[name])}
        for instance in self._netlist.instances:
            if instance.name[0] == "r":
                stored = self._pipeline.get(instance.pins["D"], 0)
                values[instance.pins["Q"]] = stored
                if "QN" in instance.pins:
                    values[instance.pins["QN"]] = 1 - stored
            elif instance.name[0] == "g":
                for net, value in evaluate(instance, values).items():
                    values[net] = value
        self._pipeline = dict(values)
        self.values = values
        return values


def evaluate(instance: Instance, values: dict[int, int]) -> dict[int, int]:
    """Values at the outputs of a gate."""
    cell = LIBRARY.cells[instance.cell]
    names = [pin.name for pin in cell.inputs]
    row = sum(values[instance.pins[name]] << place for place, name in enumerate(names))
    return {
        instance.pins[pin.name]: truth_table(pin.function or "", names) >> row & 1
        for pin in cell.outputs
        if pin.name in instance.pins
    }


def event_driven_toggles(case: Case, inertial: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Toggles of every net and settled ones over the windows, by a queue of events, one cycle at a time."""
    nets = len(case.netlist.nets)
    toggles, high = np.zeros(nets, dtype=np.int64), np.zeros(nets, dtype=np.int64)
    readers: dict[int, list[Instance]] = {}
    for instance in case.netlist.instances:
        if instance.name[0] == "g":
            for pin in LIBRARY.cells[instance.cell].inputs:
                readers.setdefault(instance.pins[pin.name], []).append(instance)
    for sequence, cycles in enumerate(case.sequences.sequence_cycles.tolist()):
        machine = Machine(case.netlist, case.sequences, sequence)
        contents = case.sequences.registers.get("state")
        words = [0] * cycles if contents is None else port_values(case.sequences, contents, sequence, range(cycles))
        states = [
            {net: word >> bit & 1 for bit, net in enumerate(case.netlist.outputs.get("state", ()))} for word in words
        ]
        before = dict(machine.settle(0, states[0]))
        for cycle in range(1, cycles):
            after = dict(machine.settle(cycle, states[cycle]))
            in_windows = case.windows.sequence == sequence
            in_windows &= (case.windows.first <= cycle) & (cycle < case.windows.first + case.windows.transitions)
            weight = int(in_windows.sum())
            counted = _cycle_toggles(case, readers, before, after, inertial)
            for net, count in counted.items():
                toggles[net] += weight * count
            for net, value in after.items():
                high[net] += weight * value
            before = after
    return toggles, high


def _first_events(case: Case, before: dict[int, int], after: dict[int, int]) -> list[tuple[int, int, int, int]]:
    """Changes of ports and registers: time, number, net and new value."""
    delays = {net: 0 for name, nets in case.netlist.inputs.items() if name != "clk" for net in nets}
    for instance in case.netlist.instances:
        if instance.name[0] in "rs":
            delays |= {net: int(case.delay_steps[net]) for pin, net in instance.pins.items() if pin in ("Q", "QN")}
    changing = [(delay, net) for net, delay in delays.items() if before[net] != after[net]]
    return [(delay, number, net, after[net]) for number, (delay, net) in enumerate(sorted(changing))]


def _cycle_toggles(
    case: Case, readers: dict[int, list[Instance]], before: dict[int, int], after: dict[int, int], inertial: bool
) -> dict[int, int]:
    """Toggles within one cycle, from the settled values before it and the sources' new values."""
    values = dict(before)
    wanted = dict(before)  # what each gate's function is
    toggles: dict[int, int] = {}
    pending: dict[int, list[int]] = {}  # numbers of the events that wait, by net
    cancelled: set[int] = set()
    queue = _first_events(case, before, after)
    number = len(queue)
    while queue:
        now = queue[0][0]
        touched: dict[str, Instance] = {}
        while queue and queue[0][0] == now:
            _, event, net, value = heapq.heappop(queue)
            if event in pending.get(net, []):
                pending[net].remove(event)
            if event in cancelled or values[net] == value:
                continue
            values[net] = value
            toggles[net] = toggles.get(net, 0) + 1
            touched |= {instance.name: instance for instance in readers.get(net, [])}
        for instance in touched.values():
            for net, value in evaluate(instance, values).items():
                if wanted[net] == value:
                    continue
                wanted[net] = value
                if inertial:
                    cancelled.update(pending.get(net, []))
                    pending[net] = []
                heapq.heappush(queue, (now + int(case.delay_steps[net]), number, net, value))
                pending.setdefault(net, []).append(number)
                number += 1
    if any(values[net] != after[net] for net in after):
        raise ValueError("the cycle does not settle to the values that it should")
    return toggles
