"""Synthesize the netlists that come with the package again: those of the bundled networks on common machines.

Run from the repository root: ``python scripts/prepared_netlists.py``.
"""

from __future__ import annotations

from pathlib import Path

from fewflips.bundled import bundled_pair
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.datapath.verilog import module_name, verilog
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.prepared import file_of
from fewflips.gates.netlist.synthesis import synthesis_cells, synthesis_plan
from fewflips.gates.netlist.yosys import find_yosys
from fewflips.machine import load_accelerator
from fewflips.network import load
from fewflips.simulation.setup import simulated_layers

MACHINES = ("edge4", "edge16")
CELLS = "nangate45"
FOLDER = Path(__file__).parents[1] / "src/fewflips/gates/netlist/netlists"


def main() -> None:
    with bundled_pair() as pair:
        layers = [layer for model in (pair.baseline, pair.hd_trained) for layer in simulated_layers(load(model))[0]]
    for old in FOLDER.glob("*.json.xz"):
        old.unlink()
    yosys, cells = find_yosys(), synthesis_cells(load_cells(CELLS))
    for machine in MACHINES:
        datapath = network_datapath(layers, load_accelerator(machine))
        plan = synthesis_plan(verilog(datapath), module_name(datapath), cells)
        file = FOLDER / f"{plan.top}.{CELLS}.json.xz"
        file.write_bytes(file_of(plan, yosys))
        print(f"{machine}: {file.name}, {file.stat().st_size:,} bytes, {yosys.short_version}")


if __name__ == "__main__":
    main()
