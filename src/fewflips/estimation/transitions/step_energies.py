"""Energy of every step of a weight from one code to another, glitches included, measured at gate level.

Lanes of a unit go back and forth between two codes each, all pairs of codes in turn, under typical activations. What
nets of one lane spend is measured step by step; what lanes share is fitted (:mod:`.shared_logic`). Results are cached
by everything that they depend on.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.estimation.transition_costs import EnergyCost
from fewflips.estimation.transitions.bench import StepBench
from fewflips.estimation.transitions.shared_logic import fit_shared_logic
from fewflips.files.cache import cached, digest_of
from fewflips.progress import Progress, counter
from fewflips.streams.transition_cost import TransitionCost

LARGEST_COST = 1000
"""Cost of the dearest step: fine enough, and gaps between orders and bounds stay small numbers."""
_VERSION = "1"
_LEAST_ROUNDS = 2
"""Every step is measured at least so often, in different lanes."""
_LEAST_GROUPS = 1500
"""Groups of steps that the fit of shared logic takes."""
_GROUPS_A_BATCH = 1024
_J_PER_FJ = 1e-15


@dataclass(frozen=True, eq=False)
class StepEnergies:
    """Energies of the steps between all codes of weights.

    Parameters
    ----------
    steps_fj : ndarray of float64, shape (codes, codes)
        Data energy of one lane's step in one unit, in fJ, averaged over both directions: beyond what the unit spends
        where that lane's weight stands still. Symmetric, zero on the diagonal, nowhere negative.
    held_out_r2 : float or None
        How well the energy of logic that lanes share is fitted, on steps that the fit has not seen
        (:class:`~fewflips.estimation.transitions.shared_logic.SharedLogic`); None where lanes share nothing.
    """

    steps_fj: NDArray[np.float64] = field(repr=False)
    held_out_r2: float | None

    def cost(self, largest: int = LARGEST_COST) -> EnergyCost:
        """Energies as integers.

        Parameters
        ----------
        largest : int
            Cost of the dearest step.

        Returns
        -------
        EnergyCost
            A table of costs, and what one unit is worth.
        """
        unit_fj = float(self.steps_fj.max()) / largest or 1.0
        table = np.rint(self.steps_fj / unit_fj).astype(np.int64)
        return EnergyCost(TransitionCost.from_table(table), unit_fj * _J_PER_FJ)

    def bit_cost(self, largest: int = 100) -> EnergyCost:
        """The costs of bits that come closest to the energies of all steps, by least squares.

        Parameters
        ----------
        largest : int
            Cost of the dearest bit.

        Returns
        -------
        EnergyCost
            A cost for each bit, and what one unit is worth.
        """
        codes = np.arange(len(self.steps_fj))
        bits = np.arange(len(codes).bit_length() - 1)
        flips = ((codes[:, None] ^ codes)[..., None] >> bits) & 1
        found, *_ = np.linalg.lstsq(flips.reshape(-1, len(bits)).astype(np.float64), self.steps_fj.reshape(-1))
        bits_fj = np.maximum(found, 0.0)
        unit_fj = float(bits_fj.max()) / largest or 1.0
        return EnergyCost(TransitionCost.per_bit(np.rint(bits_fj / unit_fj).astype(np.int64)), unit_fj * _J_PER_FJ)


def measure_steps(bench: StepBench, *, seed: int = 0, progress: Progress | None = None) -> StepEnergies:
    """Measure the energy of every step between two codes of weights, or take it from the cache.

    Parameters
    ----------
    bench : StepBench
        The unit and its activations.
    seed : int
        Deals steps out to lanes.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    StepEnergies
        For all codes of the unit's weights.
    """
    digest = digest_of(_VERSION, str(seed), *bench.contents)
    content = cached("steps", digest, lambda: _to_bytes(_measured(bench, seed, progress)))
    with np.load(io.BytesIO(content)) as kept:
        r2 = float(kept["held_out_r2"])
        return StepEnergies(kept["steps_fj"], None if np.isnan(r2) else r2)


def _measured(bench: StepBench, seed: int, progress: Progress | None) -> StepEnergies:
    datapath = bench.unit.datapath
    pairs = _dealt(1 << datapath.weights.bits, datapath.lanes, bench.activations_move, np.random.default_rng(seed))
    batches = [pairs[begin : begin + _GROUPS_A_BATCH] for begin in range(0, len(pairs), _GROUPS_A_BATCH)]
    step = counter(progress, "measuring steps of weights", len(batches))
    found = []
    for batch in batches:
        found.append(bench.energies_fj(batch))
        if step:
            step(None)
    energies = np.concatenate(found)
    own_fj = _beyond_standing_still(_means(pairs, energies[:, :-1], 1 << datapath.weights.bits))
    if datapath.lanes == 1:
        return StepEnergies(_as_table(own_fj), None)
    shared = fit_shared_logic(own_fj, pairs, energies[:, -1])
    return StepEnergies(_as_table(own_fj + shared.steps_fj), shared.held_out_r2)


def _dealt(codes: int, lanes: int, with_same: bool, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Every pair of codes in some lane, several times over; shape (groups, lanes, 2)."""
    pairs = np.column_stack(np.triu_indices(codes, 0 if with_same else 1)).astype(np.uint8)
    least = 0 if lanes == 1 else _LEAST_GROUPS
    rounds = max(1 if lanes == 1 else _LEAST_ROUNDS, -(-least * lanes // len(pairs)))
    order = np.concatenate([generator.permutation(len(pairs)) for _ in range(rounds)])
    order = np.resize(order, -(-len(order) // lanes) * lanes)
    return pairs[order].reshape(-1, lanes, 2)


def _means(pairs: NDArray[np.uint8], energies_fj: NDArray[np.float64], codes: int) -> NDArray[np.float64]:
    """Mean energy of each pair that was measured, in either direction; 0 for others."""
    sums, counts = np.zeros((codes, codes)), np.zeros((codes, codes))
    np.add.at(sums, (pairs[..., 0], pairs[..., 1]), energies_fj)
    np.add.at(counts, (pairs[..., 0], pairs[..., 1]), 1)
    means = sums / np.maximum(counts, 1)
    return np.triu(means) + np.triu(means, 1).T


def _beyond_standing_still(steps_fj: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energies without what is spent where the weight stays as it is: half at one code and half at the other."""
    still = steps_fj.diagonal() / 2
    return steps_fj - still[:, None] - still


def _as_table(steps_fj: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energies that differ from their mirror images by rounding, and may be below zero, as costs can be."""
    return np.maximum((steps_fj + steps_fj.T) / 2, 0.0)


def _to_bytes(energies: StepEnergies) -> bytes:
    content = io.BytesIO()
    r2 = np.nan if energies.held_out_r2 is None else energies.held_out_r2
    arrays: dict[str, Any] = {"steps_fj": energies.steps_fj, "held_out_r2": np.float64(r2)}
    np.savez(content, **arrays)
    return content.getvalue()
