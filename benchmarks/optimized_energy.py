"""Energy before and after ordering, every MAC: `python -m benchmarks.optimized_energy [--model FILE] [--image FILE]`.

Protocol: the command that a user would type,

    fewflips optimize MODEL --inputs DIR --mode both --energy --share 1 --output FOLDER

with a folder that holds one image alone; energies of one inference on `edge16`, built-in Nangate45 figures, 200 MHz,
read from the report that it wrote. Every cycle is simulated, so that the figures are the same on every machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record

ORDERS = ("baseline", "schedule", "drop_in")
FIGURES = ("data_pj", "total_pj")


def optimized(model: Path, image: Path) -> dict:
    """The report of one run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image").mkdir()
        (folder / "image" / image.name).symlink_to(image.resolve())
        command = [sys.executable, "-m", "fewflips", "optimize", str(model), "--inputs", str(folder / "image")]
        command += ["--mode", "both", "--energy", "--share", "1", "--output", str(folder / "out")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads((folder / "out" / "report.json").read_text())


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("../shared/models/mobilenet_v2_1.0_224_quant.tflite"))
    parser.add_argument("--image", type=Path, default=Path("../shared/images/bird.png"))
    add_json_option(parser)
    arguments = parser.parse_args()
    report = optimized(arguments.model, arguments.image)
    rows: dict[str, Row] = {}
    table = Table("delays", "energy", *ORDERS, "best layer, schedule")
    for delays in ("zero_delay", "inertial"):
        for figure in FIGURES:
            total = [report["energy"]["total"][order][delays][figure] for order in ORDERS]
            layers = [layer["energy"] for layer in report["layers"] if layer["energy"]]
            best = max(layer["baseline"][delays][figure] / layer["schedule"][delays][figure] for layer in layers)
            names = [f"{order}_pj" for order in ORDERS]
            rows[f"{delays}, {figure}"] = dict(zip(names, total, strict=True)) | {"best_layer_schedule_ratio": best}
            table.add_row(delays, figure, *(f"{value / 1e6:.1f} uJ" for value in total), f"{best:.2f}x")
    Console().print(table)
    write_record(arguments.json, "optimized_energy", rows, seed=0)


if __name__ == "__main__":
    main()
