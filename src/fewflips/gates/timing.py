"""Loads, slews and delays of a netlist, from the tables of its cell library.

The method is static timing analysis with nonlinear delay tables, as in OpenSTA: every arc of a cell is looked up at the
slew of its input and the load of its output, separately for rising and falling edges; the output takes the slowest slew
of its arcs. Wires add capacitance but no delay. Slews are transition times as the library defines them (its thresholds
and its derating factor), never rescaled.

One figure differs on purpose: `Timing.delays_ps` is what the switching simulation needs, one typical delay per net, and
so the mean over arcs and edges, where timing sign-off takes the worst.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError, NetlistError
from fewflips.gates.liberty.cells import CellLibrary, FlipFlop, Table, TimingArc
from fewflips.gates.liberty.lookup import TableBank, look_up, table_bank
from fewflips.gates.netlist.cell_groups import OPEN, CellGroup, cell_groups
from fewflips.gates.netlist.netlist import ONE_NET, Netlist
from fewflips.kernels.compiled import compiled

INPUT_SLEW_PS = 20.0
"""Default slew of input ports and of the clock."""

# Which input edges start a rising (row 0) or falling (row 1) output edge, for each sense of an arc.
_SAME, _OPPOSITE, _BOTH, _AFTER_RISE, _AFTER_FALL = range(5)
_CAUSES = np.array(
    [
        [[True, False], [False, True]],
        [[False, True], [True, False]],
        [[True, True], [True, True]],
        [[True, False], [True, False]],
        [[False, True], [False, True]],
    ]
)
_SENSES = {"positive_unate": _SAME, "negative_unate": _OPPOSITE, "non_unate": _BOTH}


@dataclass(frozen=True, eq=False)
class Timing:
    """Loads, slews and delays of every net.

    Parameters
    ----------
    loads_ff : ndarray of float64, shape (nets,)
        Capacitance of all input pins on the net, and of its wire.
    rise_slews_ps, fall_slews_ps : ndarray of float64, shape (nets,)
        Transition time of rising and falling edges, the slowest over the arcs of the driver.
    delays_ps : ndarray of float64, shape (nets,)
        Delay of the gate output that drives the net: the mean over its arcs and over rising and falling edges, at
        the actual slews and load; from clock to output for registers; 0 for ports and constants.
    arrivals_ps : ndarray of float64, shape (nets,)
        Longest time from an edge at a port (including the clock) to an edge on the net.
    """

    loads_ff: NDArray[np.float64] = field(repr=False)
    rise_slews_ps: NDArray[np.float64] = field(repr=False)
    fall_slews_ps: NDArray[np.float64] = field(repr=False)
    delays_ps: NDArray[np.float64] = field(repr=False)
    arrivals_ps: NDArray[np.float64] = field(repr=False)

    @property
    def slews_ps(self) -> NDArray[np.float64]:
        """Mean slew of rising and falling edges of each net, float64 of shape (nets,)."""
        return (self.rise_slews_ps + self.fall_slews_ps) / 2

    @property
    def critical_path_ps(self) -> float:
        """Longest path from a port or a register; setup times are not included."""
        return float(self.arrivals_ps.max(initial=0.0))


def analyze_timing(
    netlist: Netlist,
    library: CellLibrary,
    wire_ff: NDArray[np.float64] | None = None,
    input_slew_ps: float = INPUT_SLEW_PS,
) -> Timing:
    """Loads, slews and delays of a netlist.

    Parameters
    ----------
    netlist : Netlist
        Mapped to cells of the library.
    library : CellLibrary
        Its cells.
    wire_ff : ndarray of float64, shape (nets,), optional
        Capacitance of each net's wire; none by default.
    input_slew_ps : float
        Slew of input ports, including the clock.

    Returns
    -------
    Timing
        Figures of every net.

    Raises
    ------
    CellLibraryError
        If the library lacks a cell.
    NetlistError
        If an instance has a pin that its cell lacks, or gates form a loop.
    InputError
        If `wire_ff` or `input_slew_ps` is not usable.
    """
    if not 0 <= input_slew_ps < np.inf:
        raise InputError(f"input_slew_ps: expected a finite slew of at least 0 ps, got {input_slew_ps}")
    groups = cell_groups(netlist, library)
    loads = net_loads_ff(groups, len(netlist.nets), wire_ff)
    tables = _Tables()
    arcs = _all_arcs(groups, tables)
    rank = _ranks(arcs, netlist)
    arcs = arcs[np.argsort(rank[arcs[:, 1]], kind="stable")]
    driven = np.zeros(len(netlist.nets), dtype=bool)
    driven[_output_nets(groups)] = True
    slews = np.where(driven, 0.0, input_slew_ps)[:, None].repeat(2, axis=1)
    arrivals = np.zeros((len(netlist.nets), 2))
    delays = _propagate(table_bank(tables.tables), arcs, _CAUSES, loads, slews, arrivals)
    return Timing(loads, slews[:, 0], slews[:, 1], delays, arrivals.max(axis=1))


def net_loads_ff(
    groups: tuple[CellGroup, ...], nets: int, wire_ff: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Capacitance of every net in fF: the input pins on it, and its wire.

    Parameters
    ----------
    groups : tuple of CellGroup
        All instances.
    nets : int
        Number of nets.
    wire_ff : ndarray of float64, shape (nets,), optional
        Capacitance of each net's wire.

    Returns
    -------
    ndarray of float64, shape (nets,)
        In fF.

    Raises
    ------
    InputError
        If `wire_ff` has another shape, or an entry that is negative or not finite.
    """
    loads = np.zeros(nets)
    if wire_ff is not None:
        if wire_ff.shape != (nets,):
            raise InputError(f"wire_ff: expected one capacitance for each of {nets} nets, got shape {wire_ff.shape}")
        if not (np.isfinite(wire_ff) & (wire_ff >= 0)).all():
            raise InputError(
                "wire_ff: expected finite capacitances of at least 0 fF; check the wire model or SPEF file"
            )
        loads += wire_ff
    for group in groups:
        for pin in group.cell.inputs:
            connected = group.nets[pin.name]
            np.add.at(loads, connected[connected != OPEN], pin.capacitance_ff)
    return loads


