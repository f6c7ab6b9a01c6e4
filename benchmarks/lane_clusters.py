"""Which channels share a segment: flips of arrangements of the input channels, with all orders solved.

    python -m benchmarks.lane_clusters [--lanes 16] [--networks baseline,...]

In every layer that has several segments and whose input channels can be renumbered, channels are arranged as they are
stored, at random, by likeness (channels whose bits vary together share a segment, without a look at any order), and by
the search of the step ``cluster``. A group of tied channels has one arrangement for all layers that take it. Orders are
solved for each arrangement, with the same effort, and flips counted, times each layer's repeats in one inference.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.bundled import bundled_pair
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import Network, load
from fewflips.network.channels import tie_channels
from fewflips.optimization.channel_clusters import LaneAxes
from fewflips.optimization.lane_clusters import ClusterEffort, LaneUse, cluster_channels
from fewflips.optimization.lane_clusters.likeness import group_alike, likeness
from fewflips.optimization.lane_clusters.problem import Problem
from fewflips.ordering import Effort, order_segments

MODELS = Path(__file__).parents[1] / "results" / "models"
FILES = {
    "baseline, 4 bits": "baseline_4bit_seed0.onnx",
    "HD-trained, 4 bits": "hamming_4bit_seed0.onnx",
}
EFFORT = Effort(
    rounds=1, ascent_iterations=5, kicks_per_node=0.1, least_kicks=20, neighbours=6, cut_rounds=0, branch_nodes=0
)

Order = NDArray[np.int64]


def flips(uses: list[LaneUse], order: Order, seed: int) -> int:
    """Flips of one inference in the layers of a group, whose channel order[p] is at position p."""
    total = 0
    for use in uses:
        rows = np.arange(len(use.codes))
        rows[use.lane_of] = use.lane_of[:, order]
        words = [np.ascontiguousarray(use.codes[np.ix_(rows[lanes], n)].T) for lanes, n in use.segments]
        total += use.repeats * sum(result.flips for result in order_segments(words, effort=EFFORT, seed=seed))
    return total


def by_likeness(uses: list[LaneUse], seed: int) -> Order:
    """Like channels together."""
    problem = Problem(uses)
    order = np.arange(problem.channels)
    alike = likeness(tuple(uses), problem.channels, np.random.default_rng(seed))
    group_alike(alike, problem.block, order, 20)
    return order


def arrangements(uses: list[LaneUse], seed: int) -> dict[str, Callable[[], Order]]:
    """Arrangements of the channels, by name."""
    channels = uses[0].lane_of.shape[1]
    return {
        "natural": lambda: np.arange(channels),
        "random": lambda: np.random.default_rng(seed).permutation(channels),
        "by likeness": lambda: by_likeness(uses, seed),
        "searched": lambda: cluster_channels(uses, effort=ClusterEffort.default(), seed=seed).order,
    }


@contextmanager
def networks(names: list[str] | None, models: list[Path]) -> Iterator[dict[str, Network]]:
    """The bundled networks, those of ``results/models`` with 4 bits, and files."""
    with bundled_pair() as pair:
        known = {"baseline": pair.baseline, "HD-trained": pair.hd_trained}
        known |= {name: MODELS / file for name, file in FILES.items()}
        chosen = known if names is None else {name: known[name] for name in names}
        yield {name: load(path) for name, path in (chosen | {path.stem: path for path in models}).items()}


def totals_of(name: str, network: Network, array: Accelerator, seed: int) -> dict[str, int]:
    """Flips of all groups, by arrangement."""
    totals: dict[str, int] = {}
    axes = LaneAxes(network, array, tie_channels(network))
    groups = [group for family in axes.families() for group in family]
    for group in track(groups, name, console=Console(stderr=True)):
        uses = axes.uses(group, {})
        for kind, order in arrangements(uses, seed).items():
            totals[kind] = totals.get(kind, 0) + flips(uses, order(), seed)
    return totals


def main() -> None:
    """Arrange, order, count, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--networks", help="names of bundled networks, between semicolons; default: all")
    parser.add_argument("--model", type=Path, action="append", default=[], help="a file, too; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    add_json_option(parser)
    args = parser.parse_args()
    array = load_accelerator("edge16").model_copy(update={"lanes": args.lanes, "columns": args.lanes})
    rows: dict[str, Row] = {}
    table = Table("network", "channels", "flips", "of natural ones")
    names = None if args.networks is None else [name for name in args.networks.split(";") if name]
    with networks(names, args.model) as found:
        for name, network in found.items():
            totals = totals_of(name, network, array, args.seed)
            for kind, total in totals.items():
                rows[f"{name}, {kind}"] = {"lanes": args.lanes, "flips": total, "of_natural": total / totals["natural"]}
                table.add_row(name, kind, f"{total:,}", f"{total / totals['natural']:.3f}")
    Console().print(table)
    write_record(args.json, "lane_clusters", rows, seed=args.seed)


if __name__ == "__main__":
    main()
