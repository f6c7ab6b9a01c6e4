from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from fewflips.dataflows.unit_work import Part
from fewflips.gates.operands import OperandSequences, Windows
from fewflips.simulation.sampling import REPLICATES, WINDOWS, all_windows, relative_ci95, sample_windows


def part_of(cycles, skip):
    """A part whose sequences are one pass each."""
    lengths = np.array(cycles, dtype=np.int64)
    sequences = OperandSequences(lengths, np.arange(len(lengths)), inputs={})
    return Part(sequences, np.arange(len(lengths)), np.array(skip, dtype=np.int64))


def test_transitions_of_a_part_leave_out_what_it_repeats():
    part = part_of([10, 10, 4], [0, 3, 4])
    assert part.transitions.tolist() == [9, 7, 0]
    moved = all_windows(part, Windows(np.array([0, 1]), np.array([1, 1]), np.array([9, 7])))
    assert moved.first.tolist() == [1, 3]
    assert (moved.first + moved.transitions).tolist() == [10, 10]


def test_samples_stay_within_their_sequences_and_stretches():
    part = part_of([5_000_000, 2_000_000, 10], [0, 7, 10])
    replicates = sample_windows(part, 0.05, np.random.default_rng(3))
    assert len(replicates) == REPLICATES
    ends = np.cumsum(part.transitions)
    stretch = ends[-1] / WINDOWS
    for windows in replicates:
        assert len(windows.sequence) == WINDOWS
        assert (windows.first >= part.first_transitions[windows.sequence]).all()
        assert (windows.first + windows.transitions <= part.sequences.sequence_cycles[windows.sequence]).all()
        starts = (ends - part.transitions)[windows.sequence] + windows.first - part.first_transitions[windows.sequence]
        reach = starts + windows.transitions.max()  # the window holds a transition of its stretch
        assert (starts < (np.arange(WINDOWS) + 1) * stretch).all()
        assert (reach > np.arange(WINDOWS) * stretch).all()
    sampled = sum(int(windows.transitions.sum()) for windows in replicates)
    assert sampled == pytest.approx(0.05 * ends[-1], rel=0.05)


def test_sampling_is_repeatable():
    part = part_of([50_000], [0])
    first, second = (sample_windows(part, 0.1, np.random.default_rng(5)) for _ in range(2))
    assert all((a.first == b.first).all() for a, b in zip(first, second, strict=True))


def test_the_confidence_interval_by_hand():
    # mean 10, standard deviation 2, t(0.975, 3) = 3.1824: 3.1824 * 2 / sqrt(4) = 3.1824
    values = [8.0, 8.0, 12.0, 12.0]
    assert relative_ci95(values) == pytest.approx(3.1824 * np.std(values, ddof=1) / 2 / 10, rel=1e-4)
    assert relative_ci95([5.0]) == 0.0
    assert relative_ci95([0.0, 0.0]) == 0.0


@pytest.mark.parametrize("count", range(2, REPLICATES + 1))
def test_the_quantiles_are_those_of_scipy(count):
    values = np.random.default_rng(count).normal(10, 1, count)
    low, high = scipy.stats.t.interval(0.95, count - 1, values.mean(), scipy.stats.sem(values))
    assert relative_ci95(values.tolist()) == pytest.approx((high - low) / 2 / values.mean(), rel=1e-12)


def test_confidence_intervals_hold_as_often_as_they_say():
    rng = np.random.default_rng(0)
    draws = rng.exponential(1.0, size=(2000, REPLICATES, WINDOWS)).mean(axis=2)
    held = [abs(draw.mean() - 1) <= relative_ci95(draw.tolist()) * draw.mean() for draw in draws]
    assert 0.93 < np.mean(held) < 0.97
