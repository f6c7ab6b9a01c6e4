"""Many independent instances, in parallel: segments of words, or matrices of distances."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.ordering.effort import Effort
from fewflips.ordering.metric import source_of_distances
from fewflips.ordering.path import PathResult, seed_sequence, shortest_word_path, solve
from fewflips.parallel.processors import processors
from fewflips.streams.transition_cost import TransitionCost

Solve = Callable[[int, np.random.SeedSequence, Callable[[], bool]], PathResult]


def order_segments(
    segments: Sequence[NDArray[np.unsignedinteger]],
    *,
    cost: TransitionCost | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[PathResult]:
    """Order the rows of each segment independently.

    Segments run in threads (the kernels release Python's lock), large ones first. Equal segments are solved
    once.

    Parameters
    ----------
    segments : sequence of ndarray of uint8 or uint16, shape (N_i, L_i)
        Word vectors, one per row.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.
    effort : Effort, optional
        Work limit of each segment; ``Effort.default()`` by default.
    seed : int
        Each segment's own seed is derived from it and the segment's index.
    jobs : int
        Threads, as joblib counts them (-1: one per core). The result does not depend on it.
    progress : callable, optional
        Called in the caller's thread with the index of each finished segment. An exception that it raises, like a
        KeyboardInterrupt, stops all threads within a second or two.

    Returns
    -------
    list of PathResult
        In the order of `segments`.

    Raises
    ------
    InputError
        If a segment is not a matrix of 8- or 16-bit integers with at least one row, `seed` is negative, or
        `jobs` is 0.

    Examples
    --------
    >>> segment = np.array([[0b00], [0b11], [0b01]], dtype=np.uint8)
    >>> order_segments([segment])[0].order.tolist()
    [1, 2, 0]
    """
    same: dict[tuple[tuple[int, ...], str, bytes], list[int]] = {}
    for index, segment in enumerate(segments):
        same.setdefault((segment.shape, segment.dtype.str, segment.tobytes()), []).append(index)
    twins = {members[0]: members for members in same.values()}

    def work(index: int, entropy: np.random.SeedSequence, interrupted: Callable[[], bool]) -> PathResult:
        return shortest_word_path(segments[index], cost=cost, effort=effort, seed=entropy, interrupted=interrupted)

    results: dict[int, PathResult] = {}

    def finished(index: int, result: PathResult) -> None:
        for twin in twins[index]:
            results[twin] = result
            if progress is not None:
                progress(twin)

    largest_first = sorted(twins, key=lambda index: (-len(segments[index]), index))
    _solve_all(work, largest_first, seed, jobs, finished)
    return [results[index] for index in range(len(segments))]


def order_distances(
    instances: Sequence[NDArray[np.integer]],
    *,
    effort: Effort | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[PathResult]:
    """Shortest Hamiltonian paths of several distance matrices.

    Parameters
    ----------
    instances : sequence of ndarray of integers, shape (N_i, N_i)
        Symmetric, non-negative, zero on the diagonal.
    effort : Effort, optional
        Work limit of each instance; ``Effort.default()`` by default.
    seed : int
        Each instance's own seed is derived from it and the instance's index.
    jobs : int
        Threads, as joblib counts them (-1: one per core). The result does not depend on it.
    progress : callable, optional
        Called in the caller's thread with the index of each finished instance.

    Returns
    -------
    list of PathResult
        In the order of `instances`.

    Raises
    ------
    InputError
        If a matrix is not usable, `seed` is negative, or `jobs` is 0.
    """

    def work(index: int, entropy: np.random.SeedSequence, interrupted: Callable[[], bool]) -> PathResult:
        return solve(source_of_distances(instances[index]), effort or Effort.default(), entropy, interrupted)

    results: dict[int, PathResult] = {}

    def finished(index: int, result: PathResult) -> None:
        results[index] = result
        if progress is not None:
            progress(index)

    largest_first = sorted(range(len(instances)), key=lambda index: (-len(instances[index]), index))
    _solve_all(work, largest_first, seed, jobs, finished)
    return [results[index] for index in range(len(instances))]


def _solve_all(
    work: Solve, indices: Sequence[int], seed: int, jobs: int, finished: Callable[[int, PathResult], None]
) -> None:
    """Solve instances in threads, reporting each as it is finished; any exception also stops the threads."""
    if jobs == 0:
        raise InputError("jobs: expected a number of threads, or -1 for all cores, got 0")
    seed_sequence(seed)  # checks it
    stop = threading.Event()

    def one(index: int) -> tuple[int, PathResult]:
        return index, work(index, seed_sequence(seed, index), stop.is_set)

    pool = Parallel(n_jobs=min(processors(), processors(jobs)), backend="threading", return_as="generator_unordered")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+ tasks which were still being processed", UserWarning)
        with closing(pool(delayed(one)(index) for index in indices)) as results:
            try:
                for index, result in results:
                    finished(index, result)
            finally:
                stop.set()
