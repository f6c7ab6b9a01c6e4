"""Synthesis of a datapath to library cells by Yosys and ABC.

A plan is everything the result depends on except the version of Yosys. Results are cached under the digest of both,
so the same datapath is synthesized only once.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from fewflips.datapath.design import Datapath
from fewflips.datapath.verilog import module_name, verilog
from fewflips.errors import CellLibraryError, InputError, NetlistError, ToolError
from fewflips.files.cache import cached, digest_of
from fewflips.gates.liberty.cells import Cell, CellLibrary
from fewflips.gates.liberty.functions import names_in, truth_table
from fewflips.gates.liberty.writer import liberty_text
from fewflips.gates.netlist.checks import LATCH_PROBLEM, check_netlist
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.reader import netlist_from_json
from fewflips.gates.netlist.yosys import Yosys, find_yosys
from fewflips.progress import Progress

SPECIAL_PURPOSE = ("sky130_fd_sc_*__lpflow_*", "sky130_fd_sc_*__probe*")
"""Name patterns of cells that compute like gates, but are meant for power-domain borders and for probing."""

_RESULT_FORMAT = "1"
_DESIGN, _CELLS, _RESULT = "design.v", "cells.lib", "netlist.json"
_PHASE = "synthesis"
# Logic is restructured and mapped, and gates are sized to their loads. Yosys' own script leaves gates at the size they
# are mapped to, and had not finished a column of sixteen lanes after eight minutes. Commas stand for blanks; {D} is the
# delay target.
_ABC_SCRIPT = "strash;ifraig;scorr;dc2;strash;&get,-n;&dch,-f;&nf,{D};&put;buffer,-c;topo;upsize,{D};dnsize,{D}"


@dataclass(frozen=True)
class SynthesisPlan:
    """A planned run of Yosys.

    Parameters
    ----------
    top : str
        The module to synthesize; hierarchy below it is flattened.
    verilog : str
        Its source text.
    liberty : str
        The cells to map to, all of which may be used.
    delay_target_ps : float or None
        Longest delay between registers that ABC should reach; None sizes gates for the shortest delay, and saves area
        where that costs no delay.
    """

    top: str
    verilog: str = field(repr=False)
    liberty: str = field(repr=False)
    delay_target_ps: float | None

    @property
    def script(self) -> str:
        """Commands for Yosys."""
        target = "" if self.delay_target_ps is None else f",-D,{self.delay_target_ps:.0f}"
        abc_script = _ABC_SCRIPT.replace(",{D}", target)
        return "\n".join(
            (
                f"read_verilog -sv {_DESIGN}",
                f"synth -flatten -top {self.top}",
                f"dfflibmap -liberty {_CELLS}",
                "opt",
                f"abc -liberty {_CELLS} -script +{abc_script}",
                "setundef -zero",
                "opt_clean",
                f"write_json {_RESULT}",
                "",
            )
        )

    @property
    def digest(self) -> str:
        """Hexadecimal digest of the plan."""
        return digest_of(_RESULT_FORMAT, self.script, self.verilog, self.liberty)

    def run(self, yosys: Yosys) -> bytes:
        """Run Yosys, or return the cached result for its version.

        Parameters
        ----------
        yosys : Yosys
            The provider and its version.

        Returns
        -------
        bytes
            The mapped netlist as JSON.

        Raises
        ------
        ToolError
            If Yosys fails.
        """
        digest = digest_of(self.digest, yosys.version)
        return zlib.decompress(cached("synthesis", digest, lambda: zlib.compress(self._run(yosys), 6)))

    def _run(self, yosys: Yosys) -> bytes:
        files = {_DESIGN: self.verilog.encode(), _CELLS: self.liberty.encode()}
        try:
            written = yosys.run(self.script, files)
        except ToolError as error:
            if "latches are not supported" not in str(error):
                raise
            raise NetlistError(f"netlist {self.top}: {LATCH_PROBLEM}") from error
        if _RESULT not in written:
            raise ToolError(f"{yosys.short_version} ended without a netlist of {self.top}; try another version")
        return written[_RESULT]


def synthesize(
    datapath: Datapath,
    library: CellLibrary,
    progress: Progress | None = None,
    delay_target_ps: float | None = None,
    yosys: Yosys | None = None,
) -> Netlist:
    """Synthesize a datapath to the cells of a library.

    Registers are plain flip-flops. Their output nets keep the names given in the Verilog, and so do ports.

    Parameters
    ----------
    datapath : Datapath
        What to synthesize.
    library : CellLibrary
        The cells; those marked as not to be used, latches, and flip-flops with more than clock and data are left out.
    progress : Progress, optional
        Told when the run starts and ends.
    delay_target_ps : float, optional
        See :class:`SynthesisPlan`.
    yosys : Yosys, optional
        By default the one that is found.

    Returns
    -------
    Netlist
        Flat and checked.

    Raises
    ------
    CellLibraryError
        If the library has no plain flip-flop, no inverter or no NAND or NOR of two inputs.
    ToolError
        If Yosys is missing or fails.
    """
    return synthesize_verilog(verilog(datapath), module_name(datapath), library, progress, delay_target_ps, yosys)


def synthesize_verilog(
    text: str,
    top: str,
    library: CellLibrary,
    progress: Progress | None = None,
    delay_target_ps: float | None = None,
    yosys: Yosys | None = None,
) -> Netlist:
    """Synthesize one module of a Verilog text; see :func:`synthesize`.

    Parameters
    ----------
    text : str
        Verilog, including every module that the top module uses.
    top : str
        Name of the top module, a plain identifier.
    library : CellLibrary
        The cells.
    progress : Progress, optional
        Told when the run starts and ends.
    delay_target_ps : float, optional
        See :class:`SynthesisPlan`.
    yosys : Yosys, optional
        By default the one that is found.

    Returns
    -------
    Netlist
        Flat and checked.

    Raises
    ------
    CellLibraryError, ToolError, InputError
        As for :func:`synthesize`, or if `top` or `delay_target_ps` is not usable.
    NetlistError
        If the module cannot be simulated: it has latches, several clocks or loops.
    """
    cells = synthesis_cells(library)
    plan = synthesis_plan(text, top, cells, delay_target_ps)
    if progress is not None:
        progress(_PHASE, 0, 1)
    netlist = netlist_from_json(plan.run(yosys or find_yosys()), cells, top)
    check_netlist(netlist, cells)
    if progress is not None:
        progress(_PHASE, 1, 1)
    return netlist


def synthesis_plan(text: str, top: str, cells: CellLibrary, delay_target_ps: float | None = None) -> SynthesisPlan:
    """The plan of a synthesis; see :func:`synthesize_verilog`.

    Parameters
    ----------
    text : str
        Verilog.
    top : str
        Name of the top module.
    cells : CellLibrary
        Result of :func:`synthesis_cells`.
    delay_target_ps : float, optional
        See :class:`SynthesisPlan`.

    Returns
    -------
    SynthesisPlan
        To be run.

    Raises
    ------
    InputError
        If `top` or `delay_target_ps` is not usable.
    """
    if not (top.isidentifier() and top.isascii()):
        raise InputError(f"module to synthesize: expected a plain identifier, got {top!r}; rename it")
    if delay_target_ps is not None and not 1 <= delay_target_ps <= 1e9:
        raise InputError(f"delay target: expected 1 ps to 1 ms, got {delay_target_ps} ps")
    return SynthesisPlan(top, text, liberty_text(cells), delay_target_ps)


def synthesis_cells(library: CellLibrary, without: Sequence[str] = SPECIAL_PURPOSE) -> CellLibrary:
    """The cells of a library that synthesis may choose from.

    Parameters
    ----------
    library : CellLibrary
        A whole library.
    without : sequence of str
        Name patterns of cells to leave out, in addition to those that the library excludes.

    Returns
    -------
    CellLibrary
        Single-output gates with a function, and rising-edge flip-flops with only a clock and a data pin.

    Raises
    ------
    CellLibraryError
        If these do not suffice to build any circuit.
    """
    cells = {
        name: cell
        for name, cell in library.cells.items()
        if not any(fnmatchcase(name, pattern) for pattern in without) and (_is_gate(cell) or _is_plain_flip_flop(cell))
    }
    tables = {_gate_table(cell) for cell in cells.values() if cell.flip_flop is None}
    missing = [
        what
        for what, found in (
            ("an inverter", (1, 0b01) in tables),
            ("a NAND, NOR, AND or OR of two inputs", bool({(2, t) for t in (0b0111, 0b0001, 0b1000, 0b1110)} & tables)),
            ("a rising-edge D flip-flop without other controls", any(cell.flip_flop for cell in cells.values())),
        )
        if not found
    ]
    if missing:
        raise CellLibraryError(
            f"cells of {library.source}: expected at least an inverter, a gate of two inputs and a plain flip-flop, "
            f"got a library without {' and '.join(missing)}; give the library of the whole set of cells"
        )
    return replace(library, cells=cells)


def cell_counts(netlist: Netlist) -> dict[str, int]:
    """Instances of each cell, by its name in alphabetical order."""
    return dict(sorted(Counter(instance.cell for instance in netlist.instances).items()))


def netlist_area_um2(netlist: Netlist, library: CellLibrary) -> float:
    """Area of all cells.

    Parameters
    ----------
    netlist : Netlist
        The netlist.
    library : CellLibrary
        Its cells.

    Returns
    -------
    float
        In um^2, without the space between cells.

    Raises
    ------
    NetlistError
        If the library lacks a cell.
    """
    missing = sorted({instance.cell for instance in netlist.instances} - set(library.cells))
    if missing:
        raise NetlistError(
            f"netlist {netlist.name}: expected cells of the library {library.name}, got {', '.join(missing[:5])}; "
            "give the library that it was mapped to"
        )
    return float(sum(library.cells[instance.cell].area_um2 for instance in netlist.instances))


def _is_gate(cell: Cell) -> bool:
    """Whether ABC can use a cell; it knows only single-output gates."""
    return (
        cell.flip_flop is None
        and not cell.is_latch
        and not cell.dont_use
        and len(cell.outputs) == 1
        and 1 <= len(cell.inputs) <= 6
        and _gate_table(cell) is not None
    )


def _gate_table(cell: Cell) -> tuple[int, int] | None:
    """Number of inputs and truth table of a gate; None if its output does not follow from its input pins."""
    function = cell.outputs[0].function
    if function is None:
        return None
    names = tuple(pin.name for pin in cell.inputs)
    try:
        return len(names), truth_table(function, names)
    except CellLibraryError:
        return None


def _is_plain_flip_flop(cell: Cell) -> bool:
    flip_flop = cell.flip_flop
    if flip_flop is None or cell.is_latch or cell.dont_use or flip_flop.clear or flip_flop.preset:
        return False
    clock, data = names_in(flip_flop.clocked_on), names_in(flip_flop.next_state)
    return (
        len(clock) == len(data) == 1
        and {pin.name for pin in cell.inputs} == {*clock, *data}
        and truth_table(flip_flop.clocked_on, clock) == 0b10
        and truth_table(flip_flop.next_state, data) == 0b10
    )
