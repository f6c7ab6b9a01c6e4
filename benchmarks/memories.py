"""What the built-in machines' memories take for the bundled network, in natural and in scheduled order.

    python -m benchmarks.memories

Accesses are counted from each dataflow's loop nest, in bits of the operands; their energy is that of the machine's own
buffers, whose words may be wider than what is asked for, and beside it that of the same bits in a memory of 8 KB
(10 pJ for 64 bits). Weights decide nothing here, so the HD-trained network takes the same, but for the orders of a
schedule: these are solved with the effort that training uses. A coarser count of `edge4` shows what it would take if
idle lanes were read and if sums left the array as sums when they are complete. What the bill leaves out is estimated:
fetching all weights from DRAM once, and reads of padding.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from math import ceil, isqrt

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.record import Row, add_json_option, write_record
from fewflips.buffers import buffer_bill
from fewflips.buffers.table import DRAM_PJ_PER_64_BITS, sram_pj_per_bit
from fewflips.bundled import bundled_pair
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.dataflows.unit_datapath import code_widths, network_datapath
from fewflips.machine import Accelerator, builtin_accelerators
from fewflips.network import Network, load
from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D
from fewflips.optimization.segment_orders import plan_schedule
from fewflips.ordering import Effort

CLOCK_MHZ = 200.0
KINDS = ("weights", "activations", "results", "partial_sums", "index_table")
SMALLEST_KIB = 8.0


def memory_row(network: Network, array: Accelerator, orders: LayerOrders) -> Row:
    """Bits and energies of all layers.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        A machine with buffers.
    orders : mapping of str to tuple of Segment
        Its segments.

    Returns
    -------
    dict
        Bits read and written by kind, energies of the buffers by line of the bill, both with their sums.
    """
    flow, datapath = dataflow_of(array), network_datapath(network.layers, array)
    row: defaultdict[str, float] = defaultdict(float)
    for layer in network.layers:
        segments = orders[layer.name]
        found = flow.accesses(layer, segments, array, code_widths(layer, array, datapath))
        for kind in KINDS:
            traffic = getattr(found, kind)
            row[f"{kind}_bits"] += traffic.bits_read + traffic.bits_written
        cycles = flow.unit_work(layer, segments, array).array_cycles
        bill, _ = buffer_bill(layer, found, array, cycles, CLOCK_MHZ)
        for line in ("weights_pj", "activations_pj", "partial_sums_pj", "index_table_pj", "leakage_pj"):
            row[line] += getattr(bill, line)
        row["beyond_pj"] += sum(level.access_pj for level in bill.beyond)
        row["whole_weights_bits"] += found.weights.whole_bits
        row["whole_activations_bits"] += found.activations.whole_bits
        row["padding_bits"] += found.activations.bits_read * padding_share(layer)
    bits = sum(row[f"{kind}_bits"] for kind in KINDS)
    total = sum(energy for name, energy in row.items() if name.endswith("_pj"))
    return {
        **row,
        "bits": bits,
        "total_pj": total,
        "smallest_memory_pj": bits * sram_pj_per_bit(SMALLEST_KIB),
        "dram_weights_pj": row["whole_weights_bits"] * DRAM_PJ_PER_64_BITS[0] / 64,
        "padding_percent": 100 * row["padding_bits"] / row["activations_bits"],
        "unasked_percent": 100 * (1 - bits * sram_pj_per_bit(SMALLEST_KIB) / total),
    }


def padding_share(layer: Layer) -> float:
    """Share of a square convolution's activations that are padding; 0 for other layers."""
    lowering, side = layer.lowering, isqrt(layer.m)
    if not isinstance(lowering, Convolution2D) or side * side != layer.m:
        return 0.0
    size = next((size for size in range(1, 8 * side + 8) if lowering.output_size(size, size) == (side, side)), 0)
    shape = (1, size, size, 1) if lowering.layout == "NHWC" else (1, 1, size, size)
    return float(1 - lowering.rows(np.ones(shape, np.uint8), 1, 0).mean())


def coarse_row(network: Network, array: Accelerator) -> Row:
    """Bits of an activation-stationary array that reads idle lanes, and whose last sums are written as sums."""
    datapath = network_datapath(network.layers, array)
    row: defaultdict[str, float] = defaultdict(float)
    for layer in network.layers:
        segments, widths = ceil(layer.k / array.lanes), code_widths(layer, array, datapath)
        loads = layer.n if layer.is_depthwise else 1
        row["weights_bits"] += ceil(layer.m / array.columns) * layer.n * segments * array.lanes * widths.weights
        row["activations_bits"] += layer.m * segments * array.lanes * widths.activations * loads
        row["partial_sums_bits"] += layer.m * layer.n * (2 * segments - 1) * widths.partial_sums
    per_bit = sram_pj_per_bit(SMALLEST_KIB)
    return {**row, **{name.replace("_bits", "_pj"): bits * per_bit for name, bits in row.items()}}


def main() -> None:
    """Count, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    add_json_option(parser)
    arguments = parser.parse_args()
    with bundled_pair() as pair:
        network = load(pair.baseline)
    rows: dict[str, Row] = {}
    for name, array in track(builtin_accelerators().items(), console=Console(stderr=True)):
        plan = plan_schedule(network, array, effort=Effort.quick(), seed=arguments.seed, jobs=-1)
        rows[f"{name}, natural"] = memory_row(network, array, natural_orders(network, array))
        rows[f"{name}, scheduled"] = memory_row(network, array, plan.orders)
    shown = dict(rows)
    rows["edge4, coarse"] = coarse_row(network, builtin_accelerators()["edge4"])
    table = Table("machine, order", *(f"{kind.replace('_', ' ')}, Mbit" for kind in KINDS), "buffers, uJ", "8 KB, uJ")
    for name, row in shown.items():
        bits = [f"{float(row[f'{kind}_bits'] or 0) / 1e6:.2f}" for kind in KINDS]
        energies = [f"{float(row[field] or 0) / 1e6:.2f}" for field in ("total_pj", "smallest_memory_pj")]
        table.add_row(name, *bits, *energies)
    Console().print(table)
    write_record(arguments.json, "memories", rows, arguments.seed)


if __name__ == "__main__":
    main()
