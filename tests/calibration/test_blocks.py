"""Blocks of cycles: which words a unit sees in them."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.dataflows.unit_work import Part
from fewflips.estimation.calibration.blocks import BLOCK_CYCLES, choose_blocks, port_words
from fewflips.gates.operands import OperandSequences, PortRows


def sequences(lengths, first_passes, stride, start, rows=50):
    words = np.arange(2 * rows, dtype=np.int64).reshape(rows, 2)
    port = PortRows(words, 8, np.array(start), stride)
    return OperandSequences(np.array(lengths), np.array(first_passes), {"weights": port})


@pytest.mark.parametrize("stride", [0, 1])
def test_words_are_those_of_a_walk_over_cycles(stride):
    found = sequences([3, 4, 2, 5], [0, 2], stride, [10, 0, 30, 20])
    for sequence, passes in ((0, (0, 1)), (1, (2, 3))):
        rows = []
        for number in passes:
            rows += [found.inputs["weights"].start[number] + stride * cycle for cycle in range(found.lengths[number])]
        expected = found.inputs["weights"].words[rows]
        np.testing.assert_array_equal(port_words(found, "weights", sequence, 0, len(rows)), expected)
        np.testing.assert_array_equal(port_words(found, "weights", sequence, 2, 3), expected[2:5])


def test_blocks_lie_within_what_belongs_to_the_part():
    cycles = np.array([2000, BLOCK_CYCLES, BLOCK_CYCLES + 1, 900])
    found = sequences(cycles, [0, 1, 2, 3], 0, [0, 0, 0, 0])
    part = Part(found, units=np.arange(4), skip=np.array([0, 0, 0, 30]))
    windows = choose_blocks(part, np.random.default_rng(0))
    assert windows.sequence.tolist() == [0, 2, 3]  # the second unit has 511 transitions
    assert (windows.transitions == BLOCK_CYCLES).all()
    assert (windows.first >= part.first_transitions[windows.sequence]).all()
    assert (windows.first + windows.transitions <= cycles[windows.sequence]).all()
    again = choose_blocks(part, np.random.default_rng(0))
    np.testing.assert_array_equal(windows.first, again.first)


def test_units_with_too_few_cycles_have_no_blocks():
    part = Part(sequences([10], [0], 1, [0]), units=np.arange(1), skip=np.zeros(1, dtype=np.int64))
    assert len(choose_blocks(part, np.random.default_rng(0)).sequence) == 0
