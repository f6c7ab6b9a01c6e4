"""What a benchmark found, as data: its rows, and what is needed to run it again.

Every benchmark takes ``--json FILE``. The committed records are in ``benchmarks/results``; the tables and the prose of
the README and of ``docs`` are held against them (``scripts/figures``).
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write
from fewflips.files.validation import describe_validation_error
from fewflips.records.record import Record
from fewflips.version import __version__

RESULTS = Path(__file__).with_name("results")

Value = bool | int | float | str | None
Row = dict[str, Value]

_PACKAGES = ("numpy", "numba", "ai-edge-litert", "onnxruntime", "torch", "brevitas", "elkai", "fast-tsp")


class BenchmarkRecord(Record):
    """One run of a benchmark."""

    format: Literal["fewflips-benchmark"] = "fewflips-benchmark"
    version: Literal[1] = 1
    benchmark: Annotated[str, Field(description="module of `benchmarks`")]
    command: str
    seed: int | None
    date: Annotated[datetime.date, Field(description="of the run")]
    fewflips: str = __version__
    python: str
    packages: Annotated[dict[str, str], Field(description="versions of those that are installed and matter")]
    processor: str
    processors: Annotated[int, Field(ge=1, description="of the machine")]
    note: Annotated[str, Field(description="what else a reader must know; mostly empty")] = ""
    rows: Annotated[dict[str, Row], Field(description="by name; each field's name ends in its unit")]


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark its ``--json``."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")


def write_record(path: Path | None, benchmark: str, rows: Mapping[str, Row], seed: int | None = None) -> None:
    """Keep what was found.

    Parameters
    ----------
    path : Path or None
        The argument of ``--json``; nothing is written where it is None.
    benchmark : str
        Module of the benchmark, without its package.
    rows : mapping of str to dict
        Figures by the name of their row, in the order of the table. Numbers as they were measured, not rounded; the
        name of a field ends in the number's unit.
    seed : int or None
        Of all that is drawn; None where nothing is.
    """
    if path is None:
        return
    record = BenchmarkRecord(
        benchmark=benchmark,
        command=shlex.join(["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]]),
        seed=seed,
        date=datetime.datetime.now(datetime.UTC).date(),
        python=platform.python_version(),
        packages=_installed(),
        processor=_processor(),
        processors=os.cpu_count() or 1,
        rows=dict(rows),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, (record.model_dump_json(indent=1) + "\n").encode())


def read_record(name: str, folder: Path = RESULTS) -> BenchmarkRecord:
    """A committed record, by its name.

    Raises
    ------
    InputError
        If there is none, or it is damaged.
    """
    path = folder / f"{name}.json"
    try:
        return BenchmarkRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a benchmark's record, found no file: run `python -m benchmarks`") from error
    except ValidationError as error:
        raise InputError(f"{path}: {describe_validation_error(error)}: run `python -m benchmarks` again") from error


def kept_rows(path: Path | None) -> dict[str, Row]:
    """Rows of a record that a run is to go on with; none where there is no such file."""
    return read_record(path.stem, path.parent).rows if path is not None and path.is_file() else {}


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines)


def _installed() -> dict[str, str]:
    found: dict[str, Any] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """Name of the processor, as well as the system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"
