"""Simulates a unit whose weights stand still while a layer's own activations change in every cycle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fewflips.estimation.calibration.sequences import Words, word_values
from fewflips.estimation.transitions.bench import WINDOWS, StepBench
from fewflips.estimation.word_pool import WordPool
from fewflips.simulation.unit import ArithmeticUnit

ActivationSource = Callable[[int, int, int, np.random.Generator], Words]
"""Draws codes on the wires: ``source(windows, cycles, lanes, generator)``, of shape (windows, cycles, lanes)."""


class HeldBench(StepBench):
    """A unit, the activations that stream past its weights, and the weights that it holds.

    Parameters
    ----------
    unit : ArithmeticUnit
        The unit, with plain ports.
    source : callable
        Streams of activations: one for each window, whose cycles follow one another in the machine, too.
    weights : WordPool
        Weights of the layer at the width of the unit: neighbours of a weight, and those of earlier segments.
    weight_share, activation_share : float
        The unit's share of operand registers (:class:`~fewflips.dataflows.unit_work.UnitWork`).
    earlier_segments : int
        Segments whose products form the incoming partial sums.
    seed : int
        Of all draws.
    jobs : int
        Threads.
    """

    def __init__(
        self,
        unit: ArithmeticUnit,
        source: ActivationSource,
        weights: WordPool,
        weight_share: float,
        activation_share: float,
        *,
        earlier_segments: int,
        seed: int,
        jobs: int,
    ) -> None:
        self.weights, self.earlier_segments = weights, earlier_segments
        self._source = source
        nothing = WordPool(np.zeros(1, dtype=np.uint8), unit.datapath.activations.bits)
        super().__init__(unit, nothing, weight_share, activation_share, seed=seed, jobs=jobs, activations_move=True)

    def _typical(self, pool: WordPool, generator: np.random.Generator) -> Words:
        lanes = self.unit.datapath.lanes
        return np.ascontiguousarray(self._source(WINDOWS, self.cycles, lanes, generator).reshape(-1, lanes))

    def _sums(self, pool: WordPool, generator: np.random.Generator) -> NDArray[np.int64]:
        """What earlier segments of the layer add: other weights that stand still, under activations of other lanes."""
        datapath = self.unit.datapath
        shape = (WINDOWS, self.cycles, datapath.lanes)
        total = np.full(shape[:2], datapath.sum_offset(0) + self.earlier_segments * datapath.tree_bias, dtype=np.int64)
        for _ in range(self.earlier_segments):
            words = {
                "weights": generator.choice(self.weights.words, (WINDOWS, 1, datapath.lanes)),
                "activations": self._source(*shape, generator),
            }
            products = word_values(datapath, "weights", words) * word_values(datapath, "activations", words)
            total += products.sum(axis=2)
        return total.reshape(-1, 1)
