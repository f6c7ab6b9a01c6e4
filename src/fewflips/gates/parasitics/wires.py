"""Capacitance of the wires: estimated by fanout before layout, or taken from a SPEF file after it.

The estimate before layout has three factors. Connections are as long as Donath's mean for a placement of gates whose
connections follow Rent's rule (W. E. Donath, "Placement and average interconnection lengths of computer logic", IEEE
Trans. Circuits and Systems, 1979), in gate pitches. Donath's mean is an upper bound; the connections of a placed and
routed column were 0.43 of it (docs/post_layout.md). A wire has 0.2 fF/um, which is nearly the same in every technology,
since width, spacing and height of wires shrink together (R. Ho, K. Mai, M. Horowitz, "The future of wires", Proc.
IEEE, 2001). Wires of a real layout come from its SPEF file.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError, ParasiticsError
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.netlist import ONE_NET, ZERO_NET, Netlist
from fewflips.gates.parasitics.spef import Spef

WIRE_FF_PER_UM = 0.2
"""Capacitance of a wire per length, in fF/um."""
UTILIZATION = 0.7
"""Share of a placement's area covered by cells."""
RENT_EXPONENT = 0.6
"""Rent exponent of arithmetic datapaths, which lie between memories (0.1) and random logic (0.75)."""
PLACED_SHARE = 0.43
"""Length of connections in a layout, relative to Donath's mean: 64.2 mm to 149 mm in docs/post_layout.md."""

_LEAST_MATCHED = 0.95  # share of a netlist's nets, and of their pins, found in its layout: they may differ a little
_DIVIDERS = str.maketrans("/|", "..")  # between levels of hierarchy; flat netlists use dots


@dataclass(frozen=True)
class WireModel:
    """Wire capacitance of a net as a function of its fanout: ``base_ff + per_fanout_ff * fanout``.

    Parameters
    ----------
    per_fanout_ff : float
        Capacitance per pin or port that the net feeds, in fF.
    base_ff : float
        Capacitance of every net that feeds at least one, in fF.
    source : str
        Where the figures come from.
    """

    per_fanout_ff: float
    base_ff: float = 0.0
    source: str = "given"

    def __post_init__(self) -> None:
        for name, value in (("per fanout", self.per_fanout_ff), ("per net", self.base_ff)):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"wire capacitance {name}: expected a number of fF from 0 up, got {value}")

    @classmethod
    def estimated(
        cls,
        netlist: Netlist,
        library: CellLibrary,
        ff_per_um: float = WIRE_FF_PER_UM,
        utilization: float = UTILIZATION,
        rent_exponent: float = RENT_EXPONENT,
    ) -> Self:
        """The model of a netlist before layout, from the number and area of its cells.

        Parameters
        ----------
        netlist : Netlist
            A checked netlist.
        library : CellLibrary
            Its cells.
        ff_per_um : float
            Capacitance of a wire per length, in fF/um.
        utilization : float
            Share of the placement's area covered by cells.
        rent_exponent : float
            Between 0.5 and 1, both exclusive.

        Returns
        -------
        WireModel
            A capacitance per fanout only.

        Raises
        ------
        InputError
            If a parameter is out of its range.
        """
        if not (0 < utilization <= 1 and 0.5 < rent_exponent < 1 and ff_per_um >= 0):
            raise InputError(
                "wire model: expected a utilization from 0 to 1, a Rent exponent between 0.5 and 1 and a capacitance "
                f"from 0 up, got {utilization}, {rent_exponent} and {ff_per_um}"
            )
        count = len(netlist.instances)
        area_um2 = sum(library.cells[instance.cell].area_um2 for instance in netlist.instances)
        if count == 0 or area_um2 == 0:
            return cls(0.0, source="a netlist without area")
        pitch_um = math.sqrt(area_um2 / count / utilization)
        length_um = PLACED_SHARE * donath_length(count, rent_exponent) * pitch_um
        source = (
            f"{length_um:.2f} µm a connection ({PLACED_SHARE:g} of Donath's mean, Rent exponent {rent_exponent:g},"
            f" gate pitch {pitch_um:.2f} µm at {100 * utilization:g} % utilization) at {ff_per_um:g} fF/µm"
        )
        return cls(length_um * ff_per_um, source=source)


def donath_length(gates: int, rent_exponent: float) -> float:
    """Mean length of a connection, in gate pitches, in a square placement (Donath 1979).

    Parameters
    ----------
    gates : int
        Gates placed, 1 or more.
    rent_exponent : float
        Between 0.5 and 1, both exclusive.

    Returns
    -------
    float
        At least 1.
    """
    p = rent_exponent
    if gates < 4:
        return 1.0
    within = 7 * (gates ** (p - 0.5) - 1) / (4 ** (p - 0.5) - 1)
    across = (1 - gates ** (p - 1.5)) / (1 - 4 ** (p - 1.5))
    return max(1.0, 2 / 9 * (within - across) * (1 - 4 ** (p - 1)) / (1 - gates ** (p - 1)))


