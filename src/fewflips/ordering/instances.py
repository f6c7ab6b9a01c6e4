"""Many independent instances, in parallel: segments of words, or matrices of distances."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.ordering.effort import Effort
from fewflips.ordering.metric import source_of_distances
from fewflips.ordering.path import PathResult, never, seed_sequence, shortest_word_path, solve
from fewflips.parallel.tasks import Stop, run_all
from fewflips.streams.transition_cost import TransitionCost


class Solve(Protocol):
    """Solves one instance; it can be pickled, so that a joblib backend may take it to another process."""

    def __call__(self, *, seed: np.random.SeedSequence, interrupted: Callable[[], bool]) -> PathResult:
        """A path; sooner, and not as short, where it is interrupted."""
        ...


def order_segments(
    segments: Sequence[NDArray[np.unsignedinteger]],
    *,
    cost: TransitionCost | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
    enough: Callable[[], bool] | None = None,
) -> list[PathResult]:
    """Order the rows of each segment independently.

    Segments run in threads (the kernels release Python's lock), or where a joblib backend takes them, large ones
    first. Equal segments are solved once. Each segment is taken from the sequence twice, to find its equals and to be
    solved, and is not kept: of a sequence that makes its items on demand, about as many are alive as there are threads.

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
    enough : callable, optional
        When it returns True, as a :class:`~fewflips.parallel.limit.Limit` does when time is up, searches end with the
        best that they have: greedy paths where none has begun. It can be pickled where a joblib backend takes segments.

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
    twins, lengths = _twins(segments)

    def work(index: int) -> Solve:
        return partial(shortest_word_path, segments[index], cost=cost, effort=effort, enough=enough or never)

    results: dict[int, PathResult] = {}

    def finished(index: int, result: PathResult) -> None:
        for twin in twins[index]:
            results[twin] = result
            if progress is not None:
                progress(twin)

    largest_first = sorted(twins, key=lambda index: (-lengths[index], index))
    _solve_all(work, largest_first, seed, jobs, finished)
    return [results[index] for index in range(len(segments))]


def _twins(segments: Sequence[NDArray[np.unsignedinteger]]) -> tuple[dict[int, list[int]], list[int]]:
    """Indices of equal segments by the first of them, and the rows of every segment; equal by digest."""
    same: dict[tuple[tuple[int, ...], str, bytes], list[int]] = {}
    lengths = []
    for index, segment in enumerate(segments):
        digest = hashlib.blake2b(segment.tobytes(), digest_size=32).digest()
        same.setdefault((segment.shape, segment.dtype.str, digest), []).append(index)
        lengths.append(len(segment))
    return {members[0]: members for members in same.values()}, lengths


def order_distances(
    instances: Sequence[NDArray[np.integer]],
    *,
    effort: Effort | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
    enough: Callable[[], bool] | None = None,
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
    enough : callable, optional
        As for :func:`order_segments`.

    Returns
    -------
    list of PathResult
        In the order of `instances`.

    Raises
    ------
    InputError
        If a matrix is not usable, `seed` is negative, or `jobs` is 0.
    """

    def work(index: int) -> Solve:
        return partial(_shortest_path, instances[index], effort or Effort.default(), enough or never)

    results: dict[int, PathResult] = {}

    def finished(index: int, result: PathResult) -> None:
        results[index] = result
        if progress is not None:
            progress(index)

    largest_first = sorted(range(len(instances)), key=lambda index: (-len(instances[index]), index))
    _solve_all(work, largest_first, seed, jobs, finished)
    return [results[index] for index in range(len(instances))]


def _shortest_path(
    distances: NDArray[np.integer],
    effort: Effort,
    enough: Callable[[], bool],
    *,
    seed: np.random.SeedSequence,
    interrupted: Callable[[], bool],
) -> PathResult:
    return solve(source_of_distances(distances), effort, seed, interrupted, enough)


def _solve_all(
    work: Callable[[int], Solve],
    indices: Sequence[int],
    seed: int,
    jobs: int,
    finished: Callable[[int, PathResult], None],
) -> None:
    """Solve instances side by side, telling of each as it is finished; whatever ends this stops the others too."""
    if jobs == 0:
        raise InputError("jobs: expected a number of threads, or -1 for all cores, got 0")
    seed_sequence(seed)  # checks it
    stop = Stop()
    run_all(
        _solved,
        (partial(work(index), seed=seed_sequence(seed, index), interrupted=stop) for index in indices),
        jobs=jobs,
        stop=stop,
        finished=lambda number, result: finished(indices[number], result),
    )


def _solved(task: Callable[[], PathResult]) -> PathResult:
    return task()
