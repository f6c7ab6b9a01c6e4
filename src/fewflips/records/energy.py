"""Energy as data: the output of ``fewflips energy --json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fewflips.machine import Accelerator
from fewflips.records.bill import Bill
from fewflips.records.coverage import Coverage
from fewflips.records.model_file import ModelFile
from fewflips.records.record import Count, Record, schema_with_optional

Picojoules = Annotated[float, Field(ge=0, description="in pJ")]


class EnergyParts(Record):
    """Energy of one inference under one delay model."""

    switching_pj: Annotated[Picojoules, Field(description="charging pins and wires: 1/2 C V^2 per toggle")]
    internal_pj: Annotated[float, Field(description="internal energy of cells when their pins toggle")]
    clock_pj: Annotated[Picojoules, Field(description="clock pins of registers, whether their contents change or not")]
    leakage_pj: Annotated[Picojoules, Field(description="leakage of the whole array while the layer runs")]
    data_pj: Annotated[float, Field(description="switching and internal energy, caused by the operands")]
    total_pj: Annotated[float, Field(description="data, clock and leakage")]


class LayerEnergy(Record):
    """One layer, or all of them."""

    name: str
    macs: Count
    zero_delay: Annotated[EnergyParts, Field(description="each net toggles at most once per cycle: no glitches")]
    inertial: Annotated[EnergyParts, Field(description="with the cells' delays: glitches included")]
    sampled: Annotated[bool, Field(description="whether the energy comes from a sample of the cycles")]
    ci95_percent: Annotated[
        float, Field(ge=0, description="half width of the 95 % confidence interval of the data energy; 0 if exact")
    ]
    bill: Annotated[
        Bill | None,
        Field(description="units by part, and buffers, glitches included; null in reports older than this field"),
    ] = None


class WordRecord(Record):
    """Word format of one operand of the unit."""

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
    adder: Literal["tree", "one-sum", "bit-planes"] = "tree"
    product_registers: bool
    partial_sum_input: bool
    tree_register: bool = False
    offset_sums: bool = False
    sign_flags: Annotated[
        bool, Field(description="whether products of words that stream negated are subtracted; left out where not")
    ] = False
    hold_flags: bool = False
    zero_gating: bool = False
    activation_converter: bool = False
    bus_invert_ports: Annotated[
        tuple[Literal["weights", "activations"], ...], Field(description="ports with decoders in the unit")
    ] = ()
    units: Annotated[Count, Field(description="number of units in the array")]
    instances: Annotated[Count, Field(description="number of cells in one unit")]
    registers: Annotated[Count, Field(description="flip-flops among them")]
    area_um2: Annotated[float, Field(ge=0, description="of one unit, clock gates included")]
    critical_path_ps: Annotated[float, Field(ge=0, description="longest path from register to register")]
    netlist: Annotated[str, Field(description="source of the netlist: a Yosys version, or a file")]
    wires: Annotated[str, Field(description="source of the wire capacitances")]

    @model_serializer(mode="wrap")
    def _without_sign_flags(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        if not self.sign_flags:
            content.pop("sign_flags", None)
        return content

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of the fields, of which `sign_flags` may be left out."""
        return schema_with_optional(schema, handler, "sign_flags")


class CellsRecord(Record):
    """The cell library."""

    name: str
    source: Annotated[str, Field(description="a built-in table, or a file")]
    corner: str
    voltage_v: float
    temperature_c: float
    sha256: str


class EnergySettings(Record):
    """Options the user chose."""

    inputs: Annotated[str | None, Field(description="sample inputs; null for random inputs")]
    samples: Annotated[Count, Field(description="number of inferences; energies are their mean")]
    schedule: Annotated[str | None, Field(description="schedule file; null for natural order")]
    clock_mhz: Annotated[float, Field(gt=0, description="clock frequency, which sets how long each cycle leaks")]
    step_ps: Annotated[float, Field(gt=0, description="step that delays are rounded to")]
    time_limit_s: Annotated[float, Field(gt=0, description="time limit above which cycles are sampled")]
    share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="as given, or as chosen to meet the time limit; pass it as `--share` to repeat the run",
        ),
    ]
    sampled_share: Annotated[float, Field(gt=0, le=1, description="share of cycles simulated with delays")]
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
        Coverage | None,
        Field(description="share of the network that the layers cover; null in reports older than this field"),
    ] = None
    layers: tuple[LayerEnergy, ...]
    total: LayerEnergy
    datapath: DatapathRecord
    cells: CellsRecord
    notes: tuple[str, ...] = ()
