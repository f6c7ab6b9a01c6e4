"""Run benchmarks anew, keep their records, and bring the pages up to date: `python -m benchmarks [RECORD ...]`.

Records of times (`--speed`) are to be made on a machine that does nothing else; figures that are the same on every
machine (`--exact`) may be made on any. What takes more than ten minutes is run only by its name. Each record is written
to benchmarks/results as soon as it is there; at the end the tables and the prose of the README and of docs are written
from all of them (`python -m scripts.figures`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scripts.figures.__main__ import main as write_figures

from benchmarks.record import RESULTS

ROOT = Path(__file__).parents[1]

Kind = Literal["speed", "exact", "long"]


@dataclass(frozen=True)
class Run:
    """How a record is made."""

    kind: Kind
    benchmark: str
    options: tuple[str, ...] = ()
    threads: int | None = None

    def command(self, name: str) -> list[str]:
        """The command line, to be run in the root of the tree; records keep it, so that it names no other folder."""
        destination = RESULTS.relative_to(ROOT) / f"{name}.json"
        return [sys.executable, "-m", f"benchmarks.{self.benchmark}", *self.options, "--json", str(destination)]


CIFAR10 = ("--data", "../shared/data/cifar10_jpeg.npz")
RUNS: dict[str, Run] = {
    "counting": Run("speed", "counting"),
    "command": Run("speed", "command"),
    "energy": Run("speed", "energy"),
    "gates": Run("speed", "gates"),
    "networks": Run("speed", "networks"),
    "ordering": Run("speed", "ordering", ("--no-baselines",)),
    "ordering_prove": Run("speed", "ordering", ("--prove", "--no-baselines")),
    "training_step": Run("speed", "training_step", ("--steps", "26", "--threads", "1"), threads=1),
    "first_run": Run("speed", "first_run"),
    "exploration": Run("long", "exploration"),
    "optimized_energy": Run("exact", "optimized_energy"),
    "cell_libraries": Run("exact", "cell_libraries"),
    "gating": Run("exact", "gating"),
    "code_books": Run("exact", "code_books"),
    "units": Run("exact", "units"),
    "lane_clusters": Run("exact", "lane_clusters"),
    "lane_clusters_16": Run("exact", "lane_clusters", ("--lanes", "16")),
    "tiling": Run("exact", "tiling"),
    "tiling_16": Run("exact", "tiling", ("--machine", "edge16")),
    "word_costs": Run("exact", "word_costs"),
    "memories": Run("exact", "memories"),
    "calibration_transfer": Run("exact", "calibration_transfer"),
    "memory_sources": Run("long", "memory_sources"),  # needs Python 3.12 and the extra `memory`
    "scheduled_column": Run("exact", "scheduled_column"),
    "activation_scans": Run("exact", "activation_streams", ("--parts", "scans")),
    "serpentine_replay": Run("exact", "activation_streams", ("--parts", "replay")),
    "joint_orders": Run("exact", "activation_streams", ("--parts", "joint")),
    "column_options": Run("exact", "column_options"),
    "energy_orders": Run("exact", "energy_orders"),
    "signs": Run("exact", "signs"),
    "channel_signs": Run("exact", "channel_signs"),
    "scale_freedom": Run("exact", "scale_freedom"),
    "partial_sums": Run("exact", "partial_sums"),
    "levers": Run("long", "levers"),
    "rounding": Run("long", "rounding"),
    "transformer_energy": Run("long", "transformer_energy"),
    "ordering_baselines": Run("long", "ordering"),
    "training_methods": Run("long", "training_methods", (*CIFAR10, "--epochs", "2", "--threads", "1"), threads=1),
}


def make(name: str) -> None:
    """Run one benchmark and keep its record."""
    run = RUNS[name]
    limits = {"OMP_NUM_THREADS": str(run.threads)} if run.threads else {}
    start = time.perf_counter()
    print(f"{name}: {' '.join(run.command(name)[1:])}", file=sys.stderr, flush=True)
    subprocess.run(run.command(name), check=True, cwd=ROOT, env={**os.environ, **limits})
    print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


def main() -> int:
    """Run what is asked for; all but the long ones by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("records", nargs="*", metavar="RECORD", help=f"any of {', '.join(RUNS)}")
    parser.add_argument("--speed", action="store_true", help="all records of times")
    parser.add_argument("--exact", action="store_true", help="all records that are the same on every machine")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.records if name not in RUNS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: expected {', '.join(RUNS)}")
    kinds = {kind for kind in ("speed", "exact") if getattr(arguments, kind)}
    if not kinds and not arguments.records:
        kinds = {"speed", "exact"}
    for name, run in RUNS.items():
        if name in arguments.records or run.kind in kinds:
            make(name)
    return write_figures([])


if __name__ == "__main__":
    sys.exit(main())
