"""Writes waveforms of a window of cycles as VCD (IEEE 1364, Value Change Dump), for any viewer or power tool."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError, ToolError
from fewflips.files.atomic import atomic_write
from fewflips.gates.netlist.netlist import ONE_NET, Netlist
from fewflips.version import __version__

_BIT = re.compile(r"^(.*)\[(\d+)\]$")


@dataclass(frozen=True, eq=False)
class ValueChanges:
    """Value changes of nets in a window of cycles.

    Parameters
    ----------
    window_cycles : int
        Cycles of the window.
    initial : ndarray of uint8, shape (nets,)
        Value of every net before the first change, 0 or 1.
    cycles : ndarray of int64, shape (C,)
        Cycle of each change, from 0 to ``window_cycles - 1``.
    steps : ndarray of int64, shape (C,)
        Time steps after the cycle's clock edge; 0 in a simulation without delays.
    nets : ndarray of int64, shape (C,)
        The net that changes.
    values : ndarray of uint8, shape (C,)
        Its new value, 0 or 1.
    """

    window_cycles: int
    initial: NDArray[np.uint8] = field(repr=False)
    cycles: NDArray[np.int64] = field(repr=False)
    steps: NDArray[np.int64] = field(repr=False)
    nets: NDArray[np.int64] = field(repr=False)
    values: NDArray[np.uint8] = field(repr=False)


def write_vcd(
    path: Path,
    netlist: Netlist,
    changes: ValueChanges,
    period_ps: int,
    step_ps: int,
    clocks: Sequence[int] = (),
    instance_path: Sequence[str] = (),
) -> None:
    """Write value changes as VCD, with one variable per net, in ps.

    Parameters
    ----------
    path : Path
        The file to write; it is written completely or not at all.
    netlist : Netlist
        Names the nets.
    changes : ValueChanges
        In any order; simultaneous changes are written by net. Time begins with cycle 0.
    period_ps : int
        Length of a cycle.
    step_ps : int
        Length of a time step.
    clocks : sequence of int
        Clock nets, which are not in `changes`: each rises with every cycle and falls half a period later.
    instance_path : sequence of str
        Instances around the netlist, outermost first. By default the module's name.

    Raises
    ------
    InputError
        If a time is not positive, arrays differ in length, or the nets are not those of the netlist.
    ToolError
        If the package pyvcd is not installed.
    OutputError
        If the file cannot be written.
    """
    try:
        from vcd import VCDWriter
    except ImportError as error:
        raise ToolError("writing VCD files needs the extra: pip install 'fewflips[gates]'") from error
    _check(netlist, changes, period_ps, step_ps)
    times, nets, values = _in_order(changes, period_ps, step_ps, clocks)
    scope = tuple(instance_path) or (netlist.name,)
    text = io.StringIO()
    with VCDWriter(text, timescale="1 ps", version=f"fewflips {__version__}", date="") as writer:
        variables = {
            net: writer.register_var(scope, _reference(netlist.nets[net]), "wire", size=1, init=int(value))
            for net, value in enumerate(changes.initial)
            if net > ONE_NET
        }
        for time, net, value in zip(times.tolist(), nets.tolist(), values.tolist(), strict=True):
            writer.change(variables[net], time, value)
        writer.close(max(changes.window_cycles * period_ps, int(times.max(initial=0))))
    atomic_write(path, text.getvalue().encode())


def _in_order(
    changes: ValueChanges, period_ps: int, step_ps: int, clocks: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Times, nets and values of all changes, including those of the clock, by time and then by net."""
    edges = np.arange(2 * changes.window_cycles)
    times = [changes.cycles * period_ps + changes.steps * step_ps]
    nets, values = [changes.nets], [changes.values]
    for clock in clocks:
        times.append(edges // 2 * period_ps + edges % 2 * (period_ps // 2))
        nets.append(np.full(len(edges), clock))
        values.append((1 - edges % 2).astype(np.uint8))
    all_times, all_nets = np.concatenate(times), np.concatenate(nets)
    order = np.lexsort((all_nets, all_times))
    return all_times[order], all_nets[order], np.concatenate(values)[order]


def _check(netlist: Netlist, changes: ValueChanges, period_ps: int, step_ps: int) -> None:
    if period_ps < 2 or step_ps < 1:
        raise InputError(
            f"VCD: expected a period of at least 2 ps and a step of at least 1 ps, got {period_ps} and {step_ps} ps"
        )
    nets = len(netlist.nets)
    lengths = {len(changes.cycles), len(changes.steps), len(changes.nets), len(changes.values)}
    if changes.initial.shape != (nets,) or len(lengths) > 1:
        raise InputError(
            f"VCD: expected initial values of {nets} nets and changes of one length,"
            f" got {len(changes.initial)} values and changes of lengths {sorted(lengths)}"
        )
    if len(changes.nets) and not (changes.nets.min() > ONE_NET and changes.nets.max() < nets):
        raise InputError(
            f"VCD: expected changes of nets {ONE_NET + 1} to {nets - 1},"
            f" got {changes.nets.min()} to {changes.nets.max()}; use changes of the same netlist"
        )


def _reference(name: str) -> str:
    """A net's name in VCD: a bit of a bus is ``bus [3]``."""
    bit = _BIT.match(name)
    return f"{bit[1]} [{bit[2]}]" if bit else name
