"""The arithmetic unit of an accelerator as an object, from which Verilog is generated.

Ports, by kind (``acc`` = `accumulator_bits`; lane l of a bus is at bits ``l * bits`` and up; ``clk`` clocks every
register on its rising edge; there is no reset):

================  ============================================================  =======================
kind              inputs                                                        outputs
================  ============================================================  =======================
multiplier        weights, activations                                          product
mac               clk, weights, activations, clear                              accumulator
column            clk, weights, activations, partial_sum, load (both optional)  sum
chain             clk, weights, activations, partial_sum (optional)             sum
================  ============================================================  =======================

- **multiplier**: combinational, ``product = weight x activation`` (two's complement if a factor is signed).
- **mac** (output-stationary): weight, activation and clear go to registers; one cycle later
  ``accumulator <= (clear ? 0 : accumulator) + weight x activation``.
- **column** (activation-stationary): all inputs go to registers, which the array may share or hold; the products of
all lanes (optionally through registers) and the partial sum are added by a tree, or in one expression, into the
output register ``sum``. With hold flags, lane l's weight register stores only where bit l of ``load`` is set.
- **chain** (weight-stationary, systolic): one processing element per lane. In element l the registers of weight and
activation feed a multiplier whose product is added to the partial sum of element l - 1 and stored. Lane l's
operands are expected l cycles later than lane 0's. Element 0 adds to the register of ``partial_sum``, or to 0.

A sign-magnitude code has its sign in the top bit; products and sums are two's complement in all signed
formats, and unsigned if both operands are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, get_args

from fewflips.datapath.kinds import UNIT_KINDS, Kind, UnitKind
from fewflips.errors import InputError
from fewflips.formats.number_formats import NumberFormat, value_range, width_for

MultiplierArchitecture = Literal["synthesizer", "booth"]
"""``a * b`` left to the synthesizer, or radix-4 Booth recoding of the weight."""


OperandPort = Literal["weights", "activations"]
"""A port that takes a word for each lane."""

Adder = Literal["tree", "one-sum"]
"""How a column adds: the products first, by a tree whose sign bits are inverted, then the partial sum; or all in one
expression of the accumulator's width, which the synthesizer arranges."""


class WordFormat(StrEnum):
    """Meaning of the code at a port for the arithmetic."""

    UNSIGNED = "unsigned"
    TWOS_COMPLEMENT = "twos-complement"
    SIGN_MAGNITUDE = "sign-magnitude"

    @property
    def number_format(self) -> NumberFormat:
        """The same as a number format of :mod:`fewflips.formats.number_formats`."""
        return NumberFormat(self.value)


@dataclass(frozen=True)
class Word:
    """Format and width of one operand.

    Parameters
    ----------
    format : WordFormat
        Meaning of the code.
    bits : int
        Its width, 2 to 16.
    """

    format: WordFormat
    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise InputError(f"operand of a datapath: expected 2 to 16 bits, got {self.bits}")

    @property
    def signed(self) -> bool:
        """Whether values can be negative."""
        return self.format is not WordFormat.UNSIGNED

    @property
    def value_range(self) -> tuple[int, int]:
        """Smallest and largest value, inclusive."""
        return value_range(self.format.number_format, self.bits)


