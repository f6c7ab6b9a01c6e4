"""What the weights cost as they stream, where orders were chosen by a cost of transitions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fewflips.records.record import Count, Record


class WeightCosts(Record):
    """Cost of the weight stream of a layer, or of all, before and after."""

    baseline: Annotated[
        Count, Field(description="as stored, within passes: of all segments once; in the total, of one inference")
    ]
    optimized: Annotated[Count, Field(description="the same, after optimization")]
    lower_bound: Annotated[
        Count | None, Field(description="lower bound: no order costs less; null where the step knows none")
    ]
    segments: Annotated[Count, Field(description="number of orders chosen independently")]
    proven_segments: Annotated[Count, Field(description="orders proven cheapest (their cost is the bound)")]


class StageCosts(Record):
    """Costs after one step."""

    name: Annotated[str, Field(description="of the stage")]
    total: WeightCosts
    layers: Annotated[tuple[WeightCosts, ...], Field(description="in the order of the report's `layers`")]


class CostResult(Record):
    """The cost of a transition that orders were chosen by, and what the weights cost after each step."""

    source: Annotated[
        str | None, Field(description="the file that gave it; `energy` if it was measured, null if given in Python")
    ]
    bits: Annotated[int, Field(ge=1, le=16, description="width of the codes that it is for")]
    bit_costs: Annotated[
        tuple[Count, ...] | None,
        Field(description="cost of a flip of each bit, least significant first; null if the costs are a table"),
    ]
    stages: Annotated[
        tuple[StageCosts, ...], Field(description="the network as stored, then after each step, as in `stages`")
    ]
