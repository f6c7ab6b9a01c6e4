"""Energy of every weight that stands still while activations change, glitches included, measured at gate level.

What a weight costs that is held in a processing element depends on its value: PowerPruning (Petri et al., DAC 2023)
selects weights by it. Each lane of a unit holds a code, all codes in turn, under a layer's own activations. What nets
of one lane spend is measured code by code; what lanes share is fitted. Results are cached by everything that they
depend on.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.estimation.calibration.sequences import word_values
from fewflips.estimation.transitions.held_bench import HeldBench
from fewflips.files.cache import cached, digest_of

_VERSION = "1"
_LEAST_ROUNDS = 2
"""Every code is measured at least so often, in different lanes."""
_LEAST_GROUPS = 96
"""Groups of random codes, and as many of the layer's own, some of them 0, that the fit of shared logic takes."""
_HELD_OUT = 5


@dataclass(frozen=True, eq=False)
class HeldEnergies:
    """What a unit spends in a cycle in which activations change and weights do not.

    Parameters
    ----------
    codes_fj : ndarray of float64, shape (codes,)
        Data energy of a lane that holds a code, in fJ a cycle.
    unit_fj : float
        What the unit spends besides, whatever its weights; in fJ a cycle.
    held_out_r2 : float or None
        How well the energy of logic that lanes share is fitted, on groups of codes that the fit has not seen; None
        where lanes share nothing.
    """

    codes_fj: NDArray[np.float64] = field(repr=False)
    unit_fj: float
    held_out_r2: float | None


def measure_held(bench: HeldBench, *, seed: int = 0) -> HeldEnergies:
    """Measure what each code of a weight costs while it is held, or take it from the cache.

    Parameters
    ----------
    bench : HeldBench
        The unit, its activations and its weights.
    seed : int
        Deals codes out to lanes.

    Returns
    -------
    HeldEnergies
        For all codes of the unit's weights.
    """
    digest = digest_of(_VERSION, str(seed), bench.weights.words.tobytes(), *bench.contents)
    content = cached("held", digest, lambda: _to_bytes(_measured(bench, seed)))
    with np.load(io.BytesIO(content)) as kept:
        r2 = float(kept["held_out_r2"])
        return HeldEnergies(kept["codes_fj"], float(kept["unit_fj"]), None if np.isnan(r2) else r2)


def _measured(bench: HeldBench, seed: int) -> HeldEnergies:
    datapath, generator = bench.unit.datapath, np.random.default_rng([seed, 11])
    codes = 1 << datapath.weights.bits
    dealt = _dealt(codes, datapath.lanes, generator)
    own_groups = generator.choice(bench.weights.words, (_LEAST_GROUPS, datapath.lanes)).astype(dealt.dtype)
    own_groups[generator.random(own_groups.shape) < generator.random((_LEAST_GROUPS, 1))] = 0  # as training makes them
    groups = dealt if datapath.lanes == 1 else np.concatenate((dealt, own_groups))
    energies = bench.energies_fj(np.repeat(groups[..., None], 2, axis=2))
    sums_fj = np.bincount(dealt.reshape(-1), energies[: len(dealt), :-1].reshape(-1), minlength=codes)
    own_fj = sums_fj.astype(np.float64) / np.bincount(dealt.reshape(-1), minlength=codes)
    if datapath.lanes == 1:
        return HeldEnergies(own_fj, 0.0, None)
    words = np.arange(codes, dtype=groups.dtype)
    figures = _figures(own_fj, word_values(datapath, "weights", {"weights": words}))
    design = np.column_stack((np.ones(len(groups)), figures[:, groups].sum(axis=2).T))
    fitted, r2 = _fit(design, energies[:, -1])
    return HeldEnergies(own_fj + fitted[1:] @ figures, float(fitted[0]), r2)


def _dealt(codes: int, lanes: int, generator: np.random.Generator) -> NDArray[np.unsignedinteger]:
    """Every code in some lane, several times over; shape (groups, lanes)."""
    rounds = 1 if lanes == 1 else max(_LEAST_ROUNDS, -(-_LEAST_GROUPS * lanes // codes))
    order = np.concatenate([generator.permutation(codes) for _ in range(rounds)])
    order = np.resize(order, -(-len(order) // lanes) * lanes)
    words: NDArray[np.unsignedinteger] = order.astype(np.uint8 if codes <= 1 << 8 else np.uint16)
    return words.reshape(-1, lanes)


def _figures(own_fj: NDArray[np.float64], values: NDArray[np.int64]) -> NDArray[np.float64]:
    """What explains the shared energy of a held code: its own logic's, its bits, its magnitude and its square."""
    bits = np.arange(max(1, len(own_fj).bit_length() - 1))
    ones = (np.arange(len(own_fj)) >> bits[:, None]) & 1
    magnitude = np.abs(values) / max(1, int(np.abs(values).max()))
    return np.concatenate((own_fj[None], ones, magnitude[None], magnitude[None] ** 2)).astype(np.float64)


def _fit(design: NDArray[np.float64], shared_fj: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Least squares over all groups, and the coefficient of determination on groups left out of another fit."""
    held_out = np.arange(len(design)) % _HELD_OUT == 0
    seen, *_ = np.linalg.lstsq(design[~held_out], shared_fj[~held_out])
    missed, spread = shared_fj[held_out] - design[held_out] @ seen, float(shared_fj[held_out].var())
    everything, *_ = np.linalg.lstsq(design, shared_fj)
    return everything.astype(np.float64), 1 - float((missed**2).mean()) / spread if spread else 1.0


def _to_bytes(energies: HeldEnergies) -> bytes:
    content = io.BytesIO()
    r2 = np.nan if energies.held_out_r2 is None else energies.held_out_r2
    np.savez(content, codes_fj=energies.codes_fj, unit_fj=np.float64(energies.unit_fj), held_out_r2=np.float64(r2))
    return content.getvalue()
