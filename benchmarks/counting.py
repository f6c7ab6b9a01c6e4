"""Counting kernels against plain NumPy and BLAS: `python -m benchmarks.counting`.

Protocol: one thread; the kernels are compiled before the first timing; each figure is the median of several runs
in one process, the alternatives in turn. Stream flips: a 4096 x 4096 int8 matrix (16.8 MB). Pairwise distances:
1280 vectors of 1280 bytes; the BLAS formulation expands the bits to float32 and takes one matrix product
(|a| + |b| - 2 a.b).
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy loads its BLAS

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.streams.flips import bit_position_flips, pairwise_distances, stream_flips

RUNS = 9


def seconds(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median time of each function, run in turn."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(RUNS):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def numpy_pairwise(words: np.ndarray) -> np.ndarray:
    """Row by row, without expanding bits."""
    packed = words.view(np.uint64)
    return np.stack([np.bitwise_count(packed ^ row).sum(axis=1, dtype=np.int32) for row in packed])


def blas_pairwise(words: np.ndarray) -> np.ndarray:
    """Float32 matrix product of the expanded bits."""
    bits = np.unpackbits(words, axis=1).astype(np.float32)
    ones = bits.sum(axis=1)
    return ones[:, None] + ones[None] - 2 * (bits @ bits.T)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_json_option(parser)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    matrix = generator.integers(-128, 128, size=(4096, 4096), dtype=np.int8)
    table = Table("stream flips, 4096 x 4096 int8", "ms", "GB/s")
    stream = {
        "fewflips stream_flips": lambda: stream_flips(matrix),
        "fewflips bit_position_flips": lambda: bit_position_flips(matrix, 8),
        "NumPy bitwise_count": lambda: int(np.bitwise_count(matrix[1:] ^ matrix[:-1]).sum(dtype=np.int64)),
    }
    rows: dict[str, Row] = {}
    for name, value in seconds(stream).items():
        rows[f"stream flips, {name}"] = {"median_ms": 1e3 * value, "gb_per_s": matrix.nbytes / value / 1e9}
        table.add_row(name, f"{1e3 * value:.2f}", f"{matrix.nbytes / value / 1e9:.2f}")
    Console().print(table)

    words = generator.integers(0, 256, size=(1280, 1280), dtype=np.uint8)
    if not np.array_equal(pairwise_distances(words), blas_pairwise(words)):
        raise SystemExit("the formulations disagree")
    table = Table("pairwise distances, 1280 x 1280 bytes", "ms", "against ours")
    pairs = {
        "fewflips pairwise_distances": lambda: pairwise_distances(words),
        "float32 BLAS": lambda: blas_pairwise(words),
        "NumPy bitwise_count": lambda: numpy_pairwise(words),
    }
    times = seconds(pairs)
    for name, value in times.items():
        rows[f"pairwise distances, {name}"] = {"median_ms": 1e3 * value}
        table.add_row(name, f"{1e3 * value:.1f}", f"{value / times['fewflips pairwise_distances']:.1f}x")
    Console().print(table)
    write_record(arguments.json, "counting", rows, seed=0)


if __name__ == "__main__":
    main()
