"""What sign flags win and cost: `python -m benchmarks.signs [--share SHARE] [--every N] [MODEL...]`.

Protocol: the bundled baseline, and models that are given, on the lanes and columns of `edge16` and `edge4` with weights
in two's complement and in sign and magnitude; every N-th layer, one sample input, a share of the cycles drawn alike for
all orders, glitches included. Orders are those of the steps `schedule` and `signs`, at the default effort. Natural and
scheduled orders run on columns without sign flags, those with signs on columns that have them: their register, the
toggles of the flag and its bits in the weight buffer are counted. Flips are those of weights in one inference, flags
included.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.bundled import bundled_pair
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.execution.samples import Samples
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.measurement.counting import count_weights
from fewflips.network import Network, load
from fewflips.optimization.segment_orders import plan_schedule
from fewflips.optimization.signed_orders import plan_signs
from fewflips.ordering import Effort
from fewflips.simulation.records import total_energy
from fewflips.simulation.run import EnergyOptions, NetworkRun, simulate_network
from fewflips.simulation.setup import samples_or_random, simulated_layers
from fewflips.simulation.time_limit import Shares
from fewflips.simulation.unit import build_unit

MACHINES = ("edge16", "edge4")
WORDS = ("twos-complement", "sign-magnitude")
UNITS = {"plain": {}, "tree_register, offset_sums": {"tree_register": True, "offset_sums": True}}


class Case(NamedTuple):
    """Every N-th layer of a network, and a sample input."""

    name: str
    network: Network
    samples: Samples


def cases(models: list[Path], inputs: Path | None, every: int) -> Iterator[Case]:
    """The bundled baseline, then the given models."""
    with bundled_pair() as pair:
        for name, path, source in (
            ("bundled baseline", pair.baseline, pair.samples),
            *((path.stem, path, inputs) for path in models),
        ):
            network = load(path)
            found, _ = samples_or_random(network, source, 0)
            layers = simulated_layers(network)[0][::every]
            yield Case(name, replace(network, layers=tuple(layers)), replace(found, feeds=found.feeds[:1]))


def weight_flips(case: Case, machine: Accelerator, orders: LayerOrders) -> float:
    """In millions, of one inference."""
    return sum(count_weights(layer, machine, orders[layer.name]).total for layer in case.network.layers) / 1e6


def simulated(
    case: Case, machine: Accelerator, variants: dict[str, LayerOrders], cells: CellLibrary, share: float
) -> dict[str, Row]:
    """Figures of a machine's units for each of some orders."""
    unit = build_unit(network_datapath(case.network.layers, machine), cells)
    run = NetworkRun(case.network, machine, case.network.layers, case.samples)
    energies = simulate_network(
        run, unit, list(variants.values()), EnergyOptions(jobs=1), shares=Shares(share, share)
    ).layers
    rows: dict[str, Row] = {}
    for (name, orders), found in zip(variants.items(), energies, strict=True):
        total = total_energy(found)
        assert total.bill is not None
        assert total.bill.buffers is not None
        rows[name] = {
            "weight_mflips": weight_flips(case, machine, orders),
            "data_uj": total.inertial.data_pj / 1e6,
            "total_uj": total.inertial.total_pj / 1e6,
            "ci95_percent": total.ci95_percent,
            "weight_buffer_uj": total.bill.buffers.weights_pj / 1e6,
            "area_um2": unit.area_um2,
        }
    return rows


def compared(case: Case, machine: str, words: str, cells: CellLibrary, share: float) -> Iterator[tuple[str, Row]]:
    """Natural order, schedule, and schedule with signs, on each unit."""
    given = load_accelerator(machine).model_copy(update={"weights": Operand.model_validate({"format": words})})
    options = {"effort": Effort.default(), "seed": 0, "jobs": 1}
    scheduled = plan_schedule(case.network, given, **options).orders
    with_flags = given.model_copy(update={"datapath": DatapathOptions(sign_flags=True)})
    signed = plan_signs(case.network, with_flags, scheduled, **options)
    bound = sum(
        certificate.lower_bound * count_weights(layer, given, scheduled[layer.name]).repeats
        for layer, certificate in zip(case.network.layers, signed.certificates.values(), strict=True)
    )
    within = sum(
        count.within * count.repeats
        for layer in case.network.layers
        for count in (count_weights(layer, with_flags, signed.orders[layer.name]),)
    )
    natural = natural_orders(case.network, given)
    for name, datapath in UNITS.items():
        plain = given.model_copy(update={"datapath": DatapathOptions.model_validate(datapath)})
        flagged = given.model_copy(
            update={"datapath": DatapathOptions.model_validate({**datapath, "sign_flags": True})}
        )
        rows = simulated(case, plain, {"natural": natural, "schedule": scheduled}, cells, share)
        rows |= simulated(case, flagged, {"signs": signed.orders}, cells, share)
        rows["signs"]["above_bound_percent"] = 100 * (within / bound - 1)
        for order, row in rows.items():
            yield f"{case.name}, {machine}, {words}, {order}, {name}", row


def main() -> None:
    """Simulate all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL")
    parser.add_argument("--inputs", type=Path, help="sample inputs of the models")
    parser.add_argument("--share", type=float, default=2.0**-9, help="share of the cycles")
    parser.add_argument("--every", type=int, default=1, help="take every N-th layer")
    add_json_option(parser)
    arguments = parser.parse_args()
    cells, rows = load_cells("nangate45"), {}
    for case in cases(arguments.models, arguments.inputs, arguments.every):
        for machine in MACHINES:
            for words in WORDS:
                for name, row in compared(case, machine, words, cells, arguments.share):
                    rows[name] = row
                    print(name, row, flush=True)
    table = Table("network, machine, weights, orders, unit", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4g}" for value in row.values()))
    Console(width=180).print(table)
    write_record(arguments.json, "signs", rows, seed=0)


if __name__ == "__main__":
    main()