@dataclass(frozen=True)
class Datapath:
    """An arithmetic unit.

    Parameters
    ----------
    kind : {"multiplier", "mac", "column", "chain"}
        Kind of unit; see the module.
    weights, activations : Word
        The operands.
    lanes : int
        Products per cycle, up to 4096; 1 for a multiplier or mac.
    accumulator_bits : int
        Width of sums, 8 to 64, and at least `product_bits`: products are extended to it, and sums that do not fit
        wrap. Ignored by a multiplier.
    multiplier : {"synthesizer", "booth"}
        ``a * b`` left to the synthesizer, or radix-4 Booth recoding of the weight.
    adder : {"tree", "one-sum"}
        Whether a column adds its products by a tree, followed by the partial sum, or all in one expression.
    product_registers : bool
        Whether a column stores its products in registers before adding them.
    partial_sum_input : bool
        Whether a column or chain adds a partial sum.
    hold_flags : bool
        Whether a column stores a lane's weight only where its port ``load`` says so.
    activation_converter : bool
        Whether activations, two's complement at the port, are stored and multiplied as sign and magnitude. The smallest
        code has no such form, and must not occur.
    bus_invert_ports : tuple of {"weights", "activations"}
        Ports whose words are bus-invert coded: each has a port of flags, ``weights_invert`` or ``activations_invert``,
        a bit for each lane. Registers store words as they come; between them and the multipliers stands the decoder.

    Raises
    ------
    InputError
        If the parameters do not form a unit.
    """

    kind: Kind
    weights: Word
    activations: Word
    lanes: int = 1
    accumulator_bits: int = 32
    multiplier: MultiplierArchitecture = "synthesizer"
    adder: Adder = "tree"
    product_registers: bool = False
    partial_sum_input: bool = False
    hold_flags: bool = False
    activation_converter: bool = False
    bus_invert_ports: tuple[OperandPort, ...] = ()

    def __post_init__(self) -> None:
        _check_choice("kind of datapath", self.kind, get_args(Kind))
        _check_choice("multiplier", self.multiplier, get_args(MultiplierArchitecture))
        _check_choice("adder", self.adder, get_args(Adder))
        self._check_lanes()
        self._check_options()
        if self.traits.clocked:
            self._check_accumulator()

    def _check_lanes(self) -> None:
        if not self.traits.many_lanes:
            if self.lanes != 1:
                raise InputError(f"{self.kind}: expected 1 lane, got {self.lanes}; use a column or a chain for more")
        elif not 1 <= self.lanes <= 4096:
            raise InputError(f"{self.kind}: expected 1 to 4096 lanes, got {self.lanes}")

    def _check_options(self) -> None:
        if self.product_registers and not self.traits.has_adder:
            raise InputError(f"product registers: expected a column, got a {self.kind}; leave product_registers out")
        if self.adder != "tree" and not self.traits.has_adder:
            raise InputError(f"adder: expected a column, got a {self.kind}; leave adder out")
        self._check_bus_invert()
        if self.activation_converter and self.activations.format is not WordFormat.TWOS_COMPLEMENT:
            raise InputError(
                f"activation converter: expected two's complement at the port, got {self.activations.format.value}; "
                "leave activation_converter out"
            )
        if self.activation_converter and not self.traits.clocked:
            raise InputError(
                f"activation converter: expected a unit with registers, got a {self.kind}; leave "
                "activation_converter out"
            )
        if self.hold_flags and not self.traits.has_adder:
            raise InputError(f"hold flags: expected a column, got a {self.kind}; leave hold_flags out")
        if self.partial_sum_input and not self.traits.takes_partial_sum:
            raise InputError(
                f"partial sum input: expected a column or chain, got a {self.kind}; leave partial_sum_input out"
            )

    def _check_bus_invert(self) -> None:
        for port in self.bus_invert_ports:
            _check_choice("bus-invert port", port, get_args(OperandPort))
        if self.bus_invert_ports and not self.traits.clocked:
            raise InputError(f"bus-invert: expected a unit with registers, got a {self.kind}; leave it out")
        if "activations" in self.bus_invert_ports and self.activation_converter:
            raise InputError("bus-invert: expected activations that are not converted, got both; leave one out")

    def _check_accumulator(self) -> None:
        if not 8 <= self.accumulator_bits <= 64:
            raise InputError(f"accumulator of a {self.kind}: expected 8 to 64 bits, got {self.accumulator_bits}")
        if self.accumulator_bits < self.product_bits:
            raise InputError(
                f"accumulator of a {self.kind}: expected at least {self.product_bits} bits, the width of a product, "
                f"got {self.accumulator_bits}"
            )

    @property
    def traits(self) -> UnitKind:
        """What units of this kind do."""
        return UNIT_KINDS[self.kind]

    @property
    def ungated(self) -> Datapath:
        """The same unit with every register clocked in every cycle.

        Where held words repeat, all its nets but the clock's toggle alike, so it is what is synthesized and simulated.
        """
        return replace(self, hold_flags=False)

    @property
    def uncoded(self) -> Datapath:
        """The same unit with plain ports."""
        return replace(self, bus_invert_ports=())

    @property
    def multiplied(self) -> Datapath:
        """The same unit behind its converters: with the words that are stored and multiplied."""
        if not self.activation_converter:
            return self
        activations = Word(WordFormat.SIGN_MAGNITUDE, self.activations.bits)
        return replace(self, activations=activations, activation_converter=False)

    @property
    def signed(self) -> bool:
        """Whether products are two's complement."""
        return self.weights.signed or self.activations.signed

    @property
    def product_bits(self) -> int:
        """Width that holds every product."""
        return self.weights.bits + self.activations.bits

    @property
    def product_range(self) -> tuple[int, int]:
        """Smallest and largest product, inclusive."""
        products = [w * a for w in self.weights.value_range for a in self.activations.value_range]
        return min(products), max(products)

    def bits_for_products(self, count: int) -> int:
        """Smallest width that holds every sum of `count` products.

        Examples
        --------
        >>> eight_bits = Word(WordFormat.TWOS_COMPLEMENT, 8)
        >>> Datapath("multiplier", eight_bits, eight_bits).bits_for_products(16)
        20
        """
        low, high = self.product_range
        sums = WordFormat.TWOS_COMPLEMENT if self.signed else WordFormat.UNSIGNED
        return width_for(sums.number_format, count * low, count * high)

    @property
    def latency(self) -> int:
        """Cycles from the operands at the ports to the sum at the output (of the last lane, in a chain)."""
        return self.traits.latency + self.product_registers

    @property
    def skew_cycles(self) -> int:
        """Cycles by which the last lane's operands come after those of lane 0."""
        return self.lanes - 1 if self.traits.skewed else 0

    @property
    def output_bits(self) -> int:
        """Width of the output port."""
        return self.accumulator_bits if self.traits.clocked else self.product_bits


def _check_choice(what: str, given: str, choices: tuple[str, ...]) -> None:
    if given not in choices:
        raise InputError(f"{what}: expected one of {', '.join(choices)}, got {given!r}")
