from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError
from fewflips.formats.number_formats import (
    INT4,
    UINT8,
    NumberFormat,
    StorageType,
    decode,
    encode,
    value_range,
    width_for,
)

VALUE_FORMATS = [NumberFormat.TWOS_COMPLEMENT, NumberFormat.UNSIGNED, NumberFormat.SIGN_MAGNITUDE]


@given(st.sampled_from(VALUE_FORMATS), st.integers(2, 16), st.data())
def test_decode_inverts_encode(number_format, bits, data):
    low, high = value_range(number_format, bits)
    values = np.array(data.draw(st.lists(st.integers(low, high), max_size=20)), dtype=np.int32)
    codes = encode(values, number_format, bits)
    assert codes.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert codes.size == 0 or codes.max() < 2**bits
    np.testing.assert_array_equal(decode(codes, number_format, bits), values)


@given(st.sampled_from(VALUE_FORMATS), st.integers(2, 12), st.data())
def test_a_width_is_the_smallest_that_holds_its_range(number_format, bits, data):
    low, high = value_range(number_format, bits)
    first, second = sorted(data.draw(st.tuples(st.integers(low, high), st.integers(low, high))))
    width = width_for(number_format, first, second)
    assert width <= bits
    lowest, highest = value_range(number_format, width)
    assert lowest <= first
    assert second <= highest


@pytest.mark.parametrize(
    ("number_format", "value", "code"),
    [
        (NumberFormat.TWOS_COMPLEMENT, -128, 0x80),
        (NumberFormat.SIGN_MAGNITUDE, -127, 0xFF),
        (NumberFormat.SIGN_MAGNITUDE, 0, 0x00),
        (NumberFormat.UNSIGNED, 200, 200),
        (NumberFormat.AS_STORED, -1, 0xFF),
    ],
)
def test_codes_by_hand(number_format, value, code):
    assert encode(np.array([value]), number_format, 8).tolist() == [code]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int64])
@pytest.mark.parametrize("bits", [1, 4, 8, 9, 16])
def test_codes_as_stored_are_the_lowest_bits(dtype, bits):
    values = np.array([0, 1, 77, np.iinfo(dtype).max, np.iinfo(dtype).min, np.iinfo(dtype).max - 5], dtype)
    codes = encode(values, NumberFormat.AS_STORED, bits)
    assert codes.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert codes.tolist() == [int(value) % 2**bits for value in values]


def test_a_value_that_does_not_fit_says_how_many_bits_it_needs():
    with pytest.raises(InputError, match=r"holds -128 to 127, got values from -151 to 3: give it 9 bits"):
        encode(np.array([-151, 3]), NumberFormat.TWOS_COMPLEMENT, 8)


def test_unsigned_refuses_negative_values():
    with pytest.raises(InputError, match="expected values from 0, got -1"):
        width_for(NumberFormat.UNSIGNED, -1, 4)


def test_storage_types():
    assert (INT4.name, INT4.low, INT4.high) == ("int4", -8, 7)
    assert (UINT8.name, UINT8.low, UINT8.high) == ("uint8", 0, 255)
    with pytest.raises(InputError, match="expected 2 to 16 bits, got 17"):
        StorageType(17, signed=True)
