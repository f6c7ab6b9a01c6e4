"""Simulates a network in a unit and an order once, and charges it to all machines that share its toggles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fewflips.buffers import MemoryEnergy, check_layers
from fewflips.buffers.chain import memories
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.layer_operands import LayerOperands, layer_operands
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.dataflows.unit_work import UnitWork
from fewflips.errors import InputError
from fewflips.execution.activations import lowered_rows, measurable_layers
from fewflips.exploration.tasks import read_orders
from fewflips.exploration.worker import NetworkContent, Recent, UnitTask, activations_of, network_of, unit_of
from fewflips.machine import Accelerator
from fewflips.machine.memory_sources import REGISTERS
from fewflips.network.layer import Layer
from fewflips.records.exploration import LayerCost
from fewflips.simulation.bill import layer_bill
from fewflips.simulation.counted_layer import CountedLayer, EnergySum, count_layer
from fewflips.simulation.memories import memories_of_layer
from fewflips.simulation.register_memories import RegisterMemories, build_register_memories
from fewflips.simulation.unit import ArithmeticUnit

_PJ_PER_FJ = 1e-3


@dataclass(frozen=True, eq=False)
class SimulationTask:
    """A network in a unit and an order, charged to all machines that differ in nothing that toggles.

    Parameters
    ----------
    network : NetworkContent
        The network.
    layers : tuple of str
        Names of the layers to simulate.
    unit : UnitTask
        The unit.
    orders : bytes or None
        A schedule's orders, as :func:`find_orders` gives them; None for the network's own.
    simulated : Accelerator
        The array whose toggles are counted.
    machines : tuple of tuple of Accelerator and float
        Machines to charge them to, with their clocks in MHz.
    share : float
        Share of the cycles to simulate.
    seed : int
        Of the sample of cycles.
    """

    network: NetworkContent
    layers: tuple[str, ...]
    unit: UnitTask
    orders: bytes | None = field(repr=False)
    simulated: Accelerator
    machines: tuple[tuple[Accelerator, float], ...] = field(repr=False)
    share: float
    seed: int


@dataclass(frozen=True)
class Refusal:
    """Why a machine of a task cannot be."""

    reason: str


def simulate_machines(task: SimulationTask) -> list[list[LayerCost] | Refusal]:
    """Cost of a network's layers on several machines that share their toggles.

    Parameters
    ----------
    task : SimulationTask
        What to simulate.

    Returns
    -------
    list of list of LayerCost or Refusal
        For each machine, each layer's mean over the samples; or why its memories cannot be, or do not suffice.
    """
    network, unit = network_of(task.network), unit_of(task.unit)
    orders = natural_orders(network, task.simulated) if task.orders is None else read_orders(task.orders)
    layers = [(number, layer) for number, layer in enumerate(measurable_layers(network)) if layer.name in task.layers]
    checked = [_checked(task, machine, unit, [layer for _, layer in layers], orders) for machine, _ in task.machines]
    bills = [
        _MachineBill(machine, clock_mhz, registers, unit, orders)
        for (machine, clock_mhz), registers in zip(task.machines, checked, strict=True)
        if not isinstance(registers, Refusal)
    ]
    for sample, tensors in enumerate(activations_of(task.network)):
        for number, layer in layers if bills else ():
            operands = layer_operands(layer, lowered_rows(layer, tensors), task.simulated, unit.datapath)
            _charge(task, unit, operands, orders[layer.name], bills, (sample, number))
    samples = len(task.network.samples.feeds)
    made = iter([[bill.cost(layer, samples, task.orders is not None) for _, layer in layers] for bill in bills])
    return [one if isinstance(one, Refusal) else next(made) for one in checked]


def _charge(
    task: SimulationTask,
    unit: ArithmeticUnit,
    operands: LayerOperands,
    segments: tuple[Segment, ...],
    bills: Sequence[_MachineBill],
    place: tuple[int, int],
) -> None:
    """Simulate a layer of a sample, and charge it to each machine."""
    layer, (sample, number) = operands.layer, place
    seed = (task.seed, *place)
    counted = count_layer(unit, operands, segments, task.simulated, "inertial", share=task.share, seed=seed, jobs=1)
    figures: dict[int, dict[str, MemoryEnergy]] = {}
    for bill in bills:
        if sample == 0:
            registers = bill.registers
            if id(registers) not in figures:
                found = registers.of_layer(operands, segments, seed=(task.seed, number))
                figures[id(registers)] = {label: memory.energy for label, memory in found.items()}
            bill.memories[layer.name] = figures[id(registers)]
        bill.add(layer, counted)


class _MachineBill:
    """Adds up what a machine spends, layer by layer."""

    def __init__(
        self,
        machine: Accelerator,
        clock_mhz: float,
        registers: RegisterMemories,
        unit: ArithmeticUnit,
        orders: LayerOrders,
    ) -> None:
        self.registers = registers
        self.memories: dict[str, Mapping[str, MemoryEnergy]] = {}
        self._machine, self._clock_mhz, self._unit, self._orders = machine, clock_mhz, unit, orders
        self._sums: dict[str, EnergySum] = {}

    def add(self, layer: Layer, counted: CountedLayer) -> None:
        """Add a sample of a layer."""
        self._sums.setdefault(layer.name, EnergySum()).add(counted, self._work(layer), self._clock_mhz)

    def cost(self, layer: Layer, samples: int, is_scheduled: bool) -> LayerCost:
        """The mean over the samples."""
        found, segments = self._sums[layer.name], self._orders[layer.name]
        memories = memories_of_layer(
            layer, segments, self._machine, self._unit.datapath, self._clock_mhz, self.memories[layer.name]
        )
        return LayerCost(
            name=layer.name,
            cycles=self._work(layer).array_cycles,
            index_table_bits=sum(segment.index_bits for segment in segments) if is_scheduled else 0,
            bill=layer_bill(
                found.energy * (1 / samples), found.parts_fj / samples, memories, self._unit.estimated_entries
            ),
            half_width_pj=found.half_width_fj / samples * _PJ_PER_FJ,
        )

    def _work(self, layer: Layer) -> UnitWork:
        return dataflow_of(self._machine).unit_work(layer, self._orders[layer.name], self._machine)


_registers = Recent(16)


def _checked(
    task: SimulationTask, machine: Accelerator, unit: ArithmeticUnit, layers: Sequence[Layer], orders: LayerOrders
) -> RegisterMemories | Refusal:
    """A machine's memories made of registers, or why its memories cannot be, or do not suffice."""
    try:
        check_layers(((layer, orders[layer.name]) for layer in layers), machine, unit.datapath)
        key = (_of_registers(machine), unit.datapath, unit.library.sha256, task.unit.step_ps)
        return _registers.get(
            key, lambda: build_register_memories(machine, unit.datapath, unit.library, step_ps=task.unit.step_ps)
        )
    except InputError as error:
        return Refusal(str(error).removeprefix(f"{machine.name}: "))


def _of_registers(machine: Accelerator) -> str:
    """All of a machine that its memories made of registers depend on, as text."""
    content = machine.model_dump(mode="json", exclude={"name", "description", "buffers"})
    found = memories(machine.buffers) if machine.buffers is not None else ()
    made = {one.label: one.buffer.model_dump(mode="json") for one in found if one.buffer.source == REGISTERS}
    return json.dumps([content, made], sort_keys=True)
