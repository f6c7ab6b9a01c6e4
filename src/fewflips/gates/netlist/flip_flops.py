"""Adds flip-flops with gated clocks to a netlist of the logic around them."""

from __future__ import annotations

from dataclasses import replace

from fewflips.errors import NetlistError
from fewflips.gates.liberty.cells import Cell, CellLibrary
from fewflips.gates.netlist.netlist import Instance, Netlist


def smallest_flip_flop(cells: CellLibrary) -> Cell:
    """The smallest flip-flop of a library.

    Parameters
    ----------
    cells : CellLibrary
        Result of :func:`fewflips.gates.netlist.synthesis.synthesis_cells`, whose flip-flops have only a clock and a
        data pin, and of which there is at least one.

    Returns
    -------
    Cell
        The cell.
    """
    return min((cell for cell in cells.cells.values() if cell.flip_flop), key=lambda cell: (cell.area_um2, cell.name))


def with_entries(logic: Netlist, flip_flop: Cell, *, contents: str, hold: str, data: str) -> Netlist:
    """Add words of flip-flops that share their data.

    Parameters
    ----------
    logic : Netlist
        Takes the contents of all words at an input port, and has an output port with a bit for each word.
    flip_flop : Cell
        The cell of a bit, with a clock and a data pin.
    contents : str
        The input port, word 0 in its lowest bits. It becomes an output port.
    hold : str
        The output port whose bits are 1 in cycles after which their word stays as it is. It leads to clock gates, and
        is a port no more.
    data : str
        Name of the new input port whose word is stored, on nets of its own.

    Returns
    -------
    Netlist
        With a clock port ``clk``, which all clock pins are on: gates in front of them are not part of the netlist.

    Raises
    ------
    NetlistError
        If the contents are not words of the same width.
    """
    shown, words = logic.inputs[contents], len(logic.outputs[hold])
    bits, rest = divmod(len(shown), words)
    if rest:
        raise NetlistError(f"netlist {logic.name}: expected {words} words of the same width, got {len(shown)} bits")
    (clock_pin,) = (pin.name for pin in flip_flop.inputs if pin.is_clock)
    (data_pin,) = (pin.name for pin in flip_flop.inputs if not pin.is_clock)
    (out,) = (pin.name for pin in flip_flop.outputs if pin.function == _state(flip_flop))
    clock = len(logic.nets)
    taken = range(clock + 1, clock + 1 + bits)
    stored = tuple(
        Instance(
            f"entry_{bit // bits}_{bit % bits}",
            flip_flop.name,
            {clock_pin: clock, data_pin: taken[bit % bits], out: net},
        )
        for bit, net in enumerate(shown)
    )
    first = len(logic.instances)
    return replace(
        logic,
        nets=(*logic.nets, "clk", *(f"{data}[{bit}]" for bit in range(bits))),
        instances=(*logic.instances, *stored),
        inputs={"clk": (clock,), data: tuple(taken), **{n: nets for n, nets in logic.inputs.items() if n != contents}},
        outputs={contents: shown, **{name: nets for name, nets in logic.outputs.items() if name != hold}},
        holds={first + bit: logic.outputs[hold][bit // bits] for bit in range(len(shown))},
    )


def _state(flip_flop: Cell) -> str:
    return flip_flop.flip_flop.state if flip_flop.flip_flop is not None else ""
