"""Energy as data: what ``fewflips energy --json`` prints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.accelerator import Accelerator
from fewflips.report.coverage import Coverage
from fewflips.report.record import Count, ModelFile, Record

Picojoules = Annotated[float, Field(ge=0, description="in pJ")]


class EnergyParts(Record):
    """Energy of one inference under one model of delays."""

    switching_pj: Annotated[Picojoules, Field(description="charging pins and wires: 1/2 C V^2 a toggle")]
    internal_pj: Annotated[float, Field(description="spent inside cells when their pins toggle")]
    clock_pj: Annotated[Picojoules, Field(description="clock pins of registers, whether their contents change or not")]
    leakage_pj: Annotated[Picojoules, Field(description="of the whole array, for as long as the layer takes")]
    data_pj: Annotated[float, Field(description="switching and internal: what the operands cause")]
    total_pj: Annotated[float, Field(description="data, clock and leakage")]


class LayerEnergy(Record):
    """One layer, or all of them."""

    name: str
    macs: Count
    zero_delay: Annotated[EnergyParts, Field(description="each net toggles at most once a cycle: no glitches")]
    inertial: Annotated[EnergyParts, Field(description="with the cells' delays: glitches included")]
    sampled: Annotated[bool, Field(description="whether a sample of the cycles stands for all")]
    ci95_percent: Annotated[
        float, Field(ge=0, description="half width of the 95 % confidence interval of the data energy; 0 if exact")
    ]


class WordRecord(Record):
    """An operand of the unit."""

    format: Literal["unsigned", "twos-complement", "sign-magnitude"]
    bits: Count


class DatapathRecord(Record):
    """The arithmetic unit that was simulated."""

    kind: Literal["multiplier", "mac", "column", "chain"]
    weights: WordRecord
    activations: WordRecord
    lanes: Count
    accumulator_bits: Count
    multiplier: Literal["synthesizer", "booth"]
    adder: Literal["tree", "one-sum"] = "tree"
    product_registers: bool
    partial_sum_input: bool
    units: Annotated[Count, Field(description="such units in the array")]
    instances: Annotated[Count, Field(description="cells of one unit")]
    registers: Annotated[Count, Field(description="flip-flops among them")]
    area_um2: Annotated[float, Field(ge=0, description="of one unit")]
    critical_path_ps: Annotated[float, Field(ge=0, description="longest path from register to register")]
    netlist: Annotated[str, Field(description="who made it: a version of Yosys, or a file")]
    wires: Annotated[str, Field(description="where wire capacitances come from")]


class CellsRecord(Record):
    """The cell library."""

    name: str
    source: Annotated[str, Field(description="a built-in table, or a file")]
    corner: str
    voltage_v: float
    temperature_c: float
    sha256: str


class EnergySettings(Record):
    """What the user asked for."""

    inputs: Annotated[str | None, Field(description="sample inputs; null: random ones")]
    samples: Annotated[Count, Field(description="inferences, of which energies are the mean")]
    schedule: Annotated[str | None, Field(description="file of the orders; null: natural order")]
    clock_mhz: Annotated[float, Field(gt=0, description="for leakage")]
    step_ps: Annotated[float, Field(gt=0, description="to which delays are rounded")]
    time_limit_s: Annotated[float, Field(gt=0, description="beyond which cycles are sampled")]
    share: Annotated[float, Field(gt=0, le=1, description="given, or chosen by the time limit: `--share` repeats it")]
    sampled_share: Annotated[float, Field(gt=0, le=1, description="share of cycles that were simulated with delays")]
    zero_delay_share: Annotated[float, Field(gt=0, le=1, description="share of cycles simulated without delays")]
    seed: Count


class EnergyReport(Record):
    """Result of ``fewflips energy``."""

    format: Literal["fewflips-energy"] = "fewflips-energy"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    model: ModelFile
    accelerator: Accelerator
    settings: EnergySettings
    coverage: Annotated[
        Coverage | None, Field(description="how much of the network the layers are; null in reports before this field")
    ] = None
    layers: tuple[LayerEnergy, ...]
    total: LayerEnergy
    datapath: DatapathRecord
    cells: CellsRecord
    notes: tuple[str, ...] = ()
