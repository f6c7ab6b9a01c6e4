"""What tiles of outputs cost in flips, and what they save in partial sums.

    python -m benchmarks.tiling [--machine edge16]

For the bundled baseline and the network that was trained with the HD term (for 4 lanes, without tiles), with tiles of
4, 8, ... output channels, and with none: flips of both ports in one inference, seams included, in natural order and
scheduled (with quick effort); and what the buffers of the built-in machine and the columns' register files take, in
scheduled order. Register files are simulated at gate level with the sums of the first sample input (built-in Nangate45
figures, 200 MHz); the buffers' figures are the built-in table's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.buffers import REGISTER_FILES, buffer_bill
from fewflips.bundled import bundled_pair
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.dataflows.unit_datapath import code_widths, network_datapath
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples, load_samples
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.buffers import Tiling
from fewflips.measurement.counting import count_network
from fewflips.network import Network, load
from fewflips.optimization.segment_orders import plan_schedule
from fewflips.ordering import Effort
from fewflips.records.bill import BufferBill
from fewflips.simulation.register_memories import build_register_memories

TILES = (4, 8, 16, 32, 64, None)
CLOCK_MHZ = 200.0


@dataclass(frozen=True)
class Memories:
    """What the memories of a machine spend on a network."""

    bills: Sequence[BufferBill]
    worst_ci95_percent: float
    file_area_um2: float

    def total(self, name: str) -> float:
        """One line of the bill, over all layers."""
        return sum(getattr(bill, name) for bill in self.bills)

    @property
    def whole_pj(self) -> float:
        """All lines."""
        lines = ("weights_pj", "activations_pj", "partial_sums_pj", "index_table_pj", "register_files_pj")
        beyond = sum(level.access_pj for bill in self.bills for level in bill.beyond)
        return sum(self.total(line) for line in lines) + beyond


def memories_of(network: Network, array: Accelerator, orders: LayerOrders, samples: Samples, seed: int) -> Memories:
    """Bills of the buffers and register files of every layer, on the first sample input."""
    datapath = network_datapath(network.layers, array)
    registers = build_register_memories(array, datapath, load_cells())
    tensors = next(run_samples(network, samples))
    bills, widest = [], 0.0
    for number, layer in enumerate(network.layers):
        segments = orders[layer.name]
        operands = layer_operands(layer, lowered_rows(layer, tensors), array, datapath)
        found = registers.of_layer(operands, segments, seed=(seed, number))
        accesses = dataflow_of(array).accesses(layer, segments, array, code_widths(layer, array, datapath))
        cycles = dataflow_of(array).unit_work(layer, segments, array).array_cycles
        figures = {label: memory.energy for label, memory in found.items()}
        bills.append(buffer_bill(layer, accesses, array, cycles, CLOCK_MHZ, figures)[0])
        widest = max([widest, *(memory.ci95_percent for memory in found.values())])
    area = registers.area_um2 / array.columns if REGISTER_FILES in registers.built else 0.0
    return Memories(bills, widest, area)


def tiled(machine: str, outputs: int | None) -> Accelerator:
    """The machine with tiles of so many output channels."""
    return load_accelerator(machine).model_copy(update={"tiling": Tiling(outputs=outputs)})


def row_of(network: Network, array: Accelerator, samples: Samples, seed: int) -> Row:
    """Figures of one network on one machine."""
    natural = natural_orders(network, array)
    scheduled = plan_schedule(network, array, effort=Effort.quick(), seed=seed, jobs=1).orders
    counts = count_network(network, array, [natural, scheduled], samples)
    weights = [sum(count.weights.total for count in of_layers.values()) for of_layers in counts]
    loads = [sum(c.activations.total for c in of_layers.values() if c.activations) for of_layers in counts]
    memories = memories_of(network, array, scheduled, samples, seed)
    return {
        "outputs": array.tiling.outputs,
        "natural_weight_flips": weights[0],
        "scheduled_weight_flips": weights[1],
        "scheduled_activation_flips": loads[1],
        "partial_sums_pj": memories.total("partial_sums_pj"),
        "register_files_pj": memories.total("register_files_pj"),
        "register_files_leakage_pj": memories.total("leakage_pj"),
        "activations_pj": memories.total("activations_pj"),
        "index_table_pj": memories.total("index_table_pj"),
        "memories_pj": memories.whole_pj,
        "file_area_um2": memories.file_area_um2,
        "worst_ci95_percent": memories.worst_ci95_percent,
    }


def main() -> None:
    """Schedule, count, simulate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machine", default="edge4")
    parser.add_argument("--seed", type=int, default=0)
    add_json_option(parser)
    args = parser.parse_args()
    rows: dict[str, Row] = {}
    table = Table(f"{args.machine}: network, tile", "natural", "scheduled", "activations", "partial sums", "memories")
    with bundled_pair() as pair:
        networks = {"baseline": load(pair.baseline), "HD-trained": load(pair.hd_trained)}
        with Runtime(pair.baseline) as runtime:
            samples = load_samples(pair.samples, runtime.inputs, limit=1)
        cases = [(name, outputs) for name in networks for outputs in TILES]
        for name, outputs in track(cases, args.machine, console=Console(stderr=True)):
            key = f"{name}, {'all' if outputs is None else outputs}"
            row = rows[key] = row_of(networks[name], tiled(args.machine, outputs), samples, args.seed)
            flips = [f"{row[f'{port}_flips'] / 1e6:.1f} M" for port in ("natural_weight", "scheduled_weight")]
            flips.append(f"{row['scheduled_activation_flips'] / 1e6:.1f} M")
            sums = row["partial_sums_pj"] + row["register_files_pj"]
            table.add_row(key, *flips, f"{sums / 1e6:.2f} uJ", f"{row['memories_pj'] / 1e6:.2f} uJ")
    Console().print(table)
    write_record(args.json, "tiling", rows, seed=args.seed)


if __name__ == "__main__":
    main()
