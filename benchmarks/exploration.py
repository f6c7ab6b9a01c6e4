"""A space of a thousand machines, from nothing: `python -m benchmarks.exploration [--model FILE] [--space FILE]`.

Protocol: `fewflips explore MODEL --space docs/spaces/columns.yaml --inputs DIR` with an empty store and empty caches of
netlists and kernels, on two processors; one image. Wall time, and processor time of all processes, once; then the same
command again, which finds everything in the store.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record


def explored(arguments: argparse.Namespace, images: str, cache: str) -> Row:
    """Time and work of one exploration."""
    command = [sys.executable, "-m", "fewflips", "explore", str(arguments.model), "--inputs", images, "--json"]
    command += ["--space", str(arguments.space), "--jobs", str(arguments.jobs), "--seed", "0"]
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    wall, processor = time.perf_counter(), _children_s()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment | {"FEWFLIPS_CACHE": cache})
    taken: Row = {"wall_s": time.perf_counter() - wall, "processor_s": _children_s() - processor}
    return taken | _work(json.loads(done.stdout))


def _children_s() -> float:
    """Processor time of all processes that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _work(report: dict[str, Any]) -> Row:
    work = report["work"]
    names = ("machines", "evaluated", "outside", "gate_level", "simulations", "estimate_error_percent")
    unclear = sum(not machine["separated"] for machine in report["front"])
    return {name: work[name] for name in names} | {"front": len(report["front"]), "not_separated": unclear}


def main() -> None:
    """Explore twice, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("../shared/models/mobilenet_v2_1.0_224_quant.tflite"))
    parser.add_argument("--image", type=Path, default=Path("../shared/images/bird.png"))
    parser.add_argument("--space", type=Path, default=Path("docs/spaces/columns.yaml"))
    parser.add_argument("--jobs", type=int, default=2)
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as images, tempfile.TemporaryDirectory() as cache:
        (Path(images) / arguments.image.name).symlink_to(arguments.image.resolve())
        for name in ("from nothing", "again"):
            rows[name] = explored(arguments, images, cache)
    table = Table("run", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4g}" for value in row.values()))
    Console().print(table)
    write_record(arguments.json, "exploration", rows, seed=0)


if __name__ == "__main__":
    main()
