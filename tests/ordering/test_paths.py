"""Paths: worked by hand, against exhaustive search, and what users may ask for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from fewflips.errors import FewflipsError, InputError
from fewflips.ordering import (
    Effort,
    exact,
    greedy_path,
    hamming_distance_matrix,
    natural,
    shortest_path,
    shortest_word_path,
)
from fewflips.ordering.metric import rows_within_reach, source_of_words
from tests.ordering import reference
from tests.property_settings import examples

EFFORTS = [Effort.quick(), Effort.default(), Effort.prove()]


def test_three_words_by_hand() -> None:
    # 00 -> 01 -> 11 flips one bit a step; the natural order 00 -> 11 -> 01 flips three.
    result = shortest_word_path(np.array([[0b00], [0b11], [0b01]], dtype=np.uint8))
    assert result.order.tolist() in ([0, 2, 1], [1, 2, 0])
    assert (result.flips, result.lower_bound, result.natural_flips) == (2, 2, 3)
    assert result.proven
    assert result.gap == 0


def test_gray_code_is_found() -> None:
    # All 64 six-bit words have a path of 63 single flips (a Gray code), and no shorter one.
    result = shortest_word_path(np.arange(64, dtype=np.uint8)[:, np.newaxis], effort=Effort.prove())
    assert (result.flips, result.lower_bound) == (63, 63)


def test_star_by_hand() -> None:
    # Three leaves at distance 1 from a centre and 2 from each other: 1 + 1 + 2.
    star = np.array([[0, 1, 1, 1], [1, 0, 2, 2], [1, 2, 0, 2], [1, 2, 2, 0]])
    assert shortest_path(star).flips == 4


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("rows", [1, 2, 9, 10, 11, 12, 13])
def test_few_and_equal_rows(rows: int, effort: Effort) -> None:
    for words in (np.zeros((rows, 3), np.uint8), np.full((rows, 1), 255, np.uint8)):
        result = shortest_word_path(words, effort=effort)
        assert sorted(result.order) == list(range(rows))
        assert (result.flips, result.lower_bound, result.natural_flips, result.proven) == (0, 0, 0, True)
        assert shortest_path(reference.hamming(words), effort=effort).proven


def test_two_rows() -> None:
    result = shortest_word_path(np.array([[0], [255]], np.uint8))
    assert (result.flips, result.proven, sorted(result.order)) == (8, True, [0, 1])


def test_signed_words_are_counted_by_their_bits() -> None:
    words = np.array([[-1], [0], [-1], [1]], dtype=np.int8)
    result = shortest_word_path(words)
    assert (result.flips, result.natural_flips) == (8, 8 + 8 + 7)
    assert result.proven


def test_wide_words_and_no_lanes() -> None:
    words = np.random.default_rng(0).integers(0, 1 << 16, size=(12, 7), dtype=np.uint16)
    result = shortest_word_path(words, effort=Effort.prove())
    assert result.flips == reference.held_karp(reference.hamming(words))
    assert shortest_word_path(np.zeros((4, 0), np.uint8)).flips == 0


@examples(60)
@given(reference.words(most=8))
def test_words_against_brute_force(words: np.ndarray) -> None:
    result = shortest_word_path(words)
    table = reference.hamming(words)
    assert result.flips == result.lower_bound == reference.brute_force(table)
    assert reference.length(table, result.order) == result.flips
    assert reference.length(table, natural(len(words))) == result.natural_flips


@examples(30)
@given(reference.distances(most=8))
def test_distances_against_brute_force(table: np.ndarray) -> None:
    result = shortest_path(table)
    assert result.flips == result.lower_bound == reference.brute_force(table)
    assert reference.length(table, result.order) == result.flips


@pytest.fixture
def no_dynamic_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the solver proper handle what the dynamic program would."""
    monkeypatch.setattr(exact, "LARGEST", 7)


