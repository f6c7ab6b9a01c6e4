"""Two or more runs beside each other, as data: the output of ``fewflips compare --json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.records.model_file import ModelFile
from fewflips.records.quantities import Quantities
from fewflips.records.record import Record


class ComparedRun(Record):
    """One report."""

    label: Annotated[str, Field(description="how it is called here; unique")]
    model: ModelFile
    accelerator: Annotated[str, Field(description="name of the machine")]
    outcome: Annotated[Literal["before", "schedule", "drop-in"], Field(description="which of its figures are compared")]
    before: Annotated[Quantities, Field(description="of the network as stored, all layers")]
    compared: Annotated[Quantities, Field(description="of that outcome, all layers")]
    command: Annotated[str | None, Field(description="a command that makes the report again; null if unknown")]


class ComparedLayer(Record):
    """One layer in every run."""

    name: str
    runs: Annotated[
        tuple[Quantities | None, ...], Field(description="in the order of the runs; null where there is no such layer")
    ]


class ComparisonReport(Record):
    """Result of ``fewflips compare``."""

    format: Literal["fewflips-comparison"] = "fewflips-comparison"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    runs: Annotated[tuple[ComparedRun, ...], Field(min_length=2, description="the others are compared with the first")]
    layers: Annotated[tuple[ComparedLayer, ...], Field(description="of the first run, then those of the others")]
    notes: Annotated[tuple[str, ...], Field(description="what the runs do not have in common")] = ()
