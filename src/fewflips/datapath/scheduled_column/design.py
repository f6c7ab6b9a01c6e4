"""A scheduled column as an object: the arithmetic unit, and the sizes of everything around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.design import Datapath
from fewflips.datapath.scheduled_column.passes import Pass
from fewflips.errors import InputError

LARGEST_MEMORY_BITS = 1 << 28
"""Larger memories are refused rather than written to a file."""


@dataclass(frozen=True)
class MemoryMacro:
    """A memory with one read and one write port, whose reads take a cycle.

    Parameters
    ----------
    name : str
        What it holds: ``passes``, ``indices``, ``flags``, ``weights``, ``activations``, ``sums`` or ``starts``.
    width : int
        Bits of a word.
    depth : int
        Words.
    copies : int
        How many of them there are: one for each column or lane, or one in all.
    """

    name: str
    width: int
    depth: int
    copies: int = 1

    @property
    def address_bits(self) -> int:
        """Width of an address."""
        return address_bits(self.depth)

    @property
    def bits(self) -> int:
        """Bits of one copy."""
        return self.width * self.depth


def address_bits(count: int) -> int:
    """Width of an address of `count` words, at least 1."""
    return max(1, (count - 1).bit_length())


@dataclass(frozen=True)
class ColumnDesign:
    """One or several columns behind one controller.

    Parameters
    ----------
    datapath : Datapath
        The arithmetic unit of each column: of kind ``column``, with a partial sum.
    columns : int
        Columns; each works on a pixel of its own.
    words : int
        Weight words of a pixel.
    passes : int
        Passes of a pixel.
    longest_pass : int
        Words of the longest one.
    sums : int
        Partial sums of a pixel.
    channels : int
        Output channels.
    rows : int
        Pixels of each column.
    tile_rows : int
        Pixels of a column that go through a pass before the next pass begins.
    own_activations : bool
        Whether each channel has activations of its own, as in a depthwise layer.
    based : bool
        Whether some pass counts its channels from another one than 0.
    starts : bool
        Whether sums start from a memory of preloaded values rather than from 0.
    fetches : int
        Weights that the lane which fetches most takes for a pixel, where the unit has hold flags; else 0.

    Raises
    ------
    InputError
        If the unit is not one for such a column, or a memory is too large.
    """

    datapath: Datapath
    columns: int
    words: int
    passes: int
    longest_pass: int
    sums: int
    channels: int
    rows: int
    tile_rows: int = 1
    own_activations: bool = False
    based: bool = False
    starts: bool = False
    fetches: int = 0

    def __post_init__(self) -> None:
        if self.datapath.kind != "column" or not self.datapath.partial_sum_input:
            raise InputError(
                f"scheduled column: expected units of kind column with a partial sum, got {self.datapath.kind} "
                f"{'with' if self.datapath.partial_sum_input else 'without'} one; take an activation-stationary machine"
            )
        if min(self.columns, self.words, self.passes, self.sums, self.channels, self.rows, self.tile_rows) < 1:
            raise InputError("scheduled column: expected at least one column, word, pass, sum, channel and pixel")
        if self.datapath.hold_flags and not 1 <= self.fetches <= self.words:
            raise InputError(
                f"scheduled column: with hold flags, expected lanes that fetch 1 to {self.words} weights, got "
                f"{self.fetches}; give the flags"
            )
        for memory in self.memories:
            if memory.bits > LARGEST_MEMORY_BITS:
                raise InputError(
                    f"scheduled column: its memory of {memory.name} takes {memory.bits} bits, expected at most "
                    f"{LARGEST_MEMORY_BITS}; give fewer --pixels, or another layer"
                )

    @property
    def partial_sum_delay(self) -> int:
        """Cycles by which a partial sum comes to the unit after the operands that it belongs to."""
        return self.datapath.partial_sum_delay

    @property
    def shortest_return(self) -> int:
        """Fewest cycles from a word to one that adds to the same sum, without the controller waiting.

        A sum is written in the cycle in which it leaves the unit, `latency` cycles after its operands entered, and
        can be read in the cycle after that; it is read a cycle before it enters the unit.
        """
        return self.datapath.latency + 2 - self.partial_sum_delay

    @property
    def activation_words_per_pass(self) -> int:
        """One, or one for each partial sum where channels have activations of their own."""
        return self.sums if self.own_activations else 1

    @property
    def activation_words(self) -> int:
        """Words of a column's activation memory."""
        return self.rows * self.passes * self.activation_words_per_pass

    @property
    def pass_fields(self) -> tuple[tuple[str, int], ...]:
        """Fields of a word of the table of passes and their bits, from the top; each a number or a flag."""
        return (
            ("end", 1),
            ("last", 1),
            ("first", 1),
            *((("base", address_bits(self.channels)),) if self.based else ()),
            ("remaining", address_bits(self.longest_pass)),
        )

    @property
    def memories(self) -> tuple[MemoryMacro, ...]:
        """All memories, in the order in which a word passes them."""
        unit = self.datapath
        found = [
            MemoryMacro("passes", sum(bits for _, bits in self.pass_fields), self.passes),
            MemoryMacro("indices", address_bits(self.sums), self.words),
            *self._weight_memories(),
            MemoryMacro("activations", unit.lanes * unit.activations.bits, self.activation_words, self.columns),
        ]
        if self.starts:
            found.append(MemoryMacro("starts", unit.accumulator_bits, self.channels))
        return (*found, MemoryMacro("sums", unit.accumulator_bits, self.sums * self.tile_rows, self.columns))

    @property
    def flag_bits(self) -> int:
        """Flags beside a word: one for each lane of a unit with hold flags, and one for the sign."""
        return self.datapath.lanes * self.datapath.hold_flags + self.datapath.sign_flags

    def _weight_memories(self) -> tuple[MemoryMacro, ...]:
        """All lanes in one word, or a memory for the weights that a lane fetches; and the flags of all words."""
        unit = self.datapath
        flags = (MemoryMacro("flags", self.flag_bits, self.words),) if self.flag_bits else ()
        if unit.hold_flags:
            return (*flags, MemoryMacro("weights", unit.weights.bits, self.fetches, unit.lanes))
        return (*flags, MemoryMacro("weights", unit.lanes * unit.weights.bits, self.words))

    def memory(self, name: str) -> MemoryMacro:
        """The memory of a name."""
        return next(memory for memory in self.memories if memory.name == name)


