from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.simulation.time_limit import SMALLEST_SHARE, Shares, shares_within


@given(limit=st.floats(0.1, 1000), zero_delay=st.floats(0, 1e4), inertial=st.floats(0, 1e5))
def test_shares_fit_the_time_and_half_as_many_more_would_not(limit, zero_delay, inertial):
    shares = shares_within(limit, zero_delay, inertial)
    smallest = SMALLEST_SHARE in (shares.zero_delay, shares.inertial)
    spent = shares.zero_delay * zero_delay + shares.inertial * inertial
    assert spent <= limit * (1 + 1e-9) or smallest
    if shares.inertial < 1 and not smallest:
        assert shares.zero_delay * zero_delay + 2 * shares.inertial * inertial > limit * (1 - 1e-9)


@pytest.mark.parametrize(
    ("limit", "zero_delay", "inertial", "shares"),
    [
        (10, 1, 9, Shares(1.0, 1.0)),
        (10, 1, 9.5, Shares(1.0, 0.5)),
        (10, 8, 100, Shares(0.25, 0.0625)),  # 2 s for zero delay, 8 s for 100: 1/12.5, so 1/16
    ],
)
def test_worked_examples(limit, zero_delay, inertial, shares):
    assert shares_within(limit, zero_delay, inertial) == shares
