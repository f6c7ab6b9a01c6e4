"""Whether orders should see partial sums: `python -m benchmarks.partial_sums [--network NAME] [--share SHARE]`.

With the segments of a layer fixed, the partial sums behind segment s do not depend on the orders: in segment s the unit
reads P_{s-1}[n] and writes P_s[n] for n along the order. So the flips of both words from channel i to channel j,
averaged over output pixels of some inputs, are a distance that can be added to that of the weights, each with a price.

For single layers, dense and depthwise, on `edge4`:

* distances come from pixels of three inputs (CALIBRATION), energies of orders from a fourth one (TEST);
* prices are fitted at gate level, glitches included: for random pairs of channels the unit goes back and forth between
  them, under the activations and partial sums of those pixels, and non-negative least squares explain the energy by
  the measured energy of the weights' steps and the flips of both partial sums; every third pair is kept out of the fit
  that is judged;
* what incoming partial sums cost at all in orders by energy: neighbours' steps, with these sums and with still ones;
* the same with the steps of each lane multiplied by the mean number of ones of the lane's activations.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, kept_rows, write_record
from fewflips import load
from fewflips.bundled import bundled_pair
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.layer_operands import LayerOperands, layer_operands, segment_products
from fewflips.dataflows.unit_work import settling_cycles
from fewflips.estimation.calibration.sequences import unit_sequences
from fewflips.estimation.transitions.machine import step_energies
from fewflips.execution.activations import lowered_rows, read_samples, run_samples
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.operands import Windows
from fewflips.gates.switching import simulate_groups
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network.layer import Layer
from fewflips.ordering import order_distances
from fewflips.simulation.counted_layer import count_layer
from fewflips.simulation.run import EnergyOptions
from fewflips.simulation.setup import network_unit, simulated_layers
from fewflips.simulation.unit import ArithmeticUnit
from fewflips.streams.flips import pairwise_distances

BUNDLED, PUBLIC = "MobileNetV2 0.5, CIFAR-10", "MobileNetV2 1.0 224"
LAYERS = {BUNDLED: (12, 26, 30, 37), PUBLIC: (9, 20, 34, 35)}
"""Expansions, projections and a depthwise layer of each network, by number."""
CALIBRATION, TEST = (0, 1, 2), 5
"""Inputs by number."""
ORDERS = {
    "energy": ("steps",),
    "sums": ("steps", "before", "after"),
    "activity": ("activity",),
    "both": ("activity", "before", "after"),
}
"""Distances that orders are chosen by; a single one needs no price."""
_WINDOWS, _STEPS = 64, 10
_SCALE = 4

Matrix = NDArray[np.float64]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Segments by number, shape (pairs,), and two output channels for each, shape (pairs, 2)."""


def sum_flips(sums: NDArray[np.int64], bits: int) -> Matrix:
    """Flips between the partial sums of any two output channels, averaged over pixels.

    Parameters
    ----------
    sums : ndarray of int64, shape (pixels, channels)
        Partial sums.
    bits : int
        Width of their word, up to 32.

    Returns
    -------
    ndarray of float64, shape (channels, channels)
        Flips.
    """
    words = np.ascontiguousarray((sums.T & ((1 << bits) - 1)).astype(np.uint32)).view(np.uint16)
    return pairwise_distances(words) / sums.shape[0]


def running_sums(operands: LayerOperands, segments: tuple[Segment, ...]) -> list[NDArray[np.int64]]:
    """Partial sums before the first segment and behind every one.

    Parameters
    ----------
    operands : LayerOperands
        Codes of both operands.
    segments : tuple of Segment
        Each with all output channels, in any order.

    Returns
    -------
    list of ndarray of int64, shape (pixels, channels)
        As the units take them; channels in their natural order.
    """
    datapath = operands.datapath
    sums = [np.full((operands.activations.shape[1], operands.layer.n), datapath.sum_offset(0), dtype=np.int64)]
    for segment in segments:
        behind = sums[-1].copy()
        behind[:, segment.order] += segment_products(operands, segment, slice(None)) + datapath.tree_bias
        sums.append(behind)
    return sums


