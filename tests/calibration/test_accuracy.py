"""How well predictions follow, by hand."""

from __future__ import annotations

from math import e

import numpy as np
import pytest

from fewflips.errors import InputError
from fewflips.estimation.calibration.accuracy import accuracy_of, r_squared
from fewflips.estimation.calibration.compare import order_ranking


def test_r_squared_by_hand():
    simulated = np.array([1.0, 2.0, 3.0, 6.0])  # mean 3: squares about it 4 + 1 + 0 + 9
    assert r_squared(simulated, np.array([1.0, 2.0, 3.0, 6.0])) == 1.0
    assert r_squared(simulated, np.full(4, 3.0)) == 0.0
    assert r_squared(simulated, np.array([3.0, 2.0, 3.0, 1.0])) == pytest.approx(1 - (4 + 25) / 14)
    assert r_squared(np.array([1.0, 1.0]), np.array([1.0, 2.0])) is None
    assert r_squared(np.array([1.0]), np.array([1.0])) is None


def test_accuracy_by_hand():
    found = accuracy_of(["a", "b", "c"], [10, 10, 20], [10.0, 20.0, 60.0], [11.0, 20.0, 48.0])
    # per MAC: 1, 2, 3 against 1.1, 2, 2.4
    assert found.layers == 3
    assert found.r2 == pytest.approx(1 - (0.01 + 0.36) / 2)
    assert found.median_error_percent == pytest.approx(10)
    assert found.worst_error_percent == pytest.approx(20)
    assert found.worst_layer == "c"
    assert found.total_error_percent == pytest.approx(100 * (79 / 90 - 1))


def test_logarithms_by_hand():
    found = accuracy_of(["a", "b"], [1, 1], [1.0, e**2], [e, e**2])
    assert found.r2_log == pytest.approx(1 - 1 / 2)


def test_layers_without_energy_count_in_the_total_alone():
    found = accuracy_of(["idle", "a", "b"], [5, 1, 1], [0.0, 1.0, 2.0], [1.0, 1.0, 2.0])
    assert (found.r2, found.median_error_percent, found.worst_error_percent) == (1.0, 0.0, 0.0)
    assert found.total_error_percent == pytest.approx(100 / 3)


def test_no_layer():
    with pytest.raises(InputError, match=r"^accuracy: expected at least one layer, got none$"):
        accuracy_of([], [], [], [])


def test_ranking_by_hand():
    found, predicted = np.array([0.8, 0.9, 1.1, 1.0]), np.array([0.8, 1.1, 1.1, 0.9])
    ranking = order_ranking(found, predicted, np.full(4, 0.95))
    assert ranking.agreement == pytest.approx(2 / 3)  # the last layer costs the same in both orders
    about_mean = 0.15**2 + 0.05**2 + 0.15**2 + 0.05**2
    assert ranking.ratio_r2 == pytest.approx(1 - (0.2**2 + 0.1**2) / about_mean)
    assert ranking.ratio_r2_from_flips == pytest.approx(0)
    assert order_ranking(np.ones(2), np.ones(2), np.ones(2)).agreement == 1
