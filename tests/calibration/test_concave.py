"""Curves and surfaces through measured points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError
from fewflips.estimation.concave import rising_concave_curve, rising_concave_surface, surface_at

heights = st.floats(-100, 100, allow_subnormal=False)
points = st.lists(st.tuples(st.integers(0, 1000), heights), min_size=1, max_size=12, unique_by=lambda point: point[0])


def arrays(found):
    ordered = sorted(found)
    return np.array([x for x, _ in ordered], dtype=float), np.array([y for _, y in ordered])


def slopes(x, y):
    return np.diff(y) / np.diff(x)


def by_chords(x, y):
    """The least concave curve above points: at each place the highest chord between any two of them."""
    curve = y.copy()
    for left in range(len(x)):
        for right in range(left + 1, len(x)):
            for place in range(left, right + 1):
                part = (x[place] - x[left]) / (x[right] - x[left])
                curve[place] = max(curve[place], y[left] + part * (y[right] - y[left]))
    return curve


def test_points_by_hand():
    x = np.array([0.0, 1.0, 2.0, 4.0])
    assert rising_concave_curve(x, np.array([0.0, 3.0, 4.0, 5.0])).tolist() == [0.0, 3.0, 4.0, 5.0]
    assert rising_concave_curve(x, np.array([0.0, 1.0, 4.0, 4.0])).tolist() == [0.0, 2.0, 4.0, 4.0]
    assert rising_concave_curve(x, np.array([0.0, 8.0, 4.0, 8.0])).tolist() == [0.0, 8.0, 8.0, 8.0]
    assert rising_concave_curve(np.array([0.5]), np.array([7.0])).tolist() == [7.0]


@given(points)
def test_a_curve_is_the_least_rising_concave_one_above_the_points(found):
    x, y = arrays(found)
    curve = rising_concave_curve(x, y)
    assert (curve >= y - 1e-9).all()
    assert (np.diff(curve) >= -1e-9).all()
    assert (np.diff(slopes(x, curve)) <= 1e-6).all()
    np.testing.assert_allclose(curve, by_chords(x, np.maximum.accumulate(y)), atol=1e-9)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_surface_rises_and_is_concave_along_both_axes(rows, columns, seed):
    generator = np.random.default_rng(seed)
    x, y = (np.cumsum(generator.uniform(0.1, 1, size)) for size in (rows, columns))
    values = generator.uniform(0, 10, (rows, columns))
    surface = rising_concave_surface(x, y, values)
    assert (surface >= values - 1e-9).all()
    for places, lines in ((y, surface), (x, surface.T)):
        for line in lines:
            assert (np.diff(line) >= -1e-8).all()
            assert (np.diff(slopes(places, line)) <= 1e-6).all()
    assert surface.max() == pytest.approx(values.max())
    np.testing.assert_allclose(rising_concave_surface(x, y, surface), surface, atol=1e-8)


def test_a_surface_that_has_the_shape_already_stays():
    x = np.array([0.0, 0.5, 1.0])
    values = np.sqrt(x)[:, None] * 3 + x[None, :] * 2
    np.testing.assert_allclose(rising_concave_surface(x, x, values), values, atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_interpolation_meets_the_grid_and_planes(seed):
    generator = np.random.default_rng(seed)
    x, y = (np.cumsum(generator.uniform(0.1, 1, size)) for size in (4, 3))
    plane = 2 * x[:, None] + 5 * y[None, :] + 1
    rows, columns = generator.uniform(x[0], x[-1], 20), generator.uniform(y[0], y[-1], 20)
    np.testing.assert_allclose(surface_at(x, y, plane, rows, columns), 2 * rows + 5 * columns + 1)
    at_grid = surface_at(x, y, plane, np.repeat(x, 3), np.tile(y, 4))
    np.testing.assert_allclose(at_grid, plane.reshape(-1))


def test_beyond_the_edges_the_edges_hold():
    axis, grid = np.array([0.0, 1.0]), np.array([[0.0, 1.0], [2.0, 3.0]])
    assert surface_at(axis, axis, grid, np.array([-1.0, 9.0]), np.array([0.0, 9.0])).tolist() == [0.0, 3.0]
    one = np.array([0.0])
    assert surface_at(axis, one, grid[:, :1], np.array([0.5]), np.array([4.0])).tolist() == [1.0]


def test_places_that_do_not_ascend():
    with pytest.raises(InputError, match=r"^curve: expected strictly ascending places, got \[0.0, 0.0\]$"):
        rising_concave_curve(np.zeros(2), np.zeros(2))
    with pytest.raises(InputError, match=r"^curve: expected as many places as values, got \(2,\) places and 3 values$"):
        rising_concave_curve(np.array([0.0, 1.0]), np.zeros(3))
    with pytest.raises(InputError, match=r"^surface: expected 2 x 1 values, got shape \(1, 2\)$"):
        rising_concave_surface(np.array([0.0, 1.0]), np.zeros(1), np.zeros((1, 2)))
