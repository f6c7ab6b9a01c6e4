"""Simulates all layers of a network, for one or several sets of orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.buffers import MemoryEnergy, check_layers
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.layer_operands import LayerOperands, layer_operands
from fewflips.dataflows.orders import LayerOrders
from fewflips.dataflows.unit_work import PART_CYCLES, Part
from fewflips.datapath.design import Datapath
from fewflips.errors import InputError
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.execution.samples import Samples
from fewflips.gates.operands import Toggles
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.parallel.processors import processors
from fewflips.progress import Progress
from fewflips.records.energy import LayerEnergy
from fewflips.simulation.bill import layer_bill
from fewflips.simulation.counted_layer import EnergySum, count_layer
from fewflips.simulation.memories import memories_of_layer, memory_notes
from fewflips.simulation.records import layer_energy
from fewflips.simulation.register_memories import RegisterMemories, build_register_memories
from fewflips.simulation.time_limit import Shares, shares_within
from fewflips.simulation.toggles import DelayModel, LayerToggles, transitions_per_second
from fewflips.simulation.unit import ArithmeticUnit

_RANGES = (("clock_mhz", 1e-3, 1e5, "MHz"), ("time_limit_s", 1e-3, 1e7, "seconds"), ("step_ps", 0.01, 1e3, "ps"))
MODES: tuple[DelayModel, DelayModel] = ("zero-delay", "inertial")


@dataclass(frozen=True)
class EnergyOptions:
    """How energy is simulated.

    Parameters
    ----------
    clock_mhz : float
        Clock frequency, for leakage.
    time_limit_s : float
        Time beyond which a sample of the cycles is simulated instead of all.
    share : float or None
        Share of the cycles to simulate with delays regardless of time, and all cycles without; None: chosen by the time
        limit.
    step_ps : float
        Step to which delays are rounded.
    seed : int
        Seed of random inputs and samples.
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
        for name, low, high, unit in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name}: expected {low:g} to {high:g} {unit}, got {value}")
        if self.share is not None and not 0 < self.share <= 1:
            raise InputError(f"share of cycles: expected a number above 0, up to 1, got {self.share}")

    @property
    def threads(self) -> int:
        """Processors to use."""
        return processors(self.jobs)


@dataclass(frozen=True, eq=False)
class NetworkRun:
    """What to simulate.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    layers : sequence of Layer
        Layers of the network.
    samples : Samples
        Sample inputs.
    """

    network: Network
    array: Accelerator
    layers: Sequence[Layer] = field(repr=False)
    samples: Samples = field(repr=False)


@dataclass(frozen=True, eq=False)
class NetworkEnergies:
    """Energy of each layer under each set of orders, and how much of it was simulated.

    Parameters
    ----------
    layers : tuple of tuple of LayerEnergy
        For each variant, each layer's mean over the samples.
    shares : Shares
        Share of the cycles, as given or as chosen by the time limit.
    simulated : Shares
        Share of the cycles that was simulated: short layers are always simulated completely.
    toggles : dict of {"zero-delay", "inertial"} to Toggles
        Toggles counted in one unit in the first variant, over all layers and samples.
    notes : tuple of str
        Where the figures of memories come from, and what they leave out.
    """

    layers: tuple[tuple[LayerEnergy, ...], ...]
    shares: Shares
    simulated: Shares
    toggles: dict[DelayModel, Toggles] = field(repr=False)
    notes: tuple[str, ...] = ()


def simulate_network(
    run: NetworkRun,
    unit: ArithmeticUnit,
    variants: Sequence[LayerOrders],
    options: EnergyOptions,
    progress: Progress | None = None,
    shares: Shares | None = None,
) -> NetworkEnergies:
    """Energy of every layer under several sets of orders, with the same activations.

    Parameters
    ----------
    run : NetworkRun
        Network, machine, layers, sample inputs.
    unit : ArithmeticUnit
        The unit that makes up the array.
    variants : sequence of mapping of str to tuple of Segment
        Sets of orders to compare.
    options : EnergyOptions
        Clock, time limit, sampling.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.
    shares : Shares, optional
        Share of the cycles to simulate; by default according to the options.

    Returns
    -------
    NetworkEnergies
        For each variant, each layer's mean over the samples.

    Raises
    ------
    FewflipsError
        If there is no sample, the machine's memories do not suffice for a layer, or the runtime fails.
    """
    in_order = ((layer, orders[layer.name]) for orders in variants for layer in run.layers)
    check_layers(in_order, run.array, unit.datapath)
    samples = len(run.samples.feeds)
    registers = build_register_memories(
        run.array, unit.datapath, unit.library, step_ps=options.step_ps, progress=progress
    )
    simulation: _Simulation | None = None
    for sample, tensors in enumerate(run_samples(run.network, run.samples)):
        if simulation is None:
            chosen = shares or _shares(run, unit, variants, tensors, options)
            simulation = _Simulation(run, unit, registers, variants, options, chosen, progress)
        for number, layer in enumerate(run.layers):
            operands = layer_operands(layer, lowered_rows(layer, tensors), run.array, unit.datapath)
            simulation.add_layer(operands, sample, number)
    if simulation is None:
        raise InputError(f"{run.samples.source}: expected at least one sample input, got none")
    found = simulation
    return NetworkEnergies(
        tuple(tuple(found.result(layer, index, samples) for layer in run.layers) for index in range(len(variants))),
        found.shares,
        found.simulated,
        found.counted,
        memory_notes(run.array, found.memories[0, run.layers[0].name]),
    )