@pytest.mark.usefixtures("no_dynamic_program")
@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("seed", range(12))
def test_solver_against_dynamic_program(effort: Effort, seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = int(generator.integers(8, 12))
    words = generator.integers(0, generator.choice([2, 8, 256]), size=(n, 2), dtype=np.uint8)
    table = generator.integers(0, generator.choice([2, 10, 1000]), size=(n, n))
    table = np.triu(table, 1) + np.triu(table, 1).T
    for distances in (reference.hamming(words), table):
        optimum = reference.held_karp(distances)
        result = shortest_path(distances, effort=effort, seed=seed)
        assert result.lower_bound <= optimum <= result.flips
        assert reference.length(distances, result.order) == result.flips
        assert sorted(result.order) == list(range(n))
        if effort == Effort.prove():
            assert result.proven


@pytest.mark.parametrize("seed", range(4))
def test_same_seed_same_result(seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 256, size=(90, 4), dtype=np.uint8)
    one, other = (shortest_word_path(words, seed=seed) for _ in range(2))
    assert one.order.tolist() == other.order.tolist()
    assert (one.flips, one.lower_bound) == (other.flips, other.lower_bound)


def test_distances_and_packed_rows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.default_rng(1).integers(0, 256, size=(60, 9), dtype=np.uint8)
    table = shortest_word_path(words, effort=Effort.prove())
    monkeypatch.setattr("fewflips.ordering.metric.MATRIX_ROWS", 10)
    assert source_of_words(words).dtype == np.uint64
    packed = shortest_word_path(words, effort=Effort.prove())
    assert packed.order.tolist() == table.order.tolist()
    assert (packed.flips, packed.lower_bound) == (table.flips, table.lower_bound)


def test_effort_helps() -> None:
    words = np.random.default_rng(2).integers(0, 256, size=(150, 6), dtype=np.uint8)
    table = reference.hamming(words)
    greedy = reference.length(table, greedy_path(hamming_distance_matrix(words)))
    quick, default, prove = (shortest_word_path(words, effort=effort) for effort in EFFORTS)
    assert greedy > quick.flips >= default.flips >= prove.flips
    assert quick.lower_bound <= default.lower_bound <= prove.lower_bound
    assert prove.gap <= default.gap <= quick.gap < 0.02


def test_greedy_by_hand() -> None:
    words = np.array([[0b000], [0b111], [0b001], [0b011]], dtype=np.uint8)
    assert greedy_path(hamming_distance_matrix(words)).tolist() == [0, 2, 3, 1]
    assert greedy_path(hamming_distance_matrix(words), 3).tolist()[0] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (np.zeros((0, 4), np.uint8), "words: expected a matrix of 8- or 16-bit integers with at least one row"),
        (np.zeros(4, np.uint8), "got shape \\(4,\\) of uint8"),
        (np.zeros((2, 2)), "of float64"),
    ],
)
def test_unusable_words(words: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        shortest_word_path(words)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((2, 3), int), "distances: expected a square matrix of at least one row, got \\(2, 3\\)"),
        (np.zeros((0, 0), int), "at least one row"),
        (np.zeros((2, 2)), "distances: expected integers, got float64; scale and round them"),
        (np.array([[0, 1], [2, 0]]), "symmetric"),
        (np.array([[0, -1], [-1, 0]]), "non-negative"),
        (np.array([[1, 1], [1, 0]]), "zero diagonal"),
        (np.array([[0, 1 << 40], [1 << 40, 0]]), "too large for exact arithmetic"),
    ],
)
def test_unusable_distances(table: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        shortest_path(table)


def test_rows_too_long_for_a_table() -> None:
    with pytest.raises(InputError, match="at most 65472 bits"):
        hamming_distance_matrix(np.zeros((2, 9000), np.uint8))
    assert shortest_word_path(np.zeros((12, 9000), np.uint8)).flips == 0


def test_unusable_effort() -> None:
    with pytest.raises(FewflipsError, match="effort: expected rounds of at least 1, got 0"):
        Effort(0, 1, 0, 0, 5, 0, 0)
    with pytest.raises(FewflipsError, match="branch_nodes of at least 0, got -1"):
        Effort(1, 1, 0, 0, 5, 0, -1)


def test_rows_are_compared_all_with_all_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows_within_reach(np.zeros((32_000, 16), np.uint8)) == 32_000
    monkeypatch.setattr("fewflips.ordering.metric.MOST_COMPARED", 3 * 12 * 12)
    assert rows_within_reach(np.zeros((12, 9), np.uint16)) == 12  # three 64-bit words a row
    assert rows_within_reach(np.zeros((13, 9), np.uint16)) == 11
    assert rows_within_reach(np.zeros((13, 9), np.uint8)) == 13
    assert rows_within_reach(np.zeros((500, 9), np.uint8)) == 1
    assert rows_within_reach(np.zeros((3, 0), np.uint8)) == 3


@pytest.mark.parametrize("most", [1, 40, 60, 110, 143])
@examples(20)
@given(words=reference.words(least=12, most=12))
def test_too_many_rows_are_ordered_in_blocks(most: int, words: np.ndarray) -> None:
    distinct = np.unique(words, axis=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fewflips.ordering.metric.MOST_COMPARED", most)
        result = shortest_word_path(words)
        again = shortest_word_path(words)
        reach = rows_within_reach(distinct)
    table = reference.hamming(words)
    assert sorted(result.order) == list(range(12))
    assert result.flips == reference.length(table, result.order)
    assert result.natural_flips == reference.length(table, natural(12))
    assert result.lower_bound <= reference.held_karp(table) <= result.flips
    assert result.order.tolist() == again.order.tolist()
    if reach < len(distinct):
        assert result.lower_bound == len(distinct) - 1
        blocks = [reference.hamming(distinct[start : start + reach]) for start in range(0, len(distinct), reach)]
        within = sum(reference.held_karp(block) for block in blocks)
        seams = len(blocks) - 1
        assert result.flips <= within + 16 * seams
