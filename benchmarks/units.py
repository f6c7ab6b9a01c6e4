"""What each choice of a column's unit costs and wins: `python -m benchmarks.units [--cells CELLS] [--share SHARE]`.

Protocol: the bundled pair on `edge4` with the options of `UNITS` under `datapath:`, one of the bundled sample inputs;
the baseline in natural and in scheduled order, the HD-trained network in scheduled order, orders as `fewflips optimize`
finds them. A sample of the cycles is simulated with the cells' delays; its confidence intervals stand in the record.
Last come trials that the package does not have (`scripts/unit_trials.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from statistics import fmean

from rich.console import Console
from rich.table import Table
from scripts.unit_trials import TRIALS

from benchmarks.record import Row, add_json_option, write_record
from fewflips.api.optimize import optimize
from fewflips.bundled import bundled_pair
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.execution.activations import read_samples
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.synthesis import netlist_area_um2
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.accelerator import DatapathOptions
from fewflips.network import load
from fewflips.records.energy import LayerEnergy
from fewflips.schedule.file import schedule_orders
from fewflips.simulation.records import total_energy
from fewflips.simulation.run import EnergyOptions, NetworkRun, simulate_network
from fewflips.simulation.setup import simulated_layers
from fewflips.simulation.time_limit import Shares
from fewflips.simulation.unit import build_unit

MACHINE = "edge4"
BEHIND_THE_TREE = DatapathOptions(tree_register=True, offset_sums=True)
UNITS: dict[str, DatapathOptions] = {
    "plain": DatapathOptions(),
    "adder: one-sum": DatapathOptions(adder="one-sum"),
    "multiplier: booth": DatapathOptions(multiplier="booth"),
    "product_registers": DatapathOptions(product_registers=True),
    "tree_register": DatapathOptions(tree_register=True),
    "offset_sums": DatapathOptions(offset_sums=True),
    "tree_register, offset_sums": BEHIND_THE_TREE,
    "zero_gating": DatapathOptions(zero_gating=True),
    "tree_register, offset_sums, zero_gating": BEHIND_THE_TREE.model_copy(update={"zero_gating": True}),
    "adder: bit-planes": DatapathOptions(adder="bit-planes"),
    "adder: bit-planes, tree_register": DatapathOptions(adder="bit-planes", tree_register=True),
    "adder: bit-planes, offset_sums": DatapathOptions(adder="bit-planes", offset_sums=True),
    "adder: bit-planes, tree_register, offset_sums": BEHIND_THE_TREE.model_copy(update={"adder": "bit-planes"}),
}


@dataclass(frozen=True, eq=False)
class Study:
    """One network of the pair in the orders to compare, on one input."""

    run: NetworkRun
    orders: tuple[LayerOrders, ...]
    names: tuple[str, ...]


def studies(array: Accelerator) -> list[Study]:
    """The baseline in natural and scheduled order, the HD-trained network in scheduled order."""
    found = []
    with bundled_pair() as pair:
        for path, names in (
            (pair.baseline, ("baseline natural", "baseline scheduled")),
            (pair.hd_trained, ("HD-trained scheduled",)),
        ):
            network = load(path)
            samples, _ = read_samples(network, pair.samples)
            schedule = optimize(network, array, jobs=1).schedule
            assert samples is not None
            assert schedule is not None
            orders = (natural_orders(network, array), schedule_orders(schedule, network))
            run = NetworkRun(network, array, simulated_layers(network)[0], replace(samples, feeds=samples.feeds[:1]))
            found.append(Study(run, orders[-len(names) :], names))
    return found


def simulated(
    pair: Sequence[Study], options: DatapathOptions, cells: CellLibrary, share: float
) -> tuple[Row, dict[str, tuple[LayerEnergy, ...]]]:
    """Figures of one unit, and the energy of each layer of each network and order."""
    array = pair[0].run.array.model_copy(update={"datapath": options})
    datapath = network_datapath([layer for study in pair for layer in study.run.layers], array)
    unit = build_unit(datapath, cells)
    row: Row = {"area_um2": netlist_area_um2(unit.netlist, cells), "critical_path_ps": unit.timing.critical_path_ps}
    layers = {}
    for study in pair:
        run = replace(study.run, array=array)
        energies = simulate_network(run, unit, study.orders, EnergyOptions(jobs=1), shares=Shares(share, share))
        for name, found in zip(study.names, energies.layers, strict=True):
            total = total_energy(found)
            row |= {f"{name} data_pj": total.inertial.data_pj, f"{name} total_pj": total.inertial.total_pj}
            row |= {f"{name} ci95_percent": total.ci95_percent}
            layers[name] = found
    return row, layers


def against_plain(plain: Sequence[LayerEnergy], layers: Sequence[LayerEnergy]) -> Row:
    """How many times less data energy the HD-trained network takes than the baseline in the plain column."""
    ratios = [before.inertial.data_pj / after.inertial.data_pj for before, after in zip(plain, layers, strict=True)]
    network = total_energy(plain).inertial.data_pj / total_energy(layers).inertial.data_pj
    return {"network_ratio": network, "mean_layer_ratio": fmean(ratios), "best_layer_ratio": max(ratios)}


def main() -> None:
    """Simulate the pair on each unit, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", default="nangate45", help="built-in table or Liberty file")
    parser.add_argument("--share", type=float, default=1 / 128, help="of the cycles of long layers")
    add_json_option(parser)
    arguments = parser.parse_args()
    cells, pair = load_cells(arguments.cells), studies(load_accelerator(MACHINE))
    rows: dict[str, Row] = {}
    plain: Sequence[LayerEnergy] = ()
    units = [(name, options, nullcontext()) for name, options in UNITS.items()]
    trials = [(f"trial: {trial.name}", trial.options, trial.in_place()) for trial in TRIALS]
    for name, options, trial in [*units, *trials]:
        with trial:
            row, layers = simulated(pair, options, cells, arguments.share)
        plain = plain or layers["baseline natural"]
        rows[name] = row | against_plain(plain, layers["HD-trained scheduled"])
        Console(stderr=True).print(name)
    table = Table("unit", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4g}" for value in row.values()))
    Console(width=400).print(table)
    write_record(arguments.json, "units", rows, seed=0)


if __name__ == "__main__":
    main()
