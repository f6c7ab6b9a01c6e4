"""Built-in cells against whole libraries: `python -m benchmarks.cell_libraries [--model FILE] [--image FILE]`.

Protocol: `fewflips energy MODEL --inputs DIR --cells CELLS --share 1` for both built-in tables and the Liberty files
that they were distilled from; one image, `edge16`, natural order. Every cycle is simulated, so that the figures are the
same on every machine.
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

CELLS = ("nangate45", "nangate45_typ.lib.gz", "sky130hd", "sky130hd_tt.lib.gz")


def simulated(model: Path, folder: str, cells: str) -> Row:
    """Energies with one library."""
    command = [sys.executable, "-m", "fewflips", "energy", str(model), "--inputs", folder, "--cells", cells]
    process = subprocess.run([*command, "--share", "1", "--json"], check=True, stdout=subprocess.PIPE)
    report = json.loads(process.stdout)
    total, found = report["total"], {"unit_cells": report["datapath"]["instances"]}
    for delays in ("zero_delay", "inertial"):
        found |= {f"{delays}_{figure}": total[delays][figure] for figure in ("data_pj", "total_pj")}
    return found | {"glitch_factor": total["inertial"]["data_pj"] / total["zero_delay"]["data_pj"]}


def main() -> None:
    """Simulate with each, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("../shared/models/mobilenet_v2_1.0_224_quant.tflite"))
    parser.add_argument("--image", type=Path, default=Path("../shared/images/bird.png"))
    parser.add_argument("--libraries", type=Path, default=Path("../shared/pdk"), help="folder of the Liberty files")
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / arguments.image.name).symlink_to(arguments.image.resolve())
        for name in CELLS:
            cells = str(arguments.libraries / name) if "." in name else name
            rows[name] = simulated(arguments.model, folder, cells)
    table = Table("cells", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4g}" for value in row.values()))
    Console().print(table)
    write_record(arguments.json, "cell_libraries", rows)


if __name__ == "__main__":
    main()
