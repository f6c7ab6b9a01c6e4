"""A datapath as synthesizable Verilog-2005.

Booth recoding of radix 4 is that of O. L. MacSorley, "High-speed arithmetic in binary computers", Proceedings of
the IRE 49(1), 1961: overlapping groups of three bits of the weight become digits from -2 to 2, so that half as many
rows are added as the weight has bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import get_args

from jinja2 import Environment, PackageLoader, StrictUndefined

from fewflips.datapath.bit_planes import BitPlanes, bit_planes
from fewflips.datapath.design import Datapath, OperandPort, Word, WordFormat


def module_name(datapath: Datapath) -> str:
    """Name of a datapath's module; different datapaths have different names.

    Parameters
    ----------
    datapath : Datapath
        The unit.

    Returns
    -------
    str
        A Verilog identifier.

    Examples
    --------
    >>> eight_bits = Word(WordFormat.TWOS_COMPLEMENT, 8)
    >>> module_name(Datapath("column", eight_bits, eight_bits, lanes=16, multiplier="booth"))
    'column_16_lanes_signed8_by_signed8_sum32_booth'
    """
    parts: list[str] = [datapath.kind]
    if datapath.traits.many_lanes:
        parts.append(f"{datapath.lanes}_lane{'s' if datapath.lanes > 1 else ''}")
    parts.append(f"{_word_name(datapath.weights)}_by_{_word_name(datapath.activations)}")
    if datapath.traits.clocked:
        parts.append(f"sum{datapath.accumulator_bits}")
    parts += [name for name, chosen in _options(datapath) if chosen]
    parts += [f"{port}_bus_invert" for port in datapath.bus_invert_ports]
    return "_".join(parts)


def _options(datapath: Datapath) -> tuple[tuple[str, bool], ...]:
    """Parts of a module's name, and whether the unit has what they stand for."""
    return (
        ("booth", datapath.multiplier == "booth"),
        ("one_sum", datapath.adder == "one-sum"),
        ("bit_planes", datapath.adder == "bit-planes"),
        ("product_registers", datapath.product_registers),
        ("partial_sum", datapath.partial_sum_input),
        ("tree_register", datapath.tree_register),
        ("offset_sums", datapath.offset_sums),
        ("sign_flags", datapath.sign_flags),
        ("zero_gating", datapath.zero_gating),
        ("hold_flags", datapath.hold_flags),
        ("activation_converter", datapath.activation_converter),
    )


def verilog(datapath: Datapath) -> str:
    """Verilog-2005 of a datapath.

    The text contains two modules: the unit, named by :func:`module_name`, and the product of one weight and one
    activation, which the unit instantiates once per lane; a column whose products are terms of a single sum has no such
    module, and one that adds bit planes has a ripple-carry adder in its place. Registers are ``weight_register``,
    ``activation_register``, ``clear_register``, ``partial_sum_register``, ``product_register_<lane>``,
    ``delayed_partial_sum_register`` (after ``partial_sum_register``, if products have registers), ``tree_register``,
    ``negate_register_<stage>`` (as many as the flag is ahead of the sum that it negates),
    ``element_sum_register_<lane>`` of a chain and the outputs ``accumulator`` of a mac and ``sum`` of a column. None
    has a reset. Each lane's results have their own nets: with one wide net, event-driven simulators would copy all
    lanes whenever one of them changes.

    Parameters
    ----------
    datapath : Datapath
        The unit.

    Returns
    -------
    str
        The text of one file, ending in a newline.
    """
    name, title = module_name(datapath), _title(datapath)
    converter, datapath = datapath.activation_converter, datapath.multiplied
    product = _product(datapath)
    number = "$signed({})" if datapath.signed else "{}"
    planes = bit_planes(datapath) if datapath.adder == "bit-planes" else None
    return render(
        "datapath.v.j2",
        name=name,
        title=title,
        kind=datapath.kind,
        lanes=datapath.lanes,
        weights=datapath.weights,
        activations=datapath.activations,
        signed=" signed" if datapath.signed else "",
        partial_sum=datapath.partial_sum_input,
        product_registers=datapath.product_registers,
        tree_register=datapath.tree_register,
        negate=_negate(datapath) if datapath.sign_flags else None,
        hold_flags=datapath.hold_flags,
        activation_converter=converter,
        bus_invert_ports=datapath.bus_invert_ports,
        factors={port: _factors(datapath, port) for port in get_args(OperandPort)},
        sum_bits=datapath.accumulator_bits,
        zero_sum=f"{datapath.accumulator_bits}'{'s' if datapath.signed else ''}d0",
        product=product,
        booth=_booth(datapath, product.bits) if datapath.multiplier == "booth" else None,
        number=number.format,
        tree=_tree(datapath, product.bits, planes) if datapath.traits.has_adder else None,
        planes=planes,
        inverts=datapath.inverted_signs,
        one_sum=_one_sum(datapath) if datapath.traits.has_adder and datapath.adder == "one-sum" else None,
        zero_gating=datapath.zero_gating,
        activation_magnitude_bits=datapath.activations.magnitude_bits,
        separate_products=planes is None and not _multiplies_in_the_sum(datapath),
    )


