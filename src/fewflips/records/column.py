"""A scheduled column as data: the output of ``fewflips rtl --column --json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.machine import Accelerator
from fewflips.records.energy import CellsRecord
from fewflips.records.model_file import ModelFile
from fewflips.records.record import Count, Record

Area = Annotated[float, Field(ge=0, description="of the cells, in um^2")]


class ColumnMemory(Record):
    """One of the memories around the units."""

    name: Literal["passes", "indices", "weights", "activations", "starts", "sums", "flags"]
    width: Annotated[Count, Field(description="bits of a word")]
    depth: Annotated[Count, Field(description="words")]
    copies: Annotated[Count, Field(description="one for each column, or one in all")]
    bits: Annotated[Count, Field(description="of all copies")]
    area_um2: Annotated[
        Area | None, Field(description="of all copies, built of flip-flops; null where it is left to a macro")
    ]
    critical_path_ps: Annotated[float | None, Field(ge=0, description="likewise")]


class ColumnHolds(Record):
    """What hold flags leave to be fetched from the memories of weights."""

    flags: Annotated[Count, Field(description="read, one for each weight and cycle")]
    fetched: Annotated[Count, Field(description="weights that are read and stored")]
    held: Annotated[Count, Field(description="weights that repeat on their lane")]


class ColumnPart(Record):
    """Gates of one part of the column."""

    cells: Annotated[Count, Field(description="instances of library cells")]
    registers: Annotated[Count, Field(description="flip-flops among them")]
    area_um2: Area
    critical_path_ps: Annotated[
        float, Field(ge=0, description="longest path from a port or a register; setup times are not included")
    ]


class ColumnGates(Record):
    """Units and controller after synthesis, without memories."""

    unit: Annotated[ColumnPart, Field(description="one arithmetic unit, clock gates of hold flags included")]
    weight_encoders: Annotated[
        ColumnPart | None, Field(description="of all lanes, with registers, once for all columns; null on plain ports")
    ] = None
    activation_encoders: Annotated[ColumnPart | None, Field(description="likewise, of one column")] = None
    control: Annotated[ColumnPart, Field(description="controller, addresses, and what chooses the partial sums")]
    area_um2: Annotated[float, Field(ge=0, description="units and encoders of all columns, and controller")]
    control_percent: Annotated[float, Field(ge=0, le=100, description="share of the controller in the area")]
    critical_path_ps: Annotated[float, Field(ge=0, description="of the slowest of them; registers are between them")]
    netlist: Annotated[str, Field(description="source of the controller's netlist")]
    cells: CellsRecord


class ColumnSimulation(Record):
    """What the testbench found."""

    simulator: str
    passed: bool
    results: Annotated[Count, Field(description="results that were compared")]
    mismatches: Count
    cycles: Annotated[Count, Field(description="from the start to the last result")]
    first_mismatches: tuple[str, ...]
    fetched: Annotated[Count | None, Field(description="weights fetched; null without hold flags, or if it failed")]


class ColumnReport(Record):
    """Result of ``fewflips rtl --column``."""

    format: Literal["fewflips-column"] = "fewflips-column"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    model: ModelFile
    accelerator: Accelerator
    schedule: Annotated[str | None, Field(description="schedule file; null for natural order")]
    layer: str
    n: Annotated[Count, Field(description="output channels")]
    k: Annotated[Count, Field(description="products of each")]
    pixels: Annotated[Count, Field(description="output pixels that are computed")]
    pixels_of_layer: Count
    module: str
    columns: Annotated[Count, Field(description="columns behind the controller")]
    passes: Annotated[Count, Field(description="of a pixel")]
    words: Annotated[Count, Field(description="weight words of a pixel, one a cycle")]
    negated: Annotated[Count, Field(description="words of a pixel that stream negated, as their flags say")] = 0
    preloaded: Annotated[bool, Field(description="whether sums start from the bias and constants of the zero points")]
    cycles: Annotated[Count, Field(description="from the start to the last result")]
    waits: Annotated[Count, Field(description="cycles in which a word waits for a partial sum in the unit")]
    index_table_bits: Annotated[Count, Field(description="orders of the layer as a table")]
    holds: Annotated[ColumnHolds | None, Field(description="null without hold flags")] = None
    memories: tuple[ColumnMemory, ...]
    gates: Annotated[ColumnGates | None, Field(description="null unless it was synthesized")]
    simulation: Annotated[ColumnSimulation | None, Field(description="null unless the testbench was run")]
    files: Annotated[tuple[str, ...], Field(description="Verilog and memory files, in the output folder")]
    notes: tuple[str, ...] = ()
