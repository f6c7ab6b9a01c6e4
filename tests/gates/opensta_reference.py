"""OpenSTA as a second opinion on loads, slews and power, with toggles that a simulation counted.

OpenSTA 2.0.17 (Debian's) computes the activity of every driven pin from the function of its cell, over what
``set_power_activity`` sets. So that it takes the toggles that are given, each output pin's function is replaced, in the
Liberty text that it reads, by a pin of its own that a port drives with just that activity; tables, leakage and, if not
said otherwise, capacitances stay as they are. (``set_power_activity -pins`` fails in this version, for want of a
procedure that it calls; the command below it works.)

"Activity" are transitions per clock period: a net with activity 0.24 and a period of 1 ns has 0.24e9 a second.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.liberty.cells import Cell, CellLibrary, Pin
from fewflips.gates.liberty.functions import names_in, truth_table
from fewflips.gates.netlist.netlist import ONE_NET, Instance, Netlist
from fewflips.gates.operands import Toggles
from tests.patience import PATIENCE_S

PERIOD_NS = 1000.0  # as long as no path is cut off
_FJ_PER_WATT = PERIOD_NS * 1e6  # energy in a period


@dataclass
class InternalGroup:
    """One ``internal_power`` group of one pin, as OpenSTA looked it up."""

    related: str
    when: str
    rise_fj: float = 0.0
    fall_fj: float = 0.0
    share: float = 0.0


@dataclass
class Reference:
    """What OpenSTA says of each instance: energy in a clock period, and leakage."""

    internal_fj: NDArray[np.float64]
    switching_fj: NDArray[np.float64]
    leakage_nw: NDArray[np.float64]
    groups: dict[tuple[int, str], list[InternalGroup]] = field(default_factory=dict)


def power(
    sta: str,
    folder: Path,
    liberty: str,
    netlist: Netlist,
    library: CellLibrary,
    toggles: Toggles,
    wire_ff: NDArray[np.float64],
    slew_ps: float,
) -> Reference:
    """Power of every instance under the given toggles."""
    _write_design(folder, liberty, netlist, library)
    lines = [
        *_setup(netlist, library, wire_ff, slew_ps),
        *_activities(netlist, library, toggles),
        "sta::set_debug power 3",
        "report_power -instances [get_cells *] -digits 6",
    ]
    output = run(sta, folder, lines)
    count = len(netlist.instances)
    reference = Reference(np.zeros(count), np.zeros(count), np.zeros(count), dict(_groups(output)))
    for match in re.finditer(r"^ *(\S+) +(\S+) +(\S+) +(\S+) i(\d+)$", output, re.MULTILINE):
        internal, switching, leakage, _, instance = match.groups()
        reference.internal_fj[int(instance)] = float(internal) * _FJ_PER_WATT
        reference.switching_fj[int(instance)] = float(switching) * _FJ_PER_WATT
        reference.leakage_nw[int(instance)] = float(leakage) * 1e9
    return reference


def internal_fj(reference: Reference, netlist: Netlist, library: CellLibrary, toggles: Toggles) -> NDArray[np.float64]:
    """Internal energy of each instance in a clock period, from the figures and shares that OpenSTA looked up.

    Version 2.0.17 overstates it: a transition counts the energy of the rising and of the falling edge, and that for
    each pin that may have caused it. Later versions take the mean of both edges, and weights of the causes that add
    up to 1 (a cause's toggles times the share of time of its state). So it is done here. Where a figure has no state,
    it is the share of time in which the output follows the pin, or all the time at an input. The states of
    flip-flops, which name Q and QN as if they were independent, are brought to a sum of 1 as well.
    """
    rates, duties = toggles.toggles / toggles.transitions, toggles.high / toggles.transitions
    total = np.zeros(len(netlist.instances))
    for (position, name), groups in reference.groups.items():
        instance = netlist.instances[position]
        cell = library.cells[instance.cell]
        nets = dict(instance.pins) | _output_nets(instance, library)
        if name not in nets or nets[name] <= ONE_NET:
            continue
        weights = np.array([group.share if group.when else 1.0 for group in groups])
        if cell.pins[name].direction == "output":
            if cell.flip_flop is None:
                weights *= [1.0 if g.when else _following(cell.pins[name], g.related, nets, duties) for g in groups]
            weights *= [_rate(cell, group.related, nets, rates) for group in groups]
        if cell.pins[name].direction == "output" or cell.flip_flop is not None:
            weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(groups), 1 / len(groups))
        means = np.array([(group.rise_fj + group.fall_fj) / 2 for group in groups])
        total[position] += _rate(cell, name, nets, rates) * float(weights @ means)
    return total


def _rate(cell: Cell, pin: str, nets: dict[str, int], rates: NDArray[np.float64]) -> float:
    return 2.0 if cell.pins[pin].is_clock else float(rates[nets[pin]])


def _following(output: Pin, related: str, nets: dict[str, int], duties: NDArray[np.float64]) -> float:
    """Share of time in which the output of a gate follows one of its pins, by going through all states."""
    names = names_in(output.function or "")
    table = truth_table(output.function or "", names)
    share = 0.0
    for state in range(1 << len(names)):
        other = state ^ (1 << names.index(related))
        if (table >> state & 1) != (table >> other & 1):
            ones = [
                duties[nets[name]] if state >> bit & 1 else 1 - duties[nets[name]] for bit, name in enumerate(names)
            ]
            share += float(np.prod(ones))
    return share


def slews_and_arrivals(
    sta: str,
    folder: Path,
    liberty: str,
    netlist: Netlist,
    library: CellLibrary,
    wire_ff: NDArray[np.float64],
    slew_ps: float,
) -> dict[int, tuple[float, float, float, float]]:
    """Rise slew, fall slew, latest rising and latest falling edge in ps, of each net that an instance drives."""
    _write_design(folder, liberty, netlist, library)
    drivers = {
        net: f"i{position}/{pin.name}"
        for position, instance in enumerate(netlist.instances)
        for pin in library.cells[instance.cell].outputs
        if (net := instance.pins.get(pin.name, 0)) > ONE_NET
    }
    lines = _setup(netlist, library, wire_ff, slew_ps)
    for net, pin in drivers.items():
        lines += [f"puts {{net {net}}}", f"report_slews [get_pins {pin}]", f"report_arrival {pin}"]
    found = {}
    for block in re.split(r"^net ", run(sta, folder, lines), flags=re.MULTILINE)[1:]:
        found[int(block.split()[0])] = _slews_and_arrival(block)
    return found


def _slews_and_arrival(block: str) -> tuple[float, float, float, float]:
    number = r"(-?[\d.]+(?:e-?\d+)?)"
    slews = re.search(rf"\^ {number}:{number} v {number}:{number}", block)
    arrival = re.search(rf" r {number}:{number} f {number}:{number}", block)
    assert slews is not None, block
    assert arrival is not None, block
    return tuple(1000 * float(match[group]) for match in (slews, arrival) for group in (2, 4))  # type: ignore[return-value]


def run(sta: str, folder: Path, lines: list[str]) -> str:
    """What OpenSTA prints for a script that it runs in a folder."""
    (folder / "run.tcl").write_text("\n".join(lines) + "\n")
    done = subprocess.run([sta, "-exit", "run.tcl"], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Error" not in done.stdout, done.stdout[-2000:]
    assert "Error" not in done.stderr, done.stderr[-2000:]
    return done.stderr + done.stdout  # debugging output goes to the former


def _setup(netlist: Netlist, library: CellLibrary, wire_ff: NDArray[np.float64], slew_ps: float) -> list[str]:
    clocks = {
        instance.pins[pin.name]
        for instance in netlist.instances
        for pin in library.cells[instance.cell].inputs
        if pin.is_clock
    }
    inputs = {net for nets in netlist.inputs.values() for net in nets}
    clock_port = " ".join(f"n{net}" for net in sorted(clocks & inputs))
    lines = [
        "set sta_report_default_digits 6",
        "read_liberty cells.lib",
        "read_verilog top.v",
        "link_design top",
        "set_cmd_units -capacitance fF -time ns -power W",
        f"create_clock -name c -period {PERIOD_NS} " + (f"[get_ports {{{clock_port}}}]" if clock_port else ""),
        "set_propagated_clock [all_clocks]",
        "set_input_delay 0 -clock c [all_inputs]",
        f"set_input_transition {slew_ps / 1000} [all_inputs]",
    ]
    lines += [f"set_load {wire_ff[net]} [get_nets n{net}]" for net in range(ONE_NET + 1, len(netlist.nets))]
    return lines


def _activities(netlist: Netlist, library: CellLibrary, toggles: Toggles) -> Iterator[str]:
    rates = toggles.toggles / toggles.transitions
    duties = toggles.high / toggles.transitions
    yield "proc port {p a d} {sta::set_power_input_port_activity [get_ports $p] $a $d}"
    yield "proc pin {p a d} {sta::set_power_pin_activity [get_pins $p] $a $d}"
    for nets in netlist.inputs.values():
        for net in nets:
            yield f"port n{net} {rates[net]:.9g} {duties[net]:.9g}"
    for position, instance in enumerate(netlist.instances):
        for name, net in (dict(instance.pins) | _output_nets(instance, library)).items():
            if net > ONE_NET:
                yield f"pin i{position}/{name} {rates[net]:.9g} {duties[net]:.9g}"
        for net in _output_nets(instance, library).values():
            yield f"port a{net} {rates[net]:.9g} {duties[net]:.9g}"


def _groups(output: str) -> Iterator[tuple[tuple[int, str], list[InternalGroup]]]:
    """Internal power groups of every pin, from the debugging output."""
    key: tuple[int, str] | None = None
    groups: list[InternalGroup] = []
    edges: list[tuple[float, float]] = []
    for line in output.splitlines():
        if match := re.match(r"power: internal i(\d+)/(\S+) ", line):
            if key is not None and groups:
                yield key, groups
            key, groups, edges = (int(match[1]), match[2]), [], []
        elif match := re.match(r"power:  [\^v] energy = +(\S+) \* (\S+) = +(\S+)", line):
            edges.append((float(match[1]) * 1e15, float(match[2])))
        elif (match := re.match(r"power: +(\S+) -> \S+ (.*)$", line)) and len(edges) == 2:
            when = match[2][: match[2].index("  ")].strip()
            groups.append(InternalGroup(match[1], when, edges[0][0], edges[1][0], edges[0][1]))
            edges = []
    if key is not None and groups:
        yield key, groups


def _write_design(folder: Path, liberty: str, netlist: Netlist, library: CellLibrary) -> None:
    used = {instance.cell for instance in netlist.instances}
    (folder / "cells.lib").write_text(_with_activity_pins(liberty, used))
    ports = [f"n{net}" for nets in netlist.inputs.values() for net in nets]
    lines = []
    for position, instance in enumerate(netlist.instances):
        connections = [f".{name}({_net(net)})" for name, net in instance.pins.items()]
        for name, net in _output_nets(instance, library).items():
            connections.append(f".ACTIVITY_{name}(a{net})")
            ports.append(f"a{net}")
        lines.append(f"{instance.cell} i{position} ({', '.join(connections)});")
    ports = list(dict.fromkeys(ports))
    wires = [f"n{net}" for net in range(ONE_NET + 1, len(netlist.nets))]
    declared = [f"input {', '.join(ports)};", *(f"wire {wire};" for wire in wires if wire not in set(ports))]
    text = [f"module top ({', '.join(ports)});", *declared, *lines, "endmodule", ""]
    (folder / "top.v").write_text("\n".join(text))


def _output_nets(instance: Instance, library: CellLibrary) -> dict[str, int]:
    """Net of each output pin; an open output of a flip-flop toggles with the connected one."""
    cell = library.cells[instance.cell]
    nets = {pin.name: instance.pins[pin.name] for pin in cell.outputs if pin.name in instance.pins}
    if cell.flip_flop is not None and nets:
        nets = {pin.name: nets.get(pin.name, min(nets.values())) for pin in cell.outputs}
    return nets


def _net(net: int) -> str:
    return f"1'b{net}" if net <= ONE_NET else f"n{net}"


def with_one_capacitance(liberty: str) -> str:
    """The library without capacitances for rising and falling edges apart, so that ``capacitance`` holds for both."""
    return re.sub(r"\b(?:rise|fall)_capacitance\s*:[^;]*;", "", liberty)


def _with_activity_pins(liberty: str, used: set[str]) -> str:
    """The library with only the cells that are used; outputs follow pins of their own."""
    text = re.sub(r"/\*.*?\*/", "", liberty, flags=re.DOTALL)
    starts = [match for match in re.finditer(r'^\s*cell\s*\(\s*"?([^")\s]+)"?\s*\)\s*\{', text, re.MULTILINE)]
    parts = [text[: starts[0].start()]]
    for match in starts:
        if match[1] in used:
            parts.append(_driven_by_activity(text[match.start() : _closing(text, match.end()) + 1]))
    return "".join(parts) + "\n}\n"


def _driven_by_activity(cell: str) -> str:
    added = []

    def pin(match: re.Match[str]) -> str:
        end = _closing(cell, match.end())
        body = cell[match.start() : end]
        if re.search(r'^\s*direction\s*:\s*"?output', body, re.MULTILINE):
            added.append(f"pin (ACTIVITY_{match[1]}) {{ direction : input; capacitance : 0; }}")
            body = re.sub(r"(?<![\w_])function\s*:[^;]*;", f'function : "ACTIVITY_{match[1]}";', body)
        return body

    pieces, end = [], 0
    for match in re.finditer(r'pin\s*\(\s*"?(\w+)"?\s*\)\s*\{', cell):
        if cell[match.start() - 1].isalnum() or cell[match.start() - 1] == "_":  # pg_pin, related_pin
            continue
        pieces += [cell[end : match.start()], pin(match)]
        end = _closing(cell, match.end())
    return "".join(pieces) + cell[end:-1] + "\n".join(added) + "\n}\n"


def _closing(text: str, start: int) -> int:
    """Position of the brace that closes the group whose body begins at `start`."""
    depth = 1
    for match in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    raise AssertionError("the group is not closed")