@dataclass(frozen=True)
class _Product:
    """Text of the product's module: its factors without the signs of sign-magnitude codes, and those signs."""

    bits: int
    weight: str
    activation: str
    factors_product: str
    negative: str


@dataclass(frozen=True)
class _Booth:
    """Text of a recoded multiplier."""

    digits: int
    recoded: str
    multiplicand: str
    multiplicand_bits: int
    row_bits: int
    rows: tuple[str, ...]
    ones: str
    correction: int


@dataclass(frozen=True)
class _Tree:
    """Text of a column's sum.

    Sign bits are inverted rather than extended: this takes fewer adders, and leaves less redundant logic for the
    synthesizer to find.
    """

    bits: int
    signed: str
    terms: tuple[str, ...]
    correction: int
    sum: str
    partial_sum: str


@dataclass(frozen=True)
class _Negate:
    """Text of what subtracts the sum of a column's products: its flag at the tree, and what it adds to the partial sum.

    `before` names, for each further register of the flag, the one that it follows.
    """

    flag: str
    carry: str
    before: dict[str, str]


def _negate(datapath: Datapath) -> _Negate:
    stages = ["negate_register"]
    if datapath.product_registers:
        stages.append("negate_with_products")
    flag = stages[-1]
    carried = not datapath.offset_sums
    if datapath.tree_register and carried:
        stages.append("negate_with_tree")
    carry = f"$signed({{1'b0, {stages[-1]}}})"
    return _Negate(flag, f" + {carry}" if carried else "", dict(zip(stages[1:], stages, strict=False)))


def _product(datapath: Datapath) -> _Product:
    words = {"weight": datapath.weights, "activation": datapath.activations}
    signs = [f"{port}[{word.bits - 1}]" for port, word in words.items() if word.format is WordFormat.SIGN_MAGNITUDE]
    signed = any(word.format is WordFormat.TWOS_COMPLEMENT for word in words.values())
    return _Product(
        bits=datapath.bits_for_products(1) if datapath.traits.clocked else datapath.product_bits,
        weight=_factor("weight", datapath.weights, signed),
        activation=_factor("activation", datapath.activations, signed),
        factors_product="magnitude" if len(signs) == 2 else "factors_product",
        negative=" ^ ".join(signs),
    )


def _factor(port: str, word: Word, signed: bool) -> str:
    """A code, without the sign of a sign-magnitude one, as a factor of ``*``."""
    return _factor_of(_unsigned_part(port, word), word, signed)


def _factor_of(code: str, word: Word, signed: bool) -> str:
    if not signed:
        return code
    return f"$signed({code})" if word.format is WordFormat.TWOS_COMPLEMENT else f"$signed({{1'b0, {code}}})"


def _booth(datapath: Datapath, product_bits: int) -> _Booth:
    digits = (_recodable_bits(datapath.weights) + 1) // 2
    multiplicand_bits = _recodable_bits(datapath.activations)
    row_bits = multiplicand_bits + 1
    rows = []
    for digit in range(digits):
        row = f"rows[{(digit + 1) * row_bits - 1}:{digit * row_bits}]"
        rows.append(f"{{{row}, {2 * digit}'d0}}" if digit else row)
    return _Booth(
        digits=digits,
        recoded=_extended("weight", datapath.weights, 2 * digits),
        multiplicand=_extended("activation", datapath.activations, multiplicand_bits),
        multiplicand_bits=multiplicand_bits,
        row_bits=row_bits,
        rows=tuple(rows),
        ones="{" + ", 1'b0, ".join(f"inverted[{digit}]" for digit in reversed(range(digits))) + "}",
        correction=-sum(1 << (multiplicand_bits + 2 * digit) for digit in range(digits)) % (1 << product_bits),
    )


def _recodable_bits(word: Word) -> int:
    """Width as two's complement, without the sign of a sign-magnitude code."""
    return word.bits + 1 if word.format is WordFormat.UNSIGNED else word.bits


