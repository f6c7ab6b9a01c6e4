"""Whether a network got worse, as data: the output of ``fewflips check --json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.machine import Accelerator
from fewflips.records.model_file import ModelFile
from fewflips.records.quantities import Quantities
from fewflips.records.record import Count, Record


class Excess(Record):
    """One figure of a layer, or of the network, above its limit."""

    layer: Annotated[str | None, Field(description="name of the layer; null for the whole network")]
    quantity: Annotated[str, Field(description="name of the field of quantities, or of the budget's limit")]
    value: Annotated[float, Field(ge=0, description="what it is now, in one inference")]
    limit: Annotated[
        float, Field(ge=0, description="what the budget allows, or what the report has, without the tolerance")
    ]


class CheckReport(Record):
    """Result of ``fewflips check``."""

    format: Literal["fewflips-check"] = "fewflips-check"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    model: ModelFile
    accelerator: Accelerator
    basis: Annotated[Literal["budget", "report"], Field(description="what the limits are")]
    file: Annotated[str, Field(description="the budget's or the report's file name, without its folder")]
    outcome: Annotated[
        Literal["before", "schedule", "drop-in"] | None,
        Field(description="which figures of the report are the limits; null for a budget"),
    ]
    tolerance_percent: Annotated[float, Field(ge=0, description="by how much a limit may be exceeded")]
    passed: Annotated[bool, Field(description="whether nothing got worse")]
    quantities: Annotated[tuple[str, ...], Field(description="what was compared")]
    layers: Annotated[Count, Field(description="number of layers with a limit")]
    worse: Annotated[tuple[Excess, ...], Field(description="by layer, in the network's order; the network's last")]
    gone: Annotated[tuple[str, ...], Field(description="layers of the report that the model does not have")]
    added: Annotated[tuple[str, ...], Field(description="layers of the model that the report does not have")]
    total: Annotated[Quantities, Field(description="of the model's layers together")]
