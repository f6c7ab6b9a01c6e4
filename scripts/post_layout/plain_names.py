"""Netlist names that every program of the flow can take, and back.

qflow's programs each have their own idea of which characters a name may hold, and number cells themselves. So nets
are called ``n17`` after their number, and cells as `blif2cel.tcl` will call them: ``NAND2X1_3``, the third NAND2X1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fewflips.errors import NetlistError
from fewflips.gates.netlist.netlist import ONE_NET, ZERO_NET, Instance, Netlist


@dataclass(frozen=True, eq=False)
class PlainNames:
    """What the nets and cells of a netlist are called in the layout.

    Parameters
    ----------
    netlist : Netlist
        The netlist.
    instances : tuple of str
        Name of each cell.
    pins : mapping of (str, str) to str
        The net's name at each connected pin: cell and pin.
    """

    netlist: Netlist
    instances: tuple[str, ...] = field(repr=False)
    pins: Mapping[tuple[str, str], str] = field(repr=False)

    @property
    def nets(self) -> dict[str, int]:
        """Number of each net in the layout: those that touch a cell."""
        return {name: int(name.removeprefix("n")) for name in dict.fromkeys(self.pins.values())}


def plain_names(netlist: Netlist) -> PlainNames:
    """Name nets and cells.

    Raises
    ------
    NetlistError
        If a pin is tied to a constant: the cells of this flow have no tie cell.
    """
    seen: Counter[str] = Counter()
    names, pins = [], {}
    for instance in netlist.instances:
        seen[instance.cell] += 1
        name = f"{instance.cell}_{seen[instance.cell]}"
        names.append(name)
        for pin, net in instance.pins.items():
            if net in (ZERO_NET, ONE_NET):
                raise NetlistError(
                    f"{netlist.name}: pin {pin} of {instance.name} is tied to {netlist.nets[net]}; expected no "
                    "constants: this flow has no tie cells, synthesize another datapath"
                )
            pins[name, pin] = f"n{net}"
    return PlainNames(netlist, tuple(names), pins)


def blif(names: PlainNames) -> str:
    """The netlist as the mapped BLIF that qflow places.

    Returns
    -------
    str
        One ``.gate`` line a cell.
    """
    netlist, placed = names.netlist, names.nets
    lines = [f".model {netlist.name}"]
    for keyword, ports in ((".inputs", netlist.inputs), (".outputs", netlist.outputs)):
        wanted = dict.fromkeys(f"n{net}" for nets in ports.values() for net in nets)
        lines.append(" ".join((keyword, *(name for name in wanted if name in placed))))
    lines += [_gate(instance) for instance in netlist.instances]
    return "\n".join((*lines, ".end", ""))


def _gate(instance: Instance) -> str:
    return " ".join((".gate", instance.cell, *(f"{pin}=n{net}" for pin, net in instance.pins.items())))
