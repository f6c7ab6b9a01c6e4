"""Bounds for several chains."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError
from fewflips.ordering import Effort, path_cover_bound, shortest_word_path
from tests.ordering import reference
from tests.property_settings import examples


def best_cover(table: np.ndarray, chains: int) -> int:
    """Cut every order at its chains - 1 longest steps."""
    steps = [np.sort(table[np.array(order[:-1]), np.array(order[1:])]) for order in permutations(range(len(table)))]
    return min(int(step[: len(table) - chains].sum()) for step in steps)


def test_two_pairs_by_hand() -> None:
    # 000 001 | 110 111: two chains of one flip each; as one path, the step between them costs two more.
    words = np.array([[0b000], [0b001], [0b110], [0b111]], dtype=np.uint8)
    assert [path_cover_bound(words, chains, 4) for chains in (1, 2, 3, 4, 9)] == [4, 2, 1, 0, 0]


@examples(40)
@given(reference.words(least=2, most=6), st.integers(1, 6), st.integers(0, 40))
def test_below_the_best_cover(words: np.ndarray, chains: int, target: int) -> None:
    table = reference.hamming(words)
    best = best_cover(table, chains) if chains < len(words) else 0
    assert 0 <= path_cover_bound(words, chains, target) <= best


@pytest.mark.parametrize("chains", [1, 2, 8, 30])
def test_close_to_what_cutting_a_path_reaches(chains: int) -> None:
    words = np.random.default_rng(0).integers(0, 256, size=(120, 8), dtype=np.uint8)
    table = reference.hamming(words)
    path = shortest_word_path(words, effort=Effort.prove())
    steps = np.sort(table[path.order[:-1], path.order[1:]])
    reached = int(steps[: len(words) - chains].sum())
    bound = path_cover_bound(words, chains, reached, effort=Effort.prove())
    assert 0.97 * reached < bound <= reached
    assert bound >= path.lower_bound - (chains - 1) * table.max()


@examples(40)
@given(reference.words(least=2, most=6), st.integers(1, 6))
def test_bound_of_too_many_rows_counts_different_ones(words: np.ndarray, chains: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fewflips.ordering.metric.MOST_COMPARED", 1)
        bound = path_cover_bound(words, chains, 4)
    assert bound == max(0, len(np.unique(words, axis=0)) - chains)
    assert bound <= (best_cover(reference.hamming(words), chains) if chains < len(words) else 0)


def test_no_chains() -> None:
    with pytest.raises(InputError, match="chains: expected at least 1, got 0"):
        path_cover_bound(np.zeros((3, 1), np.uint8), 0, 0)
