"""The products of all lanes as a sum of bit planes, by ripple-carry adders in pairs.

A *row* is a lane's weight where a bit of its activation is 1, else 0. The rows of all lanes for one bit are a plane.
Each plane is added up on its own, two and two, and then the sums of the planes, each shifted by its bit. So the first
adders are as narrow as a weight, inputs of an adder arrive together, which avoids glitches, and a lane whose
activation is zero keeps its rows still.

Signed rows have their sign bit inverted in place of extending it, and the rows of the bit of a two's complement
activation that counts negative are inverted as a whole. Both add a constant, so that rows and all sums are unsigned.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fewflips.datapath.design import Datapath


@dataclass(frozen=True)
class PlaneRow:
    """One lane's weight times one bit of its activation, as Verilog."""

    name: str
    text: str


@dataclass(frozen=True)
class Adder:
    """An adder of two numbers that are extended to its width, as Verilog."""

    name: str
    bits: int
    first: str
    second: str


@dataclass(frozen=True)
class BitPlanes:
    """Everything that is added.

    Parameters
    ----------
    row_bits : int
        Width of a row.
    rows : tuple of PlaneRow
        Rows of each plane.
    adders : tuple of Adder
        In an order in which operands come before their users.
    total : str
        Name of the number that is the sum of all, with its bias.
    """

    row_bits: int
    rows: tuple[PlaneRow, ...] = field(repr=False)
    adders: tuple[Adder, ...] = field(repr=False)
    total: str


def bit_planes(datapath: Datapath) -> BitPlanes:
    """Rows and adders of a column.

    Parameters
    ----------
    datapath : Datapath
        A column with ``adder="bit-planes"``.

    Returns
    -------
    BitPlanes
        For the template.
    """
    builder = _Builder()
    row_bits, rows, planes = datapath.weights.bits, [], []
    for bit in range(datapath.activations.bits):
        plane = [PlaneRow(f"row_{bit}_{lane}", _row(datapath, bit, lane)) for lane in range(datapath.lanes)]
        planes.append(builder.total([_Number(row.name, row_bits, bit, (1 << row_bits) - 1) for row in plane]))
        rows += plane
    total = builder.total(planes)
    return BitPlanes(row_bits, tuple(rows), tuple(builder.adders), total.name)


def _row(datapath: Datapath, bit: int, lane: int) -> str:
    """A row with its sign bit inverted, and all its bits where the bit of the activation counts negative."""
    bits = datapath.weights.bits
    chosen = f"activation_register[{lane * datapath.activations.bits + bit}]"
    weight = f"weight_register[{lane * bits + bits - 1}:{lane * bits}]"
    row = f"({weight} & {{{bits}{{{chosen}}}}})"
    inverted = (1 << bits) - 1 if datapath.activations.signed and bit == datapath.activations.bits - 1 else 0
    if datapath.weights.signed:
        inverted ^= 1 << (bits - 1)
    return f"{row} ^ {bits}'d{inverted}" if inverted else row


@dataclass(frozen=True)
class _Number:
    """An unsigned number on wires: its least significant bit counts ``2**shift``."""

    name: str
    bits: int
    shift: int
    largest: int


class _Builder:
    """Collects adders."""

    def __init__(self) -> None:
        self.adders: list[Adder] = []

    def total(self, numbers: list[_Number]) -> _Number:
        """Adds numbers in pairs until one is left."""
        while len(numbers) > 1:
            pairs = [self._add(*numbers[first : first + 2]) for first in range(0, len(numbers) - 1, 2)]
            numbers = [*pairs, *numbers[2 * len(pairs) :]]
        return numbers[0]

    def _add(self, low: _Number, high: _Number) -> _Number:
        """`high` counts at least as much as `low`."""
        largest = low.largest + (high.largest << (high.shift - low.shift))
        bits, name = largest.bit_length(), f"sum_{len(self.adders)}"
        self.adders.append(Adder(name, bits, _extended(low, 0, bits), _extended(high, high.shift - low.shift, bits)))
        return _Number(name, bits, low.shift, largest)


def _extended(number: _Number, zeros: int, bits: int) -> str:
    """A number with zeros below and above."""
    above = bits - zeros - number.bits
    parts = [f"{above}'d0"] * (above > 0) + [number.name] + [f"{zeros}'d0"] * (zeros > 0)
    return "{" + ", ".join(parts) + "}" if len(parts) > 1 else number.name
