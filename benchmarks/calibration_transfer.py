"""Estimates of networks that a calibration was not made from: `python -m benchmarks.calibration_transfer`.

Protocol: the built-in calibration of `edge16` for int8 words (made with ResNet-8), on two networks of MLPerf Tiny with
the same random input (the one of `fewflips energy` without sample inputs, seed 0): data energy of each layer as
`fewflips measure` estimates it, against gate level, every cycle simulated, natural order.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

import fewflips
from benchmarks.record import Row, add_json_option, write_record
from fewflips.simulation.setup import random_sample

MODELS = {
    "keyword spotting": "mlperf_tiny_kws_dscnn_int8.tflite",
    "anomaly detection": "mlperf_tiny_ad_autoencoder_int8.tflite",
}
DELAYS = ("zero_delay", "inertial")
MACHINE = "edge16"


def errors(model: Path) -> Row:
    """How far the estimates of a network are from gate level."""
    network = fewflips.load(model)
    samples, _ = random_sample(network, 0)
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "random.npz"
        np.savez(inputs, **samples.feeds[0])
        estimated = fewflips.measure(network, MACHINE, inputs=inputs)
        options = fewflips.EnergyOptions(share=1)
        simulated = fewflips.energy(network, MACHINE, inputs=inputs, options=options)
    found: Row = {"layers": len(simulated.layers)}
    for delays in DELAYS:
        expected = {layer.name: getattr(layer, delays).data_pj for layer in simulated.layers}
        guesses = {
            layer.name: getattr(layer.estimated_energy, f"{delays}_data_pj")
            for layer in estimated.layers
            if layer.estimated_energy is not None
        }
        off = [100 * abs(guesses[name] / energy - 1) for name, energy in expected.items()]
        total = 100 * (sum(guesses[name] for name in expected) / sum(expected.values()) - 1)
        found |= {
            f"{delays}_median_error_percent": median(off),
            f"{delays}_worst_error_percent": max(off),
            f"{delays}_total_error_percent": total,
        }
    return found


def main() -> None:
    """Estimate, simulate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("../shared/models"), help="folder of the models")
    add_json_option(parser)
    arguments = parser.parse_args()
    rows = {name: errors(arguments.models / file) for name, file in MODELS.items()}
    table = Table("network", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.1f}" for value in row.values()))
    Console().print(table)
    write_record(arguments.json, "calibration_transfer", rows, seed=0)


if __name__ == "__main__":
    main()
