"""Segments: when two are the same, and as bytes for a search over machines."""

import numpy as np
import pytest

from fewflips.dataflows import Segment
from fewflips.exploration.tasks import read_orders, write_orders
from fewflips.schedule.file import same_orders

LANES, ORDER, FLAGS = np.array([3, 1]), np.array([2, 0, 1]), np.array([False, True, False])
SEGMENT = Segment(LANES, ORDER, FLAGS)


@pytest.mark.parametrize(
    "other",
    [
        Segment(LANES[::-1], ORDER, FLAGS),
        Segment(LANES, ORDER[::-1], FLAGS),
        Segment(LANES, ORDER, ~FLAGS),
        Segment(LANES, ORDER, None),
        Segment(LANES, ORDER, np.zeros(3, dtype=bool)),
    ],
)
def test_a_segment_differs_by_lanes_order_or_signs(other):
    assert not SEGMENT.is_same(other)
    assert not other.is_same(SEGMENT)
    assert not same_orders({"layer": (SEGMENT,)}, {"layer": (other,)})


def test_flags_that_are_all_false_are_none():
    assert Segment(LANES, ORDER).is_same(Segment(LANES, ORDER, np.zeros(3, dtype=bool)))
    assert SEGMENT.is_same(Segment(LANES.copy(), ORDER.copy(), FLAGS.copy()))
    assert Segment(LANES, ORDER).sign_flags.tolist() == [False, False, False]
    assert SEGMENT.sign_flags.tolist() == [False, True, False]


def test_orders_as_bytes_keep_their_signs():
    orders = {"a": (SEGMENT, Segment(np.array([0]), np.array([1, 0]))), "b": (Segment(ORDER, LANES, ~FLAGS[:2]),)}
    again = read_orders(write_orders(orders))
    assert same_orders(orders, again)
    assert again["a"][1].negated is None
    assert again["a"][0].negated.tolist() == [False, True, False]
    assert again["b"][0].negated.tolist() == [True, False]
