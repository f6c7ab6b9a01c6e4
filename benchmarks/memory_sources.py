"""The built-in table of memories against CACTI, memory by memory, and on the bills of the built-in machines.

    python -m benchmarks.memory_sources

Needs Python 3.12 and the extra `memory`. CACTI has low-standby-power cells (see fewflips/buffers/cacti.py). Bills are
those of the bundled network in natural order at 200 MHz, for the machines' own buffers, with all of their figures from
CACTI.
"""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from benchmarks.memories import memory_row
from benchmarks.record import Row, add_json_option, write_record
from fewflips.buffers import memory_energy
from fewflips.bundled import bundled_pair
from fewflips.dataflows.orders import natural_orders
from fewflips.machine import Accelerator, builtin_accelerators
from fewflips.machine.buffers import Buffer
from fewflips.network import load

MEMORIES = ((8, 28), (8, 32), (8, 64), (32, 64), (128, 28), (1024, 64))
"""Size in KiB, and width of a word."""


def single(size_kib: float, word_bits: int) -> Row:
    """One memory's figures from both sources."""
    known, found = (
        memory_energy(Buffer(size_kib=size_kib, word_bits=word_bits, source=source), source)
        for source in ("table", "cacti")
    )
    return {
        "table_pj": known.read_pj,
        "read_pj": found.read_pj,
        "write_pj": found.write_pj,
        "leakage_uw": found.leakage_uw,
    }


def with_cacti(array: Accelerator) -> Accelerator:
    """A machine whose buffers take their figures from CACTI, and that has no others."""
    buffers = array.model_dump()["buffers"]
    buffers.pop("beyond", None)
    return Accelerator.model_validate(
        array.model_dump() | {"buffers": {name: one | {"source": "cacti"} for name, one in buffers.items()}}
    )


def main() -> None:
    """Run CACTI, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_json_option(parser)
    arguments = parser.parse_args()
    rows = {f"{size} KiB, words of {bits} bits": single(size, bits) for size, bits in MEMORIES}
    singles = Table("memory", "table, pJ", "CACTI: read, pJ", "write, pJ", "leakage, uW")
    for name, row in rows.items():
        singles.add_row(name, *(f"{value:.2f}" for value in row.values()))
    bills = Table("machine", "table, uJ", "CACTI, uJ", "of which leakage, uJ")
    with bundled_pair() as pair:
        network = load(pair.baseline)
    for name, array in builtin_accelerators().items():
        orders = natural_orders(network, array)
        known, found = (memory_row(network, machine, orders) for machine in (array, with_cacti(array)))
        rows[name] = {
            "table_total_pj": known["total_pj"],
            "cacti_total_pj": found["total_pj"],
            "cacti_leakage_pj": found["leakage_pj"],
        }
        bills.add_row(name, *(f"{float(value or 0) / 1e6:.3f}" for value in rows[name].values()))
    Console().print(singles, bills)
    write_record(arguments.json, "memory_sources", rows)


if __name__ == "__main__":
    main()
