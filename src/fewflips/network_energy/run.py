"""Simulating all layers of a network, for one or several sets of orders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.accelerator import Accelerator, Segment
from fewflips.datapath.design import Datapath
from fewflips.errors import InputError
from fewflips.gates.energy import Energy, energy_of
from fewflips.gates.operands import Toggles
from fewflips.measurement import lowered_rows, run_samples
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.network.samples import Samples
from fewflips.network_energy.dataflows import UNIT_PARTS, UNIT_WORK
from fewflips.network_energy.layer_operands import LayerOperands, layer_operands
from fewflips.network_energy.parts import PART_CYCLES, Part
from fewflips.network_energy.record import layer_energy
from fewflips.network_energy.sampling import relative_ci95
from fewflips.network_energy.simulation import DelayModel, count_toggles, transitions_per_second
from fewflips.network_energy.time_limit import Shares, shares_within
from fewflips.network_energy.unit import ArithmeticUnit
from fewflips.progress import Progress
from fewflips.report.energy_model import LayerEnergy
from fewflips.schedule import LayerOrders

MODES: tuple[DelayModel, DelayModel] = ("zero-delay", "inertial")


@dataclass(frozen=True)
class EnergyOptions:
    """How energy is simulated.

    Parameters
    ----------
    clock_mhz : float
        Clock frequency, for leakage.
    time_limit_s : float
        Beyond this a sample of the cycles is simulated instead of all.
    share : float or None
        Share of the cycles to simulate in any case; None: as the time limit has it.
    step_ps : float
        To which delays are rounded.
    seed : int
        Of random inputs and samples.
    jobs : int
        Processors to use; -1 for all.
    """

    clock_mhz: float = 200.0
    time_limit_s: float = 600.0
    share: float | None = None
    step_ps: float = 10.0
    seed: int = 0
    jobs: int = -1

    def __post_init__(self) -> None:
        for name, unit in (("clock_mhz", "MHz"), ("time_limit_s", "seconds"), ("step_ps", "ps")):
            value = getattr(self, name)
            if not isfinite(value) or value <= 0:
                raise InputError(f"{name}: expected a positive number of {unit}, got {value}")
        if self.share is not None and not 0 < self.share <= 1:
            raise InputError(f"share of cycles: expected a number above 0, up to 1, got {self.share}")

    @property
    def threads(self) -> int:
        """Processors to use."""
        return len(os.sched_getaffinity(0)) if self.jobs < 1 else self.jobs


@dataclass(frozen=True, eq=False)
class NetworkRun:
    """What is to be simulated."""

    network: Network
    array: Accelerator
    layers: Sequence[Layer] = field(repr=False)
    samples: Samples = field(repr=False)


@dataclass(frozen=True, eq=False)
class NetworkEnergies:
    """Energy of each layer under each set of orders, and what was simulated of it.

    Parameters
    ----------
    layers : tuple of tuple of LayerEnergy
        For each variant, each layer's mean over the samples.
    shares : Shares
        Share of the cycles that was simulated.
    toggles : dict of {"zero-delay", "inertial"} to Toggles
        Toggles of one unit in the first variant, as they were counted, over all layers and samples.
    """

    layers: tuple[tuple[LayerEnergy, ...], ...]
    shares: Shares
    toggles: dict[DelayModel, Toggles] = field(repr=False)


@dataclass
class _Sum:
    """Energies of one layer under one model of delays, summed over the samples."""

    energy: Energy = field(default_factory=lambda: Energy(0.0, 0.0, 0.0, 0.0))
    half_width_fj: float = 0.0
    sampled: bool = False


def simulate_network(
    run: NetworkRun,
    unit: ArithmeticUnit,
    variants: Sequence[LayerOrders],
    options: EnergyOptions,
    progress: Progress | None = None,
) -> NetworkEnergies:
    """Energy of every layer under several sets of orders, with the same activations.

    Parameters
    ----------
    run : NetworkRun
        Network, machine, layers, sample inputs.
    unit : ArithmeticUnit
        The unit of which the array is made.
    variants : sequence of mapping of str to tuple of Segment
        Sets of orders to compare.
    options : EnergyOptions
        Clock, time limit, sampling.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    NetworkEnergies
        For each variant, each layer's mean over the samples.
    """
    sums: dict[tuple[int, str, DelayModel], _Sum] = {}
    shares: Shares | None = None
    total = len(run.samples.feeds) * len(run.layers) * len(variants) * len(MODES)
    done = 0
    counted: dict[DelayModel, Toggles] = {}
    for tensors in run_samples(run.network, run.samples):
        shares = shares or _shares(run, unit, variants, tensors, options)
        for layer in run.layers:
            operands = _operands(run, unit, layer, tensors)
            for index, orders in enumerate(variants):
                for mode in MODES:
                    key = (index, layer.name, mode)
                    found = sums.setdefault(key, _Sum())
                    toggles = _add_layer(found, run, unit, operands, orders[layer.name], mode, shares, options)
                    if index == 0:
                        counted[mode] = counted[mode] + toggles if mode in counted else toggles
                    done += 1
                    if progress:
                        progress("simulating gates", done, total)
    return NetworkEnergies(
        tuple(
            tuple(_result(layer, sums, index, len(run.samples.feeds)) for layer in run.layers)
            for index in range(len(variants))
        ),
        shares or Shares(),
        counted,
    )


def first_part(run: NetworkRun, datapath: Datapath, layer: Layer, segments: tuple[Segment, ...]) -> Part:
    """What the units see of a layer at its beginning, on the first sample."""
    tensors = next(run_samples(run.network, run.samples))
    operands = layer_operands(layer, lowered_rows(layer, tensors), run.array, datapath)
    return next(iter(UNIT_PARTS[run.array.dataflow](operands, segments, run.array, PART_CYCLES)))


def _operands(
    run: NetworkRun, unit: ArithmeticUnit, layer: Layer, tensors: Mapping[str, NDArray[Any]]
) -> LayerOperands:
    return layer_operands(layer, lowered_rows(layer, tensors), run.array, unit.datapath)


def _add_layer(
    found: _Sum,
    run: NetworkRun,
    unit: ArithmeticUnit,
    operands: LayerOperands,
    segments: tuple[Segment, ...],
    mode: DelayModel,
    shares: Shares,
    options: EnergyOptions,
) -> Toggles:
    """Simulate one layer, add its energy to what was found, and return what was counted."""
    work = UNIT_WORK[run.array.dataflow](operands.layer, segments, run.array)
    toggles = count_toggles(
        unit.circuit,
        UNIT_PARTS[run.array.dataflow](operands, segments, run.array, PART_CYCLES),
        mode,
        share=shares.inertial if mode == "inertial" else shares.zero_delay,
        seed=options.seed,
        jobs=options.threads,
    )
    found.energy += unit.energy(toggles, work, options.clock_mhz)
    if toggles.replicates:
        model = unit.shared_model(work)
        estimates = [energy_of(model, part, 0.0, 0.0).data_fj / part.transitions for part in toggles.replicates]
        of_sample = energy_of(model, toggles.sample, 0.0, 0.0).data_fj * toggles.scale
        found.half_width_fj = hypot(found.half_width_fj, relative_ci95(estimates) * of_sample)
        found.sampled = True
    return toggles.exact + toggles.sample


def _shares(
    run: NetworkRun,
    unit: ArithmeticUnit,
    variants: Sequence[LayerOrders],
    tensors: Mapping[str, NDArray[Any]],
    options: EnergyOptions,
) -> Shares:
    """Measure the simulator's speed on the largest layer, and share the time that there is."""
    if options.share is not None:
        return Shares(options.share, options.share)
    work = UNIT_WORK[run.array.dataflow]
    cycles = {
        layer.name: work(layer, orders[layer.name], run.array).unit_cycles
        for orders in variants
        for layer in run.layers
    }
    largest = max(run.layers, key=lambda layer: cycles[layer.name])
    operands = _operands(run, unit, largest, tensors)
    parts = UNIT_PARTS[run.array.dataflow](operands, variants[0][largest.name], run.array, PART_CYCLES)
    part = next(iter(parts))
    total = sum(cycles.values()) * len(variants) * len(run.samples.feeds)
    seconds = [total / transitions_per_second(unit.circuit, part, mode, options.threads) for mode in MODES]
    return shares_within(options.time_limit_s, *seconds)


def _result(layer: Layer, sums: Mapping[tuple[int, str, DelayModel], _Sum], index: int, samples: int) -> LayerEnergy:
    by_mode = [sums[index, layer.name, mode] for mode in MODES]
    relative = [found.half_width_fj / data for found in by_mode if (data := found.energy.data_fj) > 0]
    return layer_energy(
        layer,
        by_mode[0].energy * (1 / samples),
        by_mode[1].energy * (1 / samples),
        sampled=any(found.sampled for found in by_mode),
        ci95_percent=100 * float(np.max(relative, initial=0.0)),
    )
