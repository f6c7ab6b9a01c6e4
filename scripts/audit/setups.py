"""What is compared: networks in an order, and the cells, units and machines on which they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Order = Literal["natural", "scheduled"]

BUILT_IN = "nangate45"
WHOLE_LIBRARIES = {"nangate45, whole": "nangate45_typ.lib.gz", "sky130hd, whole": "sky130hd_tt.lib.gz"}
"""Liberty files with all cells of the built-in, reduced tables; in the folder of the libraries."""
MACHINES = ("edge4", "edge8", "edge16", "tpu16", "os16")
UNITS: dict[str, dict[str, Any]] = {
    "one sum": {"adder": "one-sum"},
    "Booth": {"multiplier": "booth"},
    "product registers": {"product_registers": True},
}
"""Units of another build than the default, by what is changed in the machine's `datapath`."""


@dataclass(frozen=True)
class Setup:
    """Where networks run.

    Parameters
    ----------
    machine : str
        A built-in accelerator.
    cells : str
        A built-in table, or a name of `WHOLE_LIBRARIES`.
    unit : str or None
        A name of `UNITS`; None for the default.
    """

    machine: str = "edge4"
    cells: str = BUILT_IN
    unit: str | None = None


@dataclass(frozen=True)
class Variant:
    """A network of `results/models` in an order.

    Parameters
    ----------
    network : str
        Its name.
    order : {"natural", "scheduled"}
        How it streams.
    weight_bits : int or None
        Width of weights on the machine; None: as the file stores them, which is 8 bits for 5 to 8.
    """

    network: str
    order: Order
    weight_bits: int | None = None


@dataclass(frozen=True)
class Question:
    """One row: how much less the second variant takes than the first.

    Parameters
    ----------
    section : str
        What differs between the rows of a table.
    label : str
        What this row has.
    before, after : Variant
        What is compared.
    setup : Setup
        Where both run; each on units as wide as its weights.
    pair : str
        Which pair it is about, where rows of a table are about several.
    """

    section: str
    label: str
    before: Variant
    after: Variant
    setup: Setup = field(default_factory=Setup)
    pair: str = ""


BASELINES = "other baselines"
UNITS_AND_CELLS = "other cells and units"
OTHER_MACHINES = "other machines"


def questions() -> tuple[Question, ...]:
    """All rows, table by table."""
    return (*_baselines(), *_units_and_cells(), *_machines())


def liberty_files(folder: Path) -> dict[str, Path]:
    """Files of the whole libraries, by name."""
    return {name: folder / file for name, file in WHOLE_LIBRARIES.items()}


def _baselines() -> Sequence[Question]:
    rows = []
    for label, words in (("8bit_seed0", "8 bits, seed 0"), ("8bit_seed1", "8 bits, seed 1"), ("4bit_seed0", "4 bits")):
        trained = Variant(f"hamming_{label}", "scheduled")
        compared: tuple[tuple[str, Order, str], ...] = (
            ("baseline", "natural", "as published: ranges as calibrated, natural order"),
            ("baseline", "scheduled", "ranges as calibrated, scheduled"),
            ("headroom", "natural", "the same activation headroom, natural order"),
            ("headroom", "scheduled", "the same activation headroom, scheduled"),
        )
        for name, order, what in compared:
            before = Variant(f"{name}_{label}", order)
            rows.append(Question(BASELINES, f"{words}: {what}", before, trained, pair=words))
    words = "8 bits, seed 0: 5 bits, half of the weights pruned, headroom, 4 epochs more, scheduled"
    trained = Variant("hamming_8bit_seed0", "scheduled")
    for where, bits in ((", on the 8-bit unit", None), (", on a 5-bit unit", 5)):
        rows.append(Question(BASELINES, words + where, Variant("pruned_5bit_seed0", "scheduled", bits), trained))
    return rows


def _units_and_cells() -> Sequence[Question]:
    setups = {
        "nangate45, built in (reduced)": Setup(),
        "sky130hd, built in (reduced)": Setup(cells="sky130hd"),
        **{name: Setup(cells=name) for name in WHOLE_LIBRARIES},
        **{f"nangate45, {unit}": Setup(unit=unit) for unit in UNITS},
    }
    return [_pair(UNITS_AND_CELLS, label, setup) for label, setup in setups.items()]


def _machines() -> Sequence[Question]:
    return [_pair(OTHER_MACHINES, machine, Setup(machine)) for machine in MACHINES]


def _pair(section: str, label: str, setup: Setup) -> Question:
    return Question(
        section, label, Variant("baseline_8bit_seed0", "natural"), Variant("hamming_8bit_seed0", "scheduled"), setup
    )