def fitted_prices(distances: Matrix, energies_fj: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a unit of each distance costs, and before these what is spent anyway; none is negative.

    Parameters
    ----------
    distances : ndarray of float64, shape (pairs, distances)
        Of each pair.
    energies_fj : ndarray of float64, shape (pairs,)
        Energy of a step.

    Returns
    -------
    ndarray of float64, shape (1 + distances,)
        By least squares, over again without distances whose price would be negative.
    """
    design = np.column_stack((np.ones(len(distances)), distances))
    prices, kept = np.zeros(design.shape[1]), np.arange(design.shape[1])
    while True:
        found, *_ = np.linalg.lstsq(design[:, kept], energies_fj)
        if (found >= 0).all():
            prices[kept] = found
            return prices
        kept = np.delete(kept, int(found.argmin()))


@dataclass(frozen=True, eq=False)
class LayerDistances:
    """Sums and distances of the channels of a layer, on pixels of some inputs."""

    operands: LayerOperands
    segments: tuple[Segment, ...]
    sums: list[NDArray[np.int64]]
    by_segment: list[dict[str, Matrix]]

    @classmethod
    def of(cls, operands: LayerOperands, segments: tuple[Segment, ...], steps_fj: Matrix) -> LayerDistances:
        """Of segments with all channels in their natural order."""
        sums = running_sums(operands, segments)
        flips = [sum_flips(part, operands.datapath.accumulator_bits) for part in sums]
        found = []
        for number, segment in enumerate(segments):
            words = operands.weights[np.ix_(segment.order, segment.lanes)].T
            steps = [steps_fj[lane[:, None], lane] for lane in words]
            ones = np.bitwise_count(operands.activations[..., segment.lanes]).mean(axis=(0, 1))
            distances = {"before": flips[number], "after": flips[number + 1], "steps": np.sum(steps, axis=0)}
            found.append(distances | {"activity": np.tensordot(ones, np.array(steps), axes=1)})
        return cls(operands, segments, sums, found)

    def paths(self, names: Sequence[str], prices: Sequence[float]) -> tuple[tuple[Segment, ...], float]:
        """Segments in the order of the shortest paths, and the mean of the steps' distances on them."""
        instances = [
            np.rint(_SCALE * sum(price * found[name] for name, price in zip(names, prices, strict=True)))
            for found in self.by_segment
        ]
        results = order_distances([instance.astype(np.int64) for instance in instances], jobs=2)
        orders = [Segment(old.lanes, old.order[new.order]) for old, new in zip(self.segments, results, strict=True)]
        steps = sum(len(result.order) - 1 for result in results)
        return tuple(orders), sum(result.flips for result in results) / _SCALE / steps

    def of_pairs(self, names: Sequence[str], pairs: Pairs) -> Matrix:
        """Distances of pairs of channels, shape (pairs, names)."""
        rows = [
            [self.by_segment[number][name][tuple(pair)] for name in names] for number, pair in zip(*pairs, strict=True)
        ]
        return np.array(rows, dtype=np.float64)

    def flips_along(self, segments: tuple[Segment, ...]) -> float:
        """Flips of both partial sums in a mean step."""
        steps = []
        for segment, found in zip(segments, self.by_segment, strict=True):
            order = segment.order
            steps.append((found["before"] + found["after"])[order[:-1], order[1:]])
        return float(np.concatenate(steps).mean())


def some_pixels(operands: Sequence[LayerOperands], generator: np.random.Generator) -> LayerOperands:
    """Activations of some output pixels of every input."""
    taken = [
        one.activations[:, np.sort(generator.permutation(one.activations.shape[1])[:_WINDOWS])] for one in operands
    ]
    return replace(operands[0], activations=np.concatenate(taken, axis=1))


def random_pairs(known: LayerDistances, pairs: int, generator: np.random.Generator) -> Pairs:
    """Two different channels in some segment each."""
    channels = known.operands.layer.n
    first = generator.integers(channels, size=pairs)
    second = (first + generator.integers(1, channels, size=pairs)) % channels
    return generator.integers(len(known.segments), size=pairs), np.column_stack((first, second))


def neighbours(segments: tuple[Segment, ...], pairs: int, generator: np.random.Generator) -> Pairs:
    """Channels that follow one another in orders."""
    numbers = generator.integers(len(segments), size=pairs)
    places = generator.integers(len(segments[0].order) - 1, size=pairs)
    found = [segments[number].order[place : place + 2] for number, place in zip(numbers, places, strict=True)]
    return numbers, np.array(found)


def pair_energies(
    unit: ArithmeticUnit,
    coefficients: Matrix,
    known: LayerDistances,
    chosen: Pairs,
    pixels: NDArray[np.int64],
    *,
    still: bool = False,
) -> NDArray[np.float64]:
    """Energy of the steps between pairs of channels, in fJ, averaged over both directions and some pixels.

    Parameters
    ----------
    unit : ArithmeticUnit
        The unit.
    coefficients : ndarray of float64, shape (1, nets)
        Energy of a toggle of each net, in fJ.
    known : LayerDistances
        Operands and sums.
    chosen : tuple
        The pairs.
    pixels : ndarray of int64, shape (64,)
        Output pixels.
    still : bool
        Whether the incoming partial sum is that of the first channel all the time.

    Returns
    -------
    ndarray of float64, shape (pairs,)
        Glitches included.
    """
    operands, datapath = known.operands, unit.datapath
    settling = settling_cycles(datapath)
    turns = np.arange(settling + _STEPS) % 2
    content: dict[str, list[NDArray[np.unsignedinteger]]] = {"weights": [], "activations": []}
    sums = []
    for number, pair in zip(*chosen, strict=True):
        segment = known.segments[number]
        words = np.zeros((2, _WINDOWS, 2, datapath.lanes), dtype=np.uint8)
        words[0, ..., : len(segment.lanes)] = operands.weights[np.ix_(pair, segment.lanes)]
        held = operands.activations[operands.groups_of(pair)][:, pixels][..., segment.lanes]
        words[1, ..., : len(segment.lanes)] = held.swapaxes(0, 1)
        for name, part in zip(content, words[:, :, turns], strict=True):
            content[name].append(part.reshape(-1, datapath.lanes))
        incoming = known.sums[number][pixels][:, pair[[0, 0]] if still else pair]
        sums.append(incoming[:, turns].reshape(-1, 1))
    joined = {name: np.concatenate(parts) for name, parts in content.items()}
    units = len(sums) * _WINDOWS
    sequences = unit_sequences(datapath, joined, np.concatenate(sums), units, len(turns))
    first, counted = np.full(_WINDOWS, settling), np.full(_WINDOWS, _STEPS)
    groups = [Windows(np.arange(begin, begin + _WINDOWS), first, counted) for begin in range(0, units, _WINDOWS)]
    found = simulate_groups(unit.circuit, sequences, "inertial", groups, coefficients)
    return np.asarray(found.sum(axis=1) / (_WINDOWS * _STEPS))


def held_out_r2(distances: Matrix, energies_fj: NDArray[np.float64]) -> float:
    """How much of the energy of every third pair prices explain that are fitted to the others."""
    judged = np.arange(len(distances)) % 3 == 0
    prices = fitted_prices(distances[~judged], energies_fj[~judged])
    missed = energies_fj[judged] - prices[0] - distances[judged] @ prices[1:]
    return 1 - float((missed**2).mean() / energies_fj[judged].var())


@dataclass(frozen=True, eq=False)
class Bench:
    """A machine, its unit and what a user chooses."""

    array: Accelerator
    unit: ArithmeticUnit
    steps_fj: Matrix
    share: float
    pairs: int
    seed: int

    def row(self, layer: Layer, rows: Sequence[NDArray[np.integer]]) -> Row:
        """Figures of a layer; activations of the inputs for distances, and behind them of the one for energies."""
        generator = np.random.default_rng(self.seed)
        operands = [layer_operands(layer, one, self.array, self.unit.datapath) for one in rows]
        segments = dataflow_of(self.array).segments(layer, self.array)
        known = LayerDistances.of(some_pixels(operands[:-1], generator), segments, self.steps_fj)
        work = dataflow_of(self.array).unit_work(layer, segments, self.array)
        model = self.unit.shared_model(work.weight_copies, work.activation_copies)
        coefficients = (model.switching_fj + model.internal_fj)[None]
        pixels = generator.choice(known.sums[0].shape[0], _WINDOWS)
        pairs = random_pairs(known, self.pairs, generator)
        energies_fj = pair_energies(self.unit, coefficients, known, pairs, pixels)
        natural, half_width = self.energy_pj(operands[-1], segments)
        found: Row = {"natural_data_pj": natural, "natural_ci95_pj": half_width, "pair_fj": float(energies_fj.mean())}
        found |= {"natural_sum_flips": known.flips_along(segments)}
        found |= {"least_sum_flips": known.paths(("before", "after"), (1.0, 1.0))[1]}
        for label, chosen in ORDERS.items():
            columns = known.of_pairs(chosen, pairs)
            prices = fitted_prices(columns, energies_fj)
            orders, _ = known.paths(chosen, [float(price) for price in prices[1:]])
            found |= {f"{label}_data_pj": self.energy_pj(operands[-1], orders)[0]}
            found |= {f"{label}_sum_flips": known.flips_along(orders)}
            found |= {f"{label}_r2": held_out_r2(columns, energies_fj)}
            found |= {f"{label}_{name}_price_fj": float(price) for name, price in zip(chosen, prices[1:], strict=True)}
            if label == "energy":
                along = neighbours(orders, self.pairs, generator)
                for still in (False, True):
                    spent = pair_energies(self.unit, coefficients, known, along, pixels, still=still)
                    found["step_fj_with_sums_still" if still else "step_fj"] = float(spent.mean())
        return found

    def energy_pj(self, operands: LayerOperands, segments: tuple[Segment, ...]) -> tuple[float, float]:
        """Data energy, glitches included, and half of its 95 % confidence interval."""
        counted = count_layer(
            self.unit, operands, segments, self.array, "inertial", share=self.share, seed=(self.seed,), jobs=2
        )
        data = counted.data(dataflow_of(self.array).unit_work(operands.layer, segments, self.array))
        return float(data.parts_fj.sum()) / 1e3, data.half_width_fj / 1e3


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", default=[], help="beginning of a network's name; all without it")
    parser.add_argument("--share", type=float, default=0.03, help="share of the cycles that is simulated")
    parser.add_argument("--pairs", type=int, default=256, help="pairs of channels that prices are fitted to")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of public models and images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="make only the rows that the file of --json lacks")
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = kept_rows(arguments.json) if arguments.resume else {}
    array, options = load_accelerator("edge4"), EnergyOptions(jobs=2)
    with ExitStack() as stack:
        pair = stack.enter_context(bundled_pair())
        shared = arguments.shared
        sources = {BUNDLED: (pair.baseline, pair.samples)}
        sources |= {PUBLIC: (shared / "models" / "mobilenet_v2_1.0_224_quant.tflite", shared / "images")}
        for name, (model, inputs) in sources.items():
            if arguments.network and not any(name.startswith(begin) for begin in arguments.network):
                continue
            network = load(model)
            layers, _ = simulated_layers(network)
            samples, _ = read_samples(network, inputs)
            if samples is None:
                raise AssertionError(f"{name} has sample inputs")
            unit = network_unit(layers, array, load_cells("nangate45"), options)
            steps_fj = step_energies(network, array, options=options).steps_fj
            bench = Bench(array, unit, steps_fj, arguments.share, arguments.pairs, arguments.seed)
            used = replace(samples, feeds=tuple(samples.feeds[number] for number in (*CALIBRATION, TEST)))
            chosen = [layers[number] for number in LAYERS[name]]
            activations: dict[str, list[NDArray[np.integer]]] = {layer.name: [] for layer in chosen}
            for tensors in run_samples(network, used):
                for layer in chosen:
                    activations[layer.name].append(lowered_rows(layer, tensors))
            for layer in chosen:
                row = f"{name}: {_kind(layer)}"
                if row not in rows:
                    rows[row] = bench.row(layer, activations[layer.name])
                    print(f"{row}: {' | '.join(_cells(rows[row]))}", file=sys.stderr, flush=True)
                    write_record(arguments.json, "partial_sums", rows, seed=arguments.seed)
    table = Table("layer", "natural", "energy", "and sums", "activity", "and sums", "sum flips", "r2")
    for label, found in rows.items():
        table.add_row(label, *_cells(found))
    Console(width=160).print(table)


def _kind(layer: Layer) -> str:
    shape = f"{layer.n} x {layer.k}, {layer.m} pixels"
    return f"depthwise, {shape}" if layer.is_depthwise else shape


def _cells(row: Row) -> list[str]:
    energies = [f"{float(row[f'{label}_data_pj'] or 0) / 1e6:.4f} uJ" for label in ("natural", *ORDERS)]
    flips = [f"{float(row[f'{label}_sum_flips'] or 0):.2f}" for label in ("natural", "energy", "sums", "least")]
    return [*energies, " ".join(flips), " ".join(f"{float(row[f'{label}_r2'] or 0):.2f}" for label in ORDERS)]


if __name__ == "__main__":
    main()
