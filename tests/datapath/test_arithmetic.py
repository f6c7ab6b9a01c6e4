from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from fewflips.datapath.arithmetic import PortWords, expected_outputs, first_known_output, products
from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.errors import InputError
from tests.datapath.units import random_words, value

U4 = Word(WordFormat.UNSIGNED, 4)


def column_of(codes):
    return np.array(codes, dtype=np.uint8).reshape(-1, 1)


@pytest.mark.parametrize(("weights", "activations"), list(itertools.product(WordFormat, repeat=2)))
def test_every_product_of_small_codes_is_that_of_python(weights, activations):
    unit = Datapath("multiplier", Word(weights, 4), Word(activations, 3))
    rows = list(itertools.product(range(16), range(8)))
    computed = products(unit, column_of([w for w, _ in rows]), column_of([a for _, a in rows]))
    assert computed[:, 0].tolist() == [value(w, unit.weights) * value(a, unit.activations) for w, a in rows]


def test_mac_sums_from_each_clear_on():
    unit = Datapath("mac", U4, U4)
    words = PortWords(column_of([1, 2, 3, 4, 5]), column_of([1] * 5), clear=np.array([0, 1, 0, 1, 0], dtype=bool))
    # Sums after the products of cycles 1 to 4: 2, 2 + 3, 4, 4 + 5; the first shows two cycles later.
    assert first_known_output(unit, words) == 3
    assert expected_outputs(unit, words.held(2)).tolist() == [0, 0, 0, 2, 5, 4, 9]


def test_accumulator_wraps():
    unit = Datapath("mac", U4, U4, accumulator_bits=8)
    words = PortWords(column_of([15] * 4), column_of([15] * 4), clear=np.array([1, 0, 0, 0], dtype=bool))
    assert expected_outputs(unit, words).tolist() == [0, 0, 225, (2 * 225) % 256]


def test_column_adds_lanes_and_the_partial_sum_of_the_same_cycle():
    unit = Datapath(
        "column", Word(WordFormat.TWOS_COMPLEMENT, 4), U4, lanes=2, product_registers=True, partial_sum_input=True
    )
    words = PortWords(np.array([[15, 2], [0, 1]], np.uint8), np.array([[3, 5], [1, 1]], np.uint8), np.array([-9, 100]))
    # -1 x 3 + 2 x 5 - 9 = -2, in 32 bits, then 1 + 100; three cycles later
    assert expected_outputs(unit, words.held(3)).tolist() == [0, 0, 0, 2**32 - 2, 101]


def test_behind_a_tree_register_the_partial_sum_joins_a_cycle_later():
    unit = Datapath("column", U4, U4, lanes=2, partial_sum_input=True, tree_register=True)
    weights = np.array([[1, 2], [3, 4], [0, 0]], np.uint8)
    words = PortWords(weights, np.ones((3, 2), np.uint8), np.array([7, 100, 200]))
    # 1 + 2 with the partial sum of the next cycle, 3 + 4 likewise; the last word stays at the port
    assert expected_outputs(unit, words.held(3)).tolist() == [0, 0, 0, 103, 207, 200]


def test_offset_sums_show_the_bias_of_the_tree():
    signed = Word(WordFormat.TWOS_COMPLEMENT, 4)
    unit = Datapath("column", signed, U4, lanes=2, accumulator_bits=9, partial_sum_input=True, offset_sums=True)
    words = PortWords(np.array([[15, 2]], np.uint8), np.array([[3, 5]], np.uint8), np.array([500]))
    # products of -120 to 105 take 8 bits: 128 for each of two lanes; -3 + 10 + 256 + 500, modulo 512
    assert unit.tree_bias == 256
    assert expected_outputs(unit, words.held(2)).tolist() == [0, 0, 763 - 512]


def test_products_of_negated_words_are_subtracted():
    signed = Word(WordFormat.TWOS_COMPLEMENT, 4)
    unit = Datapath("column", signed, U4, lanes=2, accumulator_bits=9, partial_sum_input=True, sign_flags=True)
    weights, ones = np.array([[15, 2], [15, 2]], np.uint8), np.array([[3, 5], [3, 5]], np.uint8)
    words = PortWords(weights, ones, np.array([500, 500]), negate=np.array([False, True]))
    # products of -3 and 10
    assert expected_outputs(unit, words.held(2)).tolist() == [0, 0, 507, 493]
    # with an offset, the biased sum of at most 2 x 105 + 256 takes 9 bits, and its complement is 511 less it
    unit = replace(unit, offset_sums=True)
    assert (unit.tree_bits, unit.tree_bias, unit.negated_bias) == (9, 256, 255)
    assert expected_outputs(unit, words.held(2)).tolist() == [0, 0, 763 % 512, (500 + 511 - 263) % 512]
    assert unit.sum_offset(3, negated=2) == (0b101010101 + 256 + 2 * 255) % 512
    with pytest.raises(InputError, match=r"^negate: expected one for each cycle, got none$"):
        expected_outputs(unit, replace(words, negate=None))


