"""The whole bill of an inference: arithmetic units by part, and the buffers around them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fewflips.records.record import Record

Picojoules = Annotated[float, Field(ge=0, description="in pJ")]


class UnitBill(Record):
    """Energy of the arithmetic units, glitches included, by where it is spent."""

    multipliers_pj: Annotated[Picojoules, Field(description="logic that depends on one lane alone")]
    adders_pj: Annotated[Picojoules, Field(description="logic that adds the products of several lanes")]
    partial_sums_pj: Annotated[Picojoules, Field(description="logic that adds to partial sums or accumulators")]
    registers_pj: Annotated[Picojoules, Field(description="registers and the wires in front of them, without clock")]
    clock_pj: Annotated[Picojoules, Field(description="clock pins of registers, whether their contents change or not")]
    leakage_pj: Annotated[Picojoules, Field(description="leakage of the whole array while the layer runs")]


class LevelBill(Record):
    """Energy of a memory beyond the buffers."""

    name: str
    access_pj: Picojoules
    leakage_pj: Picojoules


class BufferBill(Record):
    """Energy of the memories around the array."""

    weights_pj: Annotated[Picojoules, Field(description="weights, read")]
    activations_pj: Annotated[Picojoules, Field(description="activations, read, and results, written")]
    partial_sums_pj: Annotated[Picojoules, Field(description="partial sums, written and read again")]
    index_table_pj: Annotated[Picojoules, Field(description="orders of a schedule and flags, read")]
    register_files_pj: Annotated[Picojoules, Field(description="partial sums in the columns' register files")] = 0.0
    leakage_pj: Annotated[Picojoules, Field(description="leakage of these memories while the layer runs")]
    beyond: Annotated[tuple[LevelBill, ...], Field(description="memories beyond the buffers, nearest first")] = ()

    @property
    def total_pj(self) -> float:
        """All memories together."""
        own = (self.weights_pj, self.activations_pj, self.partial_sums_pj, self.index_table_pj, self.register_files_pj)
        return sum(own) + self.leakage_pj + sum(level.access_pj + level.leakage_pj for level in self.beyond)


class Bill(Record):
    """Everything that an inference spends on a machine."""

    units: UnitBill
    buffers: Annotated[BufferBill | None, Field(description="null if the machine describes no buffers")]
    datapath_pj: Annotated[Picojoules, Field(description="arithmetic units: the sum of `units`")]
    whole_pj: Annotated[Picojoules, Field(description="arithmetic units and buffers")]
    estimated: Annotated[
        tuple[str, ...], Field(description="entries that are estimates, not simulated, as `buffers.weights_pj`")
    ] = ()