class _Simulation:
    """Simulates layer after layer and adds up the results."""

    def __init__(
        self,
        run: NetworkRun,
        unit: ArithmeticUnit,
        registers: RegisterMemories,
        variants: Sequence[LayerOrders],
        options: EnergyOptions,
        shares: Shares,
        progress: Progress | None,
    ) -> None:
        self.shares = shares
        self.counted: dict[DelayModel, Toggles] = {}
        self.memories: dict[tuple[int, str], dict[str, MemoryEnergy]] = {}
        self._registers = registers
        self._run, self._unit, self._variants, self._options = run, unit, variants, options
        self._sums: dict[tuple[int, str, DelayModel], EnergySum] = {}
        self._transitions = dict.fromkeys(MODES, (0, 0))  # simulated, total
        self._progress = progress
        self._done, self._total = 0, _unit_cycles(run, variants) * len(run.samples.feeds) * len(MODES)

    @property
    def simulated(self) -> Shares:
        """Share of the transitions simulated so far."""
        return Shares(*(done / total if total else 1.0 for done, total in (self._transitions[mode] for mode in MODES)))

    def add_layer(self, operands: LayerOperands, sample: int, number: int) -> None:
        """Simulate a layer of a sample in all orders, under both delay models, on the same stretches of cycles."""
        layer, flow = operands.layer, dataflow_of(self._run.array)
        for index, orders in enumerate(self._variants):
            segments = orders[layer.name]
            work = flow.unit_work(layer, segments, self._run.array)
            if sample == 0:
                self._add_memories(operands, segments, index, number)
            for mode in MODES:
                counted = count_layer(
                    self._unit,
                    operands,
                    segments,
                    self._run.array,
                    mode,
                    share=self.shares.inertial if mode == "inertial" else self.shares.zero_delay,
                    seed=(self._options.seed, sample, number),
                    jobs=self._options.threads,
                    on_part=self._advance,
                )
                self._sums.setdefault((index, layer.name, mode), EnergySum()).add(
                    counted, work, self._options.clock_mhz
                )
                self._count(counted.toggles, mode, is_first=index == 0)

    def _add_memories(self, operands: LayerOperands, segments: tuple[Segment, ...], index: int, number: int) -> None:
        """Simulate memories made of registers with the words of a layer; one sample input tells their energies."""
        seed = (self._options.seed, number)
        found = self._registers.of_layer(operands, segments, seed=seed, jobs=self._options.threads)
        figures = {label: memory.energy for label, memory in found.items()}
        self.memories[index, operands.layer.name] = figures

    def result(self, layer: Layer, index: int, samples: int) -> LayerEnergy:
        """The mean over the samples of a layer's energy in one set of orders."""
        zero_delay, inertial = by_mode = [self._sums[index, layer.name, mode] for mode in MODES]
        relative = [found.half_width_fj / data for found in by_mode if (data := found.energy.data_fj) > 0]
        memories = memories_of_layer(
            layer,
            self._variants[index][layer.name],
            self._run.array,
            self._unit.datapath,
            self._options.clock_mhz,
            self.memories[index, layer.name],
        )
        return layer_energy(
            layer,
            zero_delay.energy * (1 / samples),
            inertial.energy * (1 / samples),
            layer_bill(
                inertial.energy * (1 / samples), inertial.parts_fj / samples, memories, self._unit.estimated_entries
            ),
            sampled=any(found.sampled for found in by_mode),
            ci95_percent=100 * float(np.max(relative, initial=0.0)),
        )

    def _count(self, toggles: LayerToggles, mode: DelayModel, *, is_first: bool) -> None:
        """Note how much was simulated, and the toggles of the first variant."""
        simulated, total = self._transitions[mode]
        counted = toggles.exact + toggles.sample
        in_layer = toggles.exact.transitions + toggles.sampled_transitions
        self._transitions[mode] = simulated + counted.transitions, total + in_layer
        if is_first:
            self.counted[mode] = self.counted[mode] + counted if mode in self.counted else counted

    def _advance(self, transitions: int) -> None:
        self._done = min(self._done + transitions, self._total)
        if self._progress:
            self._progress("simulating gates", 100 * self._done // max(self._total, 1), 100)


def first_part(run: NetworkRun, datapath: Datapath, layer: Layer, segments: tuple[Segment, ...]) -> Part:
    """What the units see at the beginning of a layer, on the first sample."""
    tensors = next(run_samples(run.network, run.samples))
    operands = layer_operands(layer, lowered_rows(layer, tensors), run.array, datapath)
    return next(iter(dataflow_of(run.array).unit_parts(operands, segments, run.array, PART_CYCLES)))


def _unit_cycles(run: NetworkRun, variants: Sequence[LayerOrders]) -> int:
    """Cycles of all units, for all layers in all orders, on one sample."""
    work = dataflow_of(run.array).unit_work
    return sum(work(layer, orders[layer.name], run.array).unit_cycles for orders in variants for layer in run.layers)


def _shares(
    run: NetworkRun,
    unit: ArithmeticUnit,
    variants: Sequence[LayerOrders],
    tensors: Mapping[str, NDArray[Any]],
    options: EnergyOptions,
) -> Shares:
    """Measure the simulator's speed on the largest layer, and divide the available time."""
    if options.share is not None:
        return Shares(1.0, options.share)
    orders, flow = variants[0], dataflow_of(run.array)
    largest = max(run.layers, key=lambda layer: flow.unit_work(layer, orders[layer.name], run.array).unit_cycles)
    operands = layer_operands(largest, lowered_rows(largest, tensors), run.array, unit.datapath)
    part = next(iter(flow.unit_parts(operands, orders[largest.name], run.array, PART_CYCLES)))
    if not part.transitions.any():
        return Shares()
    total = _unit_cycles(run, variants) * len(run.samples.feeds)
    seconds = [total / transitions_per_second(unit.circuit, part, mode, options.threads) for mode in MODES]
    return shares_within(options.time_limit_s, *seconds)
