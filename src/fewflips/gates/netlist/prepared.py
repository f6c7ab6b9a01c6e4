"""Netlists of common units that ship with the package, so that their first use needs no synthesis.

A file belongs to a plan of :mod:`fewflips.gates.netlist.synthesis`, identified by its digest: it is what Yosys makes of
the same Verilog, cells and script. A file for another plan is not used.
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from fewflips.datapath.design import Datapath
from fewflips.datapath.verilog import module_name, verilog
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.checks import check_netlist
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.reader import netlist_from_json, reduced_json
from fewflips.gates.netlist.synthesis import SynthesisPlan, synthesis_cells, synthesis_plan, synthesize
from fewflips.gates.netlist.yosys import Yosys, find_yosys
from fewflips.progress import Progress

_SUFFIX = ".json.xz"


def unit_netlist(datapath: Datapath, library: CellLibrary, progress: Progress | None = None) -> tuple[Netlist, str]:
    """Netlist of a unit: the one that ships with the package, or a synthesized one.

    Parameters
    ----------
    datapath : Datapath
        The unit.
    library : CellLibrary
        Cells.
    progress : Progress, optional
        Called when a synthesis starts and ends.

    Returns
    -------
    Netlist
        Checked.
    str
        What made it, such as ``Yosys 0.70``. A Yosys named by ``$FEWFLIPS_YOSYS`` is always used.

    Raises
    ------
    CellLibraryError
        If the cells do not suffice to build the unit.
    ToolError
        If Yosys is needed and missing, or fails.
    """
    if not os.environ.get("FEWFLIPS_YOSYS"):
        cells = synthesis_cells(library)
        plan = synthesis_plan(verilog(datapath), module_name(datapath), cells)
        for record in prepared(plan.top):
            if record["plan"] == plan.digest:
                netlist = netlist_from_json(json.dumps(record["netlist"]).encode(), cells, plan.top)
                check_netlist(netlist, cells)
                return netlist, record["made_by"]
    yosys = find_yosys()
    return synthesize(datapath, library, progress, yosys=yosys), yosys.short_version


def prepared(top: str) -> Iterator[dict[str, Any]]:
    """Records of the module's netlists: ``plan`` (digest), ``made_by`` and ``netlist``, as Yosys writes it."""
    for file in _folder().iterdir():
        if file.name.endswith(_SUFFIX) and file.name.split(".")[0] == top:
            yield json.loads(lzma.decompress(file.read_bytes()))


def file_of(plan: SynthesisPlan, yosys: Yosys) -> bytes:
    """Content of a file for a plan.

    Parameters
    ----------
    plan : SynthesisPlan
        The unit's.
    yosys : Yosys
        The Yosys that synthesizes it.

    Returns
    -------
    bytes
        The same for the same plan and version.

    Raises
    ------
    ToolError
        If Yosys fails.
    """
    netlist = json.loads(reduced_json(plan.run(yosys)))
    record = {"plan": plan.digest, "made_by": yosys.short_version, "netlist": netlist}
    return lzma.compress(json.dumps(record, separators=(",", ":")).encode(), preset=9)


def _folder() -> Traversable:
    return resources.files("fewflips.gates.netlist") / "netlists"
