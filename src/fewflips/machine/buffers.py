"""The memories around an array, and what a pass covers before partial sums leave it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fewflips.machine.compact import Compact
from fewflips.machine.memory_sources import MEMORY_SOURCES, REGISTERS, TABLE

BufferContent = Literal["weights", "activations", "partial-sums", "index-table"]
"""What a memory holds."""

MemoryKind = Literal["sram", "dram"]
"""What a memory is made of."""

_BITS_OF_A_KIB = 8192


class Buffer(Compact):
    """One memory.

    Attributes
    ----------
    size_kib : float
        Capacity of all banks together, in KiB.
    word_bits : int
        Bits of one access.
    banks : int
        Memories of equal size that it consists of; an access goes to one of them.
    read_pj, write_pj : float or None
        Energy of reading and of writing one word. None: from `source`.
    leakage_uw : float or None
        Leakage power of the whole memory. None: from `source`.
    source : str
        Where figures that are left out come from: ``table``, the built-in table of published figures; ``registers``,
        flip-flops that are synthesized and simulated like the arithmetic units; ``cacti`` (extra ``memory``); or what
        other packages register.
    technology_nm : float
        Technology node, for sources that model one.
    """

    left_out: ClassVar[tuple[str, ...]] = ("banks", "read_pj", "write_pj", "leakage_uw", "source", "technology_nm")

    size_kib: Annotated[
        float, Field(gt=0, le=1 << 30, allow_inf_nan=False, description="capacity of all banks together, in KiB")
    ]
    word_bits: Annotated[int, Field(ge=1, le=1 << 16, description="bits of one access")]
    banks: Annotated[int, Field(ge=1, le=1 << 16, description="memories of equal size that it consists of")] = 1
    read_pj: Annotated[
        float | None,
        Field(ge=0, le=1e9, allow_inf_nan=False, description="energy of reading a word, in pJ; null: from source"),
    ] = None
    write_pj: Annotated[
        float | None,
        Field(ge=0, le=1e9, allow_inf_nan=False, description="energy of writing a word, in pJ; null: from source"),
    ] = None
    leakage_uw: Annotated[
        float | None,
        Field(ge=0, le=1e9, allow_inf_nan=False, description="leakage power, in uW; null: from source"),
    ] = None
    source: Annotated[str, Field(description="where figures that are left out come from")] = TABLE
    technology_nm: Annotated[
        float, Field(ge=5, le=250, allow_inf_nan=False, description="technology node, for sources that model one")
    ] = 45.0

    @property
    def capacity_bits(self) -> int:
        """Bits of all banks."""
        return int(self.size_kib * _BITS_OF_A_KIB)

    @property
    def bank_kib(self) -> float:
        """Capacity of a bank, in KiB."""
        return self.size_kib / self.banks

    @field_validator("source")
    @classmethod
    def _known_source(cls, name: str) -> str:
        if name != REGISTERS and name not in MEMORY_SOURCES:
            raise ValueError(f"expected one of {', '.join((*MEMORY_SOURCES.names, REGISTERS))}")
        return name

    @model_validator(mode="after")
    def _a_word_fits(self) -> Self:
        bank_bits = self.bank_kib * _BITS_OF_A_KIB
        if self.word_bits > bank_bits:
            raise ValueError(
                f"expected a word that fits into a bank, got word_bits {self.word_bits} in a bank of {bank_bits:g} bits"
            )
        return self


class MemoryLevel(Buffer):
    """A memory beyond the buffers of the array: a shared buffer, or DRAM.

    Attributes
    ----------
    name : str
        Name in reports.
    holds : tuple of {"weights", "activations", "partial-sums", "index-table"}
        Whose words pass through this memory on their way to the buffer.
    kind : {"sram", "dram"}
        What it is made of, for the built-in table.
    """

    left_out: ClassVar[tuple[str, ...]] = (*Buffer.left_out, "kind", "holds")

    kind: Annotated[MemoryKind, Field(description="what it is made of, for the built-in table")] = "sram"
    name: Annotated[str, Field(min_length=1, max_length=100)]
    holds: Annotated[tuple[BufferContent, ...], Field(min_length=1)] = ("weights", "activations", "index-table")


class Buffers(Compact):
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

    left_out: ClassVar[tuple[str, ...]] = ("partial_sums", "index_table", "beyond")

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
