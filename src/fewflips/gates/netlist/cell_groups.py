"""The instances of a netlist, grouped by cell, so that they can be processed as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import CellLibraryError, NetlistError
from fewflips.gates.liberty.cells import Cell, CellLibrary
from fewflips.gates.netlist.netlist import Instance, Netlist

OPEN = -1
"""Represents the net of a pin that is not connected."""


@dataclass(frozen=True, eq=False)
class CellGroup:
    """All instances of one cell.

    Parameters
    ----------
    cell : Cell
        The library cell.
    instances : ndarray of int64, shape (I,)
        Their positions in the netlist.
    nets : mapping of str to ndarray of int64, shape (I,)
        For each pin of the cell, the net it is connected to, or `OPEN`.
    """

    cell: Cell
    instances: NDArray[np.int64] = field(repr=False)
    nets: Mapping[str, NDArray[np.int64]] = field(repr=False)


def cell_groups(netlist: Netlist, library: CellLibrary) -> tuple[CellGroup, ...]:
    """Group the instances of a netlist by cell, in the order in which cells first occur.

    Raises
    ------
    CellLibraryError
        If the library lacks a cell.
    NetlistError
        If an instance has a pin that its cell lacks.
    """
    positions: dict[str, list[int]] = {}
    for position, instance in enumerate(netlist.instances):
        positions.setdefault(instance.cell, []).append(position)
    groups = []
    for name, members in positions.items():
        cell = library.cells.get(name)
        if cell is None:
            raise CellLibraryError(
                f"instance {netlist.instances[members[0]].name}: expected a cell of the library {library.source},"
                f" got {name}; give the library that the netlist was mapped to"
            )
        instances = [netlist.instances[position] for position in members]
        _check_pins(instances, cell)
        nets = {
            pin: np.array([instance.pins.get(pin, OPEN) for instance in instances], dtype=np.int64) for pin in cell.pins
        }
        groups.append(CellGroup(cell, np.array(members, dtype=np.int64), nets))
    return tuple(groups)


def _check_pins(instances: list[Instance], cell: Cell) -> None:
    for instance in instances:
        unknown = instance.pins.keys() - cell.pins.keys()
        if unknown:
            raise NetlistError(
                f"instance {instance.name}: expected pins of {cell.name} ({', '.join(cell.pins)}),"
                f" got {min(unknown)}; give the library that the netlist was mapped to"
            )
