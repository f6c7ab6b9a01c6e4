from __future__ import annotations

import pytest

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.errors import InputError

EIGHT = Word(WordFormat.TWOS_COMPLEMENT, 8)
UNSIGNED = Word(WordFormat.UNSIGNED, 8)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "row"}, "kind of datapath: expected one of multiplier, mac, column, chain, got 'row'"),
        ({"kind": "column", "multiplier": "fast"}, "multiplier: expected one of synthesizer, booth, got 'fast'"),
        ({"kind": "mac", "lanes": 2}, "mac: expected 1 lane, got 2; use a column or a chain for more"),
        ({"kind": "chain", "lanes": 4097}, "chain: expected 1 to 4096 lanes, got 4097"),
        ({"kind": "column", "lanes": 0}, "column: expected 1 to 4096 lanes, got 0"),
        ({"kind": "mac", "accumulator_bits": 65}, "accumulator of a mac: expected 8 to 64 bits, got 65"),
        (
            {"kind": "column", "accumulator_bits": 15},
            "accumulator of a column: expected at least 16 bits, the width of a product, got 15",
        ),
        (
            {"kind": "chain", "product_registers": True},
            "product registers: expected a column, got a chain; leave product_registers out",
        ),
        ({"kind": "chain", "adder": "one-sum"}, "adder: expected a column, got a chain; leave adder out"),
        ({"kind": "column", "adder": "ripple"}, "adder: expected one of tree, one-sum, bit-planes, got 'ripple'"),
        (
            {"kind": "mac", "partial_sum_input": True},
            "partial sum input: expected a column or chain, got a mac; leave partial_sum_input out",
        ),
        (
            {"kind": "chain", "partial_sum_input": True, "tree_register": True},
            "tree register: expected a column, got a chain; leave tree_register out",
        ),
        ({"kind": "mac", "offset_sums": True}, "offset sums: expected a column, got a mac; leave offset_sums out"),
        (
            {"kind": "column", "partial_sum_input": True, "adder": "one-sum", "offset_sums": True},
            "offset sums: expected adder tree or bit-planes, got one-sum; leave offset_sums out",
        ),
        ({"kind": "mac", "zero_gating": True}, "zero gating: expected a column, got a mac; leave zero_gating out"),
        (
            {"kind": "column", "zero_gating": True, "adder": "bit-planes"},
            "zero gating: expected multipliers and an adder tree, got bit-planes; leave zero_gating out",
        ),
        ({"kind": "chain", "adder": "bit-planes"}, "adder: expected a column, got a chain; leave adder out"),
        (
            {"kind": "column", "adder": "bit-planes", "multiplier": "booth"},
            "adder bit-planes: expected no products of their own, got multiplier booth: take tree",
        ),
        (
            {"kind": "column", "adder": "bit-planes", "product_registers": True},
            "adder bit-planes: expected no products of their own, got product registers: take tree",
        ),
        (
            {"kind": "column", "tree_register": True},
            "tree register: expected a partial-sum input behind the tree, got none; leave tree_register out",
        ),
        ({"kind": "mac", "sign_flags": True}, "sign flags: expected a column, got a mac; leave sign_flags out"),
        (
            {"kind": "column", "sign_flags": True},
            "sign flags: expected a partial-sum input behind the tree, got none; leave sign_flags out",
        ),
        (
            {"kind": "column", "partial_sum_input": True, "adder": "one-sum", "sign_flags": True},
            "sign flags: expected adder tree or bit-planes, got one-sum; leave sign_flags out",
        ),
        ({"kind": "mac", "hold_flags": True}, "hold flags: expected a column, got a mac; leave hold_flags out"),
        (
            {"kind": "multiplier", "activation_converter": True},
            "activation converter: expected a unit with registers, got a multiplier; leave activation_converter out",
        ),
    ],
)
def test_impossible_units_are_refused(parameters, message):
    with pytest.raises(InputError) as caught:
        Datapath(weights=EIGHT, activations=EIGHT, **parameters)
    assert str(caught.value) == message


def test_bit_planes_take_no_sign_magnitude():
    with pytest.raises(InputError) as caught:
        Datapath("column", Word(WordFormat.SIGN_MAGNITUDE, 8), UNSIGNED, adder="bit-planes")
    assert str(caught.value) == (
        "adder bit-planes: expected weights unsigned or in two's complement, got sign-magnitude: take tree"
    )


def test_sums_without_a_sign_take_no_offset():
    with pytest.raises(InputError) as caught:
        Datapath("column", UNSIGNED, UNSIGNED, partial_sum_input=True, offset_sums=True)
    assert str(caught.value) == (
        "offset sums: expected a signed operand, got sums without a sign; leave offset_sums out"
    )


def test_weights_without_a_sign_take_no_flags():
    with pytest.raises(InputError) as caught:
        Datapath("column", UNSIGNED, EIGHT, partial_sum_input=True, sign_flags=True)
    assert str(caught.value) == (
        "sign flags: expected weights with a sign, got unsigned ones; give them the format twos-complement or "
        "sign-magnitude, or leave sign_flags out"
    )


@pytest.mark.parametrize(("lanes", "bits"), [(4, 26), (3, 21), (1, 64), (16, 16)])
def test_a_small_sum_changes_no_upper_bit_of_the_first_offset(lanes, bits):
    unit = Datapath("column", EIGHT, EIGHT, lanes, bits, partial_sum_input=True, offset_sums=True)
    start = unit.sum_offset(0)
    assert 0 <= start < 1 << bits
    for kept in range(2, bits + 1):
        largest = (2**kept - 1) // 3
        assert {(start + small) >> kept for small in (-largest, -1, 0, 1, largest)} == {start >> kept}


@pytest.mark.parametrize("adder", ["tree", "bit-planes"])
@pytest.mark.parametrize("word", [EIGHT, UNSIGNED, Word(WordFormat.TWOS_COMPLEMENT, 5)])
def test_the_bias_makes_every_sum_of_products_non_negative(word, adder):
    unit = Datapath("column", EIGHT, word, 5, 40, partial_sum_input=True, offset_sums=True, adder=adder)
    assert unit.tree_bias + unit.lanes * unit.product_range[0] >= 0
    plain = Datapath("column", EIGHT, word, 5, 40, partial_sum_input=True)
    assert (plain.tree_bias, plain.sum_offset(7)) == (0, 0)


def test_what_is_no_twos_complement_cannot_be_converted():
    with pytest.raises(
        InputError, match=r"^activation converter: expected two's complement at the port, got unsigned;"
    ):
        Datapath("mac", EIGHT, Word(WordFormat.UNSIGNED, 8), activation_converter=True)


def test_a_multiplier_ignores_the_accumulator():
    wide = Word(WordFormat.UNSIGNED, 16)
    assert Datapath("multiplier", wide, wide, accumulator_bits=1).product_bits == 32


def test_range_and_width_of_sums():
    unit = Datapath("column", EIGHT, Word(WordFormat.UNSIGNED, 8), lanes=16)
    assert unit.product_range == (-128 * 255, 127 * 255)
    # 2 x -32640 = -65280 and 2 x 32385 = 64770 fit 17 bits; 16 of them reach -522240, in 20 bits.
    assert (unit.bits_for_products(2), unit.bits_for_products(16)) == (17, 20)
    magnitudes = Word(WordFormat.SIGN_MAGNITUDE, 8)
    assert Datapath("mac", magnitudes, magnitudes).bits_for_products(1) == 15  # up to 127 x 127 = 16129
