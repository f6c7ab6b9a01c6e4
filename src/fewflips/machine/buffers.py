"""The memories around an array, and what a pass covers before partial sums leave it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

BufferContent = Literal["weights", "activations", "partial-sums", "index-table"]
"""What a memory holds."""

EnergySource = Literal["table", "cacti", "registers"]
"""Where the energy of an access comes from if the machine does not state it: the built-in table of published figures,
CACTI (extra ``memory``), or flip-flops that are synthesized and simulated like the arithmetic units."""


class Buffer(BaseModel):
    """One memory.

    Attributes
    ----------
    size_kib : float
        Capacity, in KiB.
    word_bits : int
        Bits of one access.
    read_pj, write_pj : float or None
        Energy of reading and of writing one word. None: from `source`.
    leakage_uw : float or None
        Leakage power of the whole memory. None: from `source`.
    source : {"table", "cacti", "registers"}
        Where figures that are left out come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_kib: Annotated[float, Field(gt=0, le=1 << 30, description="capacity, in KiB")]
    word_bits: Annotated[int, Field(ge=1, le=1 << 16, description="bits of one access")]
    read_pj: Annotated[float | None, Field(ge=0, description="energy of reading a word, in pJ; null: from source")] = (
        None
    )
    write_pj: Annotated[float | None, Field(ge=0, description="energy of writing a word, in pJ; null: from source")] = (
        None
    )
    leakage_uw: Annotated[float | None, Field(ge=0, description="leakage power, in uW; null: from source")] = None
    source: Annotated[EnergySource, Field(description="where figures that are left out come from")] = "table"


class MemoryLevel(Buffer):
    """A memory beyond the buffers of the array: a shared buffer, or DRAM.

    Attributes
    ----------
    name : str
        Name in reports.
    holds : tuple of {"weights", "activations", "partial-sums", "index-table"}
        Whose words pass through this memory on their way to the buffer.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    holds: Annotated[tuple[BufferContent, ...], Field(min_length=1)] = ("weights", "activations", "index-table")


class Buffers(BaseModel):
    """The memories that feed an array.

    Attributes
    ----------
    weights, activations : Buffer
        Operands on their way to the array; results return to `activations`.
    partial_sums : Buffer or None
        Sums that leave the array before they are complete. None: the machine has none, and its tiling must not need
        one.
    index_table : Buffer or None
        Orders of a schedule. None: the machine cannot run a schedule.
    beyond : tuple of MemoryLevel
        Memories beyond these, nearest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Buffer
    activations: Buffer
    partial_sums: Buffer | None = None
    index_table: Buffer | None = None
    beyond: tuple[MemoryLevel, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [level.name for level in self.beyond]
        if len(set(names)) < len(names):
            raise ValueError(f"beyond: expected a different name for each level, got {', '.join(names)}")
        return self


class Tiling(BaseModel):
    """How much of a layer a pass covers before partial sums leave the array's own registers.

    Attributes
    ----------
    outputs : int or None
        Output channels whose partial sums stay in a column's register file until they are complete. None: no
        register file; every partial sum is written to the buffer and read again.
    pixels : int
        Output pixels of a column that share a pass over a segment's weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outputs: Annotated[int | None, Field(ge=1, le=1 << 16, description="output channels of a tile; null: all")] = None
    pixels: Annotated[int, Field(ge=1, le=1 << 16, description="output pixels of a tile, for each column")] = 1
