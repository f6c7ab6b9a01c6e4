"""Shortest orders of a network's segments: `python -m benchmarks.ordering [--prove] [--no-baselines]`.

Protocol: every weight matrix (N, K) of the model is cut into segments of `--lanes` consecutive k; a segment's nodes
are its N rows, their distance the number of bits that differ. Kernels are compiled (or loaded from the cache) on
small instances first, and that time is stated apart. Wall time is that of the whole list of segments; our solver
runs in `--jobs` threads, the baselines in one process each, one after the other. Every order is checked to be a
permutation and its length is counted again with NumPy. The bound is ours, in exact integer arithmetic; a baseline
is counted as proven where it meets it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import elkai
import fast_tsp
import numpy as np
from rich.console import Console
from rich.table import Table

import fewflips
from benchmarks.record import Row as Figures
from benchmarks.record import add_json_option, write_record
from fewflips.ordering import Effort, PathResult, greedy_path, hamming_distance_matrix, natural, order_segments

Solver = Callable[[np.ndarray], np.ndarray]
SMALL = 400  # nodes up to which every single instance is compared with LKH
FAST_TSP_SECONDS = 0.1  # its work limit is a time


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    method: str
    flips: int
    above_bound_percent: float
    proven: int
    wall_seconds: float
    cpu_seconds: float


def read_segments(path: Path, lanes: int) -> list[np.ndarray]:
    """The segments of all layers, as stored."""
    matrices = [np.ascontiguousarray(layer.weights).view(np.uint8) for layer in fewflips.load(path).layers]
    return [
        np.ascontiguousarray(matrix[:, start : start + lanes])
        for matrix in matrices
        for start in range(0, matrix.shape[1], lanes)
    ]


def count(segment: np.ndarray, order: np.ndarray) -> int:
    """Flips of an order, in plain NumPy."""
    if not np.array_equal(np.sort(order), np.arange(len(segment))):
        raise SystemExit(f"not a permutation of {len(segment)} rows: {order}")
    words = segment[order]
    return int(np.bitwise_count(words[1:] ^ words[:-1]).sum(dtype=np.int64))


def with_dummy(segment: np.ndarray) -> np.ndarray:
    """Distances with a last node at distance 0 from all, so that a tour is a path."""
    n = len(segment)
    closed = np.zeros((n + 1, n + 1), dtype=np.int64)
    closed[:n, :n] = hamming_distance_matrix(segment)
    return closed


def open_tour(tour: list[int], n: int) -> np.ndarray:
    """The path after the dummy node n."""
    return np.roll(tour, -tour.index(n))[1:]


def lkh(segment: np.ndarray) -> np.ndarray:
    """LKH (elkai), one run."""
    if len(segment) < 3:
        return natural(len(segment))
    tour = elkai.DistanceMatrix(with_dummy(segment).tolist()).solve_tsp(runs=1)
    return open_tour(tour[:-1], len(segment))


def fast(segment: np.ndarray) -> np.ndarray:
    """fast-tsp, with its time limit."""
    if len(segment) < 3:
        return natural(len(segment))
    tour = fast_tsp.find_tour(with_dummy(segment), FAST_TSP_SECONDS)
    return open_tour(tour, len(segment))


BASELINES: dict[str, Solver] = {
    "natural order": lambda segment: natural(len(segment)),
    "greedy": lambda segment: greedy_path(hamming_distance_matrix(segment)),
    f"fast-tsp, {FAST_TSP_SECONDS} s each": fast,
    "LKH (elkai), 1 run": lkh,
}


def timed(solve: Callable[[], list[np.ndarray]]) -> tuple[list[np.ndarray], float, float]:
    """Orders, wall seconds and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    orders = solve()
    return orders, time.perf_counter() - wall, time.process_time() - cpu


def row(method: str, lengths: list[int], bounds: list[int], wall: float, cpu: float) -> Row:
    """Sum up one method."""
    above = 100 * (sum(lengths) / sum(bounds) - 1)
    proven = sum(length == bound for length, bound in zip(lengths, bounds, strict=True))
    return Row(method, sum(lengths), above, proven, wall, cpu)


