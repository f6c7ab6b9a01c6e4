"""What a newcomer waits for: `python -m benchmarks.first_run`.

Protocol: the repository is cloned into an empty folder, with empty caches of kernels and netlists (pip's cache is the
user's own); `make demo` is timed there, then `fewflips demo` again in the same clone. Wall time, once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record


def seconds(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Wall time of a command."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Clone, run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_json_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clone, cache = Path(name) / "fewflips", Path(name) / "cache"
        subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)
        pip = subprocess.run(["python3", "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False)
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= {"XDG_CACHE_HOME": str(cache)}
        environment |= {"PIP_CACHE_DIR": pip.stdout.strip()} if pip.returncode == 0 else {}
        environment.pop("NUMBA_CACHE_DIR", None)
        demo = [str(clone / ".venv/bin/fewflips"), "demo", "--output", "demo-out"]
        rows: dict[str, Row] = {
            "make demo, fresh clone": {"wall_s": seconds(["make", "demo"], clone, environment)},
            "fewflips demo": {"wall_s": seconds(demo, clone, environment)},
        }
    table = Table("command", "seconds")
    for command, row in rows.items():
        table.add_row(command, f"{row['wall_s']:.1f}")
    Console().print(table)
    write_record(arguments.json, "first_run", rows)


if __name__ == "__main__":
    main()