def fanouts(netlist: Netlist, library: CellLibrary) -> NDArray[np.int64]:
    """Input pins and output ports that each net feeds.

    Parameters
    ----------
    netlist : Netlist
        A checked netlist.
    library : CellLibrary
        Its cells.

    Returns
    -------
    ndarray of int64, shape (nets,)
        Each bit of an output port counts as one.
    """
    fed = [
        instance.pins[pin.name]
        for instance in netlist.instances
        for pin in library.cells[instance.cell].inputs
        if pin.name in instance.pins
    ]
    fed.extend(net for nets in netlist.outputs.values() for net in nets)
    return np.bincount(np.array(fed, dtype=np.int64), minlength=len(netlist.nets)).astype(np.int64)


def fanout_wire_ff(
    netlist: Netlist, library: CellLibrary, per_fanout_ff: float, base_ff: float = 0.0
) -> NDArray[np.float64]:
    """Wire capacitance of every net by a fanout model.

    Parameters
    ----------
    netlist : Netlist
        A checked netlist.
    library : CellLibrary
        Its cells.
    per_fanout_ff, base_ff : float
        See :class:`WireModel`.

    Returns
    -------
    ndarray of float64, shape (nets,)
        In fF; 0 for the constants and for nets that feed nothing.
    """
    model = WireModel(per_fanout_ff, base_ff)
    fed = fanouts(netlist, library)
    wire_ff = np.where(fed > 0, model.base_ff + model.per_fanout_ff * fed, 0.0)
    wire_ff[[ZERO_NET, ONE_NET]] = 0.0
    return wire_ff


def spef_wire_ff(netlist: Netlist, spef: Spef) -> NDArray[np.float64]:
    """Wire capacitance of every net from extracted parasitics.

    Parameters
    ----------
    netlist : Netlist
        The checked netlist of the same layout.
    spef : Spef
        Parasitics extracted from it.

    Returns
    -------
    ndarray of float64, shape (nets,)
        In fF; 0 for the constants and for nets that are not in the file, which have no wire of their own.

    Raises
    ------
    ParasiticsError
        If less than 95 % of the nets that lead from or to cells are in the file, or less than 95 % of the pins on
        those that are; or if the file has another design's name and no pins to compare. It then belongs to another
        netlist, or is truncated: netlists from the same tool have many net names in common.
    """
    names = [name.translate(_DIVIDERS) for name in netlist.nets]
    net_ff = {name.translate(_DIVIDERS): capacitance_ff for name, capacitance_ff in spef.net_ff.items()}
    wire_ff = np.array([net_ff.get(name, 0.0) for name in names], dtype=np.float64)
    wire_ff[[ZERO_NET, ONE_NET]] = 0.0
    wired = _wired_nets(netlist)
    missing = [netlist.nets[net] for net in wired if names[net] not in net_ff]
    if len(missing) > (1 - _LEAST_MATCHED) * len(wired):
        raise ParasiticsError(
            f"{spef.source}: expected the wires of {netlist.name}, got those of {len(wired) - len(missing)} of its "
            f"{len(wired)} nets, in design {spef.design}; not of {_listed(missing)}; give the whole SPEF of the "
            "netlist's own layout"
        )
    _check_pins(netlist, spef, names)
    return wire_ff


def _wired_nets(netlist: Netlist) -> list[int]:
    """Nets with a wire: those that touch a cell and something else."""
    pins = [net for instance in netlist.instances for net in instance.pins.values()]
    ports = [net for side in (netlist.inputs, netlist.outputs) for nets in side.values() for net in nets]
    ends = Counter((*pins, *ports))
    return sorted(net for net in set(pins) - {ZERO_NET, ONE_NET} if ends[net] > 1)


def _check_pins(netlist: Netlist, spef: Spef, names: list[str]) -> None:
    """Compare what nets connect, if the file says so."""
    net_pins = {
        name.translate(_DIVIDERS): {pin.translate(_DIVIDERS) for pin in pins} for name, pins in spef.net_pins.items()
    }
    compared = agreeing = 0
    for instance in netlist.instances:
        instance_name = instance.name.translate(_DIVIDERS)
        for pin, net in instance.pins.items():
            pins = net_pins.get(names[net])
            if pins is not None:
                compared += 1
                agreeing += f"{instance_name}:{pin}" in pins
    if not compared and spef.design != netlist.name:
        raise ParasiticsError(
            f"{spef.source}: expected the wires of {netlist.name}, got those of design {spef.design}, without pins by "
            "which to compare them; write the SPEF with connections"
        )
    if agreeing < _LEAST_MATCHED * compared:
        raise ParasiticsError(
            f"{spef.source}: expected the wires of {netlist.name}, got nets of the same names in design {spef.design} "
            f"that connect {agreeing} of their {compared} pins; give the SPEF of the netlist's own layout"
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
