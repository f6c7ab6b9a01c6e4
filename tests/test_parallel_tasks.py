"""Tasks side by side: the same results wherever they run, and a configured joblib backend takes them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import joblib
import numpy as np
import pytest
from joblib.parallel import ThreadingBackend

from fewflips.ordering import order_segments
from fewflips.parallel.background import in_background
from fewflips.parallel.tasks import Stop, run_all
from tests.patience import PATIENCE_S


class Cluster(ThreadingBackend):
    """Stands for a cluster: counts what it is given."""

    taken = 0

    def submit(self, func, callback=None):
        type(self).taken += len(func.items)
        return super().submit(func, callback)

    def apply_async(self, func, callback=None):  # the same before joblib 1.5
        type(self).taken += len(func.items)
        return super().apply_async(func, callback)


class OldCluster(Cluster):
    supports_return_generator = False


@pytest.fixture(autouse=True)
def _three_cores(monkeypatch):
    monkeypatch.setattr("fewflips.parallel.processors.cpu_count", lambda: 3)


@pytest.fixture(params=[Cluster, OldCluster])
def cluster(request) -> Iterator[type[Cluster]]:
    joblib.register_parallel_backend("cluster", request.param)
    request.param.taken = 0
    yield request.param
    del joblib.parallel.BACKENDS["cluster"]


def process_of(task: int) -> tuple[int, int]:
    return task, os.getpid()


def slow_square(task: int) -> int:
    time.sleep(0.01 * (5 - task))  # those that begin first end last
    return task * task


def words() -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.integers(0, 256, size=(n, 3), dtype=np.uint8) for n in (12, 40, 5, 23)]


@pytest.mark.parametrize("jobs", [1, 2, 3, 50, -1])
def test_results_are_in_the_order_of_the_tasks(jobs):
    told: list[tuple[int, int]] = []
    found = run_all(slow_square, range(5), jobs=jobs, finished=lambda number, result: told.append((number, result)))
    assert found == [0, 1, 4, 9, 16]
    assert sorted(told) == [(0, 0), (1, 1), (2, 4), (3, 9), (4, 16)]


def test_no_tasks():
    assert run_all(slow_square, [], jobs=2) == []


@pytest.mark.parametrize("jobs", [1, 3])
def test_tasks_are_made_as_workers_become_free(jobs):
    made = ended = most = 0

    def tasks() -> Iterator[int]:
        nonlocal made, most
        for number in range(20):
            made += 1
            most = max(most, made - ended)
            yield number

    def count(number: int, result: int) -> None:
        nonlocal ended
        ended += 1

    run_all(abs, tasks(), jobs=jobs, finished=count)
    assert (made, ended) == (20, 20)
    assert most <= jobs + 2


def test_no_more_threads_than_processors():
    together = most = 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.02)
        with lock:
            together -= 1

    run_all(work, range(12), jobs=12)
    assert most == 3


def test_an_error_stops_the_others():
    stop = Stop()

    def work(task: int) -> None:
        if task == 0:
            raise KeyError("the first")
        start = time.monotonic()
        while not stop() and time.monotonic() - start < PATIENCE_S:
            time.sleep(0.01)

    start = time.monotonic()
    with pytest.raises(KeyError, match="the first"):
        run_all(work, range(30), jobs=3, stop=stop)
    assert time.monotonic() - start < PATIENCE_S


@pytest.mark.parametrize(("jobs", "workers"), [(2, {}), (-1, {}), (-1, {"n_jobs": 2})])
def test_a_registered_backend_receives_the_work(cluster, jobs, workers):
    expected = [result.order.tolist() for result in order_segments(words(), seed=2)]
    with joblib.parallel_config(backend="cluster", **workers):
        found = order_segments(words(), seed=2, jobs=jobs)
    assert cluster.taken == 4
    assert [result.order.tolist() for result in found] == expected
    order_segments(words(), seed=2, jobs=jobs)
    assert cluster.taken == 4


def test_what_shares_memory_stays_in_threads(cluster):
    with joblib.parallel_config(backend="cluster"):
        assert run_all(slow_square, range(3), jobs=2, in_this_process=True) == [0, 1, 4]
    assert cluster.taken == 0


def test_other_processes_find_the_same_paths():
    expected = [(result.order.tolist(), result.lower_bound) for result in order_segments(words(), seed=2)]
    with joblib.parallel_config(backend="loky"):
        found = order_segments(words(), seed=2, jobs=2)
        processes = run_all(process_of, range(4), jobs=2)
    assert [(result.order.tolist(), result.lower_bound) for result in found] == expected
    assert [task for task, _ in processes] == [0, 1, 2, 3]
    assert os.getpid() not in [process for _, process in processes]


def test_an_error_of_the_callback_ends_the_work_of_a_backend():
    def fail(number: int, result: object) -> None:
        raise RuntimeError("no more")

    with joblib.parallel_config(backend="loky"), pytest.raises(RuntimeError, match="no more"):
        run_all(slow_square, range(5), jobs=2, finished=fail)


def test_the_step_in_the_background_goes_to_a_registered_backend():
    joblib.register_parallel_backend("cluster", Cluster)
    Cluster.taken = 0
    with joblib.parallel_config(backend="cluster"), in_background(1, divmod, 17, 5) as result:
        assert result() == (3, 2)
    del joblib.parallel.BACKENDS["cluster"]
    assert Cluster.taken == 1
