"""What every step that loses nothing is worth, together: `python -m benchmarks.levers [--network NAME]`.

Networks are optimized by `fewflips.optimize` with one sample input, and simulated at gate level, glitches included, on
a sample of the cycles that is drawn alike for all orders of one run. Each row adds one thing to the row before:

* orders by flips, on the machine as it is (`--steps schedule`);
* orders by measured energy (`--cost energy`);
* channels that share a segment chosen as well (`--steps schedule,cluster`), and passes that run back and forth:
  `replay: serpentine` on the machine;
* words that stream negated, where stored weights have a sign: `sign_flags: true` on the machine, `--steps
  schedule,cluster,signs`; flags are on the bill;
* in place of flags, the best unit of that width that is known: bit planes, a register behind them, offset sums.

All are compared with the network in natural order on the machine as it is. Data energy is that of switching in the
arithmetic units; the whole bill has clock, leakage and memories.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, kept_rows, write_record
from fewflips import load, optimize
from fewflips.bundled import BundledPair, bundled_pair
from fewflips.machine import Accelerator, load_accelerator
from fewflips.optimization.request import EnergyRequest
from fewflips.records.energy import LayerEnergy
from fewflips.simulation.run import EnergyOptions

PUBLIC = {
    "MobileNetV2 1.0 224": "mobilenet_v2_1.0_224_quant.tflite",
    "MLPerf Tiny anomaly detection": "mlperf_tiny_ad_autoencoder_int8.tflite",
    "MLPerf Tiny keyword spotting": "mlperf_tiny_kws_dscnn_int8.tflite",
    "MLPerf Tiny image classification": "mlperf_tiny_resnet8_int8.tflite",
    "MLPerf Tiny visual wake words": "mlperf_tiny_vww_mobilenet_v1_025_int8.tflite",
}
BUNDLED = "MobileNetV2 0.5, CIFAR-10"
MACHINES = ("edge16", "edge4")
NATURAL = "natural order"


@dataclass(frozen=True)
class Lever:
    """What is done to network and machine."""

    steps: tuple[str, ...]
    by_energy: bool = True
    replay: bool = True
    signs: bool = False
    best_unit: bool = False

    def machine(self, name: str) -> Accelerator:
        """The machine with what the steps need."""
        array = load_accelerator(name)
        unit: dict[str, bool | str] = {"sign_flags": True} if self.signs else {}
        if self.best_unit:
            unit |= {"adder": "bit-planes", "tree_register": True, "offset_sums": True}
        changes: dict[str, object] = {"datapath": array.datapath.model_copy(update=unit)}
        return array.model_copy(update=changes | ({"replay": "serpentine"} if self.replay else {}))


LEVERS = {
    "orders by flips": Lever(("schedule",), by_energy=False, replay=False),
    "orders by energy": Lever(("schedule",), replay=False),
    "and clusters, replay": Lever(("schedule", "cluster")),
    "and signs": Lever(("schedule", "cluster", "signs"), signs=True),
    "best unit, without signs": Lever(("schedule", "cluster"), best_unit=True),
}


def stages(
    model: Path, array: Accelerator, inputs: Path | None, lever: Lever, share: float
) -> tuple[LayerEnergy, LayerEnergy, float]:
    """Energy in natural order and after the last step, and how many fewer flips."""
    report = optimize(
        model,
        array,
        steps=lever.steps,
        inputs=inputs,
        cost="energy" if lever.by_energy else None,
        energy=EnergyRequest("nangate45", EnergyOptions(share=share)),
    ).report
    first, last = report.stages[0], report.stages[-1]
    if first.energy is None or last.energy is None:
        raise AssertionError("every stage of an optimization that was asked for energy has some")
    flips = last.totals.weights
    return first.energy, last.energy, flips.baseline_flips / flips.optimized_flips


def add_rows(
    rows: dict[str, Row], where: str, model: Path, name: str, inputs: Path | None, share: float
) -> Iterator[str]:
    """Make the rows of a network on a machine that are not there yet, and name each when it is."""
    natural = f"{where}: {NATURAL}"
    signed = all(layer.weight_type.signed for layer in load(model).layers)
    for label, lever in LEVERS.items():
        row = f"{where}: {label}"
        if row in rows or (lever.signs and not signed):
            continue
        started = time.perf_counter()
        before, after, fewer = stages(model, lever.machine(name), inputs, lever, share)
        if natural not in rows:
            rows[natural] = _figures(before, before, 1.0, 0.0)
        rows[row] = _figures(before, after, fewer, time.perf_counter() - started)
        for figure in ("data", "datapath", "whole"):
            first, own = rows[natural][f"{figure}_pj"], rows[row][f"{figure}_pj"]
            rows[row][f"{figure}_ratio"] = float(first or 0) / float(own or 1)
        yield row


def _figures(before: LayerEnergy, after: LayerEnergy, fewer: float, seconds: float) -> Row:
    if before.bill is None or after.bill is None:
        raise AssertionError("simulated energy has a bill")
    return {
        "flips_ratio": fewer,
        "natural_data_pj": before.inertial.data_pj,
        "data_pj": after.inertial.data_pj,
        "datapath_pj": after.bill.datapath_pj,
        "whole_pj": after.bill.whole_pj,
        "ci95_percent": after.ci95_percent,
        "wall_s": seconds,
    }


def _one_input(folder: Path, samples: Path | None) -> Path | None:
    """A folder or file with the first sample alone."""
    if samples is None:
        return None
    if samples.is_dir():
        first = sorted(path for path in samples.iterdir() if path.is_file())[0]
        (folder / "image").mkdir()
        (folder / "image" / first.name).symlink_to(first.resolve())
        return folder / "image"
    with np.load(samples) as stored:
        np.savez(folder / "one.npz", **{name: stored[name][:1] for name in stored})
    return folder / "one.npz"


def _networks(shared: Path, pair: BundledPair) -> dict[str, tuple[Path, Path | None]]:
    found: dict[str, tuple[Path, Path | None]] = {BUNDLED: (pair.baseline, pair.samples)}
    for name, file in PUBLIC.items():
        found[name] = (shared / "models" / file, shared / "images" if name.startswith("MobileNetV2") else None)
    return found


def _chosen(names: Sequence[str], known: Sequence[str]) -> list[str]:
    return [one for one in known if not names or any(one.startswith(name) for name in names)]


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", default=[], help="beginning of a network's name; all without it")
    parser.add_argument("--machine", action="append", default=[], help="edge16 or edge4; both without it")
    parser.add_argument("--share", type=float, default=0.003, help="share of the cycles that is simulated")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of public models and images")
    parser.add_argument("--resume", action="store_true", help="make only the rows that the file of --json lacks")
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = kept_rows(arguments.json) if arguments.resume else {}
    with bundled_pair() as pair, tempfile.TemporaryDirectory() as folder:
        networks = _networks(arguments.shared, pair)
        for number, network in enumerate(_chosen(arguments.network, list(networks))):
            model, samples = networks[network]
            own = Path(folder) / str(number)
            own.mkdir()
            inputs = _one_input(own, samples)
            for machine in _chosen(arguments.machine, MACHINES):
                for row in add_rows(rows, f"{network}, {machine}", model, machine, inputs, arguments.share):
                    print(f"{row}: {' '.join(_cells(rows[row]))}", file=sys.stderr, flush=True)
                    write_record(arguments.json, "levers", rows, seed=0)
    table = Table("network, machine", "", "flips", "data", "less", "datapath", "less", "whole bill", "less", "seconds")
    for name, row in rows.items():
        where, _, label = name.rpartition(": ")
        table.add_row(where, label, *_cells(row))
    Console(width=160).print(table)


def _cells(row: Row) -> list[str]:
    cells = [f"{row['flips_ratio']:.3f}x"]
    for figure in ("data", "datapath", "whole"):
        cells.append(f"{float(row[f'{figure}_pj'] or 0) / 1e6:.2f} uJ")
        cells.append(f"{row.get(f'{figure}_ratio', 1.0):.3f}x")
    return [*cells, f"{row['wall_s']:.0f}"]


if __name__ == "__main__":
    main()
