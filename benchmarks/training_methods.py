"""Methods of the HD term on the same budget: accuracy against flips, from the same network.

    python -m benchmarks.training_methods --data ../shared/data/cifar10_jpeg.npz

Each run trains one int8 network (results/models/start_seed0.onnx) for the same epochs on the first images of
CIFAR-10's training set, with the same order of images, crops and flips: at two strengths of each method, and once
without the term. Then orders are solved for every network, and flips counted as `fewflips optimize` counts them. One
seed; test accuracy on all 10,000 images, in ONNX Runtime.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

import fewflips
from benchmarks.record import Row, add_json_option, write_record
from fewflips.training import TrainingConfig, train
from fewflips.training.config import DatasetOptions
from fewflips.training.datasets import Dataset, Split, load_dataset

START = Path(__file__).parents[1] / "results/models/start_seed0.onnx"

RUNS: dict[str, tuple[float, ...]] = {
    "none": (0.0,),
    "assignment": (0.3, 1.0),
    "envelope": (0.1, 0.3),
    "smoothed": (30.0, 300.0),
    "bilinear": (30.0, 300.0),
}
"""Strengths by method, chosen so that each method is seen at a mild and at a hard setting."""


def configuration(method: str, strength: float, args: argparse.Namespace) -> TrainingConfig:
    """One run's configuration."""
    hamming = None if method == "none" else {"method": method, "strength": strength, "ones": args.ones}
    return TrainingConfig.model_validate(
        {
            "network": {"name": "mobilenet_v2", "width": 0.5, "early_strides": True},
            "dataset": {"name": "cifar10", "path": args.data},
            "initial": {"onnx": args.start},
            "quantized_stage": {"epochs": args.epochs, "learning_rate": args.learning_rate},
            "hamming": hamming,
            "threads": args.threads,
            "tensorboard": False,
        }
    )


def part_of(dataset: Dataset, images: int) -> Dataset:
    """A dataset with the first training images alone."""
    train_split = Split(dataset.train.images[:images], dataset.train.labels[:images])
    return Dataset(dataset.name, train_split, dataset.test, dataset.classes)


def row(method: str, strength: float, dataset: Dataset, folder: Path, args: argparse.Namespace) -> Row:
    """Train once, order, and give the figures."""
    result = train(configuration(method, strength, args), output=folder, dataset=dataset)
    found = fewflips.optimize(folder / "model.onnx", "edge16", mode="schedule").report
    layers = [layer.weights for layer in found.layers]
    flips = sum(layer.optimized_flips for layer in layers)
    bits = sum(layer.transitions * layer.bits for layer in layers)
    return {
        "method": method,
        "strength": strength,
        "accuracy_percent": result.accuracies.exported_percent,
        "ordered_nhd": flips / bits,
        "training_s": result.training_seconds,
    }


def main() -> None:
    """Train, order, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, default=START, help="the network to start from (ONNX)")
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--ones", type=float, default=0.0, help="cost of a one, in flips")
    parser.add_argument("--threads", type=int, default=2)
    add_json_option(parser)
    args = parser.parse_args()
    rows: dict[str, Row] = {}
    dataset = part_of(load_dataset(DatasetOptions(path=args.data)), args.images)
    table = Table("method", "strength", "accuracy %", "ordered NHD", "seconds")
    with TemporaryDirectory() as folder:
        for method, strengths in RUNS.items():
            for strength in strengths:
                name = f"{method}, {strength:g}"
                rows[name] = row(method, strength, dataset, Path(folder) / f"{method}-{strength:g}", args)
                figures = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in rows[name].values()]
                print(*figures, file=sys.stderr)
                table.add_row(*figures)
    Console().print(table)
    write_record(args.json, "training_methods", rows, seed=0)


if __name__ == "__main__":
    main()
