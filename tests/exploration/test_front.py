"""Fronts against plain quadratic loops."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.exploration.front import Box, box, certain_front, pareto_front, possible_front
from fewflips.records.exploration import Measures


def beats(one, other):
    no_worse = all(a <= b for a, b in zip(one, other, strict=True))
    return no_worse and tuple(one) != tuple(other)


def quadratic(first, second):
    """Numbers whose second point no other's first point beats."""
    return {i for i in second if not any(beats(first[j], second[i]) for j in first if j != i)}


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_fronts_are_those_of_plain_loops(objectives, seed):
    generator = np.random.default_rng(seed)
    low = generator.integers(0, 12, (60, objectives))
    high = low + generator.integers(0, 4, low.shape)
    boxes = {n: Box(tuple(map(float, a)), tuple(map(float, b))) for n, (a, b) in enumerate(zip(low, high, strict=True))}
    lows, highs = {n: one.low for n, one in boxes.items()}, {n: one.high for n, one in boxes.items()}
    middles = {n: one.middle for n, one in boxes.items()}
    assert pareto_front(boxes) == quadratic(middles, middles)
    assert possible_front(boxes) == quadratic(highs, lows)
    assert certain_front(boxes) == quadratic(lows, highs)


@pytest.mark.parametrize("seed", range(8))
def test_machines_of_a_group_are_compared_by_their_middles(seed):
    generator = np.random.default_rng(seed)
    low = generator.integers(0, 12, (60, 2))
    high = low + generator.integers(0, 3, low.shape)
    groups = generator.integers(0, 10, 60)
    boxes = {
        n: Box(tuple(map(float, a)), tuple(map(float, b)), str(g))
        for n, (a, b, g) in enumerate(zip(low, high, groups, strict=True))
    }

    def surely(j, i):
        same = boxes[j].group == boxes[i].group
        return beats(boxes[j].middle, boxes[i].middle) if same else beats(boxes[j].high, boxes[i].low)

    def perhaps(j, i):
        same = boxes[j].group == boxes[i].group
        return beats(boxes[j].middle, boxes[i].middle) if same else beats(boxes[j].low, boxes[i].high)

    alive = {i for i in boxes if not any(surely(j, i) for j in boxes if groups[i] == groups[j])}
    expected = {i for i in alive if not any(surely(j, i) for j in alive)}
    assert possible_front(boxes) == expected
    assert certain_front(boxes) == {i for i in expected if not any(perhaps(j, i) for j in expected)}


def test_a_certain_front_lies_within_the_front_and_that_within_the_possible_one():
    generator = np.random.default_rng(3)
    low = generator.random((200, 2))
    boxes = {n: Box(tuple(a), tuple(a + 0.02)) for n, a in enumerate(low)}
    assert certain_front(boxes) <= pareto_front(boxes) <= possible_front(boxes)
    assert certain_front(boxes) < possible_front(boxes)


def test_only_energies_have_intervals():
    measures = Measures(
        whole_pj=100,
        datapath_pj=80,
        area_um2=10,
        critical_path_ns=1,
        index_table_bits=0,
        cycles=5,
        latency_us=1,
        slack_ns=4,
        half_width_pj=3,
    )
    assert box(measures, ("whole_pj", "area_um2")) == Box((97, 10), (103, 10))
    assert box(measures, ("datapath_pj", "cycles"), margin=0.1) == Box((69, 5), (91, 5))
