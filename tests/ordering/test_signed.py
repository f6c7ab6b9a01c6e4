"""Orders and signs together: against all orders and all signs of small instances, and against sums written out."""

from __future__ import annotations

from itertools import pairwise, permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.dataflows.sign_flags import negatable, negated_codes
from fewflips.datapath.design import Word, WordFormat
from fewflips.errors import InputError
from fewflips.ordering import Effort, signed
from fewflips.ordering.signed import SignedWords, best_signs, shortest_signed_path, sign_segments
from fewflips.streams.transition_cost import TransitionCost
from tests.property_settings import examples

SEED = np.random.SeedSequence(0)
TWOS, MAGNITUDE = WordFormat.TWOS_COMPLEMENT, WordFormat.SIGN_MAGNITUDE


def signed_words(words, number_format, bits=8):
    word = Word(number_format, bits)
    return SignedWords(words, negated_codes(words, word), negatable(words, word))


def random_words(count, lanes, number_format, seed, bits=8):
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (count, lanes)).astype(np.uint8)
    return signed_words(codes, number_format, bits)


def step(before, after, cost):
    """Cost from one tuple of codes to another, in plain integers."""
    if cost is None:
        return sum((a ^ b).bit_count() for a, b in zip(before, after, strict=True))
    if cost.table is not None:
        return sum(int(cost.table[a][b]) for a, b in zip(before, after, strict=True))
    return sum(
        int(one)
        for a, b in zip(before, after, strict=True)
        for bit, one in enumerate(cost.bit_costs)
        if (a ^ b) >> bit & 1
    )


def along(words, order, negated, flag, cost=None):
    versions = [(words.negatives if n else words.words)[i].tolist() for i, n in zip(order, negated, strict=True)]
    changes = sum(bool(a) != bool(b) for a, b in pairwise(negated))
    return sum(step(a, b, cost) for a, b in pairwise(versions)) + flag * changes


def allowed_signs(words, order):
    return product(*[(False, True) if words.negatable[i] else (False,) for i in order])


def random_table(bits, seed):
    table = np.random.default_rng(seed).integers(1, 9, (1 << bits, 1 << bits))
    table = table + table.T
    np.fill_diagonal(table, 0)
    return TransitionCost.from_table(table)


COSTS = {
    "flips": None,
    "bits": TransitionCost.per_bit([1, 7, 2, 5]),
    "table": random_table(4, 3),
}


@examples(60, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 3),
    st.sampled_from([TWOS, MAGNITUDE]),
    st.sampled_from(list(COSTS)),
    st.integers(0, 5),
    st.integers(0, 2**32),
)
def test_the_best_signs_of_an_order(count, lanes, number_format, cost, flag, seed):
    words = random_words(count, lanes, number_format, seed, bits=4)
    order = np.random.default_rng(seed).permutation(count)
    negated, least = best_signs(words, order, flag, COSTS[cost])
    assert negated.dtype == np.bool_
    assert all(words.negatable[i] or not n for i, n in zip(order, negated, strict=True))
    assert least == along(words, order, negated, flag, COSTS[cost])
    assert least == min(along(words, order, signs, flag, COSTS[cost]) for signs in allowed_signs(words, order))


@examples(30, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([TWOS, MAGNITUDE]),
    st.sampled_from(list(COSTS)),
    st.integers(0, 3),
    st.integers(0, 2**32),
)
def test_no_order_and_signs_are_below_the_bound(count, lanes, number_format, cost, flag, seed):
    words = random_words(count, lanes, number_format, seed, bits=4)
    found = shortest_signed_path(words, flag, cost=COSTS[cost], seed=SEED)
    least = min(
        along(words, order, signs, flag, COSTS[cost])
        for order in permutations(range(count))
        for signs in allowed_signs(words, order)
    )
    assert sorted(found.order.tolist()) == list(range(count))
    assert found.flips == along(words, found.order, found.negated, flag, COSTS[cost])
    assert found.lower_bound <= least <= found.flips
    assert found.natural_flips == along(words, range(count), [False] * count, flag, COSTS[cost])
    assert found.flips <= found.natural_flips
    if number_format is MAGNITUDE and cost != "table":  # only relative signs matter
        assert found.flips == least == found.lower_bound


