"""A netlist as a list of steps, each computing one signal from signals already known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from fewflips.errors import NetlistError
from fewflips.gates.liberty.cells import Cell, CellLibrary, FlipFlop
from fewflips.gates.liberty.functions import truth_table
from fewflips.gates.netlist.checks import clock_nets
from fewflips.gates.netlist.graph import NO_DRIVER, NetlistGraph, single_input_gate
from fewflips.gates.netlist.netlist import ONE_NET, ZERO_NET, Netlist
from fewflips.gates.netlist.registers import feedback_registers
from fewflips.gates.switching.functions import Function, cofactor, match, reduced


class Kind(IntEnum):
    """Where a step's value comes from."""

    GATE = 0
    CONSTANT = 1
    PORT = 2  # a bit of an input port, or of a register whose contents are given
    REGISTER = 3  # a flip-flop: its data in the previous cycle
    CHECK = 4  # compares the data of a flip-flop with its given contents


@dataclass(frozen=True)
class EvaluationStep:
    """The evaluation of one signal.

    Parameters
    ----------
    kind : Kind
        Where the value comes from.
    output : int
        The signal: a net, or a number beyond the nets for a signal inside a cell.
    operands : tuple of int
        Signals, in the order of the function's operands; the data signal of a register.
    function : Function
        Function of a gate.
    inverts : bool
        Whether the result is inverted.
    bit : int
        For a port or check, the index among the circuit's given bits.
    instance : int
        The cell; -1 for ports.
    """

    kind: Kind
    output: int
    operands: tuple[int, ...] = ()
    function: Function = Function.COPY
    inverts: bool = False
    bit: int = -1
    instance: int = -1


@dataclass(frozen=True)
class GivenPort:
    """A port whose bits come from integers.

    Parameters
    ----------
    name : str
        The input port, or the output port that shows feedback registers.
    first_bit : int
        Index of its least significant bit among all given bits.
    width : int
        Number of bits.
    is_register : bool
        Whether it is an output port that shows registers.
    """

    name: str
    first_bit: int
    width: int
    is_register: bool


@dataclass(frozen=True, eq=False)
class EvaluationProgram:
    """All steps of a netlist, in an order in which operands come before their users, and the ports that feed them.

    Parameters
    ----------
    steps : tuple of EvaluationStep
        In order.
    signals : int
        Nets and signals inside cells.
    ports : tuple of GivenPort
        Ports whose values must be given.
    """

    steps: tuple[EvaluationStep, ...]
    signals: int
    ports: tuple[GivenPort, ...]


def netlist_steps(netlist: Netlist, library: CellLibrary) -> EvaluationProgram:
    """The evaluation of a checked netlist.

    Raises
    ------
    NetlistError
        If no output port shows a register with feedback, or an output's function cannot be simulated.
    """
    builder = _Builder(netlist, library)
    builder.build()
    return EvaluationProgram(tuple(_ordered(builder.steps, builder.sinks)), builder.signals, tuple(builder.ports))


