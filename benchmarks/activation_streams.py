"""Activation streams: `python -m benchmarks.activation_streams [--parts PART ...] [--share SHARE]`.

Protocol: the public MobileNetV2 for scans, and for orders of both operands in its depthwise layers; MLPerf Tiny's
person detector for replay, and for orders of both operands on `os16`. What is chosen on activations is chosen on some
photos, and reported on another one. Flips are those of one inference, seams included, on the wires of the ports; of
orders of both operands they are counted at the multipliers that they reach. Energy is that of the units' data with
glitches, Nangate45, of the photo that nothing was chosen on: a share of the cycles, drawn alike for all variants.

- `scans`: output pixels of `tpu16` in each scan, with both kinds of replay; the best scan of each layer; and, for
  layers of up to 196 pixels, the shortest path through the very pixels with its lower bound: no scan can win more.
- `replay`: serpentine replay in natural orders.
- `joint`: orders of segments by the flips of weights, and of both operands (quick effort).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
from rich.console import Console

from benchmarks.record import Row, add_json_option, write_record
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.execution.activations import lowered_rows, measurable_layers, read_samples, run_samples
from fewflips.execution.samples import Samples
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.accelerator import Scan
from fewflips.measurement.counting import count_network
from fewflips.network import Network, load
from fewflips.optimization.joint_orders import joint_flips, plan_joint_orders
from fewflips.optimization.segment_orders import plan_schedule
from fewflips.ordering import Effort, shortest_word_path
from fewflips.simulation.records import total_energy
from fewflips.simulation.run import EnergyOptions, NetworkRun, simulate_network
from fewflips.simulation.setup import network_unit, simulated_layers
from fewflips.simulation.time_limit import Shares
from fewflips.streams.codes import activation_codes
from fewflips.streams.counting import count_flips
from fewflips.streams.flips import stream_flips

MODELS = Path("../shared/models")
PUBLIC = "mobilenet_v2_1.0_224_quant.tflite"
PERSON = "mlperf_tiny_vww_mobilenet_v1_025_int8.tflite"
IMAGES = Path("../shared/images")
OTHER = "sunflower.png"
"""The photo that nothing is chosen on."""
MOST_PIXELS = 196
"""Of a layer whose shortest path is looked for."""


def samples_of(network: Network, names: list[str]) -> Samples:
    """Some photos."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / name).symlink_to((IMAGES / name).resolve())
        samples, _ = read_samples(network, folder)
    assert samples is not None
    return samples


def photos(network: Network, count: int) -> tuple[Samples, Samples]:
    """Those to choose on, and the other one."""
    names = sorted(path.name for path in IMAGES.glob("*.png") if path.name != OTHER)
    return samples_of(network, names[:count]), samples_of(network, [OTHER])


def energies(
    network: Network,
    array: Accelerator,
    variants: list[LayerOrders],
    samples: Samples,
    share: float,
    names: set[str] | None = None,
) -> list[Row]:
    """Energy of the units' data in each set of orders, of all layers or of some."""
    layers, _ = simulated_layers(network)
    options = EnergyOptions(share=share, jobs=1)
    unit = network_unit(layers, array, load_cells("nangate45"), options)
    chosen = [layer for layer in layers if names is None or layer.name in names]
    run = NetworkRun(network, array, chosen, samples)
    found = simulate_network(run, unit, variants, options, shares=Shares(share, share))
    totals = [total_energy(variant) for variant in found.layers]
    return [{"data_uj": one.inertial.data_pj / 1e6, "ci95_percent": one.ci95_percent} for one in totals]


def activation_flips(network: Network, machines: list[Accelerator], samples: Samples) -> list[dict[str, int]]:
    """Flips of each layer's activations on each machine, in natural order; the model is run once."""
    found: list[dict[str, int]] = [{} for _ in machines]
    for tensors in run_samples(network, samples):
        for layer in measurable_layers(network):
            codes, bits = activation_codes(layer, lowered_rows(layer, tensors), machines[0].activations)
            for flips, array in zip(found, machines, strict=True):
                flow = dataflow_of(array)
                stream = flow.activation_stream(layer, codes, bits, flow.segments(layer, array), array)
                flips[layer.name] = flips.get(layer.name, 0) + count_flips(stream).total
    return found


def scans(share: float) -> Iterator[tuple[str, Row]]:
    """Flips in each scan, the best of each layer, replay besides, and what no scan can exceed; nothing is simulated."""
    network, tpu = load(MODELS / PUBLIC), load_accelerator("tpu16")
    photos_of = photos(network, 1)
    kinds = [(scan, "forward") for scan in get_args(Scan)] + [("raster", "serpentine"), ("serpentine", "serpentine")]
    machines = [tpu.model_copy(update={"scan": scan, "replay": kind}) for scan, kind in kinds]
    first, other = (activation_flips(network, machines, samples) for samples in photos_of)
    best = {name: min(range(4), key=lambda number, name=name: first[number][name]) for name in first[0]}
    yield (
        "scan, tpu16, best of each layer, forward replay",
        {
            "first_mflips": sum(first[number][name] for name, number in best.items()) / 1e6,
            "other_mflips": sum(other[number][name] for name, number in best.items()) / 1e6,
            "serpentine_layers": sum(kinds[number][0] == "serpentine" for number in best.values()),
            "layers": len(best),
        },
    )
    for (scan, kind), one, another in zip(kinds, first, other, strict=True):
        row: Row = {"first_mflips": sum(one.values()) / 1e6, "other_mflips": sum(another.values()) / 1e6}
        yield f"scan, tpu16, {scan}, {kind} replay", row
    yield "scan, tpu16, shortest paths", shortest_paths(network, tpu, photos_of[1])


