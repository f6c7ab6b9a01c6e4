"""Checks that a netlist can be simulated: every net driven once, no loops, one clock, known cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from fewflips.errors import CellLibraryError, NetlistError
from fewflips.gates.liberty.cells import Cell, CellLibrary
from fewflips.gates.liberty.functions import names_in, truth_table
from fewflips.gates.netlist.graph import NO_DRIVER, NetlistGraph, single_input_gate
from fewflips.gates.netlist.netlist import ONE_NET, ZERO_NET, Netlist

MOST_INSTANCES = 5_000_000
"""Size of the largest netlist that is simulated."""
LATCH_PROBLEM = "expected flip-flops, got a latch; assign what it holds in every branch of its always block"
"""Explanation of a latch that the Verilog describes, intentionally or not."""


def check_netlist(netlist: Netlist, library: CellLibrary) -> None:
    """Check that a netlist can be simulated.

    Parameters
    ----------
    netlist : Netlist
        The netlist.
    library : CellLibrary
        Its cells.

    Raises
    ------
    NetlistError
        One line about the first problem found: too many instances; a cell that the library lacks, or without a known
        function; a latch; a pin that the cell lacks; an open input; a net with no driver or several; a
        combinational loop; a flip-flop that does not take its data at the rising edge of the one clock; a clock
        that is also data.
    """
    if len(netlist.instances) > MOST_INSTANCES:
        raise NetlistError(
            f"netlist {netlist.name}: expected at most {MOST_INSTANCES} instances, got {len(netlist.instances)}; "
            "give the datapath alone"
        )
    _check_cells(netlist, library)
    _check_pins(netlist, library)
    _check_drivers(netlist, library)
    graph = NetlistGraph(netlist, library)
    _ = graph.combinational_order  # raises on a loop
    _check_flip_flops(graph)
    _clock_tree(graph)


def clock_nets(netlist: Netlist, library: CellLibrary) -> frozenset[int]:
    """Nets that carry the clock: the port's, and those after buffers and inverters that it drives.

    Parameters
    ----------
    netlist : Netlist
        The netlist.
    library : CellLibrary
        Its cells.

    Returns
    -------
    frozenset of int
        The nets on the way from the clock port to clock pins, and side branches that balance the tree; none if
        there is no flip-flop.

    Raises
    ------
    NetlistError
        If flip-flops have different clocks, store at falling edges, or are clocked through gates; if a gate or
        flip-flop uses the clock as data; or if there is a combinational loop.
    """
    graph = NetlistGraph(netlist, library)
    _ = graph.combinational_order  # a clock in a ring of inverters has no source
    return _clock_tree(graph)


def check_left_out(netlist: str, cells: Iterable[str], library: CellLibrary) -> None:
    """Refuse cells that are in the library but could not be read.

    Parameters
    ----------
    netlist : str
        Its name, for the message.
    cells : iterable of str
        Names of the cells that it uses.
    library : CellLibrary
        The library.

    Raises
    ------
    NetlistError
        If one was left out; the message says why.
    """
    found = sorted(set(cells) & set(library.left_out))
    if found:
        raise NetlistError(
            f"netlist {netlist}: expected cells that can be read from the library {library.name}, got {found[0]}, "
            f"which was left out ({library.left_out[found[0]]}); map without it"
        )


def _check_cells(netlist: Netlist, library: CellLibrary) -> None:
    used = sorted({instance.cell for instance in netlist.instances})
    check_left_out(netlist.name, used, library)
    missing = [name for name in used if name not in library.cells]
    if any(name.lower().startswith(("$_dlatch", "$dlatch", "$adlatch")) for name in missing):
        raise NetlistError(f"netlist {netlist.name}: {LATCH_PROBLEM}")
    if missing:
        generic = [name for name in missing if name.startswith("$")]
        raise NetlistError(
            f"netlist {netlist.name}: expected cells of the library {library.name}, got {_listed(missing)}; "
            + (
                "it holds expressions that are not mapped to cells: synthesize it first"
                if generic
                else "give the library that it was mapped to"
            )
        )
    for name in used:
        problem = _cell_problem(library.cells[name])
        if problem:
            raise NetlistError(f"netlist {netlist.name}: cell {name} {problem}; map without it")


def _cell_problem(cell: Cell) -> str | None:
    if cell.is_latch:
        return "is a latch or clock gate, and only gates and flip-flops can be simulated"
    inputs = tuple(pin.name for pin in cell.inputs)
    states: tuple[str, ...] = ()
    if cell.flip_flop is not None:
        states = (cell.flip_flop.state, cell.flip_flop.inverted_state)
        if set(names_in(cell.flip_flop.next_state)) & set(states):
            return "keeps its value by an enable pin, and only flip-flops that store at every edge can be simulated"
    for pin in cell.outputs:
        if pin.function is None:
            return f"has no function for its output {pin.name} in the library"
        try:
            used = names_in(pin.function)
            truth_table(pin.function, used)
        except CellLibraryError:
            return f"has a function for its output {pin.name} that cannot be read: {pin.function[:60]!r}"
        unknown = set(used) - set(inputs) - set(states)
        if unknown:
            return f"computes its output {pin.name} from {_listed(sorted(unknown))}, which are not pins"
    return None


def _check_pins(netlist: Netlist, library: CellLibrary) -> None:
    for instance in netlist.instances:
        cell = library.cells[instance.cell]
        wrong = [pin for pin in instance.pins if pin not in cell.pins]
        if wrong:
            raise NetlistError(
                f"netlist {netlist.name}: instance {instance.name}: expected pins of cell {cell.name} "
                f"({_listed(sorted(cell.pins))}), got {_listed(wrong)}; give the library that it was mapped to"
            )
        left_open = [pin.name for pin in cell.inputs if pin.name not in instance.pins]
        if left_open:
            raise NetlistError(
                f"netlist {netlist.name}: instance {instance.name}: expected a net at every input of cell "
                f"{cell.name}, got none at {_listed(left_open)}; connect it, to a constant where it is unused"
            )


def _check_drivers(netlist: Netlist, library: CellLibrary) -> None:
    drivers: dict[int, str] = {ZERO_NET: "a constant", ONE_NET: "a constant"}
    for net, driver in _ends(netlist, library, "output"):
        if net in drivers:
            raise NetlistError(
                f"netlist {netlist.name}: expected one driver of net {netlist.nets[net]}, got {drivers[net]} and "
                f"{driver}; disconnect one"
            )
        drivers[net] = driver
    for net, reader in _ends(netlist, library, "input"):
        if net not in drivers:
            raise NetlistError(
                f"netlist {netlist.name}: expected a driver of net {netlist.nets[net]}, got none, though {reader} "
                "reads it; connect it"
            )


def _ends(netlist: Netlist, library: CellLibrary, direction: Literal["input", "output"]) -> Iterator[tuple[int, str]]:
    """Where nets end: at pins of one direction, and at the ports that act on a net in the same way."""
    for name, nets in (netlist.inputs if direction == "output" else netlist.outputs).items():
        for net in nets:
            yield net, f"port {name}"
    for instance in netlist.instances:
        cell = library.cells[instance.cell]
        for pin in cell.inputs if direction == "input" else cell.outputs:
            if pin.name in instance.pins:
                yield instance.pins[pin.name], f"pin {pin.name} of {instance.name}"


def _check_flip_flops(graph: NetlistGraph) -> None:
    """Check that asynchronous controls are tied inactive."""
    for index in graph.registers:
        flip_flop = graph.cell(index).flip_flop
        if flip_flop is None:
            continue
        for what, expression in (("clear", flip_flop.clear), ("preset", flip_flop.preset)):
            if expression is None:
                continue
            names = names_in(expression)
            instance = graph.netlist.instances[index]
            nets = [instance.pins[name] for name in names]
            values = [graph.constants.get(net) for net in nets]
            row = sum((value or 0) << position for position, value in enumerate(values))
            if None in values or truth_table(expression, names) >> row & 1:
                raise NetlistError(
                    f"netlist {graph.netlist.name}: expected the asynchronous {what} of flip-flop {instance.name} tied "
                    f"so that it never acts, got {_listed([graph.netlist.nets[net] for net in nets])} at "
                    f"{_listed(list(names))}; tie it to its inactive value"
                )


def _clock_tree(graph: NetlistGraph) -> frozenset[int]:
    netlist = graph.netlist
    ports = {net for nets in netlist.inputs.values() for net in nets}
    roots: dict[int, str] = {}
    carried: dict[int, tuple[int, bool]] = {}
    for index in graph.registers:
        instance = netlist.instances[index]
        flip_flop = graph.cell(index).flip_flop
        names = names_in(flip_flop.clocked_on) if flip_flop is not None else ()
        if flip_flop is None or len(names) != 1 or names[0] not in instance.pins:
            raise NetlistError(
                f"netlist {netlist.name}: expected flip-flops with one clock pin, got {instance.cell}; map without it"
            )
        root, inverted = _trace_clock(graph, instance.pins[names[0]], carried)
        if root not in ports:
            raise NetlistError(
                f"netlist {netlist.name}: expected flip-flops clocked by an input port, through buffers and inverters "
                f"alone, got {instance.name}, clocked by net {netlist.nets[root]}; remove clock gates and dividers"
            )
        falling = truth_table(flip_flop.clocked_on, names) == 0b01
        if falling != inverted:
            raise NetlistError(
                f"netlist {netlist.name}: expected flip-flops that store at the rising edge of the clock, got "
                f"{instance.name}, which stores at the falling edge of {netlist.nets[root]}; use one edge alone"
            )
        roots.setdefault(root, instance.name)
    if len(roots) > 1:
        (first, one), (second, other) = list(roots.items())[:2]
        raise NetlistError(
            f"netlist {netlist.name}: expected one clock, got {netlist.nets[first]} (at {one}) and "
            f"{netlist.nets[second]} (at {other}); give the part with one clock"
        )
    return _with_side_branches(graph, set(carried))


def _with_side_branches(graph: NetlistGraph, clocks: set[int]) -> frozenset[int]:
    """Clock nets and those after further buffers and inverters; raises if anything else uses them as data."""
    netlist = graph.netlist
    for index in (*graph.combinational_order, *graph.registers):
        instance, cell = netlist.instances[index], graph.cell(index)
        if clocks.isdisjoint(instance.pins.values()) or not graph.output_nets(index):
            continue
        if single_input_gate(cell) is not None:
            clocks.update(instance.pins.values())  # its output is not a clock yet, or already one
            continue
        clock_pins = names_in(cell.flip_flop.clocked_on) if cell.flip_flop is not None else ()
        for pin in cell.inputs:
            if pin.name not in clock_pins and instance.pins.get(pin.name) in clocks:
                raise NetlistError(
                    f"netlist {netlist.name}: expected the clock at clock pins alone, got net "
                    f"{netlist.nets[instance.pins[pin.name]]}, which carries it, at pin {pin.name} of {instance.name} "
                    f"({cell.name}); compute without the clock"
                )
    return frozenset(clocks)


def _trace_clock(graph: NetlistGraph, net: int, carried: dict[int, tuple[int, bool]]) -> tuple[int, bool]:
    """The net a clock comes from, and whether it is inverted on the way; nets passed are added to `carried`."""
    passed: list[tuple[int, bool]] = []
    inverted = False
    while net not in carried:
        passed.append((net, inverted))
        driver = graph.drivers[net]
        inverts = None if driver == NO_DRIVER else single_input_gate(graph.cell(driver))
        if inverts is None:
            carried[net] = (net, False)
            break
        inverted ^= inverts
        net = graph.input_nets(driver, clocks=True)[0]
    root, root_inverted = carried[net]
    total = inverted ^ root_inverted
    for passed_net, before in passed:
        carried[passed_net] = (root, total ^ before)
    return root, total


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:5]) + (f" and {len(every) - 5} more" if len(every) > 5 else "")