def run_ours(segments: list[np.ndarray], arguments: argparse.Namespace, effort: Effort) -> tuple[list[PathResult], Row]:
    """Our solver on all segments."""
    wall, cpu = time.perf_counter(), time.process_time()
    results = order_segments(segments, effort=effort, seed=arguments.seed, jobs=arguments.jobs)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    lengths = [count(segment, result.order) for segment, result in zip(segments, results, strict=True)]
    if lengths != [result.flips for result in results]:
        raise SystemExit("a reported length is not that of its order")
    name = "fewflips, --prove" if arguments.prove else "fewflips, default"
    return results, row(name, lengths, [result.lower_bound for result in results], wall, cpu)


def run_baselines(segments: list[np.ndarray], bounds: list[int]) -> tuple[dict[str, list[int]], list[Row]]:
    """The other methods on all segments; none may be below our bound."""
    lengths: dict[str, list[int]] = {}
    rows = []
    for name, solver in BASELINES.items():
        orders, wall, cpu = timed(lambda solver=solver: [solver(segment) for segment in segments])
        lengths[name] = [count(segment, order) for segment, order in zip(segments, orders, strict=True)]
        if any(length < bound for length, bound in zip(lengths[name], bounds, strict=True)):
            raise SystemExit(f"{name} is below our bound: the bound is wrong")
        rows.append(row(name, lengths[name], bounds, wall, cpu))
    return lengths, rows


def warm_up() -> list[np.ndarray]:
    """Small instances that together need every kernel."""
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, size=(n, 3), dtype=np.uint8) for n in (5, *range(60, 80))]


def print_table(console: Console, rows: list[Row], bound: int, segments: int) -> None:
    """All methods, and the bound below them."""
    table = Table("method", "flips", "above the bound", "proven", "wall s", "processor s")
    for line in rows:
        table.add_row(
            line.method,
            f"{line.flips:,}",
            f"{line.above_bound_percent:.4f} %",
            f"{line.proven} / {segments}",
            f"{line.wall_seconds:.1f}",
            f"{line.cpu_seconds:.1f}",
        )
    table.add_row("bound (ours)", f"{bound:,}", "", "", "", "")
    console.print(table)


def as_figures(line: Row, segments: list[np.ndarray]) -> Figures:
    """A line as data."""
    return {name: value for name, value in asdict(line).items() if name != "method"} | {"segments": len(segments)}


def worst_ratio(segments: list[np.ndarray], ours: list[PathResult], theirs: list[int]) -> float:
    """Largest ratio of our length to LKH's among the small instances."""
    return max(
        result.flips / max(length, 1)
        for segment, result, length in zip(segments, ours, theirs, strict=True)
        if len(segment) <= SMALL
    )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path("../shared/models/mobilenet_v2_1.0_224_quant.tflite")
    parser.add_argument("--model", type=Path, default=default)
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--prove", action="store_true", help="longer search, cuts and branch and bound")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--baselines", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--limit", type=int, help="segments to take, spread over the model")
    add_json_option(parser)
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    arguments = parse()
    console = Console(soft_wrap=True)
    segments = read_segments(arguments.model, arguments.lanes)
    if arguments.limit:
        segments = segments[:: -(-len(segments) // arguments.limit)]
    effort = Effort.prove() if arguments.prove else Effort.default()
    start = time.perf_counter()
    order_segments(warm_up(), effort=effort)
    console.print(f"{len(segments)} segments of {arguments.lanes} lanes, {sum(map(len, segments)):,} rows")
    console.print(f"compiling or loading the kernels: {time.perf_counter() - start:.1f} s (not counted below)")
    results, ours = run_ours(segments, arguments, effort)
    bounds = [result.lower_bound for result in results]
    lengths, rows = run_baselines(segments, bounds) if arguments.baselines else ({}, [])
    print_table(console, [*rows, ours], sum(bounds), len(segments))
    found = {line.method: as_figures(line, segments) for line in [*rows, ours]}
    found["bound"] = {"flips": sum(bounds)}
    for name, theirs in lengths.items():
        if name.startswith("LKH"):
            worst = worst_ratio(segments, results, theirs)
            found[name] |= {"longest_ratio_to_it": worst}
            console.print(f"longest against LKH where N <= {SMALL}: {worst:.6f}")
    write_record(arguments.json, "ordering", found, seed=arguments.seed)


if __name__ == "__main__":
    main()
