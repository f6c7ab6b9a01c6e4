"""The arithmetic unit of an accelerator as an object, from which Verilog is generated.

Ports, by kind (``acc`` = `accumulator_bits`; lane l of a bus is at bits ``l * bits`` and up; ``clk`` clocks every
register on its rising edge; there is no reset):

================  ============================================================  =======================
kind              inputs                                                        outputs
================  ============================================================  =======================
multiplier        weights, activations                                          product
mac               clk, weights, activations, clear                              accumulator
column            clk, weights, activations, and where the unit has them:        sum
                  partial_sum, load, negate
chain             clk, weights, activations, partial_sum (optional)             sum
================  ============================================================  =======================

- **multiplier**: combinational, ``product = weight x activation`` (two's complement if a factor is signed).
- **mac** (output-stationary): weight, activation and clear go to registers; one cycle later
  ``accumulator <= (clear ? 0 : accumulator) + weight x activation``.
- **column** (activation-stationary): all inputs go to registers, which the array may share or hold; the products of
all lanes (optionally through registers) and the partial sum are added by a tree, or in one expression, into the
output register ``sum``. With hold flags, lane l's weight register stores only where bit l of ``load`` is set. With sign
flags, the sum of the products is subtracted from the partial sum where ``negate`` is set, which comes with the weights.
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

Adder = Literal["tree", "one-sum", "bit-planes"]
"""How a column adds: the products first, by a tree whose sign bits are inverted, then the partial sum; or all in one
expression of the accumulator's width, which the synthesizer arranges; or, bit by bit of the activations, the weights of
the lanes in which that bit is 1, by ripple-carry adders in pairs, then the sums of the bits, then the partial sum."""


UNSIGNED_WEIGHTS = (
    "sign flags: expected weights with a sign, got unsigned ones; give them the format twos-complement or "
    "sign-magnitude, or leave sign_flags out"
)
"""Why a unit, or a network, is refused: unsigned numbers have no negatives."""


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
    def magnitude_bits(self) -> int:
        """Least significant bits that are all 0 where the value is zero, and only there."""
        return self.bits - (self.format is WordFormat.SIGN_MAGNITUDE)

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
    adder : {"tree", "one-sum", "bit-planes"}
        Whether a column adds its products by a tree, followed by the partial sum, or all in one expression, or the
        planes of the activations' bits.
    product_registers : bool
        Whether a column stores its products in registers before adding them.
    partial_sum_input : bool
        Whether a column or chain adds a partial sum.
    tree_register : bool
        Whether a column stores the sum of its products before it adds the partial sum.
    offset_sums : bool
        Whether a column's sums carry an offset (:meth:`sum_offset`), so that small ones need no sign extension.
    sign_flags : bool
        Whether a column subtracts the sum of its products where its port ``negate`` says so.
    hold_flags : bool
        Whether a column stores a lane's weight only where its port ``load`` says so.
    zero_gating : bool
        Whether a column keeps weights from the multiplier of a lane whose activation is zero, by AND gates.
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
    tree_register: bool = False
    offset_sums: bool = False
    sign_flags: bool = False
    hold_flags: bool = False
    zero_gating: bool = False
    activation_converter: bool = False
    bus_invert_ports: tuple[OperandPort, ...] = ()

    def __post_init__(self) -> None:
        _check_choice("kind of datapath", self.kind, get_args(Kind))
        _check_choice("multiplier", self.multiplier, get_args(MultiplierArchitecture))
        _check_choice("adder", self.adder, get_args(Adder))
        self._check_lanes()
        self._check_options()
        self._check_operand_options()
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
        if self.adder == "bit-planes":
            self._check_bit_planes()
        if self.partial_sum_input and not self.traits.takes_partial_sum:
            raise InputError(
                f"partial sum input: expected a column or chain, got a {self.kind}; leave partial_sum_input out"
            )
        for name in ("tree_register", "offset_sums", "sign_flags"):
            if getattr(self, name):
                self._check_partial_sums_follow_a_tree(name)
        if self.offset_sums and not self.signed:
            raise InputError("offset sums: expected a signed operand, got sums without a sign; leave offset_sums out")
        if self.sign_flags and not self.weights.signed:
            raise InputError(UNSIGNED_WEIGHTS)

    def _check_operand_options(self) -> None:
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
        if self.zero_gating:
            self._check_zero_gating()

    def _check_zero_gating(self) -> None:
        if not self.traits.has_adder:
            raise InputError(f"zero gating: expected a column, got a {self.kind}; leave zero_gating out")
        if self.adder != "tree":
            raise InputError(
                f"zero gating: expected multipliers and an adder tree, got {self.adder}; leave zero_gating out"
            )

    def _check_bus_invert(self) -> None:
        for port in self.bus_invert_ports:
            _check_choice("bus-invert port", port, get_args(OperandPort))
        if self.bus_invert_ports and not self.traits.clocked:
            raise InputError(f"bus-invert: expected a unit with registers, got a {self.kind}; leave it out")
        if "activations" in self.bus_invert_ports and self.activation_converter:
            raise InputError("bus-invert: expected activations that are not converted, got both; leave one out")
        if self.bus_invert_ports and self.adder == "bit-planes":
            raise InputError("bus-invert: expected multipliers, got bit-planes; take tree, or leave one out")

    def _check_bit_planes(self) -> None:
        if self.activation_converter:
            raise InputError("adder bit-planes: expected activations that are not converted, got both: take tree")
        for name, word in (("weights", self.weights), ("activations", self.activations)):
            if word.format is WordFormat.SIGN_MAGNITUDE:
                raise InputError(
                    f"adder bit-planes: expected {name} unsigned or in two's complement, got sign-magnitude: take tree"
                )
        if self.multiplier != "synthesizer" or self.product_registers:
            given = "product registers" if self.product_registers else f"multiplier {self.multiplier}"
            raise InputError(f"adder bit-planes: expected no products of their own, got {given}: take tree")

    def _check_partial_sums_follow_a_tree(self, option: str) -> None:
        name = option.replace("_", " ")
        if not self.traits.has_adder:
            raise InputError(f"{name}: expected a column, got a {self.kind}; leave {option} out")
        if self.adder == "one-sum":
            raise InputError(f"{name}: expected adder tree or bit-planes, got one-sum; leave {option} out")
        if not self.partial_sum_input:
            raise InputError(f"{name}: expected a partial-sum input behind the tree, got none; leave {option} out")

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
        return self.traits.latency + self.product_registers + self.tree_register

    @property
    def partial_sum_delay(self) -> int:
        """Cycles by which a partial sum comes to its port after the operands whose products are added to it."""
        return int(self.tree_register)

    @property
    def tree_bias(self) -> int:
        """What a column's tree adds to the sum of its products, which makes it non-negative; 0 without offset.

        The tree inverts the sign bit of each product, or of each row of a bit plane, in place of extending it, which
        adds this much.
        """
        return self.lanes * self.inverted_signs if self.offset_sums else 0

    @property
    def negated_bias(self) -> int:
        """What a column adds to the negative of its products' sum where ``negate`` is set; 0 without offset.

        Where sums carry an offset, all bits of the biased tree are inverted, which is its complement to the largest
        number of its width, and nothing is added.
        """
        return (1 << self.tree_bits) - 1 - self.tree_bias if self.offset_sums else 0

    @property
    def tree_bits(self) -> int:
        """Width of the sum of a column's products, before the partial sum is added."""
        if self.offset_sums:
            bits = (self.tree_bias + self.lanes * self.product_range[1]).bit_length()
        else:
            bits = self.bits_for_products(self.lanes)
        return min(self.accumulator_bits, bits)

    @property
    def inverted_signs(self) -> int:
        """What inverted sign bits add to the product of a lane, before it is taken off or becomes part of an offset."""
        if not self.signed:
            return 0
        if self.adder != "bit-planes":
            return 1 << (self.multiplied.bits_for_products(1) - 1)
        row = 1 << (self.weights.bits - 1) if self.weights.signed else 0
        # all planes, and the last one inverted as a whole if it counts negative: 2**bits - 1 less what it was
        added = row * ((1 << self.activations.bits) - 1)
        if self.activations.signed:
            added += ((1 << self.weights.bits) - 1 - 2 * row) << (self.activations.bits - 1)
        return added

    def sum_offset(self, segments: int, negated: int = 0) -> int:
        """What the sum of a number of segments has above the sum of their products.

        A machine with `offset_sums` starts its sums at ``sum_offset(0)``, and takes ``sum_offset(S)`` off the sum of
        all S segments where it adds the bias and requantizes: a constant of the layer, folded into its biases. All
        of this is modulo two to the power of `accumulator_bits`, and thus exact. The start has zeros and ones in turn,
        so that a sum leaves all bits as they are whose weight is above three times its magnitude, whatever its sign.

        Parameters
        ----------
        segments : int
            Segments that have been added.
        negated : int
            Of these, how many were subtracted, since their words stream negated.

        Returns
        -------
        int
            0 without `offset_sums`; else from 0 to ``2**accumulator_bits - 1``.

        Examples
        --------
        >>> unit = Datapath(
        ...     "column", Word(WordFormat.TWOS_COMPLEMENT, 4), Word(WordFormat.UNSIGNED, 4), lanes=2,
        ...     accumulator_bits=16, partial_sum_input=True, offset_sums=True,
        ... )
        >>> [hex(unit.sum_offset(segments)) for segments in (0, 1, 2)]
        ['0x5555', '0x5655', '0x5755']
        """
        if not self.offset_sums:
            return 0
        start = sum(1 << bit for bit in range(0, self.accumulator_bits, 2))
        added = (segments - negated) * self.tree_bias + negated * self.negated_bias
        return (start + added) % (1 << self.accumulator_bits)

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
