"""A mapped netlist: instances of library cells, connected by nets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ZERO_NET = 0
"""The net that is always 0."""
ONE_NET = 1
"""The net that is always 1."""


@dataclass(frozen=True)
class Instance:
    """One cell of a netlist.

    Parameters
    ----------
    name : str
        Unique within the netlist.
    cell : str
        Name of the library cell.
    pins : mapping of str to int
        The net at each connected pin; outputs left open are absent.
    """

    name: str
    cell: str
    pins: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Netlist:
    """A flat module of library cells. Nets are numbered; 0 and 1 are the constants.

    Parameters
    ----------
    name : str
        Module name.
    nets : tuple of str
        Name of each net. A bit of a bus is named ``bus[3]``; ``nets[0]`` is ``1'b0``, ``nets[1]`` is ``1'b1``.
    instances : tuple of Instance
        The cells.
    inputs : mapping of str to tuple of int
        Nets of each input port, least significant bit first.
    outputs : mapping of str to tuple of int
        Nets of each output port, least significant bit first.
    holds : mapping of int to int
        Flip-flops behind clock gates outside the netlist: for each instance the net that, where it settles at 1, lets
        the flip-flop keep its contents for another cycle. A held clock rests at 1.
    """

    name: str
    nets: tuple[str, ...] = field(repr=False)
    instances: tuple[Instance, ...] = field(repr=False)
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    holds: Mapping[int, int] = field(default_factory=dict, repr=False)
