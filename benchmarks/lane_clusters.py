"""Which input channels share a segment: flips of clustered segments against those of the natural ones.

    python -m benchmarks.lane_clusters [--lanes 16]

Every layer with segments of its own choice (all but depthwise ones) is cut into segments of `--lanes` columns: in
natural order, at random, and by greedy clusters, which put columns together whose bits vary together over the output
channels (sum of the absolute covariances of their bits; of equal bits, or of all pairs of bits). Orders are solved
for each, with the effort that training uses, and flips counted: for the bundled baseline, and for the network that was
trained with the HD term.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.bundled import bundled_pair
from fewflips.network import load
from fewflips.ordering import order_segments
from fewflips.training.hamming.weight_streams import QUICK

Words = NDArray[np.uint8]
Columns = NDArray[np.int64]


def flips(words: Words, columns: Columns, lanes: int, seed: int) -> int:
    """Flips of a layer whose columns are cut into segments one after the other."""
    segments = [np.ascontiguousarray(words[:, columns[i : i + lanes]]) for i in range(0, len(columns), lanes)]
    return sum(result.flips for result in order_segments(segments, effort=QUICK, seed=seed))


def covariances(words: Words) -> NDArray[np.float32]:
    """Absolute covariances of bits over the output channels: shape (K, 8, K, 8)."""
    bits = np.unpackbits(words[:, :, None], axis=2).astype(np.float32)
    varying = (bits - bits.mean(0)).reshape(len(words), -1)
    columns = words.shape[1]
    return (np.abs(varying.T @ varying) / len(words)).reshape(columns, 8, columns, 8)


def clusters(alike: NDArray[np.float32], lanes: int) -> Columns:
    """Columns in groups of like ones: each group begins with the column that has the likest other, and grows."""
    alike = alike.copy()
    np.fill_diagonal(alike, 0)
    free = np.ones(len(alike), dtype=bool)
    chosen: list[int] = []
    for start in np.argsort(-alike.max(1)):
        if not free[start]:
            continue
        group, likeness = [int(start)], alike[start].copy()
        free[start] = False
        while len(group) < lanes and free.any():
            group.append(int(np.argmax(np.where(free, likeness, -1))))
            free[group[-1]] = False
            likeness += alike[group[-1]]
        chosen += group
    return np.array(chosen)


def segmentations(words: Words, lanes: int, seed: int) -> dict[str, Callable[[], Columns]]:
    """Orders of the columns, by name."""
    columns = np.arange(words.shape[1])
    return {
        "natural": lambda: columns,
        "random": lambda: np.random.default_rng(seed).permutation(columns),
        "clusters by equal bits": lambda: clusters(np.einsum("ibjb->ij", covariances(words)), lanes),
        "clusters by all bits": lambda: clusters(covariances(words).sum((1, 3)), lanes),
    }


def main() -> None:
    """Cluster, order, count, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    add_json_option(parser)
    args = parser.parse_args()
    rows: dict[str, Row] = {}
    table = Table("network", "segments", "flips", "of natural ones")
    with bundled_pair() as pair:
        networks = {"baseline": load(pair.baseline), "HD-trained": load(pair.hd_trained)}
    for name, network in networks.items():
        layers = [layer for layer in network.layers if layer.groups == 1 and layer.k > args.lanes]
        totals: dict[str, int] = {}
        for layer in track(layers, name, console=Console(stderr=True)):
            words = layer.weights.view(np.uint8)
            for kind, columns in segmentations(words, args.lanes, args.seed).items():
                totals[kind] = totals.get(kind, 0) + flips(words, columns(), args.lanes, args.seed)
        for kind, total in totals.items():
            rows[f"{name}, {kind}"] = {"lanes": args.lanes, "flips": total, "of_natural": total / totals["natural"]}
            table.add_row(name, kind, f"{total:,}", f"{total / totals['natural']:.3f}")
    Console().print(table)
    write_record(args.json, "lane_clusters", rows, seed=args.seed)


if __name__ == "__main__":
    main()
