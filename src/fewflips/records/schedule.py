"""The schedule as data: the content of ``schedule.json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.machine import Accelerator
from fewflips.records.record import Record

Index = Annotated[int, Field(ge=0, lt=1 << 31)]


class Axes(Record):
    """The indices of Y[M, N] = X[M, K] W[K, N] on the lanes and in the order."""

    lanes: Literal["k", "n"]
    order: Literal["k", "n"]


class ScheduledSegment(Record):
    """One pass through the array."""

    lanes: Annotated[tuple[Index, ...], Field(description="indices that share the pass, one per lane")]
    order: Annotated[tuple[Index, ...], Field(description="indices that stream, in the order of the cycles")]


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
    version: Literal[1] = 1
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    accelerator: Accelerator
    layers: tuple[ScheduledLayer, ...]
    index_table_bits: Annotated[int, Field(ge=0, description="sum over the layers")]