class _Builder:
    """Collects steps by the signal they compute."""

    def __init__(self, netlist: Netlist, library: CellLibrary) -> None:
        self.netlist = netlist
        self.graph = NetlistGraph(netlist, library)
        self.clocks = clock_nets(netlist, library)
        self.feedback = feedback_registers(netlist, library)
        self.signals = len(netlist.nets)
        self.steps: dict[int, EvaluationStep] = {}
        self.ports: list[GivenPort] = []
        self.sinks: list[int] = []
        self.inverses: dict[int, int] = {}
        self.given = 0

    def build(self) -> None:
        """All steps: constants, ports, registers, gates."""
        for net, value in ((ZERO_NET, False), (ONE_NET, True)):
            self.steps[net] = EvaluationStep(Kind.CONSTANT, net, inverts=value)
        for name, nets in self.netlist.inputs.items():
            if any(net in self.clocks for net in nets):
                continue
            first = self._give(name, len(nets), is_register=False)
            for position, net in enumerate(nets):
                self.steps[net] = EvaluationStep(Kind.PORT, net, bit=first + position)
        shown = self._shown_registers()
        for index, instance in enumerate(self.netlist.instances):
            cell = self.graph.cell(index)
            if cell.flip_flop is not None:
                self._add_register(index, cell, cell.flip_flop, shown.get(index))
                continue
            for pin in cell.outputs:
                output = instance.pins.get(pin.name)
                if output is not None and output not in self.clocks and pin.function is not None:
                    names = [name.name for name in cell.inputs if name.name in instance.pins]
                    inputs = [instance.pins[name] for name in names]
                    self._add_function(truth_table(pin.function, names), inputs, output, index)
        self.sinks += [net for nets in self.netlist.outputs.values() for net in nets]

    def _give(self, name: str, width: int, is_register: bool) -> int:
        first = self.given
        self.ports.append(GivenPort(name, first, width, is_register))
        self.given += width
        return first

    def _shown_registers(self) -> dict[int, tuple[int, bool]]:
        """For each register with feedback, the given bit that shows it, and whether that is inverted."""
        shown: dict[int, tuple[int, bool]] = {}
        ports = {name: [self._trace(net) for net in nets] for name, nets in self.netlist.outputs.items()}
        # Ports that show nothing else come first: accumulators, rather than ports that mix their bits with others.
        for name, traced in sorted(ports.items(), key=lambda port: any(r not in self.feedback for r, _ in port[1])):
            if not any(register in self.feedback and register not in shown for register, _ in traced):
                continue
            first = self._give(name, len(traced), is_register=True)
            for position, (register, inverted) in enumerate(traced):
                if register in self.feedback:
                    shown.setdefault(register, (first + position, inverted))
        for register in sorted(self.feedback):
            if register not in shown:
                raise NetlistError(
                    f"netlist {self.netlist.name}: the register {self.netlist.instances[register].name} feeds back on "
                    "itself and no output port shows it; make it an output, so that its contents can be given"
                )
        return shown

    def _trace(self, net: int) -> tuple[int, bool]:
        """The flip-flop that drives a net through buffers and inverters, and whether the net is its inverse."""
        inverted = False
        while (driver := self.graph.drivers[net]) != NO_DRIVER:
            cell = self.graph.cell(driver)
            if cell.flip_flop is not None:
                return driver, inverted ^ self._is_inverse(driver, cell, cell.flip_flop, net)
            inverts = single_input_gate(cell)
            if inverts is None:
                break
            inverted ^= inverts
            (net,) = self.graph.input_nets(driver)
        return NO_DRIVER, inverted

    def _is_inverse(self, index: int, cell: Cell, flip_flop: FlipFlop, net: int) -> bool:
        """Whether the output of a flip-flop at a net shows its inverted state."""
        pins = self.netlist.instances[index].pins
        for pin in cell.outputs:
            if pins.get(pin.name) == net and pin.function is not None:
                states = [flip_flop.state, flip_flop.inverted_state]
                table = truth_table(pin.function, states)
                # In the table, row 1 is state 1 (inverse 0) and row 2 is state 0 (inverse 1).
                if table >> 1 & 1 != table >> 2 & 1:
                    return bool(table >> 2 & 1)
        raise NetlistError(
            f"netlist {self.netlist.name}: expected the outputs of {self.netlist.instances[index].name} ({cell.name}) "
            "to be its state or the inverse; use another flip-flop"
        )

    def _add_register(self, index: int, cell: Cell, flip_flop: FlipFlop, shown: tuple[int, bool] | None) -> None:
        pins = self.netlist.instances[index].pins
        names = [pin.name for pin in cell.inputs if not pin.is_clock and pin.name in pins]
        table, kept = reduced(truth_table(flip_flop.next_state, names), len(names))
        inputs = [pins[names[position]] for position in kept]
        follows = table == 0b10 and len(kept) == 1
        data = inputs[0] if follows else self._add_function(table, inputs, None, index)
        if shown is not None and index in self.netlist.holds:
            data = self._held(data, self.netlist.holds[index], shown, index)
        for net in self.graph.output_nets(index):
            inverse = self._is_inverse(index, cell, flip_flop, net)
            if shown is None:
                self.steps[net] = EvaluationStep(Kind.REGISTER, net, (data,), inverts=inverse, instance=index)
            else:
                bit, inverted = shown
                self.steps[net] = EvaluationStep(Kind.PORT, net, inverts=inverse ^ inverted, bit=bit, instance=index)
        if shown is not None:
            bit, inverted = shown
            check = self._new_signal()
            self.steps[check] = EvaluationStep(Kind.CHECK, check, (data,), inverts=inverted, bit=bit, instance=index)
            self.sinks.append(check)

    def _held(self, data: int, hold: int, shown: tuple[int, bool], index: int) -> int:
        """What a flip-flop with a gated clock holds next: its data, or what it holds."""
        bit, inverted = shown
        contents, following = self._new_signal(), self._new_signal()
        self.steps[contents] = EvaluationStep(Kind.PORT, contents, inverts=inverted, bit=bit, instance=index)
        self.steps[following] = EvaluationStep(
            Kind.GATE, following, (data, contents, hold), Function.MULTIPLEX, instance=index
        )
        return following

    def _new_signal(self) -> int:
        self.signals += 1
        return self.signals - 1

    def _add_function(self, table: int, inputs: list[int], named: int | None, instance: int) -> int:
        """Steps for a truth table; the last computes the named signal, or a new one."""
        table, kept = reduced(table, len(inputs))
        operands = [inputs[position] for position in kept]
        output = self._new_signal() if named is None else named
        if not operands:
            self.steps[output] = EvaluationStep(Kind.CONSTANT, output, inverts=bool(table), instance=instance)
            return output
        found = match(table, len(operands))
        if found is None:
            self._add_expansion(table, operands, output, instance)
            return output
        ordered = tuple(
            self._inverse(operands[position], instance) if inverted else operands[position]
            for position, inverted in zip(found.inputs, found.inverted, strict=True)
        )
        self.steps[output] = EvaluationStep(
            Kind.GATE, output, ordered, found.function, found.inverts, instance=instance
        )
        return output

    def _inverse(self, signal: int, instance: int) -> int:
        """The inverse of a signal, inside a cell."""
        if signal not in self.inverses:
            output = self._new_signal()
            self.inverses[signal] = output
            self.steps[output] = EvaluationStep(Kind.GATE, output, (signal,), Function.COPY, True, instance=instance)
        return self.inverses[signal]

    def _add_expansion(self, table: int, operands: list[int], output: int, instance: int) -> None:
        """Shannon's expansion by the last operand, simplified if a half is constant or the halves are inverse."""
        count = len(operands)
        rest, last = operands[:-1], operands[-1]
        low, high = cofactor(table, count, count - 1, 0), cofactor(table, count, count - 1, 1)
        everything = (1 << (1 << (count - 1))) - 1
        if low ^ high == everything:
            half = self._add_function(low, rest, None, instance)
            step = EvaluationStep(Kind.GATE, output, (half, last), Function.XOR2, instance=instance)
        elif low in (0, everything):
            select = last if low == 0 else self._inverse(last, instance)
            half = self._add_function(high, rest, None, instance)
            function = Function.AND2 if low == 0 else Function.OR2
            step = EvaluationStep(Kind.GATE, output, (half, select), function, instance=instance)
        elif high in (0, everything):
            select = self._inverse(last, instance) if high == 0 else last
            half = self._add_function(low, rest, None, instance)
            function = Function.AND2 if high == 0 else Function.OR2
            step = EvaluationStep(Kind.GATE, output, (half, select), function, instance=instance)
        else:
            halves = (self._add_function(low, rest, None, instance), self._add_function(high, rest, None, instance))
            step = EvaluationStep(Kind.GATE, output, (*halves, last), Function.MULTIPLEX, instance=instance)
        self.steps[output] = step


def _ordered(steps: Mapping[int, EvaluationStep], sinks: list[int]) -> Iterator[EvaluationStep]:
    """Depth first from the outputs, so that signals are used soon after they are computed; nothing is left out."""
    done: set[int] = set()
    for sink in (*sinks, *steps):
        waiting = [sink] if sink in steps and sink not in done else []
        while waiting:
            signal = waiting[-1]
            if signal in done:
                waiting.pop()
                continue
            missing = [operand for operand in steps[signal].operands if operand not in done]
            if missing:
                waiting.extend(reversed(missing))
                continue
            waiting.pop()
            done.add(signal)
            yield steps[signal]
