from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.dataflows.unit_datapath import network_datapath, unit_datapath
from fewflips.dataflows.unit_words import common_word, stored_word, sum_bits, widen
from fewflips.datapath.design import Word, WordFormat
from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import INT8, INT16, UINT8, NumberFormat, decode, encode, value_range
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from tests.layers import altered, dense_layer

BYTE = Word(WordFormat.UNSIGNED, 8)
SIGNED_BYTE = Word(WordFormat.TWOS_COMPLEMENT, 8)


@given(word_format=st.sampled_from(list(WordFormat)), narrow=st.integers(2, 9), more=st.integers(0, 7), data=st.data())
def test_widened_codes_mean_the_same(word_format, narrow, more, data):
    number_format = word_format.number_format
    low, high = value_range(number_format, narrow)
    values = np.array(data.draw(st.lists(st.integers(low, high), min_size=1, max_size=20)))
    wide = narrow + more
    codes = widen(encode(values, number_format, narrow), Word(word_format, narrow), Word(word_format, wide))
    assert decode(codes, number_format, wide).tolist() == values.tolist()
    assert codes.dtype == (np.uint8 if wide <= 8 else np.uint16)


def test_unsigned_codes_in_signed_units():
    codes = widen(np.array([0, 200, 255], dtype=np.uint8), BYTE, Word(WordFormat.TWOS_COMPLEMENT, 9))
    assert decode(codes, NumberFormat.TWOS_COMPLEMENT, 9).tolist() == [0, 200, 255]


@pytest.mark.parametrize(
    ("weights", "activations", "terms", "bits"),
    [
        (BYTE, BYTE, 1, 16),  # 255 * 255 = 65025 needs 16
        (BYTE, BYTE, 2, 17),
        (BYTE, BYTE, 1280, 27),  # 1280 * 65025 = 83 232 000 < 2**27
        (SIGNED_BYTE, SIGNED_BYTE, 1, 16),  # -128 * -128 = 16384 needs 15 and a sign, a product port has 16
        (SIGNED_BYTE, SIGNED_BYTE, 4, 18),  # 65536 needs 17 and a sign
        (SIGNED_BYTE, BYTE, 1, 16),  # -128 * 255 = -32640
        (Word(WordFormat.SIGN_MAGNITUDE, 8), BYTE, 16, 20),  # 127 * 255 * 16 = 518160 needs 19 and a sign
        (Word(WordFormat.UNSIGNED, 2), Word(WordFormat.UNSIGNED, 2), 1, 8),  # 8 at least
    ],
)
def test_sums_are_as_narrow_as_they_can_be(weights, activations, terms, bits):
    assert sum_bits(weights, activations, terms) == bits


def test_one_machine_for_layers_of_both_signs():
    word = common_word([(UINT8, 8), (INT8, 8)], Operand())
    assert word == Word(WordFormat.TWOS_COMPLEMENT, 9)
    assert common_word([(UINT8, 8), (UINT8, 8)], Operand()) == BYTE
    assert stored_word(INT8, Operand(), 8) == SIGNED_BYTE
    assert stored_word(INT8, Operand(format=NumberFormat.SIGN_MAGNITUDE), 9).format is WordFormat.SIGN_MAGNITUDE


@pytest.mark.parametrize(
    ("machine", "kind", "lanes"),
    [("edge16", "column", 16), ("edge4", "column", 4), ("tpu16", "chain", 16), ("os16", "mac", 1)],
)
def test_units_of_the_built_in_machines(machine, kind, lanes):
    datapath = unit_datapath([dense_layer(4, 6, 40, storage=UINT8)], load_accelerator(machine), BYTE)
    assert (datapath.kind, datapath.lanes) == (kind, lanes)
    assert datapath.accumulator_bits == sum_bits(BYTE, BYTE, 40)
    assert datapath.partial_sum_input is (kind != "mac")


def test_a_weight_stationary_array_that_broadcasts_has_columns():
    array = Accelerator(name="x", dataflow="weight-stationary", lanes=4, columns=2)
    assert unit_datapath([dense_layer(4, 6, 8)], array, BYTE).kind == "column"


def test_accumulators_that_are_too_narrow():
    array = Accelerator(name="x", lanes=4, columns=2, datapath=DatapathOptions(accumulator_bits=16))
    with pytest.raises(AcceleratorError, match=r"sums of this network take 19 bits, datapath\.accumulator_bits is 16"):
        unit_datapath([dense_layer(4, 6, 8, storage=UINT8)], array, BYTE)


def test_units_of_sixteen_bit_activations():
    layer = altered(dense_layer(4, 3, 16), activation_type=INT16, activation_zero_point=0)
    datapath = network_datapath([dense_layer(4, 3, 16), layer], load_accelerator("edge4"))
    assert datapath.activations == Word(WordFormat.TWOS_COMPLEMENT, 16)
    assert datapath.accumulator_bits == 28  # 16 products of up to 2**22
    array = Accelerator(name="a", lanes=4, columns=4, activations=Operand(format=NumberFormat.SIGN_MAGNITUDE))
    with pytest.raises(AcceleratorError, match="take 17 bits as sign-magnitude, words have at most 16: use as-stored"):
        network_datapath([layer], array)
