"""A calibration as data: the output of ``fewflips calibrate``, and the tables that ship with the package."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fewflips.machine import Accelerator
from fewflips.records.energy import CellsRecord, DatapathRecord
from fewflips.records.model_file import ModelFile
from fewflips.records.record import Count, Record

Rates = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=2, max_length=16)]
_LARGEST = 1e15
"""Limit far above every energy in fJ and every factor, whose products still stay finite."""

Positive = Annotated[float, Field(gt=0, le=_LARGEST, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=_LARGEST, allow_inf_nan=False)]
Energies = tuple[tuple[NotNegative, ...], ...]


class Axis(Record):
    """The streams of one operand along one axis of a surface."""

    nhd: Annotated[tuple[NotNegative, ...], Field(min_length=1, description="NHD of each stream as generated")]
    weighted_nhd: Annotated[
        tuple[NotNegative, ...], Field(min_length=1, description="flips weighted by what their bit costs")
    ]
    bit_costs: Annotated[
        tuple[NotNegative, ...],
        Field(
            min_length=2,
            max_length=16,
            description="relative cost of a flip of each bit, least significant first; mean 1",
        ),
    ]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name in ("nhd", "weighted_nhd"):
            places = getattr(self, name)
            if any(left >= right for left, right in pairwise(places)):
                raise ValueError(f"{name}: expected ascending values")
        if len(self.nhd) != len(self.weighted_nhd):
            raise ValueError("nhd and weighted_nhd: expected as many values")
        return self


class Surface(Record):
    """Energy per unit cycle against the flips of both operands; one row per weight stream."""

    simulated_fj: Annotated[Energies, Field(description="data energy of all lanes, operand registers left out")]
    curve_fj: Annotated[Energies, Field(description="the least rising, concave surface above it")]


class DelayCurves(Record):
    """Curves fitted under one delay model."""

    weights: Axis
    activations: Axis
    first: Annotated[Surface, Field(description="for the first segment, with no incoming partial sum")]
    later: Annotated[
        Surface | None,
        Field(description="for later segments, with incoming partial sums; null for units without that input"),
    ]
    sum_nhd: Annotated[
        tuple[NotNegative, ...],
        Field(min_length=2, description="NHD of the words added by earlier segments, ascending"),
    ]
    sum_shares: Annotated[
        tuple[NotNegative, ...],
        Field(min_length=2, description="matching shares of the cost of partial sums in `later`"),
    ]
    lanes: Annotated[
        tuple[Annotated[int, Field(ge=0, le=4096)], ...], Field(min_length=1, description="number of active lanes")
    ]
    lane_shares: Annotated[
        tuple[NotNegative, ...],
        Field(min_length=1, description="energy with that many active lanes, relative to all lanes"),
    ]
    ones_costs: Annotated[
        tuple[NotNegative, ...],
        Field(
            min_length=3, max_length=17, description="relative cost by the number of ones in the held operand; mean 1"
        ),
    ]
    mean_costs: Annotated[
        tuple[NotNegative, ...], Field(min_length=2, description="means of `ones_costs` over the lanes, ascending")
    ]
    factors: Annotated[
        tuple[NotNegative, ...],
        Field(min_length=2, description="matching cost of all lanes together; 1 at a mean of 1"),
    ]

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        shape = (len(self.weights.nhd), len(self.activations.nhd))
        for surface in (self.first, self.later):
            for table in (surface.simulated_fj, surface.curve_fj) if surface else ():
                if len(table) != shape[0] or any(len(row) != shape[1] for row in table):
                    raise ValueError(f"surface: expected {shape[0]} x {shape[1]} energies")
        if len(self.lanes) != len(self.lane_shares):
            raise ValueError("lanes and lane_shares: expected as many values")
        if len(self.sum_nhd) != len(self.sum_shares):
            raise ValueError("sum_nhd and sum_shares: expected as many values")
        if len(self.mean_costs) != len(self.factors):
            raise ValueError("mean_costs and factors: expected as many values")
        return self


class RegisterEnergy(Record):
    """Energy of an operand register and its input wire, for each bit that flips."""

    weights_fj: NotNegative
    activations_fj: NotNegative


class MeanStatistics(Record):
    """Activation statistics assumed when no sample inputs are given."""

    source: Annotated[str, Field(description="source of the figures")]
    dense_rates: Annotated[Rates, Field(description="flips of each bit per activation step, least significant first")]
    depthwise_rates: Rates
    held_ones: Annotated[
        tuple[NotNegative, ...],
        Field(min_length=3, max_length=17, description="share of words of the held operand with 0, 1, ... ones"),
    ]


class Accuracy(Record):
    """How a prediction compares with simulation, layer by layer."""

    layers: Count
    r2: Annotated[float | None, Field(le=1, description="R^2 of energy per MAC")]
    r2_log: Annotated[float | None, Field(le=1, description="R^2 of the logarithm of each layer's energy")]
    median_error_percent: NotNegative
    worst_error_percent: NotNegative
    worst_layer: str
    total_error_percent: Annotated[float, Field(description="signed error of the total over all layers")]


class DelayAccuracy(Record):
    """Under both delay models."""

    zero_delay: Accuracy
    inertial: Accuracy


class Variant(Record):
    """The prediction without some of its terms, to show what each contributes."""

    terms: str
    zero_delay: Accuracy
    inertial: Accuracy


class EnergyPair(Record):
    """Data energy of one inference: switching and internal."""

    zero_delay_data_pj: NotNegative
    inertial_data_pj: NotNegative


class LayerComparison(Record):
    """One layer, in one order."""

    name: str
    macs: Count
    weight_nhd: Annotated[float, Field(ge=0, le=1, description="mean over the active lanes")]
    predicted: EnergyPair
    simulated: EnergyPair
    ci95_percent: Annotated[float, Field(ge=0, description="confidence interval of the simulated energy; 0 if exact")]


class OrderComparison(Record):
    """All layers in one order."""

    order: Literal["natural", "scheduled"]
    layers: tuple[LayerComparison, ...]
    accuracy: DelayAccuracy


class Block(Record):
    """A block of consecutive cycles of one unit."""

    layer: str
    weight_nhd: Annotated[float, Field(ge=0, le=1)]
    simulated: Annotated[EnergyPair, Field(description="per unit cycle")]
    predicted: EnergyPair
    predicted_from_flips: Annotated[EnergyPair, Field(description="from its weight and activation flips alone")]


class BlockComparison(Record):
    """Blocks of all layers in natural order."""

    cycles: Annotated[Count, Field(description="cycles per block")]
    count: Annotated[Count, Field(description="number of simulated blocks")]
    blocks: Annotated[tuple[Block, ...], Field(description="left out of files")] = ()
    zero_delay_r2: float | None
    inertial_r2: float | None
    zero_delay_r2_from_flips: float | None
    inertial_r2_from_flips: float | None


class NetworkComparison(Record):
    """The calibration compared with a network simulated at gate level."""

    model: ModelFile
    inputs: Annotated[str | None, Field(description="sample inputs; null for one random input")]
    samples: Count
    orders: Annotated[tuple[OrderComparison, ...], Field(min_length=1, description="natural order first")]
    without_inputs: Annotated[
        DelayAccuracy, Field(description="natural order, with mean activations instead of each layer's own")
    ]
    ranking: DelayRankings
    ablation: Annotated[tuple[Variant, ...], Field(description="natural order, with terms left out")]
    blocks: BlockComparison


class OrderRanking(Record):
    """Natural versus scheduled order, layer by layer, under one delay model."""

    agreement: Annotated[
        float, Field(ge=0, le=1, description="share of layers for which the cheaper order is predicted correctly")
    ]
    ratio_r2: Annotated[float | None, Field(le=1, description="R^2 of scheduled over natural energy")]
    ratio_r2_from_flips: Annotated[
        float | None, Field(le=1, description="the same, predicted from the flips of the layer alone")
    ]


class DelayRankings(Record):
    """Under both delay models."""

    zero_delay: OrderRanking
    inertial: OrderRanking


class CalibrationSettings(Record):
    """How the calibration was made."""

    command: Annotated[str, Field(description="a command that makes this calibration again")]
    seed: Count
    step_ps: Positive
    time_limit_s: Positive
    cycles: Annotated[Count, Field(description="cycles simulated per sweep point")]


class Calibration(Record):
    """Energy against flips for one arithmetic unit and one cell library."""

    format: Literal["fewflips-calibration"] = "fewflips-calibration"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    accelerator: Accelerator
    datapath: DatapathRecord
    cells: CellsRecord
    settings: CalibrationSettings
    held_operand: Annotated[
        Literal["weights", "activations"], Field(description="the operand whose number of ones scales the energy")
    ]
    zero_delay: DelayCurves
    inertial: DelayCurves
    registers: RegisterEnergy
    means: MeanStatistics
    network: Annotated[NetworkComparison | None, Field(description="null if no model was given")] = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _widths_agree(self) -> Self:
        weights, activations = self.datapath.weights.bits, self.datapath.activations.bits
        held = weights if self.held_operand == "weights" else activations
        for curves in (self.zero_delay, self.inertial):
            if (len(curves.weights.bit_costs), len(curves.activations.bit_costs)) != (weights, activations):
                raise ValueError(f"bit_costs: expected {weights} of weights and {activations} of activations")
            if len(curves.ones_costs) != held + 1:
                raise ValueError(f"ones_costs: expected {held + 1}")
        if {len(self.means.dense_rates), len(self.means.depthwise_rates)} != {activations}:
            raise ValueError(f"means: expected rates of {activations} bits")
        if len(self.means.held_ones) != held + 1:
            raise ValueError(f"held_ones: expected {held + 1} shares")
        return self


class CalibrationRecord(Record):
    """The calibration behind an estimate."""

    source: Annotated[str, Field(description="a built-in calibration, or a file")]
    cells: Annotated[str, Field(description="cell library")]
    model: Annotated[str | None, Field(description="network that the accuracy was measured on; null if none")]
    activations: Annotated[
        Literal["sample inputs", "calibration"], Field(description="source of the activation statistics")
    ]
    accuracy: Annotated[
        DelayAccuracy | None,
        Field(description="accuracy against gate level on that network; null if none was simulated"),
    ]


class EstimatedEnergy(Record):
    """Energy of one inference, estimated from flips."""

    total: Annotated[EnergyPair, Field(description="sum over the estimated layers")]
    calibration: CalibrationRecord


NetworkComparison.model_rebuild()
