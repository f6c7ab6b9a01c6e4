"""What operands meet on their way into the unit: `python -m benchmarks.gating [--share SHARE]`.

Protocol: the bundled pair on 4 x 4 and 16 x 16 columns; the baseline in natural and in scheduled order, the HD-trained
network in scheduled order, each order made for the words of its machine (``fewflips optimize``, effort 1). One bundled
sample; a share of the cycles drawn alike for all units, glitches included. Hold flags: words that repeat on their lane,
bits read from the weight buffer with flags and without, and the conditional entropy of a flag given the one before,
below which no code of flags one after the other gets.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.api.optimize import optimize
from fewflips.bundled import bundled_pair
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.hold_flags import hold_flags
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.execution.samples import Samples
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.network import Network, load
from fewflips.simulation.records import total_energy
from fewflips.simulation.run import EnergyOptions, NetworkRun, simulate_network
from fewflips.simulation.setup import network_unit, samples_or_random, simulated_layers
from fewflips.simulation.time_limit import Shares
from fewflips.streams.coded import count_port
from fewflips.streams.codes import weight_codes

MAGNITUDE = Operand.model_validate({"format": "sign-magnitude"})
INVERT = Operand(coding="bus-invert")
VARIANTS: dict[str, dict[str, Operand | DatapathOptions]] = {
    "plain": {},
    "hold flags": {"datapath": DatapathOptions(hold_flags=True)},
    "bus-invert weights": {"weights": INVERT},
    "bus-invert activations": {"activations": INVERT},
    "sign-magnitude weights": {"weights": MAGNITUDE},
    "sign-magnitude, converters": {
        "weights": MAGNITUDE,
        "activations": MAGNITUDE,
        "datapath": DatapathOptions(activation_converter=True),
    },
}
SIZES = (4, 16)


class Case(NamedTuple):
    """A network in one kind of order."""

    name: str
    network: Network
    samples: Samples
    scheduled: bool


def cases() -> Iterator[Case]:
    """The pair, with one sample."""
    with bundled_pair() as pair:
        for name, path, orders in (
            ("baseline", pair.baseline, (False, True)),
            ("HD-trained", pair.hd_trained, (True,)),
        ):
            network = load(path)
            found, _ = samples_or_random(network, pair.samples, 0)
            samples = Samples(found.feeds[:1], found.source, found.note)
            yield from (
                Case(f"{name}, {'scheduled' if scheduled else 'natural'}", network, samples, scheduled)
                for scheduled in orders
            )


def orders_of(case: Case, machine: Accelerator) -> LayerOrders:
    """Natural orders, or those that are optimized for the machine's words."""
    if not case.scheduled:
        return natural_orders(case.network, machine)
    run = optimize(case.network, machine.uncoded, mode="schedule", seed=0).run
    assert run.scheduled is not None
    return run.scheduled.state.orders


def simulated(case: Case, machine: Accelerator, orders: LayerOrders, share: float) -> Row:
    """Energy, area and critical path of the units."""
    layers, _ = simulated_layers(case.network)
    options = EnergyOptions(share=share, jobs=1)
    unit = network_unit(layers, machine, load_cells("nangate45"), options)
    run = NetworkRun(case.network, machine, layers, case.samples)
    found = simulate_network(run, unit, [orders], options, shares=Shares(share, share))
    total = total_energy(found.layers[0])
    return {
        "data_uj": total.inertial.data_pj / 1e6,
        "ci95_percent": total.ci95_percent,
        "clock_uj": total.inertial.clock_pj / 1e6,
        "total_uj": total.inertial.total_pj / 1e6,
        "area_um2": unit.area_um2,
        "critical_path_ns": unit.timing.critical_path_ps / 1000,
    }


def fetched(case: Case, machine: Accelerator, orders: LayerOrders) -> Row:
    """Bits read from the weight buffer with hold flags, and flips of the weights' wires, plain and bus-invert."""
    flow, words, flags, loads, bits = dataflow_of(machine), 0, 0, 0, 0
    pairs = np.zeros((2, 2))
    plain, inverted = 0, 0
    for layer in case.network.layers:
        codes, width = weight_codes(layer, machine.weights)
        stream = flow.weight_stream(layer, codes, width, orders[layer.name], machine)
        found = hold_flags(stream)
        flags, loads, words = flags + found.flags, loads + found.fetched, words + stream.words.size * stream.repeats
        bits += width * found.fetched
        held = (stream.words[1:] == stream.words[:-1]).astype(int)
        np.add.at(pairs, (held[:-1], held[1:]), stream.repeats)
        plain += count_port(stream, Operand()).wires.total
        inverted += count_port(stream, INVERT).wires.total
    shares = pairs / pairs.sum()
    given = shares / shares.sum(axis=1, keepdims=True)
    entropy = -float((shares * np.log2(given, where=given > 0, out=np.zeros_like(given))).sum())
    return {
        "held_percent": 100 * (1 - loads / words),
        "plain_mbit": bits / max(loads, 1) * words / 1e6,
        "held_mbit": (bits + flags) / 1e6,
        "flag_entropy_bits": entropy,
        "plain_mflips": plain / 1e6,
        "bus_invert_mflips": inverted / 1e6,
    }


def main() -> None:
    """Simulate all, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=2.0**-8, help="share of the cycles")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="lanes and columns")
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    for size in arguments.sizes:
        for case in cases():
            known: dict[str, LayerOrders] = {}
            for name, options in VARIANTS.items():
                machine = Accelerator.model_validate({"name": f"edge{size}", "lanes": size, "columns": size, **options})
                words = machine.weights.format.value
                if words not in known:
                    known[words] = orders_of(case, machine)
                rows[f"edge{size}, {case.name}, {name}"] = simulated(case, machine, known[words], arguments.share)
                print(f"edge{size}, {case.name}, {name}", rows[f"edge{size}, {case.name}, {name}"], flush=True)
            machine = Accelerator(name=f"edge{size}", lanes=size, columns=size)
            rows[f"edge{size}, {case.name}, fetches"] = fetched(case, machine, known["as-stored"])
            print(rows[f"edge{size}, {case.name}, fetches"], flush=True)
    for suffix in ("plain", "fetches"):
        chosen = {name: row for name, row in rows.items() if name.endswith("fetches") == (suffix == "fetches")}
        table = Table("machine, network, order", *next(iter(chosen.values())))
        for name, row in chosen.items():
            table.add_row(name, *(f"{value:.4g}" for value in row.values()))
        Console(width=160).print(table)
    write_record(arguments.json, "gating", rows)


if __name__ == "__main__":
    main()
