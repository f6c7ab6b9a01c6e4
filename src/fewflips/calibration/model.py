"""A calibration as data: what ``fewflips calibrate`` writes, and the tables that come with the package."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fewflips.accelerator import Accelerator
from fewflips.report.energy_model import CellsRecord, DatapathRecord
from fewflips.report.record import Count, ModelFile, Record

Rates = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=2, max_length=16)]
_LARGEST = 1e15
"""No energy in fJ and no factor comes near it, and products of a few stay finite."""

Positive = Annotated[float, Field(gt=0, le=_LARGEST, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=_LARGEST, allow_inf_nan=False)]
Energies = tuple[tuple[NotNegative, ...], ...]


class Axis(Record):
    """The streams of one operand along one axis of a surface."""

    nhd: Annotated[tuple[NotNegative, ...], Field(min_length=1, description="of each stream, as it was drawn")]
    weighted_nhd: Annotated[
        tuple[NotNegative, ...], Field(min_length=1, description="flips weighted by what their bit costs")
    ]
    bit_costs: Annotated[
        tuple[NotNegative, ...],
        Field(min_length=2, max_length=16, description="of a flip of each bit, least significant first; mean 1"),
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
    """Energy of a unit cycle against the flips of both operands: one row a stream of weights."""

    simulated_fj: Annotated[Energies, Field(description="data energy of all lanes, operand registers left out")]
    curve_fj: Annotated[Energies, Field(description="the least rising, concave surface above it")]


class DelayCurves(Record):
    """What was found under one model of delays."""

    weights: Axis
    activations: Axis
    first: Annotated[Surface, Field(description="where nothing is added to: no partial sum comes in")]
    later: Annotated[Surface | None, Field(description="where partial sums come in; null for units without")]
    sum_nhd: Annotated[
        tuple[NotNegative, ...], Field(min_length=2, description="of the words of earlier segments, ascending")
    ]
    sum_shares: Annotated[
        tuple[NotNegative, ...], Field(min_length=2, description="of what partial sums cost in `later`, then")
    ]
    lanes: Annotated[
        tuple[Annotated[int, Field(ge=0, le=4096)], ...], Field(min_length=1, description="lanes that have operands")
    ]
    lane_shares: Annotated[
        tuple[NotNegative, ...], Field(min_length=1, description="energy with as many lanes over that with all")
    ]
    ones_costs: Annotated[
        tuple[NotNegative, ...],
        Field(min_length=3, max_length=17, description="by ones in the word of the held operand; mean 1"),
    ]
    mean_costs: Annotated[
        tuple[NotNegative, ...], Field(min_length=2, description="means of `ones_costs` over the lanes, ascending")
    ]
    factors: Annotated[
        tuple[NotNegative, ...], Field(min_length=2, description="what all lanes together cost then; 1 at a mean of 1")
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
    """What is taken for activations where no sample inputs are given."""

    source: Annotated[str, Field(description="where the figures come from")]
    dense_rates: Annotated[Rates, Field(description="flips of each bit per step of the activations, least first")]
    depthwise_rates: Rates
    held_ones: Annotated[
        tuple[NotNegative, ...],
        Field(min_length=3, max_length=17, description="share of words of the held operand with 0, 1, ... ones"),
    ]


class Accuracy(Record):
    """How a prediction compares with simulation, layer by layer."""

    layers: Count
    r2: Annotated[float | None, Field(le=1, description="of energy per MAC")]
    r2_log: Annotated[float | None, Field(le=1, description="of the logarithm of a layer's energy")]
    median_error_percent: NotNegative
    worst_error_percent: NotNegative
    worst_layer: str
    total_error_percent: Annotated[float, Field(description="of the sum over the layers; signed")]


class DelayAccuracy(Record):
    """Under both models of delays."""

    zero_delay: Accuracy
    inertial: Accuracy


class Variant(Record):
    """A simpler prediction, to see what each term is good for."""

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
    weight_nhd: Annotated[float, Field(ge=0, le=1, description="mean over the lanes in use")]
    predicted: EnergyPair
    simulated: EnergyPair
    ci95_percent: Annotated[float, Field(ge=0, description="of the simulated energy; 0 where it is exact")]


class OrderComparison(Record):
    """All layers in one order."""

    order: Literal["natural", "scheduled"]
    layers: tuple[LayerComparison, ...]
    accuracy: DelayAccuracy


class Block(Record):
    """Some consecutive cycles of one unit."""

    layer: str
    weight_nhd: Annotated[float, Field(ge=0, le=1)]
    simulated: Annotated[EnergyPair, Field(description="per unit cycle")]
    predicted: EnergyPair
    predicted_from_flips: Annotated[EnergyPair, Field(description="from its weight and activation flips alone")]


class BlockComparison(Record):
    """Blocks of all layers in natural order."""

    cycles: Annotated[Count, Field(description="of a block")]
    count: Annotated[Count, Field(description="blocks that were simulated")]
    blocks: Annotated[tuple[Block, ...], Field(description="left out of files")] = ()
    zero_delay_r2: float | None
    inertial_r2: float | None
    zero_delay_r2_from_flips: float | None
    inertial_r2_from_flips: float | None


class NetworkComparison(Record):
    """The calibration against a network that was simulated gate by gate."""

    model: ModelFile
    inputs: Annotated[str | None, Field(description="sample inputs; null: a random one")]
    samples: Count
    orders: Annotated[tuple[OrderComparison, ...], Field(min_length=1, description="natural order first")]
    without_inputs: Annotated[
        DelayAccuracy, Field(description="natural order, with mean activations instead of each layer's own")
    ]
    ranking: DelayRankings
    ablation: Annotated[tuple[Variant, ...], Field(description="natural order, with terms left out")]
    blocks: BlockComparison


class OrderRanking(Record):
    """Natural against scheduled order, layer by layer, under one model of delays."""

    agreement: Annotated[
        float, Field(ge=0, le=1, description="share of layers whose cheaper order is predicted to be the cheaper one")
    ]
    ratio_r2: Annotated[float | None, Field(le=1, description="R^2 of scheduled over natural energy")]
    ratio_r2_from_flips: Annotated[
        float | None, Field(le=1, description="the same, predicted from the flips of the layer alone")
    ]


class DelayRankings(Record):
    """Under both models of delays."""

    zero_delay: OrderRanking
    inertial: OrderRanking


class CalibrationSettings(Record):
    """How it was made."""

    command: Annotated[str, Field(description="a command that makes this calibration again")]
    seed: Count
    step_ps: Positive
    time_limit_s: Positive
    cycles: Annotated[Count, Field(description="simulated for each point of the sweeps")]


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
        Literal["weights", "activations"], Field(description="the operand whose ones scale the energy")
    ]
    zero_delay: DelayCurves
    inertial: DelayCurves
    registers: RegisterEnergy
    means: MeanStatistics
    network: Annotated[NetworkComparison | None, Field(description="null where no model was given")] = None
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
    """What an estimate rests on."""

    source: Annotated[str, Field(description="a built-in calibration, or a file")]
    cells: Annotated[str, Field(description="cell library")]
    model: Annotated[str | None, Field(description="network on which the accuracy was found; null: none")]
    activations: Annotated[
        Literal["sample inputs", "calibration"], Field(description="whose activations the estimate is of")
    ]
    accuracy: Annotated[
        DelayAccuracy | None, Field(description="against gate level on that network; null where none was simulated")
    ]


class EstimatedEnergy(Record):
    """Energy of one inference, estimated from flips."""

    total: Annotated[EnergyPair, Field(description="sum over the layers that were estimated")]
    calibration: CalibrationRecord


NetworkComparison.model_rebuild()