def column_design(
    datapath: Datapath,
    passes: Sequence[Pass],
    n: int,
    pixels: int,
    *,
    columns: int = 1,
    tile_rows: int = 1,
    own_activations: bool = False,
    starts: bool = False,
    loads: NDArray[np.bool_] | None = None,
) -> ColumnDesign:
    """The smallest column that runs some passes.

    Parameters
    ----------
    datapath : Datapath
        The arithmetic unit.
    passes : sequence of Pass
        From :func:`~fewflips.datapath.scheduled_column.passes.column_passes`.
    n : int
        Output channels.
    pixels : int
        Output pixels, shared among the columns.
    columns, tile_rows : int
        As of the design; a tile has no more rows than there are.
    own_activations, starts : bool
        As of the design.
    loads : ndarray of bool, shape (words, lanes), optional
        Which weights are fetched, for a unit with hold flags.

    Returns
    -------
    ColumnDesign
        The design.

    Raises
    ------
    InputError
        As of the design, or if a pass has more lanes than the unit.
    """
    widest = max(len(one.lanes) for one in passes)
    if widest > datapath.lanes:
        raise InputError(f"scheduled column: a pass has {widest} lanes, the unit {datapath.lanes}")
    return ColumnDesign(
        datapath=datapath,
        columns=columns,
        words=sum(len(one.channels) for one in passes),
        passes=len(passes),
        longest_pass=max(len(one.channels) for one in passes),
        sums=1 + max(int(one.addresses.max()) for one in passes),
        channels=n,
        rows=-(-pixels // columns),
        tile_rows=min(tile_rows, -(-pixels // columns)),
        own_activations=own_activations,
        based=any(one.base for one in passes),
        starts=starts,
        fetches=0 if loads is None else int(loads.sum(axis=0).max()),
    )
