"""Writes toggle counts as SAIF, for any power tool.

The file follows IEEE 1801 (annex on the Switching Activity Interchange Format, version 2.0, backward direction): for
each net and each pin of each instance it has the time at 0 (T0) and at 1 (T1) and the number of transitions (TC). The
time at an unknown value (TX) is 0; full-swing glitches are included in the transitions, and those that gates swallow
(IG) are not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.checks import clock_nets
from fewflips.gates.netlist.netlist import ONE_NET, Netlist
from fewflips.gates.operands import Toggles
from fewflips.version import __version__

_SPECIAL = re.compile(r"[^A-Za-z0-9_]")


def write_saif(
    path: Path,
    netlist: Netlist,
    library: CellLibrary,
    toggles: Toggles,
    period_ps: float,
    instance_path: Sequence[str] = (),
) -> None:
    """Write the toggles of a netlist as SAIF.

    Parameters
    ----------
    path : Path
        The file to write; it is written completely or not at all.
    netlist : Netlist
        The netlist.
    library : CellLibrary
        Its cells, which determine the clock nets.
    toggles : Toggles
        Toggles of every net. Clock nets are always written with two transitions per cycle.
    period_ps : float
        Length of a cycle.
    instance_path : sequence of str
        Instances around the netlist, outermost first: ``("testbench", "unit")``. By default the module's name.

    Raises
    ------
    InputError
        If the period is not positive, nothing was counted, or the toggles belong to another netlist.
    OutputError
        If the file cannot be written.
    """
    if not 0 < period_ps < np.inf:
        raise InputError(f"period_ps: expected a positive number of picoseconds, got {period_ps}")
    if toggles.toggles.shape != (len(netlist.nets),):
        raise InputError(
            f"toggles: expected those of {len(netlist.nets)} nets, got shape {toggles.toggles.shape};"
            " use toggles of the same netlist"
        )
    if toggles.transitions <= 0:
        raise InputError("toggles: expected at least one transition to write, got none; simulate two cycles or more")
    activities = _activities(netlist, library, toggles, period_ps)
    scopes = list(instance_path) or [netlist.name]
    duration = round(toggles.transitions * period_ps)
    lines = [*_header(duration), *(f"(INSTANCE {_escaped(name)}" for name in scopes), *_nets(netlist, activities)]
    lines += _instances(netlist, activities)
    lines.append(")" * (len(scopes) + 1))
    atomic_write(path, ("\n".join(lines) + "\n").encode())


def _header(duration_ps: int) -> list[str]:
    return [
        "(SAIFILE",
        '(SAIFVERSION "2.0")',
        '(DIRECTION "backward")',
        "(DESIGN )",
        '(VENDOR "fewflips")',
        '(PROGRAM_NAME "fewflips")',
        f'(VERSION "{__version__}")',
        "(DIVIDER / )",
        "(TIMESCALE 1 ps)",
        f"(DURATION {duration_ps})",
    ]


def _activities(netlist: Netlist, library: CellLibrary, toggles: Toggles, period_ps: float) -> list[str]:
    """The entry of each net."""
    high = toggles.high * 1.0
    counts = toggles.toggles.copy()
    clocks = list(clock_nets(netlist, library))
    high[clocks] = toggles.transitions / 2
    counts[clocks] = 2 * toggles.transitions
    high[: ONE_NET + 1] = 0, toggles.transitions
    counts[: ONE_NET + 1] = 0
    duration = round(toggles.transitions * period_ps)
    at_one = np.rint(high * period_ps).astype(np.int64)
    return [
        f"(T0 {duration - ones}) (T1 {ones}) (TX 0) (TC {count}) (IG 0)"
        for ones, count in zip(at_one.tolist(), counts.tolist(), strict=True)
    ]


def _nets(netlist: Netlist, activities: list[str]) -> Iterator[str]:
    yield "(NET"
    for net in range(ONE_NET + 1, len(netlist.nets)):
        yield f"({_escaped(netlist.nets[net])} {activities[net]})"
    yield ")"


def _instances(netlist: Netlist, activities: list[str]) -> Iterator[str]:
    for instance in netlist.instances:
        yield f"(INSTANCE {_escaped(instance.name)}"
        yield "(PORT"
        for pin, net in instance.pins.items():
            yield f"({_escaped(pin)} {activities[net]})"
        yield "))"


def _escaped(name: str) -> str:
    r"""A name with a backslash before every special character: ``sum\[3\]``."""
    return _SPECIAL.sub(r"\\\g<0>", name)
