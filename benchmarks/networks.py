"""Reductions on whole networks: `python -m benchmarks.networks [--accelerator NAME] [--prove]`.

Protocol: each model goes through the command that a user would type,

    fewflips optimize MODEL [--inputs INPUTS] --mode both --accelerator NAME --seed 0 --output FOLDER

in a process of its own, and the figures are read from the report that it wrote. The baseline of every ratio is the
same network as stored, in natural order, on the same accelerator; flips are those of one inference, within passes.
"bound" is the largest reduction that any order of the same segments could reach. Sample inputs are used where they
fit the model (photos for the image models, CIFAR-10 test images for the bundled one).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record

DATA = Path("src/fewflips/data")
MODELS = (
    ("mobilenet_v2_1.0_224_quant.tflite", "images"),
    ("mlperf_tiny_vww_mobilenet_v1_025_int8.tflite", "images"),
    ("mlperf_tiny_resnet8_int8.tflite", "images"),
    ("mlperf_tiny_kws_dscnn_int8.tflite", None),
    ("mlperf_tiny_ad_autoencoder_int8.tflite", None),
)


def command(model: Path, inputs: Path | None, arguments: argparse.Namespace, folder: str) -> list[str]:
    """The command line for one model."""
    words = [sys.executable, "-m", "fewflips", "optimize", str(model), "--mode", "both", "--seed", "0"]
    words += ["--accelerator", arguments.accelerator, "--output", folder]
    words += ["--inputs", str(inputs)] if inputs else []
    return words + (["--prove"] if arguments.prove else [])


def row(model: Path, inputs: Path | None, arguments: argparse.Namespace) -> Row:
    """Run one model and read its report."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(command(model, inputs, arguments, folder), check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        report = json.loads((Path(folder) / "report.json").read_text())
    weights, dropped = report["totals"]["weights"], report["drop_in"]["totals"]
    activations = report["totals"]["activations"]
    bound = weights["baseline_flips"] / weights["lower_bound"] if weights["lower_bound"] else None
    return {
        "layers": len(report["layers"]),
        "macs": sum(layer["macs"] for layer in report["layers"]),
        "natural_flips": weights["baseline_flips"],
        "schedule_reduction": weights["reduction"],
        "bound_reduction": bound,
        "segments": weights["segments"],
        "proven_segments": weights["proven_segments"],
        "drop_in_reduction": dropped["weights"]["reduction"],
        "drop_in_bit_exact": report["drop_in"]["check"]["bit_exact"],
        "schedule_activation_reduction": activations["reduction"] if activations else None,
        "drop_in_activation_reduction": dropped["activations"]["reduction"] if dropped["activations"] else None,
        "index_table_bits": report["schedule"]["index_table_bits"],
        "wall_s": seconds,
    }


def main() -> None:
    """Run all models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with models/ and images/")
    parser.add_argument("--accelerator", default="edge16")
    parser.add_argument("--prove", action="store_true")
    add_json_option(parser)
    arguments = parser.parse_args()
    jobs = [
        (arguments.shared / "models" / name, arguments.shared / inputs if inputs else None) for name, inputs in MODELS
    ]
    jobs.append((DATA / "mobilenet_v2_cifar10_int8.onnx", DATA / "cifar10_samples.npz"))
    rows = {model.name: row(model, inputs, arguments) for model, inputs in jobs}
    table = Table("model", *next(iter(rows.values())))
    for name, found in rows.items():
        table.add_row(name, *(f"{value:.3f}" if isinstance(value, float) else str(value) for value in found.values()))
    Console(soft_wrap=True).print(table)
    write_record(arguments.json, "networks", rows, seed=0)


if __name__ == "__main__":
    main()
