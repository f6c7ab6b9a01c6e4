"""Tables of networks and machines chosen together, from results/codesign.json."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

from benchmarks.record import markdown_table
from scripts.codesign.machines import ORDERS, PLAIN
from scripts.codesign.networks import PAIR
from scripts.codesign.results import read_results
from scripts.codesign.rows import Row

from fewflips.machine import Accelerator, load_accelerator

from .origin import PJ_PER_UJ, RESULTS, Fact

BUILT_IN_CELLS = "nangate45"
WHOLE_LIBRARY = "nangate45, whole"
BASELINE = ("8 bits", "natural")
HEADROOM = ("8 bits, activation headroom", "natural")
TRAINED = ("HD-trained", "schedule")
_PARTS = {
    "multipliers": ("units", "multipliers_pj"),
    "adder tree": ("units", "adders_pj"),
    "partial sums": ("units", "partial_sums_pj"),
    "registers": ("units", "registers_pj"),
    "clock": ("units", "clock_pj"),
    "leakage": ("units", "leakage_pj"),
    "weights": ("buffers", "weights_pj"),
    "activations": ("buffers", "activations_pj"),
    "partial-sum buffer": ("buffers", "partial_sums_pj"),
    "index table": ("buffers", "index_table_pj"),
    "register files": ("buffers", "register_files_pj"),
    "memories' leakage": ("buffers", "leakage_pj"),
}


@cache
def rows(cells: str = BUILT_IN_CELLS) -> tuple[Row, ...]:
    """All rows with a cell library."""
    return tuple(row for row in read_results(RESULTS) if row.cells == cells)


def best_row(network: str, training: str, order: str, measure: str = "whole_pj", cells: str = BUILT_IN_CELLS) -> Row:
    """The row of the machine on which a network in an order costs least."""
    found = [row for row in rows(cells) if (row.network, row.training, row.order) == (network, training, order)]
    return min(found, key=lambda row: float(getattr(row, measure)))


def row_on(machine: str, network: str, training: str, order: str, cells: str = BUILT_IN_CELLS) -> Row:
    """The row of a network in an order on a machine."""
    wanted = (machine, network, training, order)
    return next(row for row in rows(cells) if (row.machine, row.network, row.training, row.order) == wanted)


def best_machines() -> str:
    """Each network on the machine that is best for it, and on the one that is best for the last of its kind."""
    header = ["network", "training, order", "accuracy", "its best machine", "datapath", "less", "whole bill", "less"]
    header.append("less, all on the last one's machine")
    found = []
    for network in dict.fromkeys(row.network for row in rows()):
        kinds = _kinds(network)
        chosen = [best_row(network, *kind) for kind in kinds]
        same = [row_on(chosen[-1].machine, network, *kind) for kind in kinds]
        for kind, row, beside in zip(kinds, chosen, same, strict=True):
            found.append(
                [
                    network,
                    ", ".join(kind),
                    "" if row.accuracy_percent is None else f"{row.accuracy_percent:.2f} %",
                    _machine_words(row.machine),
                    uj_text(row.datapath_pj),
                    f"{chosen[0].datapath_pj / row.datapath_pj:.2f}x",
                    uj_text(row.whole_pj),
                    f"{chosen[0].whole_pj / row.whole_pj:.2f}x",
                    f"{same[0].whole_pj / beside.whole_pj:.2f}x",
                ]
            )
    return markdown_table(header, found)


def all_machines() -> str:
    """The pair on every machine: whole bill of each network and order."""
    kinds = [(training, order) for training, order in product(_trainings(PAIR), ORDERS)]
    header = ["machine", *(f"{training}, {order}" for training, order in kinds)]
    found = []
    for words, machine in {_machine_words(row.machine): row.machine for row in rows() if row.network == PAIR}.items():
        energies = [row_on(machine, PAIR, *kind) for kind in kinds]
        found.append([words, *(f"{uj_text(row.datapath_pj)} / {uj_text(row.whole_pj)}" for row in energies)])
    return markdown_table(header, found)


def bills() -> str:
    """Parts of the bill on the best machines of the pair."""
    trainings = _trainings(PAIR)
    kinds = [(trainings[0], "natural"), (trainings[0], "schedule"), (trainings[-1], "schedule")]
    chosen = [best_row(PAIR, *kind) for kind in kinds]
    header = ["part", *(", ".join(kind) for kind in kinds)]
    found = [
        [part, *(f"{getattr(getattr(row.bill, group), field) / PJ_PER_UJ:.2f} µJ" for row in chosen)]
        for part, (group, field) in _PARTS.items()
    ]
    found.append(["datapath", *(uj_text(row.datapath_pj) for row in chosen)])
    found.append(["whole", *(uj_text(row.whole_pj) for row in chosen)])
    return markdown_table(header, found)


def narrow_columns() -> str:
    """At most four lanes: the pair against the plain column, with each library."""
    header = ["cells", "training, order", "column", "data", "less", "datapath", "less", "mean of layers", "best layer"]
    found = []
    for cells in dict.fromkeys(row.cells for row in read_results(RESULTS) if row.network == PAIR):
        for base, kind, row in narrow(cells):
            ratios = layer_ratios(base, row)
            found.append(
                [
                    cells,
                    ", ".join(kind),
                    _machine_words(row.machine),
                    uj_text(row.data_pj),
                    f"{base.data_pj / row.data_pj:.2f}x",
                    uj_text(row.datapath_pj),
                    f"{base.datapath_pj / row.datapath_pj:.2f}x",
                    f"{sum(ratios) / len(ratios):.2f}x",
                    f"{max(ratios):.2f}x",
                ]
            )
    return markdown_table(header, found)


def narrow(cells: str) -> Iterator[tuple[Row, tuple[str, str], Row]]:
    """Rows with at most four lanes: the plain column first, then the best; each with what it is compared with."""
    for training in _trainings(PAIR):
        # what a network is compared with has the same activation headroom
        of_base = HEADROOM[0] if training == TRAINED[0] else training
        base = row_on("edge4", PAIR, of_base, "natural", cells)
        yield base, (training, "natural"), row_on("edge4", PAIR, training, "natural", cells)
        for order in ORDERS:
            yield base, (training, order), best_narrow(training, order, cells)


def best_narrow(training: str, order: str, cells: str) -> Row:
    """The row with the least datapath energy among machines that were searched with at most four lanes."""
    found = [
        row
        for row in rows(cells)
        if (row.network, row.training, row.order) == (PAIR, training, order) and "at most 4 lanes" in row.machine
    ]
    return min(found, key=lambda row: row.datapath_pj)


def layer_ratios(base: Row, row: Row) -> list[float]:
    """How much less data energy each layer takes, glitches included."""
    before = {layer.name: layer.data_pj for layer in base.layers}
    after = {layer.name: layer.data_pj for layer in row.layers}
    if len(before) == len(after) and before.keys() != after.keys():
        return [_ratio(*pair) for pair in zip(before.values(), after.values(), strict=True)]
    return [_ratio(before[name], after[name]) for name in before]


def codesign_facts() -> Iterator[tuple[str, Fact]]:
    """Figures for running text."""
    for network in dict.fromkeys(row.network for row in rows()):
        kinds = _kinds(network)
        chosen = [best_row(network, *kind) for kind in kinds]
        for kind, row in zip(kinds, chosen, strict=True):
            name = f"codesign/{network}/{', '.join(kind)}"
            yield f"{name}/whole_pj", row.whole_pj
            yield f"{name}/datapath_pj", row.datapath_pj
            yield f"{name}/whole_ratio", chosen[0].whole_pj / row.whole_pj
            yield f"{name}/datapath_ratio", chosen[0].datapath_pj / row.datapath_pj
            yield f"{name}/beside datapath_pj", row.whole_pj - row.datapath_pj
            if row.accuracy_percent is not None and chosen[0].accuracy_percent is not None:
                yield f"{name}/points lost", chosen[0].accuracy_percent - row.accuracy_percent
    baseline, given, trained = (best_row(PAIR, *kind) for kind in (BASELINE, HEADROOM, TRAINED))
    units = trained.bill.units
    yield "codesign/clock and leakage_pj", units.clock_pj + units.leakage_pj
    yield "codesign/beside datapath for 2x_pj", baseline.datapath_pj - 2 * trained.datapath_pj
    yield (
        "codesign/reordering alone, on one machine/whole_ratio",
        max(
            row.whole_pj / row_on(row.machine, PAIR, BASELINE[0], "schedule").whole_pj
            for row in rows()
            if (row.network, row.training, row.order) == (PAIR, *BASELINE)
        ),
    )
    yield "codesign/headroom given to both/whole_ratio", given.whole_pj / trained.whole_pj
    yield "codesign/headroom given to both/datapath_ratio", given.datapath_pj / trained.datapath_pj
    for cells in dict.fromkeys(row.cells for row in read_results(RESULTS) if row.network == PAIR):
        for base, kind, row in narrow(cells):
            name = f"codesign/at most 4 lanes, {cells}/{', '.join(kind)}"
            name += ", plain" if row.machine == "edge4" else ""
            ratios = layer_ratios(base, row)
            yield f"{name}/data_ratio", base.data_pj / row.data_pj
            yield f"{name}/datapath_ratio", base.datapath_pj / row.datapath_pj
            yield f"{name}/mean_ratio", sum(ratios) / len(ratios)
            yield f"{name}/best_ratio", max(ratios)


def _kinds(network: str) -> list[tuple[str, str]]:
    """What is compared: every training, in natural order and scheduled."""
    return list(product(_trainings(network), ORDERS))


def _trainings(network: str) -> Sequence[str]:
    return list(dict.fromkeys(row.training for row in rows() if row.network == network))


def _ratio(before: float, after: float) -> float:
    return before / after if after else math.inf


@cache
def _machine(name: str) -> Accelerator:
    found = {machine.name: machine for machine in map(load_accelerator, sorted((RESULTS / "codesign").glob("*.yaml")))}
    return found[name] if name in found else load_accelerator(name)


def _machine_words(name: str) -> str:
    """A built-in machine's name, or what is chosen in one that was searched."""
    machine = _machine(name)
    if machine.name in PLAIN:
        return f"`{machine.name}`"
    options = machine.datapath
    unit = [
        words
        for words, chosen in (
            ("bit planes", options.adder == "bit-planes"),
            ("tree register", options.tree_register),
            ("offset sums", options.offset_sums),
            ("zero gating", options.zero_gating),
            ("hold flags", options.hold_flags),
            ("serpentine replay", machine.turns),
        )
        if chosen
    ]
    tiles = [] if machine.tiling.outputs is None else [f"tiles of {machine.tiling.outputs}"]
    return f"{machine.lanes} lanes: " + ", ".join([*unit, *tiles] or ["plain"])


def uj_text(energy_pj: float) -> str:
    """An energy in tenths of microjoules, or hundredths where it is small."""
    digits = 1 if energy_pj >= 10 * PJ_PER_UJ else 2
    return f"{energy_pj / PJ_PER_UJ:.{digits}f} µJ"
