"""Codes moved by a distance that is given."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from fewflips.assignment.moved_codes import codes_moved_by
from fewflips.assignment.nearest_codes import WordCosts
from fewflips.errors import InputError
from fewflips.streams.transition_cost import TransitionCost

VALUES = np.concatenate([np.arange(128), np.arange(-128, 0)]).astype(np.float32)
CODES = np.rint(np.random.default_rng(0).normal(0, 30, (60, 40))).astype(np.int16)


def away(moved: np.ndarray) -> float:
    changes = [(int(a) - int(b)) ** 2 for a, b in zip(moved.ravel(), CODES.ravel(), strict=True)]
    return (sum(changes) / sum(int(b) ** 2 for b in CODES.ravel())) ** 0.5


@pytest.mark.parametrize("bit_costs", [[1] * 8, [1, 1, 2, 3, 5, 8, 13, 21]])
@pytest.mark.parametrize("distance", [0.1, 0.35])
def test_codes_move_as_far_as_they_are_asked_to_and_get_cheaper(bit_costs: list[int], distance: float) -> None:
    cost = TransitionCost.per_bit(bit_costs)
    moved = codes_moved_by(CODES, partial(WordCosts.priced, VALUES, cost), distance)
    assert away(moved) == pytest.approx(distance, rel=0.02)
    assert cost.along(moved.astype(np.uint8)) < 0.9 * cost.along(CODES.astype(np.uint8))


@pytest.mark.parametrize("codes", [np.zeros((4, 3), np.int16), np.zeros((0, 3), np.int16)])
def test_codes_without_a_length_cannot_move(codes: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected codes to move by a relative distance"):
        codes_moved_by(codes, partial(WordCosts.priced, VALUES, TransitionCost.flips(8)), 0.3)
