"""Orders chosen by energy against orders chosen by flips: `python -m benchmarks.energy_orders [--share SHARE]`.

Protocol: the bundled pair, on `edge4` and `edge16`, weights as stored and as sign and magnitude, and the public
MobileNetV2 as stored (less their zero points its weights take 8 bits in some layers and 9 in others); every fourth
layer (`--stride 1` for all). Schedules (`fewflips optimize --mode schedule`) by flips, by the cost of each bit and by
that of each step, both measured in the machine's unit (`--cost energy`). One sample input; a share of the cycles drawn
alike for all orders (short layers completely), glitches included, built-in Nangate45 figures.
Energies are those of data in the units; the gap is that of the cost above its lower bound.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.bundled import bundled_pair
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.estimation.transitions.machine import step_energies
from fewflips.estimation.transitions.step_energies import StepEnergies
from fewflips.execution.samples import Samples
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.accelerator import Operand
from fewflips.network import Network, load
from fewflips.optimization.segment_orders import plan_schedule
from fewflips.optimization.weight_costs import network_costs
from fewflips.ordering import Effort
from fewflips.simulation.records import total_energy
from fewflips.simulation.run import EnergyOptions, NetworkRun, simulate_network
from fewflips.simulation.setup import network_unit, samples_or_random, simulated_layers
from fewflips.simulation.time_limit import Shares

FORMATS = ("as-stored", "sign-magnitude")
SIZES = (4, 16)
NETWORKS = ("bundled baseline", "bundled, HD-trained", "public MobileNetV2")
MODEL = Path("../shared/models/mobilenet_v2_1.0_224_quant.tflite")
IMAGE = Path("../shared/images/bird.png")


class Case(NamedTuple):
    """A network with one sample input."""

    name: str
    network: Network
    samples: Samples


def cases(model: Path, image: Path) -> Iterator[Case]:
    """The bundled pair, and a network from a file if it is there."""
    with bundled_pair() as pair:
        yield sampled(NETWORKS[0], pair.baseline, pair.samples)
        yield sampled(NETWORKS[1], pair.hd_trained, pair.samples)
    if model.exists():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / image.name).symlink_to(image.resolve())
            yield sampled(NETWORKS[2], model, Path(folder))


def sampled(name: str, path: Path, inputs: Path) -> Case:
    """A network with the first of some inputs."""
    network = load(path)
    found, _ = samples_or_random(network, inputs, 0)
    return Case(name, network, Samples(found.feeds[:1], found.source, found.note))


def schedules(network: Network, machine: Accelerator, measured: StepEnergies) -> tuple[Mapping[str, LayerOrders], Row]:
    """Orders by name, and how far those by energy are above their bound."""
    costs = {"flips": None, "bits": measured.bit_cost().cost, "steps": measured.cost().cost}
    orders: dict[str, LayerOrders] = {"stored": natural_orders(network, machine)}
    for name, cost in costs.items():
        plan = plan_schedule(network, machine, effort=Effort.default(), seed=0, jobs=-1, cost=cost)
        orders[name] = plan.orders
        if name == "steps" and cost is not None:
            spent = sum(network_costs(network, machine, plan.orders, cost).values())
            bound = sum(certificate.lower_bound for certificate in plan.certificates.values())
    return orders, {"held_out_r2": measured.held_out_r2, "gap_percent": 100 * (spent / bound - 1)}


def measured_row(case: Case, machine: Accelerator, share: float, stride: int) -> Row:
    """Energies of all orders on one machine; the unit and its costs are those of the whole network."""
    layers, _ = simulated_layers(case.network)
    options = EnergyOptions(share=share)
    unit = network_unit(layers, machine, load_cells("nangate45"), options)
    chosen = replace(case.network, layers=tuple(layers[::stride]))
    orders, row = schedules(chosen, machine, step_energies(case.network, machine))
    run = NetworkRun(case.network, machine, chosen.layers, case.samples)
    found = simulate_network(run, unit, list(orders.values()), options, shares=Shares(share, share))
    totals = {name: total_energy(of_layers) for name, of_layers in zip(orders, found.layers, strict=True)}
    row |= {f"{name}_uj": total.inertial.data_pj / 1e6 for name, total in totals.items()}
    row |= {f"{name}_settled_uj": total.zero_delay.data_pj / 1e6 for name, total in totals.items()}
    row["ci95_percent"] = max(total.ci95_percent for total in totals.values())
    for name in ("bits", "steps"):
        row[f"{name}_gain_percent"] = 100 * (totals["flips"].inertial.data_pj / totals[name].inertial.data_pj - 1)
    row["steps_ratio"] = totals["stored"].inertial.data_pj / totals["steps"].inertial.data_pj
    row["flips_ratio"] = totals["stored"].inertial.data_pj / totals["flips"].inertial.data_pj
    return row


def main() -> None:
    """Order, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--image", type=Path, default=IMAGE)
    parser.add_argument("--share", type=float, default=2.0**-8, help="share of the cycles")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="lanes and columns")
    parser.add_argument("--stride", type=int, default=4, help="take every so many layers")
    parser.add_argument("--networks", nargs="*", default=NETWORKS, help="names, or how they begin")
    parser.add_argument("--formats", nargs="*", default=FORMATS, help="number formats of weights")
    add_json_option(parser)
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    table = Table("network, machine, weights", "stored", "by flips", "by bits", "by steps", "bits", "steps")
    for case in cases(arguments.model, arguments.image):
        if not case.name.startswith(tuple(arguments.networks)):
            continue
        for size in arguments.sizes:
            for number_format in arguments.formats if case.name != NETWORKS[2] else FORMATS[:1]:
                weights = Operand.model_validate({"format": number_format})
                machine = load_accelerator(f"edge{size}").model_copy(update={"weights": weights})
                name = f"{case.name}, edge{size}, {number_format}"
                rows[name] = row = measured_row(case, machine, arguments.share, arguments.stride)
                print(name, row, flush=True)
                write_record(arguments.json, "energy_orders", rows, seed=0)
                energies = [f"{row[f'{order}_uj']:.4g} uJ" for order in ("stored", "flips", "bits", "steps")]
                table.add_row(name, *energies, *(f"{row[f'{cost}_gain_percent']:.1f} %" for cost in ("bits", "steps")))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
