"""What the cost of a one is worth, before anything is trained: energy of codes moved equally far.

    python -m benchmarks.word_costs

The bundled baseline's codes are moved to cheaper ones (`fewflips.assignment.moved_codes`), for several costs of a bit
that is 1; the price of a flip is set, layer by layer, so that each layer's codes move by the same relative distance
(root mean square). Such networks classify nothing; they show which codes a datapath likes. Each is ordered, and its
energy simulated with glitches, in the machine `edge16`, built-in Nangate45 figures.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import fewflips
from benchmarks.record import Row, add_json_option, write_record
from fewflips.assignment.moved_codes import codes_moved_by
from fewflips.bundled import BundledPair, bundled_pair
from fewflips.records.energy import EnergyReport
from fewflips.training.export.onnx_export import to_onnx, write_onnx
from fewflips.training.hamming.layer_costs import layer_costs
from fewflips.training.hamming.options import HammingOptions
from fewflips.training.hamming.weight_streams import WeightStream, solve_orders, weight_streams
from fewflips.training.networks import build_network
from fewflips.training.networks.blocks import ImageClassifier
from fewflips.training.quantization.initial_weights import load_onnx_weights
from fewflips.training.quantization.quantize import quantize
from fewflips.training.weight_views import weight_views

COSTS = (0.0, 0.1, 0.25, 0.5, 0.8, 1.2, 3.0)
RATIOS = ("flip_ratio", "network_ratio", "mean_layer_ratio")
ROUNDS = 4
"""Times the orders are solved anew for the moved codes."""


def moved_by(stream: WeightStream, codes: NDArray[np.int16], distance: float, ones: float) -> NDArray[np.int16]:
    """A layer's codes moved by a relative distance, along the stream's orders."""
    (places,) = stream.ordered()  # edge16 has no tiles, so that all segments are of one length
    result = np.empty_like(codes)
    costs = layer_costs(stream, HammingOptions(ones=ones)).of_words
    result.reshape(-1)[places] = codes_moved_by(codes.reshape(-1)[places], costs, distance)
    return result


def network(model: Path) -> ImageClassifier:
    """The bundled network, to be changed."""
    result = quantize(build_network("mobilenet_v2", width=0.5, classes=10, image_size=32, channels=3))
    load_onnx_weights(result, model)
    return result


def assigned(model: Path, ones: float, distance: float) -> ImageClassifier:
    """The network with its codes moved, and orders solved for the moved codes."""
    subject = network(model)
    streams = weight_streams(weight_views(subject), fewflips.load_accelerator("edge16"))
    codes = [stream.view.integer_codes().numpy() for stream in streams]
    present = codes
    for _ in range(ROUNDS):
        solve_orders(streams, present)
        present = [moved_by(stream, layer, distance, ones) for stream, layer in zip(streams, codes, strict=True)]
    for stream, layer in zip(streams, present, strict=True):
        stream.view.assign_codes(torch.from_numpy(layer))
    return subject


def row(pair: BundledPair, natural: EnergyReport, ones: float, args: argparse.Namespace) -> Row:
    """One cost's figures, against the baseline in natural order."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "moved.onnx"
        write_onnx(to_onnx(assigned(pair.baseline, ones, args.distance)), model)
        found = fewflips.optimize(model, "edge16", mode="schedule")
        found.save(Path(folder) / "ordered")
        after = fewflips.energy(
            model,
            "edge16",
            schedule=Path(folder) / "ordered" / "schedule.json",
            inputs=pair.samples,
            options=fewflips.EnergyOptions(share=args.share),
        )
    ratios = [
        before.inertial.data_pj / layer.inertial.data_pj
        for before, layer in zip(natural.layers, after.layers, strict=True)
    ]
    flips = fewflips.measure(pair.baseline, "edge16").totals.weights.flips / found.report.totals.weights.optimized_flips
    whole = natural.total.inertial.data_pj / after.total.inertial.data_pj
    return {"cost_of_a_one_flips": ones, "flip_ratio": flips, "network_ratio": whole, "mean_layer_ratio": fmean(ratios)}


def main() -> None:
    """Move, order, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--distance", type=float, default=0.35, help="relative distance of moved codes")
    parser.add_argument("--share", type=float, default=0.03, help="share of the cycles to simulate")
    add_json_option(parser)
    args = parser.parse_args()
    rows: dict[str, Row] = {}
    table = Table("cost of a one, in flips", "weight flips, fewer", "data energy, less", "mean of layers")
    with bundled_pair() as pair:
        options = fewflips.EnergyOptions(share=args.share)
        natural = fewflips.energy(pair.baseline, "edge16", inputs=pair.samples, options=options)
        for ones in COSTS:
            rows[f"{ones:g}"] = found = row(pair, natural, ones, args)
            table.add_row(f"{ones:g}", *(f"{found[name]:.2f}x" for name in RATIOS))
    Console().print(table)
    write_record(args.json, "word_costs", rows, seed=0)


if __name__ == "__main__":
    main()