def test_lane_of_a_chain_is_late_by_its_number():
    unit = Datapath("chain", U4, U4, lanes=3, partial_sum_input=True)
    weights = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 3], [0, 0, 0]], np.uint8)
    words = PortWords(weights, np.full((4, 3), 5, np.uint8), np.array([100, 0, 0, 0]))
    # Cycle 0 of lane 0, 1 of lane 1, 2 of lane 2 make one sum: 100 + 5 + 10 + 15, two cycles after the last.
    assert first_known_output(unit, words) == 4
    assert expected_outputs(unit, words.held(2)).tolist() == [0, 0, 0, 0, 130, 0]


def test_sums_of_64_bits_wrap_without_a_warning():
    unit = Datapath("column", U4, U4, accumulator_bits=64, partial_sum_input=True)
    words = PortWords(column_of([2]), column_of([3]), np.array([2**64 - 1], np.uint64))
    assert expected_outputs(unit, words.held(2))[2] == 5


def test_lanes_hold_what_they_loaded_last():
    unit = Datapath("column", U4, U4, lanes=2, hold_flags=True)
    weights, ones = np.array([[1, 2], [3, 4], [5, 6]], np.uint8), np.ones((3, 2), np.uint8)
    words = PortWords(weights, ones, load=np.array([[1, 0], [0, 1], [1, 0]], dtype=bool))
    # lane 1 is known from cycle 1 on: 1 + 4, then 5 + 4
    assert first_known_output(unit, words) == 3
    assert expected_outputs(unit, words.held(2)).tolist() == [0, 0, 0, 5, 9]


def test_converted_activations_have_a_sign_and_a_magnitude():
    word = Word(WordFormat.TWOS_COMPLEMENT, 4)
    unit = Datapath("column", word, word, activation_converter=True)
    words = PortWords(column_of([15, 15]), column_of([9, 7]))
    assert expected_outputs(unit, words.held(2)).tolist() == [0, 0, 7, 2**32 - 7]
    assert unit.multiplied.activations == Word(WordFormat.SIGN_MAGNITUDE, 4)
    with pytest.raises(InputError, match=r"activations: expected codes with a sign and a magnitude, got 8, which has"):
        expected_outputs(unit, PortWords(column_of([1]), column_of([8])))


def test_ports_take_only_words_that_fit():
    unit = Datapath("column", U4, U4, lanes=2, partial_sum_input=True)
    good = random_words(unit, 3, 0)
    cases = {
        "weights: expected shape (3, 2) (cycles, lanes), got (3, 1)": {"weights": good.weights[:, :1]},
        "activations: expected codes of 4 bits, got 16": {"activations": np.full((3, 2), 16, np.uint8)},
        "weights: expected codes of type uint8 or uint16, got int64; encode the values first": {
            "weights": good.weights.astype(np.int64)
        },
        "partial_sums: expected one for each cycle, got none": {"partial_sums": None},
        "partial_sums: expected integers of shape (3,), got float64 of shape (3,)": {"partial_sums": np.zeros(3)},
        "clear: this datapath has no such port; leave them out": {"clear": np.zeros(3, dtype=bool)},
        "load: this datapath has no such port; leave them out": {"load": np.ones((3, 2), dtype=bool)},
        "operands of a datapath: expected words of at least one cycle, got none": {"weights": good.weights[:0]},
    }
    for message, changed in cases.items():
        fields = {"weights": good.weights, "activations": good.activations, "partial_sums": good.partial_sums}
        with pytest.raises(InputError) as caught:
            expected_outputs(unit, PortWords(**{**fields, **changed}))
        assert str(caught.value) == message
    gated = Datapath("column", U4, U4, lanes=2, partial_sum_input=True, hold_flags=True)
    with pytest.raises(InputError, match=r"^load: expected one for each cycle, got none$"):
        expected_outputs(gated, good)
