"""Wire capacitance from routed lengths and the capacitances per layer in the technology's LEF file.

A piece of wire has ``area x CPERSQDIST + 2 x length x EDGECAPACITANCE`` (LEF/DEF 5.7 reference, LAYER): its bottom and
both its edges, as an isolated wire would have. Neighbours, vias and crossings do not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fewflips.errors import ToolError

from .routed_design import RoutedDesign, Wire


@dataclass(frozen=True)
class RoutingLayer:
    """A routing layer's geometry and capacitance.

    Parameters
    ----------
    width_um : float
        Default width, in um.
    area_ff : float
        fF per um^2.
    edge_ff : float
        fF per um of edge.
    """

    width_um: float
    area_ff: float
    edge_ff: float

    def capacitance_ff(self, wire: Wire) -> float:
        """Capacitance of a piece of wire, in fF."""
        width = self.width_um if wire.width_um is None else wire.width_um
        return wire.length_um * (width * self.area_ff + 2 * self.edge_ff)


def read_layers(path: Path) -> dict[str, RoutingLayer]:
    """Routing layers of a LEF file, by name.

    Raises
    ------
    ToolError
        If there are none with capacitances.
    """
    layers = {}
    for name, body in re.findall(r"^LAYER (\S+)\n(.*?)^END \1$", path.read_text(), re.MULTILINE | re.DOTALL):
        figures = [re.search(rf"\b{keyword}\s+(\S+)", body) for keyword in ("WIDTH", "CPERSQDIST", "EDGECAPACITANCE")]
        if all(figures):
            width, area_pf, edge_pf = (float(figure.group(1)) for figure in figures if figure)
            layers[name] = RoutingLayer(width, 1000 * area_pf, 1000 * edge_pf)
    if not layers:
        raise ToolError(f"{path}: expected routing layers with CPERSQDIST and EDGECAPACITANCE, got none")
    return layers


def wire_capacitances(design: RoutedDesign, layers: Mapping[str, RoutingLayer]) -> dict[str, float]:
    """Wire capacitance of each net, in fF."""
    return {net: sum(layers[wire.layer].capacitance_ff(wire) for wire in wires) for net, wires in design.wires.items()}
