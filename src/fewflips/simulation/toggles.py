"""Toggles of every net of a unit over a layer: over all its cycles, or over a sample of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Literal

import numpy as np

from fewflips.dataflows.unit_work import Part
from fewflips.gates.operands import Toggles, Windows
from fewflips.gates.switching import Circuit, cut_windows, simulate
from fewflips.parallel.tasks import run_all
from fewflips.simulation.sampling import all_windows, is_worth_sampling, sample_windows

DelayModel = Literal["zero-delay", "inertial"]
LANES = 64
"""Number of windows in one word."""


@dataclass(frozen=True, eq=False)
class LayerToggles:
    """Toggle counts of a layer under one delay model.

    Parameters
    ----------
    exact : Toggles
        Counts of the parts that were simulated completely.
    sample : Toggles
        Counts of the windows that were simulated in the other parts.
    sampled_transitions : int
        Number of transitions that `sample` represents.
    replicates : tuple of Toggles
        The independent samples that make up `sample`.
    """

    exact: Toggles
    sample: Toggles
    sampled_transitions: int = 0
    replicates: tuple[Toggles, ...] = field(default=(), repr=False)

    @property
    def scale(self) -> float:
        """Factor that scales counts of the sample to the parts it was drawn from."""
        return self.sampled_transitions / self.sample.transitions if self.sample.transitions else 0.0


def count_toggles(
    circuit: Circuit,
    parts: Iterable[Part],
    mode: DelayModel,
    *,
    share: float = 1.0,
    seed: int | Sequence[int] = 0,
    jobs: int = 1,
    on_part: Callable[[int], None] | None = None,
) -> LayerToggles:
    """Simulate a layer.

    Parameters
    ----------
    circuit : Circuit
        One unit.
    parts : iterable of Part
        What the units see.
    mode : {"zero-delay", "inertial"}
        Delay model.
    share : float
        Approximate share of the transitions to simulate; parts too short to be sampled are simulated completely.
    seed : int or sequence of int
        Chooses the sample.
    jobs : int
        Threads.
    on_part : callable, optional
        Called with the number of transitions of each finished part.

    Returns
    -------
    LayerToggles
        Counts, with separate samples if the layer was sampled.
    """
    generator = np.random.default_rng(seed)
    whole: list[Toggles] = []
    sampled: list[list[Toggles]] = []
    sampled_transitions = 0
    for part in parts:
        in_part = int(part.transitions.sum())
        if in_part and is_worth_sampling(in_part, share):
            sampled_transitions += in_part
            sampled.append(_simulate_each(circuit, part, sample_windows(part, share, generator), mode, jobs))
        elif in_part:
            windows = all_windows(part, cut_windows(part.transitions + 1, LANES * jobs))
            whole.append(simulate(circuit, part.sequences, mode, windows=windows, jobs=jobs))
        if on_part:
            on_part(in_part)
    replicates = tuple(reduce(add, replicate) for replicate in zip(*sampled, strict=True))
    nets = len(circuit.netlist.nets)
    nothing = Toggles(np.zeros(nets, np.int64), np.zeros(nets, np.int64), 0)
    return LayerToggles(reduce(add, whole, nothing), reduce(add, replicates, nothing), sampled_transitions, replicates)


def transitions_per_second(circuit: Circuit, part: Part, mode: DelayModel, jobs: int) -> float:
    """How fast a unit is simulated, measured on a few windows of a part."""
    length = 64 if mode == "inertial" else 1024
    cut = cut_windows(part.transitions + 1, LANES * jobs)
    windows = Windows(cut.sequence, cut.first, np.minimum(cut.transitions, length))
    windows = all_windows(part, windows)
    simulate(circuit, part.sequences, mode, windows=windows, jobs=jobs)  # loads the kernels
    begin = time.perf_counter()
    toggles = simulate(circuit, part.sequences, mode, windows=windows, jobs=jobs)
    return toggles.transitions / (time.perf_counter() - begin)


def _simulate_each(
    circuit: Circuit, part: Part, replicates: list[Windows], mode: DelayModel, jobs: int
) -> list[Toggles]:
    def run(windows: Windows) -> Toggles:
        return simulate(circuit, part.sequences, mode, windows=windows)

    return run_all(run, replicates, jobs=jobs, in_this_process=True)
