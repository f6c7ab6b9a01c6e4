"""Wire capacitance as magic extracts it from the routed shapes.

magic finds for each shape what is beneath, beside and above it. A coupling counts in full for both of its nets, as
if the other one stood still. What lies inside the cells is left out: the cells' figures hold it.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fewflips.errors import ToolError

from .plain_names import PlainNames
from .qflow import LEF, MAGIC_SETUP, Project

_AF = 1e-3
"""magic writes attofarads."""


@dataclass(eq=False)
class Extraction:
    """Nodes of an extracted layout.

    Parameters
    ----------
    ground_ff : mapping of str to float
        Capacitance of each node to the substrate, in fF.
    couplings : list of (str, str, float)
        Capacitance between two nodes, in fF.
    """

    ground_ff: dict[str, float] = field(default_factory=lambda: defaultdict(float), repr=False)
    couplings: list[tuple[str, str, float]] = field(default_factory=list, repr=False)
    _parents: dict[str, str] = field(default_factory=dict, repr=False)

    def join(self, left: str, right: str) -> None:
        """Say that two names belong to one node."""
        self._parents[self.root(left)] = self.root(right)

    def root(self, name: str) -> str:
        """The node that a name belongs to."""
        parents = self._parents
        while parents.setdefault(name, name) != name:
            parents[name] = parents[parents[name]]
            name = parents[name]
        return name


def extract(project: Project, folder: Path) -> Extraction:
    """Let magic extract a routed design.

    Parameters
    ----------
    project : Project
        Routed.
    folder : Path
        For magic's files.

    Returns
    -------
    Extraction
        All nodes of the top level.

    Raises
    ------
    ToolError
        If magic fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "extract.tcl").write_text(
        f"drc off\nlef read {LEF}\ndef read {project.routed}\nload {project.design}\nselect top cell\n"
        "extract no all\nextract do capacitance\nextract do coupling\nextract all\nquit -noprompt\n"
    )
    result_path = folder / f"{project.design}.ext"
    result_path.unlink(missing_ok=True)
    result = subprocess.run(
        ["/usr/bin/magic", "-dnull", "-noconsole", "-rcfile", str(MAGIC_SETUP), "extract.tcl"],
        cwd=folder,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )
    (folder / "magic.log").write_text(result.stdout + result.stderr)
    if result.returncode != 0 or not result_path.exists():
        raise ToolError(f"magic could not extract {project.design}; see {folder}/magic.log")
    return read_ext(result_path.read_text().splitlines())


def read_ext(lines: Iterable[str]) -> Extraction:
    """Read magic's ``.ext`` format: nodes, what joins them, and what couples them."""
    extraction = Extraction()
    for line in lines:
        words = [word.strip('"') for word in line.split()]
        if not words:
            continue
        if words[0] == "node":
            extraction.ground_ff[words[1]] += float(words[3]) * _AF
        elif words[0] in ("merge", "equiv"):
            extraction.join(words[1], words[2])
            if len(words) > 3:  # what both sides counted of the same spot
                extraction.ground_ff[words[1]] += float(words[3]) * _AF
        elif words[0] == "cap":
            extraction.couplings.append((words[1], words[2], float(words[3]) * _AF))
    return extraction


def wire_capacitances(extraction: Extraction, names: PlainNames) -> dict[str, float]:
    """Wire capacitance of each net in fF, once the shapes are known to connect what the netlist connects.

    Raises
    ------
    ToolError
        If the layout has a short or an open net.
    """
    net_of = _nets(extraction, names)
    totals = dict.fromkeys(net_of.values(), 0.0)
    for node, capacitance in extraction.ground_ff.items():
        if net := net_of.get(extraction.root(node)):
            totals[net] += capacitance
    for left, right, capacitance in extraction.couplings:
        ends = {net_of.get(extraction.root(left)), net_of.get(extraction.root(right))}
        if len(ends) == 2:
            for net in ends:
                if net is not None:
                    totals[net] += capacitance
    return totals


def _nets(extraction: Extraction, names: PlainNames) -> dict[str, str]:
    """The net of each extracted node that touches a cell's pin."""
    net_of: dict[str, str] = {}
    node_of: dict[str, str] = {}
    for (cell, pin), net in names.pins.items():
        node = extraction.root(f"{cell}/{pin}")
        if net_of.setdefault(node, net) != net:
            raise ToolError(f"layout of {names.netlist.name}: nets {net} and {net_of[node]} are shorted")
        if node_of.setdefault(net, node) != node:
            raise ToolError(f"layout of {names.netlist.name}: net {net} is open at {cell}/{pin}")
    return net_of
