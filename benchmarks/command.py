"""Whole commands, as a user waits for them: `python -m benchmarks.command [--model FILE]`.

Protocol: each command is a process of its own; one run to warm caches (compiled kernels among them), then the
median of five. Time is wall time; memory is the largest resident size of the process, as the operating system
reports it when the process ends. The bound of each figure stands beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record

RUNS = 5


def run(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MiB of one run."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path("../shared/models/mobilenet_v2_1.0_224_quant.tflite")
    parser.add_argument("--model", type=Path, default=default)
    add_json_option(parser)
    arguments = parser.parse_args()
    python = [sys.executable, "-m", "fewflips"]
    commands = [
        ("import fewflips", [sys.executable, "-c", "import fewflips"], 0.3, None),
        ("fewflips --help", [*python, "--help"], 0.5, None),
        (f"fewflips measure {arguments.model.name}", [*python, "measure", str(arguments.model)], 3.0, 1024),
    ]
    rows: dict[str, Row] = {}
    table = Table("command", "median s", "fastest s", "bound s", "peak MiB", "bound MiB")
    for name, command, bound_seconds, bound_memory in commands:
        run(command)
        runs = [run(command) for _ in range(RUNS)]
        seconds = [run_seconds for run_seconds, _ in runs]
        memory = max(run_memory for _, run_memory in runs)
        rows[name] = {
            "median_s": statistics.median(seconds),
            "fastest_s": min(seconds),
            "bound_s": bound_seconds,
            "peak_mib": memory,
            "bound_mib": bound_memory,
        }
        table.add_row(
            name,
            f"{statistics.median(seconds):.2f}",
            f"{min(seconds):.2f}",
            f"{bound_seconds:g}",
            f"{memory:.0f}",
            f"{bound_memory or '-'}",
        )
    Console().print(table)
    write_record(arguments.json, "command", rows)


if __name__ == "__main__":
    main()
