"""Results as data: what ``report.json`` holds.

The JSON Schemas under ``schemas/`` are generated from these classes (``python -m fewflips.report.schemas``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fewflips.machine import Accelerator
from fewflips.records.calibration import EnergyPair, EstimatedEnergy
from fewflips.records.coverage import Coverage
from fewflips.records.energy import CellsRecord, DatapathRecord, EnergySettings, LayerEnergy
from fewflips.records.model_file import ModelFile
from fewflips.records.record import Count, Record, schema_with_optional
from fewflips.records.transition_cost import CostResult
from fewflips.records.waterfall import WaterfallStage

BASELINE = "baseline"
"""Name of the first stage: the network as stored, in natural order."""

_ON_REQUEST = ("cost", "waterfall")
"""Fields of a report that are left out where nobody asked for them."""
_COVERAGE = "share of the network that the layers cover; null in reports older than this field"


class PortFlips(Record):
    """Flips of one operand port of one layer, counted exactly on its wires.

    On a coded port a pass need not have the same flips each time that it is sent: its counts are those of all passes
    of one inference, and `repeats` is 1.
    """

    flips: Annotated[Count, Field(description="flips within passes, each pass taken once")]
    seam_flips: Annotated[Count, Field(description="flips between passes, in one inference")]
    transitions: Annotated[Count, Field(description="word transitions (lane x cycle pairs) behind `flips`")]
    nhd: Annotated[float, Field(ge=0, description="flips / (transitions x bits); 0.5 for random words on plain wires")]
    bits: Annotated[int, Field(ge=1, le=16, description="width of a word, in bits; that of its code on a coded port")]
    repeats: Annotated[Count, Field(description="how often each pass occurs in one inference")]
    hops: Annotated[int, Field(ge=1, description="registers that one word toggles on its way")]
    bit_position_flips: Annotated[
        tuple[Count, ...],
        Field(description="`flips` by bit position, least significant first; the bits of side lanes follow"),
    ]


class LayerMeasurement(Record):
    """Flips of one layer in natural order."""

    name: str
    operator: str
    m: Count
    n: Count
    k: Count
    groups: Count
    macs: Count
    repeats: Annotated[Count, Field(description="how often the weight stream occurs in one inference")]
    segments: Annotated[Count, Field(description="number of passes that the weights are split into")]
    weights: PortFlips
    activations: Annotated[
        PortFlips | None, Field(description="mean over the sample inputs; null if none were given")
    ] = None
    estimated_energy: Annotated[
        EnergyPair | None,
        Field(description="energy of one inference estimated from flips; null if no calibration matches"),
    ] = None


class PortTotals(Record):
    """Sum over the layers, weighted by repeats: flips of one inference."""

    flips: Count
    seam_flips: Count
    nhd: Annotated[float, Field(ge=0)]


class MeasureTotals(Record):
    """Both ports."""

    macs: Count
    weights: PortTotals
    activations: PortTotals | None = None


class MeasureReport(Record):
    """Result of ``fewflips measure``."""

    format: Literal["fewflips-measurement"] = "fewflips-measurement"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    model: ModelFile
    accelerator: Accelerator
    inputs: Annotated[str | None, Field(description="sample inputs; null if none were given")] = None
    coverage: Annotated[Coverage | None, Field(description=_COVERAGE)] = None
    layers: tuple[LayerMeasurement, ...]
    totals: MeasureTotals
    estimated_energy: Annotated[EstimatedEnergy | None, Field(description="null if no calibration matches")] = None
    notes: tuple[str, ...] = ()


class PortResult(Record):
    """Flips of one operand port of one layer, before and after."""

    baseline_flips: Annotated[Count, Field(description="within one pass over all segments, as stored")]
    optimized_flips: Annotated[Count, Field(description="the same, after optimization")]
    lower_bound: Annotated[
        Count | None,
        Field(
            description="lower bound: no order has fewer flips; null for the port that the order was not chosen for, "
            "on coded wires, and where orders were chosen by another cost than flips"
        ),
    ]
    segments: Annotated[Count, Field(description="number of orders chosen independently")]
    proven_segments: Annotated[Count, Field(description="orders proven optimal (within one flip of the bound)")]
    baseline_seam_flips: Annotated[Count, Field(description="between passes, in one inference")]
    optimized_seam_flips: Count
    transitions: Annotated[Count, Field(description="word transitions behind the flips within passes")]
    bits: Annotated[int, Field(ge=1, le=16)]
    repeats: Count
    hops: Annotated[int, Field(ge=1)]
    baseline_bit_position_flips: Annotated[
        tuple[Count, ...], Field(description="by bit position, least significant first")
    ]
    optimized_bit_position_flips: tuple[Count, ...]


class PortPair(Record):
    """Both ports of one layer under one kind of optimization."""

    weights: PortResult
    activations: PortResult | None = None


class EnergyComparison(Record):
    """Gate-level energy of a layer, or of all, before and after."""

    baseline: Annotated[LayerEnergy, Field(description="as stored, in natural order")]
    schedule: Annotated[LayerEnergy | None, Field(description="in scheduled order; null if no schedule was made")] = (
        None
    )
    drop_in: Annotated[LayerEnergy | None, Field(description="of the drop-in file; null if none was made")] = None


class EnergyResult(Record):
    """Energy of one inference before and after, and how it was simulated."""

    settings: EnergySettings
    total: EnergyComparison
    datapath: DatapathRecord
    cells: CellsRecord


class LayerResult(Record):
    """One layer before and after.

    ``weights`` and ``activations`` are those of the schedule where one was made, otherwise those of the
    drop-in file; ``drop_in`` always is the drop-in file's.
    """

    name: str
    operator: str
    m: Count
    n: Count
    k: Count
    groups: Count
    macs: Count
    repeats: Annotated[Count, Field(description="how often the weight stream occurs in one inference")]
    weights: PortResult
    activations: Annotated[
        PortResult | None, Field(description="mean over the sample inputs; null if none were given")
    ] = None
    drop_in: PortPair | None = None
    energy: Annotated[EnergyComparison | None, Field(description="at gate level; null if not simulated (--energy)")] = (
        None
    )


class ResultTotals(Record):
    """Sum over the layers, weighted by repeats: flips of one inference."""

    baseline_flips: Count
    optimized_flips: Count
    lower_bound: Count | None
    reduction: Annotated[float | None, Field(ge=0, description="baseline / optimized; null if flips drop to zero")]
    segments: Count
    proven_segments: Count
    baseline_seam_flips: Count
    optimized_seam_flips: Count


class TotalsPair(Record):
    """Both ports under one kind of optimization."""

    weights: ResultTotals
    activations: ResultTotals | None = None


class StructureCheck(Record):
    """Whether a file is the original with its channels in another order, and nothing else."""

    equal: bool
    constants: Annotated[Count, Field(description="number of constants compared bit by bit")]
    channel_orders: Annotated[Count, Field(description="channel groups whose reordering was undone before comparing")]
    differing: Annotated[Count, Field(description="elements and other fields that no reordering explains")]
    differences: Annotated[
        tuple[str, ...], Field(description="the first few differences, by layer, constant and index")
    ]


class Check(Record):
    """How an output was checked before it was written."""

    passed: bool
    method: Annotated[str, Field(description="one sentence on what was executed and compared")]
    sample_inputs: Count
    random_inputs: Count
    values: Annotated[Count, Field(description="number of output values compared")]
    equal_share: Annotated[float, Field(ge=0, le=1, description="share of equal values")]
    largest_difference: Annotated[float | None, Field(ge=0, description="null if not finite")]
    bit_exact: Annotated[bool, Field(description="whether all compared values are equal")]
    structure: Annotated[
        StructureCheck | None, Field(description="null unless two files of the same format were compared")
    ] = None
    intermediate_tensors: Annotated[Count, Field(description="number of intermediate tensors compared")] = 0
    intermediate_values: Annotated[Count, Field(description="number of values in the intermediate tensors")] = 0


class ScheduleSummary(Record):
    """The schedule written next to the report."""

    file: str
    index_table_bits: Annotated[Count, Field(description="size of all orders as a table of indices")]
    check: Check


class DropInSummary(Record):
    """The rewritten model written next to the report."""

    file: str
    channel_groups: Annotated[Count, Field(description="groups of tied channels")]
    permuted_groups: Annotated[Count, Field(description="groups that were reordered")]
    frozen_groups: Annotated[Count, Field(description="groups that could not be reordered, such as inputs and outputs")]
    totals: TotalsPair
    check: Check


class StageEvidence(Record):
    """How far the outputs of a stage may be from those of the stage that it starts from."""

    exact: Annotated[bool, Field(description="whether the step changes nothing that is computed")]
    bound: Annotated[
        float | None, Field(ge=0, description="largest absolute difference of an output value; null if exact")
    ]
    unit: Annotated[str, Field(description="unit of the bound; empty if exact")]
    method: Annotated[str, Field(description="how the step knows, in a sentence")]


class StageRecord(Record):
    """The network after one step, compared with the network as stored."""

    name: Annotated[str, Field(description="name of the step; `baseline` for the network as stored")]
    start: Annotated[str | None, Field(description="the stage that the step started from; null for the baseline")]
    evidence: StageEvidence
    model_check: Annotated[Check | None, Field(description="null if the step did not rewrite the model")] = None
    order_check: Annotated[Check | None, Field(description="null if the step chose no orders")] = None
    files: Annotated[
        tuple[str, ...], Field(description="files that hold this stage; none if a later stage replaced them")
    ] = ()
    totals: TotalsPair
    layers: Annotated[tuple[PortPair, ...], Field(description="in the order of the report's `layers`")]
    energy: Annotated[LayerEnergy | None, Field(description="of all layers; null if not simulated (--energy)")] = None


class Settings(Record):
    """Options the user chose."""

    mode: Annotated[
        Literal["schedule", "drop-in", "both"] | None, Field(description="null if steps were given by name")
    ]
    steps: Annotated[
        tuple[str, ...], Field(description="steps in the order in which they were applied; empty in older reports")
    ] = ()
    effort: Literal["default", "prove"]
    seed: int
    inputs: Annotated[str | None, Field(description="sample inputs; null if none were given")] = None
    command: Annotated[
        str | None,
        Field(description="a command that makes this report again; null for steps that no command line can ask for"),
    ]


class OptimizeReport(Record):
    """Result of ``fewflips optimize``: the content of ``report.json``."""

    format: Literal["fewflips-report"] = "fewflips-report"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    model: ModelFile
    accelerator: Accelerator
    settings: Settings
    coverage: Annotated[Coverage | None, Field(description=_COVERAGE)] = None
    layers: tuple[LayerResult, ...]
    totals: TotalsPair
    schedule: ScheduleSummary | None = None
    drop_in: DropInSummary | None = None
    energy: Annotated[EnergyResult | None, Field(description="null if not simulated (--energy)")] = None
    stages: Annotated[
        tuple[StageRecord, ...],
        Field(description="the network as stored, then after each step; empty in reports older than this field"),
    ] = ()
    cost: Annotated[
        CostResult | None, Field(description="left out where orders were chosen by flips, as they are by default")
    ] = None
    waterfall: Annotated[
        tuple[WaterfallStage, ...] | None,
        Field(description="figures after each step; left out where they were not asked for (--explain)"),
    ] = None
    notes: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _without_what_was_not_asked_for(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        for name in _ON_REQUEST:
            if getattr(self, name) is None:
                content.pop(name, None)
        return content

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of the fields, of which some may be left out."""
        return schema_with_optional(schema, handler, *_ON_REQUEST)
