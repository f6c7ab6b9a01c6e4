"""What the freedom of scales is worth: `python -m benchmarks.scale_freedom [--network NAME] [--budget DB ...]`.

Weights. A channel whose codes have a common divisor could have smaller ones and a larger scale, exactly; one whose
codes leave their highest bits to the sign could have larger ones. Counted are output channels with an even divisor,
those with a free bit, and input channels with a free bit in all outputs; and the share of the weight flips, in
natural order, that doubling all of the latter as often as they have room would save: in two's complement those of the
copies of the sign (two codes that are both doubled flip as often, but for one copy of the sign).

Activations. Bits that are 1 in the activations of all multiplications of one inference, now; with the best zero point
of the present steps; with the best range of steps up to twice and up to eight times as large; and after the step
`rescale` within a budget. Networks without sample inputs of their own get random ones, and no budget.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.levers import BUNDLED, PUBLIC
from benchmarks.record import Row, add_json_option, write_record
from fewflips import optimize
from fewflips.bundled import bundled_pair
from fewflips.dataflows import dataflow_of
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples, load_samples, random_feeds
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import Network, load
from fewflips.network.layer import Layer
from fewflips.network.load import rescalable
from fewflips.network.lowering import Convolution2D
from fewflips.optimization.rescaling.tensors import FACTORS, candidates, seen_tensors

TWICE = 2.0


def free_bits(codes: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """How often each column of codes can be doubled in symmetric two's complement."""
    largest = np.maximum(np.abs(codes).max(axis=0), 1)
    return np.floor(np.log2((2 ** (bits - 1) - 1) / largest)).clip(0).astype(np.int64)


def of_weights(network: Network, array: Accelerator) -> Row:
    """Channels with a divisor or a free bit, and the flips of copies of the sign."""
    channels = even = rows = columns = all_columns = 0
    copies = flips = 0
    for layer in network.layers:
        codes = layer.weights.astype(np.int64) - layer.weight_zero_points[:, None]
        divisors, bits = np.gcd.reduce(codes, axis=1), layer.weight_type.bits
        channels += layer.n
        even += int(((divisors > 0) & (divisors % 2 == 0)).sum())
        rows += int((free_bits(codes.T, bits) > 0).sum())
        repeats = dataflow_of(array).weight_repeats(layer, array)
        changed = codes[1:] ^ codes[:-1]
        flips += repeats * int(np.bitwise_count((changed & (2**bits - 1)).astype(np.uint64)).sum())
        if layer.groups == 1:
            free = _per_channel(layer, free_bits(codes, bits))
            all_columns += layer.k
            columns += int((free > 0).sum())
            copies += repeats * int(((changed < 0).sum(axis=0) * free).sum())
    return {
        "even_channels_percent": 100 * even / channels,
        "channels_with_room_percent": 100 * rows / channels,
        "inputs_with_room_percent": 100 * columns / max(all_columns, 1),
        "sign_copies_percent": 100 * copies / flips,
    }


def _per_channel(layer: Layer, free: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least of all kernel positions of an input channel; they share its scale."""
    channels = layer.k // layer.lowering.kernel_positions
    last = isinstance(layer.lowering, Convolution2D) and layer.lowering.layout == "NHWC"
    shape = (-1, channels) if last else (channels, -1)
    least = free.reshape(shape).min(axis=0 if last else 1, keepdims=True)
    spread: NDArray[np.int64] = np.broadcast_to(least, free.reshape(shape).shape).reshape(-1)
    return spread


def bits_set(network: Network, samples: Samples, array: Accelerator, factors: Sequence[float]) -> float:
    """Bits that are 1 in the activations of one inference, each with its best range."""
    seen = seen_tensors(network, rescalable(network), samples)
    return sum(candidates(one, array.activations, factors)[-1].ones for one in seen)


def of_activations(
    network: Network, samples: Samples, inputs: Path | None, array: Accelerator, budgets: Sequence[float]
) -> Row:
    """Bits that are 1, less and less of them."""
    now = bits_set(network, samples, array, ())
    if not now:
        return {}
    row: Row = {"millions_of_ones": now / 1e6}
    for name, most in {"zero_points": 1.0, "twice": TWICE, "eight_times": FACTORS[-1]}.items():
        least = bits_set(network, samples, array, [factor for factor in FACTORS if factor <= most])
        row[f"{name}_fewer_percent"] = 100 * (1 - least / now)
    for decibels in budgets if inputs is not None else ():
        result = optimize(network, array, steps=["rescale"], inputs=inputs, error_budget=f"sqnr:{decibels:g}dB")
        after = bits_set(result.run.stages[-1].state.network, samples, array, ())
        row[f"{decibels:g}_db_fewer_percent"] = 100 * (1 - after / now)
    return row


def networks(shared: Path) -> Iterator[tuple[str, Path, Path | None]]:
    """Name, file and sample inputs of every network that is there."""
    with bundled_pair() as pair:
        yield BUNDLED, pair.baseline, pair.samples
        yield f"{BUNDLED}, trained for few flips", pair.hd_trained, pair.samples
    for name, file in PUBLIC.items():
        if (path := shared / "models" / file).is_file():
            yield name, path, shared / "images" if name.startswith("MobileNetV2") else None


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", default=[], help="beginning of a network's name; all without it")
    parser.add_argument("--machine", default="edge16")
    parser.add_argument("--budget", type=float, action="append", default=[], help="dB within which to rescale")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of public models and images")
    add_json_option(parser)
    arguments = parser.parse_args()
    array = load_accelerator(arguments.machine)
    rows: dict[str, Row] = {}
    for name, path, inputs in networks(arguments.shared):
        if arguments.network and not any(name.startswith(start) for start in arguments.network):
            continue
        network = load(path)
        with Runtime(network) as runtime:
            if inputs is None:
                samples = Samples(random_feeds(runtime.inputs, 4, seed=0), "random", "")
            else:
                samples = load_samples(inputs, runtime.inputs)
        rows[name] = of_weights(network, array)
        rows[name] |= of_activations(network, samples, inputs, array, arguments.budget)
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    table = Table("network", *columns)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.3g}" if key in row else "" for key in columns))
    Console(width=220).print(table)
    write_record(arguments.json, "scale_freedom", rows, seed=0)


if __name__ == "__main__":
    main()