def shortest_paths(network: Network, tpu: Accelerator, samples: Samples) -> Row:
    """Flips from pixel to pixel in layers of few pixels: in raster order, by the path found, and at least."""
    sums = dict.fromkeys(("raster", "serpentine", "path", "bound"), 0)
    layers = 0
    turning = dataflow_of(tpu)
    for tensors in run_samples(network, samples):
        for layer in measurable_layers(network):
            if not 1 < layer.m <= MOST_PIXELS:
                continue
            codes, bits = activation_codes(layer, lowered_rows(layer, tensors), tpu.activations)
            words = np.ascontiguousarray(codes.swapaxes(0, 1).reshape(layer.m, -1))
            scans = {scan: tpu.model_copy(update={"scan": scan}) for scan in ("raster", "serpentine")}
            tiles = 0
            for scan, array in scans.items():
                segments = turning.segments(layer, array)
                stream = turning.activation_stream(layer, codes, bits, segments, array)
                tiles = stream.pass_repeats * (layer.n // layer.groups if layer.is_depthwise else 1)
                starts = stream.pass_starts.tolist()
                passes = zip(starts, [*starts[1:], len(stream.words)], strict=True)
                sums[scan] += stream.pass_repeats * sum(stream_flips(stream.words[a:b]) for a, b in passes)
            result = shortest_word_path(words, effort=Effort.quick())
            sums["path"] += tiles * result.flips
            sums["bound"] += tiles * result.lower_bound
            layers += 1
    return {"layers": layers} | {f"{name}_mflips": flips / 1e6 for name, flips in sums.items()}


def replay(share: float) -> Iterator[tuple[str, Row]]:
    """Both kinds of replay on each machine."""
    network = load(MODELS / PERSON)
    _, other = photos(network, 1)
    for name, kind in product(("edge4", "edge16", "tpu16", "os16"), ("forward", "serpentine")):
        array = load_accelerator(name).model_copy(update={"replay": kind})
        orders = natural_orders(network, array)
        counts = count_network(network, array, [orders], other)[0].values()
        row: Row = {
            "weights_mflips": sum(count.weights.total for count in counts) / 1e6,
            "weight_seams_mflips": sum(count.weights.seams for count in counts) / 1e6,
            "activations_mflips": sum(count.activations.total for count in counts if count.activations) / 1e6,
        }
        yield f"replay, {name}, {kind}", row | energies(network, array, [orders], other, share)[0]


def joint(share: float) -> Iterator[tuple[str, Row]]:
    """Natural orders, those by the flips of weights, and those of both operands, chosen on one photo and on five."""
    for model, machine in ((PERSON, "os16"), (PUBLIC, "edge16")):
        network, array = load(MODELS / model), load_accelerator(machine)
        plan = plan_schedule(network, array, effort=Effort.quick(), seed=0, jobs=1)
        variants: dict[str, LayerOrders] = {"natural": natural_orders(network, array), "by weights": plan.orders}
        rows: dict[str, Row] = {name: {} for name in variants}
        _, other = photos(network, 1)
        for count in (1, 5):
            chosen_on, _ = photos(network, count)
            found = plan_joint_orders(network, array, plan.orders, chosen_on, effort=Effort.quick(), seed=0, jobs=1)
            counts, name = found.counts.values(), f"joint, {count} photos"
            variants[name] = found.orders
            bound = sum(one.certificate.lower_bound for one in counts)
            rows[name] = {
                "above_bound_percent": 100 * (sum(one.within_after for one in counts) / bound - 1),
                "before_to_after": sum(one.before for one in counts) / sum(one.after for one in counts),
            }
        layers = set(found.counts)
        spent = energies(network, array, list(variants.values()), other, share, layers)
        for (name, orders), energy in zip(variants.items(), spent, strict=True):
            flips = at_multipliers(network, array, orders, other, layers)
            yield f"joint, {model}, {machine}, {name}", {"other_mflips": flips / 1e6} | rows[name] | energy


def at_multipliers(
    network: Network, array: Accelerator, orders: LayerOrders, samples: Samples, layers: set[str]
) -> float:
    """Flips of both operands in one inference, each as often as there are multipliers that it reaches."""
    total = 0.0
    for tensors in run_samples(network, samples):
        for layer in measurable_layers(network):
            if layer.name in layers:
                codes = activation_codes(layer, lowered_rows(layer, tensors), array.activations)
                total += joint_flips(layer, array, orders[layer.name], codes)
    return total / len(samples.feeds)


PARTS = {"scans": scans, "replay": replay, "joint": joint}


def main() -> None:
    """Run, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--share", type=float, default=2.0**-10, help="share of the cycles")
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    console = Console(highlight=False)
    for part in arguments.parts:
        for name, row in PARTS[part](arguments.share):
            rows[name] = row
            figures = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if value is not None)
            console.print(f"{name}: {figures}", soft_wrap=True)
            write_record(arguments.json, "activation_streams", rows, seed=0)


if __name__ == "__main__":
    main()
