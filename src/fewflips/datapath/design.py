"""The arithmetic unit of an accelerator as an object, from which Verilog is written.

Ports, by kind (``acc`` = `accumulator_bits`; lane l of a bus is at bits ``l * bits`` and up; ``clk`` clocks every
register on its rising edge; there is no reset):

================  ============================================================  =======================
kind              inputs                                                        outputs
================  ============================================================  =======================
multiplier        weights, activations                                          product
mac               clk, weights, activations, clear                              accumulator
column            clk, weights, activations, partial_sum (where asked for)      sum
chain             clk, weights, activations, partial_sum (where asked for)      sum
================  ============================================================  =======================

- **multiplier**: combinational, ``product = weight x activation`` (two's complement where a factor is signed).
- **mac** (output-stationary): weight, activation and clear go to registers; one cycle later
  ``accumulator <= (clear ? 0 : accumulator) + weight x activation``.
- **column** (activation-stationary): all inputs go to registers, shared or held as the array has it; the products
  of all lanes (through registers, where asked for), the partial sum among them, are added by a tree into the
  output register ``sum``.
- **chain** (weight-stationary, systolic): one processing element a lane. In element l the registers of weight and
  activation feed a multiplier whose product is added to the partial sum of element l - 1 and stored. Lane l's
  operands are expected l cycles later than lane 0's. Element 0 adds to the register of ``partial_sum``, or 0.

A sign-magnitude code has its sign in the top bit; products and sums are two's complement in all formats with a
sign, unsigned where both operands are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from fewflips.errors import InputError
from fewflips.formats import NumberFormat


class WordFormat(StrEnum):
    """What the code at a port means to the arithmetic."""

    UNSIGNED = "unsigned"
    TWOS_COMPLEMENT = "twos-complement"
    SIGN_MAGNITUDE = "sign-magnitude"

    @property
    def number_format(self) -> NumberFormat:
        """The same as a number format of :mod:`fewflips.formats`."""
        return NumberFormat(self.value)


@dataclass(frozen=True)
class Word:
    """Format and width of one operand.

    Parameters
    ----------
    format : WordFormat
        What the code means.
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


@dataclass(frozen=True)
class Datapath:
    """An arithmetic unit.

    Parameters
    ----------
    kind : {"multiplier", "mac", "column", "chain"}
        Which unit; see the module.
    weights, activations : Word
        The operands.
    lanes : int
        Products a cycle; 1 for a multiplier or mac.
    accumulator_bits : int
        Width of sums; products are extended to it. Ignored by a multiplier.
    multiplier : {"synthesizer", "booth"}
        ``a * b`` left to the synthesizer, or radix-4 Booth recoding of the weight.
    product_registers : bool
        Whether a column stores its products before it adds them.
    partial_sum_input : bool
        Whether a column or chain adds a partial sum.
    """

    kind: Literal["multiplier", "mac", "column", "chain"]
    weights: Word
    activations: Word
    lanes: int = 1
    accumulator_bits: int = 32
    multiplier: Literal["synthesizer", "booth"] = "synthesizer"
    product_registers: bool = False
    partial_sum_input: bool = False

    @property
    def signed(self) -> bool:
        """Whether products are two's complement."""
        return self.weights.signed or self.activations.signed

    @property
    def product_bits(self) -> int:
        """Width that holds every product."""
        return self.weights.bits + self.activations.bits

    @property
    def latency(self) -> int:
        """Cycles from the operands at the ports to the sum at the output (of the last lane, in a chain)."""
        if self.kind == "multiplier":
            return 0
        return 3 if self.kind == "column" and self.product_registers else 2
