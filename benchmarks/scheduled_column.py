"""Layers on a scheduled column: `python -m benchmarks.scheduled_column [--models DIR] [--images DIR]`.

Protocol: `fewflips optimize MODEL --accelerator MACHINE --binary-schedule` makes the schedule; then `fewflips rtl
MODEL --column --schedule schedule.bin --layer LAYER --columns COUNT --run --synthesize`, and the same without
`--schedule` for the natural order, for cycles alone. Whole layers, with the first of the sample images for MobileNetV2
and one random input for the keyword network. Icarus Verilog compares every result; the cells are those of the built-in
`nangate45`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record

MOBILENET, KEYWORDS = "mobilenet_v2_1.0_224_quant.tflite", "mlperf_tiny_kws_dscnn_int8.tflite"
POINTWISE, DEPTHWISE = "MobilenetV2/expanded_conv_6/project", "MobilenetV2/expanded_conv_13/depthwise"


@dataclass(frozen=True)
class Case:
    """A layer and what it runs on; the layer is the beginning of its name."""

    model: str
    machine: str
    layer: str
    words: str
    columns: int = 1


CASES = {
    "MobileNetV2, pointwise": Case(MOBILENET, "edge4", POINTWISE, "192 to 64 on 14 x 14"),
    "MobileNetV2, pointwise, four columns": Case(MOBILENET, "edge4", POINTWISE, "192 to 64 on 14 x 14", 4),
    "MobileNetV2, depthwise": Case(MOBILENET, "edge4", DEPTHWISE, "576, 3 x 3 to 7 x 7"),
    "MobileNetV2, pointwise, edge16": Case(MOBILENET, "edge16", POINTWISE, "192 to 64 on 14 x 14"),
    "MobileNetV2, pointwise, edge16, sixteen columns": Case(MOBILENET, "edge16", POINTWISE, "192 to 64 on 14 x 14", 16),
    "keywords, pointwise": Case(KEYWORDS, "edge4", "functional_1/activation_2/", "64 to 64 on 25 x 5"),
    "keywords, depthwise": Case(KEYWORDS, "edge4", "functional_1/activation_1/", "64, 3 x 3 to 25 x 5"),
}


def fewflips(*arguments: object) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "fewflips", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def case_row(case: Case, models: Path, images: Path, schedule: Path, folder: Path) -> Row:
    """Figures of one layer, in scheduled and in natural order."""
    common = ["rtl", models / case.model, "--column", "--json", "--output", folder, "--layer", case.layer]
    common += ["--columns", case.columns]
    if case.model == MOBILENET:
        common += ["--inputs", images]
    report: dict[str, Any] = json.loads(fewflips(*common, "--schedule", schedule, "--run", "--synthesize"))
    natural: dict[str, Any] = json.loads(fewflips(*common, "--accelerator", case.machine))
    gates, simulation = report["gates"], report["simulation"]
    return {
        "layer": case.words,
        "machine": case.machine,
        "columns": case.columns,
        "words": report["words"],
        "results": simulation["results"],
        "mismatches": simulation["mismatches"],
        "cycles": simulation["cycles"],
        "waits": report["waits"],
        "waits_percent": 100 * report["waits"] / report["cycles"],
        "natural_cycles": natural["cycles"],
        "index_table_bits": report["index_table_bits"],
        "memory_bits": sum(memory["bits"] for memory in report["memories"]),
        "unit_um2": gates["unit"]["area_um2"],
        "control_um2": gates["control"]["area_um2"],
        "logic_um2": gates["area_um2"],
        "control_percent": gates["control_percent"],
        "control_path_ps": gates["control"]["critical_path_ps"],
        "critical_path_ps": gates["critical_path_ps"],
    }


def main() -> None:
    """Make the schedules, run every layer, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("../shared/models"))
    parser.add_argument(
        "--schedules", type=Path, metavar="DIR", help="keep schedules here, and use those that are there"
    )
    parser.add_argument("--images", type=Path, default=Path("../shared/images"))
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = arguments.schedules or folder
        for model, machine in dict.fromkeys((case.model, case.machine) for case in CASES.values()):
            output = kept / f"{model}-{machine}"
            if not (output / "schedule.bin").exists():
                options = ("--accelerator", machine, "--binary-schedule", "--jobs", 1)
                fewflips("optimize", arguments.models / model, "--output", output, *options)
        for title, case in CASES.items():
            schedule = kept / f"{case.model}-{case.machine}" / "schedule.bin"
            rows[title] = case_row(case, arguments.models, arguments.images, schedule, folder / "rtl")
    table = Table("", *next(iter(rows.values())))
    for title, row in rows.items():
        table.add_row(title, *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=250).print(table)
    write_record(arguments.json, "scheduled_column", rows)


if __name__ == "__main__":
    main()
