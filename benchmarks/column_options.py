"""What options of a machine add to a scheduled column: `python -m benchmarks.column_options [--models DIR]`.

Protocol: for each set of options of `edge4`, `fewflips optimize MODEL --accelerator MACHINE --without drop-in
--binary-schedule`, and `fewflips rtl MODEL --column --schedule schedule.bin --layer LAYER --preload --run
--synthesize`: one column, the whole layer on one random input. Icarus Verilog compares every result, and the
fetches that hold flags leave; the cells are those of the built-in `nangate45`. The layers: the second pointwise one of
MLPerf Tiny's keyword network, and one of the bundled network that was trained with the HD term.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from benchmarks.scheduled_column import KEYWORDS, fewflips
from fewflips.bundled import bundled_pair
from fewflips.machine import load_accelerator
from fewflips.machine.yaml_text import machine_yaml

POINTWISE = "functional_1/activation_2/"
HD_TRAINED = "HD-trained"
HD_LAYER = "features.9.project"
HOLDS, SIGNS, CODED = {"hold_flags": True}, {"sign_flags": True}, {"coding": "bus-invert"}
BIASED = {"tree_register": True, "offset_sums": True}
Options = dict[str, dict[str, object]]
"""Fields of a machine and what changes in each."""

VARIANTS: dict[str, Options] = {
    "none": {},
    "hold flags": {"datapath": HOLDS},
    "sign flags": {"datapath": SIGNS},
    "coded ports": {"weights": CODED, "activations": CODED},
    "register behind the tree, offset": {"datapath": BIASED},
    "all of these": {"datapath": HOLDS | SIGNS | BIASED, "weights": CODED, "activations": CODED},
}
"""Each with the bias and the zero points preloaded."""
OF_REPEATS = ("none", "hold flags", "all of these")
"""Those of the network whose words often repeat."""


def machine(options: Options, folder: Path) -> Path:
    """`edge4` with options, as a file."""
    array = load_accelerator("edge4")
    changed = {name: getattr(array, name).model_copy(update=fields) for name, fields in options.items()}
    path = folder / "machine.yaml"
    path.write_text(machine_yaml(array.model_copy(update=changed)))
    return path


def variant_row(model: Path, layer: str, options: Options, folder: Path) -> Row:
    """Figures of a layer on a machine with options."""
    folder.mkdir(parents=True)
    array = machine(options, folder)
    search = ("--without", "drop-in", "--binary-schedule", "--jobs", 1)
    fewflips("optimize", model, "--output", folder, "--accelerator", array, *search)
    common = ("rtl", model, "--column", "--json", "--output", folder / "rtl", "--layer", layer)
    report: dict[str, Any] = json.loads(
        fewflips(*common, "--schedule", folder / "schedule.bin", "--preload", "--run", "--synthesize")
    )
    gates, simulation, holds = report["gates"], report["simulation"], report["holds"]
    memories = {memory["name"]: memory["bits"] for memory in report["memories"]}
    encoders = [gates[f"{port}_encoders"] for port in ("weight", "activation")]
    return {
        "layer": report["layer"],
        "words": report["words"],
        "results": simulation["results"],
        "mismatches": simulation["mismatches"],
        "cycles": simulation["cycles"],
        "fetched_percent": 100.0 if holds is None else 100 * simulation["fetched"] / holds["flags"],
        "negated_percent": 100 * report["negated"] / report["words"],
        "weight_bits": memories["weights"],
        "flag_bits": memories.get("flags", 0),
        "unit_um2": gates["unit"]["area_um2"],
        "encoders_um2": sum(part["area_um2"] for part in encoders if part is not None),
        "control_um2": gates["control"]["area_um2"],
        "logic_um2": gates["area_um2"],
        "critical_path_ps": gates["critical_path_ps"],
    }


def main() -> None:
    """Run sets of options on both layers, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("../shared/models"))
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as name, bundled_pair() as pair:
        layers = {"keywords": (arguments.models / KEYWORDS, POINTWISE), HD_TRAINED: (pair.hd_trained, HD_LAYER)}
        for network, (model, layer) in layers.items():
            for title in VARIANTS if network == "keywords" else OF_REPEATS:
                row = variant_row(model, layer, VARIANTS[title], Path(name) / network / title.replace(" ", "_"))
                rows[f"{network}, {title}"] = {"network": network, "options": title, **row}
                print(f"{network}, {title}: {row['mismatches']} mismatches", file=sys.stderr, flush=True)
    table = Table("", *next(iter(rows.values())))
    for title, row in rows.items():
        table.add_row(title, *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=250).print(table)
    write_record(arguments.json, "column_options", rows)


if __name__ == "__main__":
    main()
