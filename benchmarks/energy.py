"""Energy of a whole network, every MAC: `python -m benchmarks.energy [--model FILE] [--image FILE]`.

Protocol: one image, edge16, the built-in cells, two threads. Synthesis and compiled kernels are cached by a first
run on a sample of the cycles. Then the layers' operands (unpacking, lowering, partial sums) and each delay model
are run in a process of their own, three times; time is wall time from the model file to the toggles of every net,
the median counts; memory is the largest resident size of the process and of the model's runtime beside it. The
bounds stand in the same table. The last row is the whole command, both delay models in one run.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record

RUNS = 3
THREADS = 2
BOUNDS = {"zero-delay": 10.0, "inertial": 90.0}
MEMORY_BOUND_MIB = 4096


def count_network(model: Path, image: Path, mode: str) -> None:
    """Toggles of every net over all layers under one delay model; prints seconds, MACs and MiB."""
    from fewflips import load, load_accelerator
    from fewflips.dataflows import dataflow_of
    from fewflips.dataflows.layer_operands import layer_operands
    from fewflips.dataflows.orders import natural_orders
    from fewflips.dataflows.unit_work import PART_CYCLES
    from fewflips.execution.activations import lowered_rows, read_samples, run_samples
    from fewflips.gates.liberty.load import load_cells
    from fewflips.simulation.run import EnergyOptions
    from fewflips.simulation.setup import network_unit, simulated_layers
    from fewflips.simulation.toggles import count_toggles

    begin = time.perf_counter()
    network, array = load(model), load_accelerator("edge16")
    layers, _ = simulated_layers(network)
    unit = network_unit(layers, array, load_cells("nangate45"), EnergyOptions())
    samples, _ = read_samples(network, image)
    orders = natural_orders(network, array)
    for tensors in run_samples(network, samples):
        for layer in layers:
            operands = layer_operands(layer, lowered_rows(layer, tensors), array, unit.datapath)
            parts = dataflow_of(array).unit_parts(operands, orders[layer.name], array, PART_CYCLES)
            count_toggles(unit.circuit, parts, mode, jobs=THREADS)
    seconds = time.perf_counter() - begin
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(seconds, sum(layer.macs for layer in layers), sum(peaks) / 1024)


def in_a_process(model: Path, image: Path, mode: str) -> tuple[float, float, float]:
    """Seconds, MACs and MiB of one run."""
    command = [sys.executable, "-m", "benchmarks.energy", "--model", str(model), "--image", str(image), "--mode", mode]
    seconds, macs, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(macs), float(memory)


def whole_command(model: Path, image: Path) -> tuple[float, float]:
    """Wall seconds and peak memory in MiB of `fewflips energy`."""
    command = [sys.executable, "-m", "fewflips", "energy", str(model), "--inputs", str(image), "--json"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("../shared/models/mobilenet_v2_1.0_224_quant.tflite"))
    parser.add_argument("--image", type=Path, default=Path("../shared/images/bird.png"))
    parser.add_argument("--mode", choices=BOUNDS, help=argparse.SUPPRESS)
    add_json_option(parser)
    arguments = parser.parse_args()
    if arguments.mode:
        count_network(arguments.model, arguments.image, arguments.mode)
        return
    rows: dict[str, Row] = {}
    table = Table("what", "median s", "fastest s", "bound s", "MMAC/s", "peak MiB", "bound MiB")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / arguments.image.name).symlink_to(arguments.image.resolve())
        warm = [sys.executable, "-m", "fewflips", "energy", str(arguments.model), "--share", "0.001"]
        subprocess.run([*warm, "--inputs", folder], check=True, stdout=subprocess.DEVNULL)
        for mode, bound in BOUNDS.items():
            runs = [in_a_process(arguments.model, Path(folder), mode) for _ in range(RUNS)]
            seconds = [run[0] for run in runs]
            median = statistics.median(seconds)
            cells = [f"{median:.1f}", f"{min(seconds):.1f}", f"{bound:g}", f"{runs[0][1] / median / 1e6:.1f}"]
            memory = max(run[2] for run in runs)
            table.add_row(mode, *cells, f"{memory:.0f}", str(MEMORY_BOUND_MIB))
            rows[mode] = {
                "median_s": median,
                "fastest_s": min(seconds),
                "bound_s": bound,
                "macs_per_s": runs[0][1] / median,
                "peak_mib": memory,
                "bound_mib": MEMORY_BOUND_MIB,
            }
        taken, memory = whole_command(arguments.model, Path(folder))
        table.add_row("fewflips energy", f"{taken:.1f}", "", "", "", f"{memory:.0f}", str(MEMORY_BOUND_MIB))
        rows["fewflips energy"] = {"median_s": taken, "peak_mib": memory, "bound_mib": MEMORY_BOUND_MIB}
    Console().print(table)
    write_record(arguments.json, "energy", rows)


if __name__ == "__main__":
    main()