class _Tables:
    """Tables that arcs refer to by index, each stored once."""

    def __init__(self) -> None:
        self.tables: list[Table] = []
        self._numbers: dict[int, int] = {}

    def number(self, table: Table) -> int:
        if id(table) not in self._numbers:
            self._numbers[id(table)] = len(self.tables)
            self.tables.append(table)
        return self._numbers[id(table)]


def _all_arcs(groups: tuple[CellGroup, ...], tables: _Tables) -> NDArray[np.int64]:
    """One row per arc of an instance: input net, output net, sense, and the indices of its four tables."""
    parts = [np.zeros((0, 7), dtype=np.int64)]
    for group in groups:
        for pin in group.cell.outputs:
            for arc in pin.arcs:
                if arc.related not in group.nets:
                    continue
                source, sink = group.nets[arc.related], group.nets[pin.name]
                live = (source > ONE_NET) & (sink > ONE_NET)  # constants have no edges
                rows = np.empty((int(live.sum()), 7), dtype=np.int64)
                rows[:, 0], rows[:, 1] = source[live], sink[live]
                rows[:, 2] = _sense(arc, group.cell.flip_flop, group.cell.pins[arc.related].is_clock)
                for column, table in enumerate(
                    (arc.delay_rise_ps, arc.delay_fall_ps, arc.slew_rise_ps, arc.slew_fall_ps), start=3
                ):
                    rows[:, column] = tables.number(table)
                parts.append(rows)
    return np.concatenate(parts)


def _sense(arc: TimingArc, flip_flop: FlipFlop | None, from_clock: bool) -> int:
    if flip_flop is not None and from_clock:
        return _AFTER_FALL if flip_flop.clocked_on.strip("( )").startswith("!") else _AFTER_RISE
    return _SENSES[arc.sense]


def _output_nets(groups: tuple[CellGroup, ...]) -> NDArray[np.int64]:
    outputs = [group.nets[pin.name] for group in groups for pin in group.cell.outputs]
    nets = np.concatenate([np.zeros(0, dtype=np.int64), *outputs])
    return nets[nets != OPEN]


def _ranks(arcs: NDArray[np.int64], netlist: Netlist) -> NDArray[np.int64]:
    """Positions of nets in an order in which every net comes after those it depends on."""
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for source, sink in np.unique(arcs[:, :2], axis=0).tolist():
        sorter.add(sink, source)
    rank = np.zeros(len(netlist.nets), dtype=np.int64)
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        loop = error.args[1]
        raise NetlistError(
            f"netlist {netlist.name}: expected gates without a loop, got one through net {netlist.nets[min(loop)]}"
            f" ({len(loop) - 1} nets); break it by a register"
        ) from error
    rank[order] = np.arange(len(order))
    return rank


@compiled
def _propagate(
    bank: TableBank,
    arcs: NDArray[np.int64],
    causes: NDArray[np.bool_],
    loads: NDArray[np.float64],
    slews: NDArray[np.float64],
    arrivals: NDArray[np.float64],
) -> Any:
    """Fill in slews and arrivals, (nets, 2) for rising and falling edges; return the mean delay of each net."""
    sums = np.zeros(len(loads))
    counts = np.zeros(len(loads))
    for row in range(len(arcs)):
        source, sink, sense = arcs[row, 0], arcs[row, 1], arcs[row, 2]
        for edge in range(2):
            for cause in range(2):
                if not causes[sense, edge, cause]:
                    continue
                delay = look_up(bank, arcs[row, 3 + edge], slews[source, cause], loads[sink])
                slew = look_up(bank, arcs[row, 5 + edge], slews[source, cause], loads[sink])
                sums[sink] += delay
                counts[sink] += 1
                slews[sink, edge] = max(slews[sink, edge], slew)
                arrivals[sink, edge] = max(arrivals[sink, edge], arrivals[source, cause] + delay)
    for net in range(len(loads)):
        if counts[net] > 0:
            sums[net] = max(sums[net] / counts[net], 0.0)  # extrapolated tables may dip below 0
    return sums