def _extended(port: str, word: Word, bits: int) -> str:
    """A code, without the sign of a sign-magnitude one, extended to two's complement of a given width."""
    code = _unsigned_part(port, word)
    added = bits - (word.bits - 1 if word.format is WordFormat.SIGN_MAGNITUDE else word.bits)
    if added == 0:
        return code
    if word.format is WordFormat.TWOS_COMPLEMENT:
        return f"{{{{{added}{{{port}[{word.bits - 1}]}}}}, {code}}}"
    return f"{{{added}'d0, {code}}}"


def _unsigned_part(port: str, word: Word) -> str:
    return f"{port}[{word.bits - 2}:0]" if word.format is WordFormat.SIGN_MAGNITUDE else port


def _tree(datapath: Datapath, product_bits: int, planes: BitPlanes | None) -> _Tree:
    signed = datapath.signed and not datapath.offset_sums
    bits = datapath.tree_bits
    product = "product_register" if datapath.product_registers else "product"
    terms = []
    for lane in range(datapath.lanes):
        term = f"{product}_{lane}"
        inverted = f"{{~{term}[{product_bits - 1}], {term}[{product_bits - 2}:0]}}"
        terms.append(inverted if datapath.signed else term)
    partial_sum = f" + {'delayed_' if datapath.product_registers else ''}partial_sum_register"
    return _Tree(
        bits=bits,
        signed=" signed" if signed else "",
        terms=tuple(terms) if planes is None else (planes.total,),
        correction=-datapath.lanes * datapath.inverted_signs % (1 << bits) if signed else 0,
        sum="tree_register" if datapath.tree_register else "counted_sum" if datapath.sign_flags else "sum_of_products",
        partial_sum=partial_sum if datapath.partial_sum_input else "",
    )


def _multiplies_in_the_sum(datapath: Datapath) -> bool:
    """Whether products are terms of a single sum, which lets the synthesizer compress all their bits together.

    This requires that no sign has to be applied after the ``*``.
    """
    plain = all(word.format is not WordFormat.SIGN_MAGNITUDE for word in (datapath.weights, datapath.activations))
    return plain and datapath.adder == "one-sum" and datapath.multiplier != "booth" and not datapath.product_registers


def _one_sum(datapath: Datapath) -> str:
    """All products and the partial sum in one expression, extended to the accumulator's width by Verilog's rules."""
    if _multiplies_in_the_sum(datapath):
        terms = [_product_of_lane(datapath, lane) for lane in range(datapath.lanes)]
    else:
        product = "product_register" if datapath.product_registers else "product"
        number = "$signed({})" if datapath.signed else "{}"
        terms = [number.format(f"{product}_{lane}") for lane in range(datapath.lanes)]
    if datapath.partial_sum_input:
        terms.append(f"{'delayed_' if datapath.product_registers else ''}partial_sum_register")
    return " + ".join(terms)


def _factors(datapath: Datapath, port: OperandPort) -> str:
    """The words of all lanes as they are multiplied: those of the registers, or of the decoder behind them."""
    return f"decoded_{port}" if port in datapath.bus_invert_ports else f"{port.removesuffix('s')}_register"


def _product_of_lane(datapath: Datapath, lane: int) -> str:
    factors = []
    ports: tuple[tuple[OperandPort, Word], ...] = (
        ("weights", datapath.weights),
        ("activations", datapath.activations),
    )
    for port, word in ports:
        part = f"{_factors(datapath, port)}[{(lane + 1) * word.bits - 1}:{lane * word.bits}]"
        factors.append(_factor_of(part, word, datapath.signed))
    return " * ".join(factors)


def _title(datapath: Datapath) -> str:
    what = datapath.traits.title.format(lanes=datapath.lanes)
    multiplier = "Booth-recoded weights" if datapath.multiplier == "booth" else "multiplier left to the synthesizer"
    if datapath.adder == "bit-planes":
        multiplier = "bit planes of the activations"
    return f"{what}, {multiplier}. No register has a reset."


def _word_name(word: Word) -> str:
    name = {
        WordFormat.UNSIGNED: "unsigned",
        WordFormat.TWOS_COMPLEMENT: "signed",
        WordFormat.SIGN_MAGNITUDE: "sign_magnitude",
    }[word.format]
    return f"{name}{word.bits}"


def render(template: str, **values: object) -> str:
    """Fill in one of the package's Verilog templates; ``@{ }@`` and ``@% %@`` stand for Jinja's own braces."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("fewflips.datapath", "templates"),
        undefined=StrictUndefined,
        variable_start_string="@{",
        variable_end_string="}@",
        block_start_string="@%",
        block_end_string="%@",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Verilog is not HTML
    )
