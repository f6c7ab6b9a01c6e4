"""The schedule as data: the content of ``schedule.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fewflips.machine import Accelerator
from fewflips.records.record import Record, schema_with_optional

Index = Annotated[int, Field(ge=0, lt=1 << 31)]


class Axes(Record):
    """The indices of Y[M, N] = X[M, K] W[K, N] on the lanes and in the order."""

    lanes: Literal["k", "n"]
    order: Literal["k", "n"]


class ScheduledSegment(Record):
    """One pass through the array.

    `negated` is left out where no word streams negated.
    """

    lanes: Annotated[tuple[Index, ...], Field(description="indices that share the pass, one per lane")]
    order: Annotated[tuple[Index, ...], Field(description="indices that stream, in the order of the cycles")]
    negated: Annotated[
        tuple[Literal[0, 1], ...] | None,
        Field(description="for each cycle 1 where the word streams negated; left out where none does"),
    ] = None

    @model_validator(mode="after")
    def _flag_for_each_cycle(self) -> Self:
        if self.negated is not None and len(self.negated) != len(self.order):
            raise ValueError(f"negated: expected {len(self.order)} flags, one for each cycle, got {len(self.negated)}")
        if self.negated is not None and not any(self.negated):
            raise ValueError("negated: expected a word that is, got none: leave it out")
        return self

    @model_serializer(mode="wrap")
    def _without_flags(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        if self.negated is None:
            content.pop("negated", None)
        return content

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of the fields, of which `negated` may be left out."""
        return schema_with_optional(schema, handler, "negated")


class ScheduledLayer(Record):
    """Orders of one layer.

    In an activation- or weight-stationary array `lanes` are k indices and `order` n indices; in an
    output-stationary array `lanes` are n indices and `order` k indices.
    """

    name: str
    n: Index
    k: Index
    axes: Axes
    segments: tuple[ScheduledSegment, ...]
    index_table_bits: Annotated[
        int, Field(ge=0, description="all orders as a table: entries x ceil(log2(entries of the segment))")
    ]


class Schedule(Record):
    """Content of ``schedule.json``."""

    format: Literal["fewflips-schedule"] = "fewflips-schedule"
    version: Annotated[Literal[1, 2], Field(description="2 where words stream negated, else 1")] = 1
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    accelerator: Accelerator
    layers: tuple[ScheduledLayer, ...]
    index_table_bits: Annotated[int, Field(ge=0, description="sum over the layers")]

    @property
    def has_signs(self) -> bool:
        """Whether words stream negated."""
        return any(segment.negated is not None for layer in self.layers for segment in layer.segments)

    @model_validator(mode="after")
    def _version_of_signs(self) -> Self:
        if self.version != 1 + self.has_signs:
            raise ValueError(
                f"version: expected {1 + self.has_signs}, got {self.version}: it is 2 where words stream negated"
            )
        return self
