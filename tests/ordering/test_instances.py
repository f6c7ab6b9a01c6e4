"""Many instances: independent of the number of threads, equal ones once, stopped promptly."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Sequence

import numpy as np
import pytest

from fewflips.errors import InputError
from fewflips.ordering import Effort, order_distances, order_segments, shortest_word_path
from tests.ordering import reference
from tests.patience import PATIENCE_S


def segments() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, size=(n, 4), dtype=np.uint8) for n in (40, 3, 120, 1, 64, 12)]


def test_jobs_do_not_matter() -> None:
    one, two = (order_segments(segments(), seed=5, jobs=jobs) for jobs in (1, 2))
    assert [result.order.tolist() for result in one] == [result.order.tolist() for result in two]
    assert [result.lower_bound for result in one] == [result.lower_bound for result in two]


def test_results_are_in_order_and_correct() -> None:
    finished: list[int] = []
    results = order_segments(segments(), jobs=2, progress=finished.append)
    assert sorted(finished) == list(range(6))
    for words, result in zip(segments(), results, strict=True):
        assert reference.length(reference.hamming(words), result.order) == result.flips
    tables = order_distances([reference.hamming(words) for words in segments()], jobs=2, progress=finished.append)
    assert len(finished) == 12
    assert [result.natural_flips for result in tables] == [result.natural_flips for result in results]


def test_equal_segments_are_solved_once() -> None:
    words = segments()[0]
    finished: list[int] = []
    results = order_segments([words, words.copy(), words[:, :2].copy()], progress=finished.append)
    assert results[0] is results[1]
    assert results[2] is not results[0]
    assert sorted(finished) == [0, 1, 2]


def test_segments_of_like_bytes_in_another_shape_are_not_equal() -> None:
    words = np.arange(24, dtype=np.uint8).reshape(6, 4)
    results = order_segments([words, words.reshape(4, 6), words.view(np.uint16), words.T.copy().T])
    assert [len(result.order) for result in results] == [6, 4, 6, 6]
    assert results[0] is results[3]
    assert results[0] is not results[2]


class MadeWhenAsked(Sequence):
    """Segments that are made when they are asked for; `most` is how many were alive at a time."""

    def __init__(self, count: int) -> None:
        self._count, self._lock = count, threading.Lock()
        self._alive = self.most = self.made = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        if index >= self._count:
            raise IndexError
        words = np.random.default_rng(index).integers(0, 256, size=(20 + index % 7, 4), dtype=np.uint8)
        with self._lock:
            self._alive, self.made = self._alive + 1, self.made + 1
            self.most = max(self.most, self._alive)
        weakref.finalize(words, self._gone)
        return words

    def _gone(self) -> None:
        with self._lock:
            self._alive -= 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_few_segments_are_alive_at_a_time(jobs: int) -> None:
    segments = MadeWhenAsked(60)
    found = order_segments(segments, effort=Effort.quick(), seed=3, jobs=jobs)
    assert segments.most <= jobs + 1
    assert segments.made == 2 * 60
    held = order_segments(list(MadeWhenAsked(60)), effort=Effort.quick(), seed=3, jobs=jobs)
    assert [result.order.tolist() for result in found] == [result.order.tolist() for result in held]
    assert [result.lower_bound for result in found] == [result.lower_bound for result in held]


def test_seed_depends_on_the_index() -> None:
    words = segments()
    alone = shortest_word_path(words[2], seed=np.random.SeedSequence([5, 2]))
    assert order_segments(words, seed=5)[2].order.tolist() == alone.order.tolist()


def test_nothing_to_do() -> None:
    assert order_segments([]) == []
    assert order_distances([]) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_stops_all_threads(jobs: int) -> None:
    order_segments(segments()[:1])  # compiles
    hard = [np.random.default_rng(n).integers(0, 256, size=(300 + n, 64), dtype=np.uint8) for n in range(4)]
    endless = Effort(10**6, 50, 100, 0, 8, 0, 0)
    idle = threading.active_count()
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    start = time.perf_counter()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        order_segments(hard, effort=endless, jobs=jobs)
    while threading.active_count() > idle and time.perf_counter() - start < PATIENCE_S:
        time.sleep(0.05)
    assert time.perf_counter() - start < PATIENCE_S


def test_an_error_of_the_callback_stops_all_threads() -> None:
    hard = np.random.default_rng(0).integers(0, 256, size=(300, 64), dtype=np.uint8)
    idle = threading.active_count()

    def fail(_: int) -> None:
        raise RuntimeError("no more")

    start = time.perf_counter()
    with pytest.raises(RuntimeError, match="no more"):
        order_segments([hard, segments()[1]], effort=Effort(10**6, 50, 100, 0, 8, 0, 0), jobs=2, progress=fail)
    while threading.active_count() > idle and time.perf_counter() - start < PATIENCE_S:
        time.sleep(0.05)
    assert time.perf_counter() - start < PATIENCE_S


def test_unusable_arguments() -> None:
    with pytest.raises(InputError, match="jobs: expected a number of threads, or -1 for all cores, got 0"):
        order_segments(segments(), jobs=0)
    with pytest.raises(InputError, match="seed: expected a non-negative integer, got -1"):
        order_segments(segments(), seed=-1)
    with pytest.raises(InputError, match="seed: expected a non-negative integer, got -3"):
        shortest_word_path(segments()[0], seed=-3)
    with pytest.raises(InputError, match="at least one row"):
        order_segments([np.zeros((0, 3), np.uint8)], jobs=2)