def test_every_sign_and_order_of_two_words():
    words = signed_words(np.array([[1], [255]], dtype=np.uint8), TWOS)  # 1 and -1, 7 flips apart
    found = shortest_signed_path(words, 2, seed=SEED)
    assert (found.flips, found.lower_bound, found.natural_flips, found.proven) == (2, 2, 7, True)
    assert sorted(found.negated.tolist()) == [False, True]
    assert shortest_signed_path(words, 9, seed=SEED).negated.tolist() == [False, False]


def test_words_without_a_negative_keep_their_sign():
    codes = np.array([[128, 1], [127, 255], [128, 3], [127, 253]], dtype=np.uint8)
    words = signed_words(codes, TWOS)
    assert words.negatable.tolist() == [False, True, False, True]
    found = shortest_signed_path(words, 0, seed=SEED)
    assert not found.negated[np.isin(found.order, [0, 2])].any()
    assert found.lower_bound <= found.flips <= found.natural_flips
    everywhere = signed_words(np.full((3, 2), 128, np.uint8), TWOS)
    assert not shortest_signed_path(everywhere, 0, seed=SEED).negated.any()


@pytest.mark.parametrize("number_format", [TWOS, MAGNITUDE])
def test_larger_instances_gain_and_meet_their_bound(number_format):
    words = random_words(60, 4, number_format, 1)
    found = shortest_signed_path(words, 1, seed=SEED, effort=Effort.default())
    assert found.flips == along(words, found.order, found.negated, 1)
    signs, length = best_signs(words, found.order, 1)
    assert length == found.flips
    assert signs.tolist() == found.negated.tolist()
    assert found.lower_bound <= found.flips < found.natural_flips
    assert found.gap < (0.01 if number_format is MAGNITUDE else 0.15)


def test_where_flags_cost_much_signs_are_left():
    words = random_words(30, 4, TWOS, 2)
    found = shortest_signed_path(words, 10**6, seed=SEED)
    assert len(set(found.negated.tolist())) == 1
    assert found.flips < found.natural_flips


def test_orders_of_very_many_words_stay(monkeypatch):
    words = random_words(40, 3, TWOS, 3)
    monkeypatch.setattr(signed, "MOST_ROWS", 39)
    found = shortest_signed_path(words, 1, seed=SEED)
    assert found.order.tolist() == list(range(40))
    assert found.lower_bound == 0
    assert found.flips == best_signs(words, np.arange(40), 1)[1]
    monkeypatch.setattr(signed, "MOST_ROWS", 40)
    assert shortest_signed_path(words, 1, seed=SEED).lower_bound > 0


def test_a_search_that_is_to_end_keeps_what_it_has():
    words = random_words(40, 3, TWOS, 4)
    found = shortest_signed_path(words, 1, seed=SEED, enough=lambda: True)
    assert (found.order.tolist(), found.lower_bound) == (list(range(40)), 0)
    calls = iter([False, True])
    cut = shortest_signed_path(words, 1, seed=SEED, enough=lambda: next(calls))
    whole = shortest_signed_path(words, 1, seed=SEED)
    assert whole.flips <= cut.flips <= found.flips
    assert cut.lower_bound == whole.lower_bound


def test_segments_are_solved_each_for_itself_whatever_the_threads():
    segments = [random_words(count, 3, TWOS, count) for count in (12, 1, 30, 12)]
    seen: list[int] = []
    one = sign_segments(segments, 1, seed=7, jobs=1, progress=seen.append)
    two = sign_segments(segments, 1, seed=7, jobs=2)
    assert sorted(seen) == [0, 1, 2, 3]
    for index, (first, second) in enumerate(zip(one, two, strict=True)):
        assert first.order.tolist() == second.order.tolist()
        assert first.negated.tolist() == second.negated.tolist()
        assert first.flips == along(segments[index], first.order, first.negated, 1)


def test_negatives_of_other_shapes_are_refused():
    words = np.zeros((3, 2), np.uint8)
    for bad in (
        SignedWords(words, words[:2], np.ones(3, dtype=bool)),
        SignedWords(words, words, np.ones(2, dtype=bool)),
        SignedWords(words[:0], words[:0], np.ones(0, dtype=bool)),
    ):
        with pytest.raises(InputError, match="signed words: expected as many negatives as words"):
            shortest_signed_path(bad, 1, seed=SEED)
