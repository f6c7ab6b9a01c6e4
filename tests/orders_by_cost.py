"""Costs of transitions and what rows cost one after the other, step by step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fewflips.streams.transition_cost import TransitionCost


def random_table() -> np.ndarray:
    """Squares, so that a detour is often cheaper than the direct step."""
    upper = np.triu(np.random.default_rng(5).integers(0, 20, size=(256, 256)) ** 2, 1)
    return upper + upper.T


TABLE = random_table()
BITS = (58, 57, 64, 66, 63, 60, 60, 100)
COSTS = {
    "flips": (TransitionCost.flips(8), lambda a, b: (a ^ b).bit_count()),
    "bits": (TransitionCost.per_bit(BITS), lambda a, b: sum(c for i, c in enumerate(BITS) if (a ^ b) >> i & 1)),
    "table": (TransitionCost.from_table(TABLE), lambda a, b: int(TABLE[a, b])),
}


def walked(weights: np.ndarray, order, step) -> int:
    """Cost of rows one after the other, step by step."""
    rows = weights.view(np.uint8)[list(order)].tolist()
    return sum(step(a, b) for one, other in pairwise(rows) for a, b in zip(one, other, strict=True))
