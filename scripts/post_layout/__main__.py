"""Lay a column out and compare its energy before and after: `python -m scripts.post_layout`.

Steps, each kept in the folder until what it depends on changes: synthesis, schedule, layout with two estimates of its
wires, energies for each of them. The figures go into the page between its marks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from fewflips import load
from fewflips.api.optimize import optimize
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.errors import FewflipsError, InputError
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.synthesis import synthesize
from fewflips.machine import load_accelerator
from fewflips.network import Network
from fewflips.simulation.setup import simulated_layers

from . import table
from .energies import ACCELERATOR, Setting, compare
from .layout import Layout, lay_out
from .qflow import CELLS, check_tools
from .record import PATH, write_record

SHARED = Path(os.environ.get("FEWFLIPS_SHARED") or "../shared")


def main() -> int:
    """Run the flow; 2 where something is missing or fails."""
    parser = argparse.ArgumentParser(prog="python -m scripts.post_layout", description=__doc__)
    parser.add_argument("--model", type=Path, default=SHARED / "models" / "mobilenet_v2_1.0_224_quant.tflite")
    parser.add_argument("--photo", type=Path, default=SHARED / "images" / "bird.png")
    parser.add_argument("--folder", type=Path, default=Path("build/post-layout"), help="intermediate results")
    parser.add_argument("--page", type=Path, default=Path("docs/post_layout.md"), help="where the figures go")
    parser.add_argument("--json", type=Path, default=PATH, help="where the figures go as data")
    parser.add_argument("--share", type=float, default=1 / 64, help="part of the cycles to simulate")
    arguments = parser.parse_args()
    try:
        _run(arguments.model, arguments.photo, arguments.folder, arguments.page, arguments.json, arguments.share)
    except (FewflipsError, OSError) as error:
        print(f"post-layout: {error}", file=sys.stderr)
        return 2
    return 0


def _run(model: Path, photo: Path, folder: Path, page: Path, record: Path, share: float) -> None:
    for path in (model, photo, page):
        if not path.is_file():
            raise InputError(f"{path}: expected a file, got none; --model, --photo and --page name others")
    subprocess.run(["sh", str(Path(__file__).with_name("install_tools.sh"))], check=True)
    check_tools()
    folder.mkdir(parents=True, exist_ok=True)
    network = load(model)
    layout = _layout(network, folder / "layout")
    setting = Setting(
        model=model,
        schedule=_schedule(network, folder / f"schedule-{network.sha256[:16]}"),
        photos=_only(photo, folder / "photo"),
        netlist=layout.netlist,
        share=share,
    )
    wires = {
        table.NO_WIRES: layout.no_wires_spef,
        table.FANOUT: None,
        table.LEF: layout.lef_spef,
        table.MAGIC: layout.magic_spef,
        table.HEAVIER: layout.heavy_spef,
    }
    comparisons = {}
    for name, spef in wires.items():
        say(f"energy {name}")
        comparisons[name] = compare(setting, spef, folder / "energy", StepReport())
    write_record(record, layout.figures, comparisons)
    table.write_figures(page, table.figures_text(layout.figures, comparisons))
    say(f"wrote {page}")


def _layout(network: Network, folder: Path) -> Layout:
    say("synthesis")
    library = load_cells(CELLS)
    layers, _ = simulated_layers(network)
    netlist = synthesize(network_datapath(layers, load_accelerator(ACCELERATOR)), library)
    say(f"placing and routing {len(netlist.instances)} cells")
    return lay_out(netlist, library, folder)


def _schedule(network: Network, folder: Path) -> Path:
    path = folder / "schedule.json"
    if not path.exists():
        say("optimizing the schedule")
        optimize(network, ACCELERATOR, mode="schedule", progress=StepReport()).save(folder)
    return path


def _only(photo: Path, folder: Path) -> Path:
    """A folder that holds one photo and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(photo, folder)
    return folder


def say(text: str) -> None:
    """Report progress on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class StepReport:
    """Progress of long steps, said every ten seconds at most."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, phase: str, done: int, total: int) -> None:
        if time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            say(f"  {phase}: {done} of {total}")


if __name__ == "__main__":
    sys.exit(main())
