"""Self-checking testbenches of a scheduled column, in Icarus Verilog."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.icarus import simulate_verilog
from fewflips.datapath.memory_file import memory_text
from fewflips.datapath.scheduled_column.contents import ColumnCodes, memory_contents, result_offsets
from fewflips.datapath.scheduled_column.cycles import column_cycles
from fewflips.datapath.scheduled_column.design import ColumnDesign
from fewflips.datapath.scheduled_column.passes import Pass
from fewflips.datapath.scheduled_column.verilog import column_files, column_name, values
from fewflips.datapath.verilog import render
from fewflips.errors import InputError, ToolError

_MISMATCHES_SHOWN = 5


@dataclass(frozen=True, eq=False)
class ColumnBench:
    """A column, a layer in its memories, and what is expected of it.

    Parameters
    ----------
    name : str
        The column's module.
    sources : mapping of str to str
        Verilog by file name; the top module is ``testbench``.
    images : mapping of str to str
        Memory files by name, those of the expected results among them.
    """

    name: str
    sources: Mapping[str, str] = field(repr=False)
    images: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class ColumnResult:
    """What a testbench found.

    Parameters
    ----------
    passed : bool
        Whether all results came, each once and with the expected value.
    results : int
        Results that came.
    mismatches : int
        How many of them were wrong.
    cycles : int
        Cycles from the start to the last result.
    first_mismatches : tuple of str
        A line for each of the first few mismatches.
    fetched : int or None
        Weights that were read from their memories, where the unit has hold flags and all is as expected.
    """

    passed: bool
    results: int
    mismatches: int
    cycles: int
    first_mismatches: tuple[str, ...] = ()
    fetched: int | None = None


def column_bench(
    design: ColumnDesign, passes: Sequence[Pass], codes: ColumnCodes, expected: NDArray[np.int64]
) -> ColumnBench:
    """A testbench that runs one layer and compares every result.

    Parameters
    ----------
    design : ColumnDesign
        The column.
    passes : sequence of Pass
        The layer's passes.
    codes : ColumnCodes
        Its operands.
    expected : ndarray of int64, shape (M, N)
        Sums of products, from their starts. Results are compared in their low `accumulator_bits` bits, and with the
        offset that the unit's sums carry.

    Returns
    -------
    ColumnBench
        Verilog and memory files. The testbench prints a line for each of the first mismatches, then ``PASS <module>:
        <n> results in <c> cycles`` or ``FAIL <module>: ...``. With hold flags it also compares how many weights are
        fetched, and how many are stored, with the number of flags that say so.

    Raises
    ------
    InputError
        If results have another shape, or the layer does not fit the column.
    """
    shape = (codes.pixels, len(codes.groups))
    if expected.shape != shape:
        raise InputError(f"scheduled column: expected results of shape {shape}, got {expected.shape}")
    name = column_name(design)
    images, texts = _images(design, passes, codes)
    results = expected + result_offsets(design.datapath, passes, len(codes.groups))
    texts[f"{name}_expected.hex"] = memory_text(results.reshape(-1, 1), design.datapath.accumulator_bits)
    rows = codes.rows(design.columns)
    text = render(
        "column_testbench.v.j2",
        **values(design),
        images=images,
        channels=len(codes.groups),
        pixels=codes.pixels,
        rows=rows,
        most_cycles=2 * column_cycles(design, passes, rows)[0],
        mismatches_shown=_MISMATCHES_SHOWN,
        fetches=0 if codes.loads is None else rows * int(codes.loads.sum()),
    )
    return ColumnBench(name, {**column_files(design), f"{name}_testbench.v": text}, texts)


def run_column(bench: ColumnBench, folder: Path | None = None, timeout_s: float = 3600.0) -> ColumnResult:
    """Run a testbench in Icarus Verilog.

    Parameters
    ----------
    bench : ColumnBench
        From :func:`column_bench`.
    folder : Path, optional
        An existing folder in which to keep the files; by default a temporary one.
    timeout_s : float
        Time limit for the compiler and for the simulation, each in s.

    Returns
    -------
    ColumnResult
        The verdict.

    Raises
    ------
    ToolError
        If Icarus Verilog is missing or fails, or does not end in time.
    """
    printed = simulate_verilog(list(bench.sources.values()), "testbench", bench.images, folder, timeout_s)
    lines = tuple(re.findall(rf"^{bench.name}: (.*)$", printed, re.MULTILINE))
    verdict = rf"^PASS {bench.name}: (\d+) results in (\d+) cycles(?:, (\d+) weights fetched)?$"
    passed = re.search(verdict, printed, re.MULTILINE)
    if passed is not None:
        fetched = None if passed[3] is None else int(passed[3])
        return ColumnResult(True, int(passed[1]), 0, int(passed[2]), fetched=fetched)
    failed = re.search(rf"^FAIL {bench.name}: (\d+) of (\d+) .* (\d+) cycles$", printed, re.MULTILINE)
    if failed is None:
        last = printed.strip().rpartition("\n")[2] or "nothing"
        raise ToolError(f"testbench of {bench.name}: expected PASS or FAIL, got {last!r}")
    return ColumnResult(False, int(failed[2]), int(failed[1]), int(failed[3]), lines)


@dataclass(frozen=True)
class _Image:
    """A memory as the testbench fills it."""

    name: str
    file: str
    load: str
    width: int
    depth: int


def _images(design: ColumnDesign, passes: Sequence[Pass], codes: ColumnCodes) -> tuple[list[_Image], dict[str, str]]:
    images, texts = [], {}
    for name, copies in memory_contents(design, passes, codes).items():
        memory = design.memory(name)
        for number, content in enumerate(copies):
            many = name == "activations" or (name == "weights" and design.datapath.hold_flags)
            label = f"{name}_{number}" if many else name
            load = f"load_{name}[{number}]" if many else f"load_{name}"
            file = f"{column_name(design)}_{label}.hex"
            images.append(_Image(label, file, load, memory.width, len(content.codes)))
            texts[file] = memory_text(content.codes, content.bits)
    return images, texts
