"""The column, from its datapath to a routed design with two estimates of its wires."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fewflips.files.cache import digest_of
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.reader import read_netlist
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.gates.parasitics.spef_writer import spef_text
from fewflips.gates.parasitics.wires import WireModel, fanout_wire_ff

from . import extraction, lef_capacitance
from .plain_names import plain_names
from .qflow import LEF, place_and_route
from .routed_design import RoutedDesign, check_same_netlist, read_def

_MODULES = ("extraction", "layout", "lef_capacitance", "plain_names", "qflow", "routed_design")
"""What a layout depends on: that of another version is made again."""

HEAVY = 5
"""How much heavier wires are in the estimate that stands for technologies in which they weigh more."""


@dataclass(frozen=True)
class LayoutFigures:
    """What a reader wants to know of the layout.

    Parameters
    ----------
    design : str
        Module name.
    cells, flip_flops, nets : int
        Of the netlist.
    width_um, height_um : float
        Of the die.
    length_um : dict of str to float
        Length of wire on each layer.
    fanout_ff, lef_ff, magic_ff : float
        Wire capacitance of all nets: guessed by fanout, by the LEF file's figures, by extraction.
    pins_ff : float
        Capacitance of all input pins.
    """

    design: str
    cells: int
    flip_flops: int
    nets: int
    width_um: float
    height_um: float
    length_um: dict[str, float]
    fanout_ff: float
    lef_ff: float
    magic_ff: float
    pins_ff: float


@dataclass(frozen=True)
class Layout:
    """Files of the laid-out column, and its figures.

    Parameters
    ----------
    folder : Path
        Where the files are.
    figures : LayoutFigures
        Its size.
    """

    folder: Path
    figures: LayoutFigures

    @property
    def netlist(self) -> Path:
        """The placed netlist as Verilog."""
        return self.folder / "column.v"

    @property
    def lef_spef(self) -> Path:
        """Wires by the LEF file's capacitances."""
        return self.folder / "column_lef.spef"

    @property
    def magic_spef(self) -> Path:
        """Wires as extracted."""
        return self.folder / "column_magic.spef"

    @property
    def heavy_spef(self) -> Path:
        """Wires of several times the LEF file's capacitances."""
        return self.folder / "column_heavy.spef"

    @property
    def no_wires_spef(self) -> Path:
        """Wires without capacitance."""
        return self.folder / "column_no_wires.spef"


def lay_out(netlist: Netlist, library: CellLibrary, folder: Path) -> Layout:
    """Place, route and extract, or take what is there of the same netlist.

    Parameters
    ----------
    netlist : Netlist
        Mapped to the cells of the flow.
    library : CellLibrary
        These cells.
    folder : Path
        For all files.

    Returns
    -------
    Layout
        Whose netlist is pin by pin that of the layout.

    Raises
    ------
    ToolError
        If a program fails, or the layout is not that of the netlist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = netlist_verilog(netlist, library)
    done = folder / "done.json"
    digest = digest_of(
        text, LEF.read_bytes(), *(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    )
    if done.exists() and (kept := json.loads(done.read_text()))["digest"] == digest:
        return Layout(folder, LayoutFigures(**kept["figures"]))
    (folder / "column.v").write_text(text)
    placed = read_netlist(folder / "column.v", library)  # with the names that readers of the file will see
    layout = Layout(folder, _lay_out(placed, library, folder))
    done.write_text(json.dumps({"digest": digest, "figures": asdict(layout.figures)}))
    return layout


def _lay_out(netlist: Netlist, library: CellLibrary, folder: Path) -> LayoutFigures:
    names = plain_names(netlist)
    project = place_and_route(names, folder / "qflow")
    design = read_def(project.routed)
    check_same_netlist(design, names)
    by_lef = lef_capacitance.wire_capacitances(design, lef_capacitance.read_layers(LEF))
    by_magic = extraction.wire_capacitances(extraction.extract(project, folder / "magic"), names)
    for name, origin, wires in (
        ("column_lef", "qrouter and LEF capacitances", by_lef),
        ("column_magic", "magic", by_magic),
        ("column_heavy", f"{HEAVY} times qrouter and LEF capacitances", _scaled(by_lef, HEAVY)),
        ("column_no_wires", "none", _scaled(by_lef, 0.0)),
    ):
        numbered: Mapping[int, float] = {names.nets[net]: wires[net] for net in names.nets}
        (folder / f"{name}.spef").write_text(spef_text(netlist, library, numbered, origin))
    return _figures(netlist, library, design, sum(by_lef.values()), sum(by_magic.values()))


def _scaled(wires: Mapping[str, float], factor: float) -> dict[str, float]:
    return {net: factor * capacitance for net, capacitance in wires.items()}


def _figures(
    netlist: Netlist, library: CellLibrary, design: RoutedDesign, lef_ff: float, magic_ff: float
) -> LayoutFigures:
    lengths: defaultdict[str, float] = defaultdict(float)
    for wires in design.wires.values():
        for wire in wires:
            lengths[wire.layer] += wire.length_um
    cells = [library.cells[instance.cell] for instance in netlist.instances]
    guess = WireModel.estimated(netlist, library)
    return LayoutFigures(
        design=netlist.name,
        cells=len(cells),
        flip_flops=sum(cell.flip_flop is not None for cell in cells),
        nets=len(design.wires),
        width_um=design.size_um[0],
        height_um=design.size_um[1],
        length_um=dict(sorted(lengths.items())),
        fanout_ff=float(fanout_wire_ff(netlist, library, guess.per_fanout_ff, guess.base_ff).sum()),
        lef_ff=lef_ff,
        magic_ff=magic_ff,
        pins_ff=sum(pin.capacitance_ff for cell in cells for pin in cell.inputs),
    )
