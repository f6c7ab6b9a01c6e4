"""What a search computes in processes of its own: units, orders, and the toggles of a network in a unit."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from math import hypot
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.layer_operands import LayerOperands, layer_operands
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.dataflows.unit_work import PART_CYCLES
from fewflips.datapath.design import Datapath
from fewflips.errors import InputError
from fewflips.execution.activations import lowered_rows, measurable_layers, run_samples
from fewflips.execution.samples import Samples
from fewflips.exploration.space import EffortName
from fewflips.files.leftovers import temporary_folder
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.synthesis import netlist_area_um2
from fewflips.gates.power.attribution import PARTS
from fewflips.gates.power.energy import Energy, energy_of
from fewflips.machine import Accelerator
from fewflips.network import Network, load
from fewflips.network.layer import Layer
from fewflips.optimization.pipeline import run_steps
from fewflips.optimization.registration import step_named
from fewflips.optimization.segment_orders import plan_schedule
from fewflips.optimization.state import State
from fewflips.optimization.step import Context
from fewflips.ordering import Effort
from fewflips.records.exploration import LayerCost
from fewflips.schedule.binary import index_table_bits
from fewflips.simulation.bill import layer_bill
from fewflips.simulation.sampling import relative_ci95
from fewflips.simulation.toggles import LayerToggles, count_toggles
from fewflips.simulation.unit import ArithmeticUnit, build_unit

_PJ_PER_FJ = 1e-3
_NS_PER_PS = 1e-3
_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class NetworkContent:
    """A network as a process needs it that may not see this machine's files.

    Parameters
    ----------
    sha256 : str
        Of the model file.
    file : str
        Its name.
    path : str or None
        Where it lies; None where `content` is given.
    content : bytes or None
        The file itself.
    samples : Samples
        Sample inputs.
    samples_digest : str
        Of these.
    """

    sha256: str
    file: str
    path: str | None
    content: bytes | None = field(repr=False)
    samples: Samples = field(repr=False)
    samples_digest: str = ""


@dataclass(frozen=True, eq=False)
class UnitTask:
    """A unit to synthesize."""

    datapath: Datapath
    cells: str | CellLibrary
    step_ps: float


@dataclass(frozen=True)
class UnitFigures:
    """What is known of a unit without operands.

    Parameters
    ----------
    weights_um2, activations_um2 : float
        Area of the registers of each operand, which units of an array may share.
    rest_um2 : float
        Area of everything else.
    critical_path_ns : float
        Longest path from register to register.
    """

    weights_um2: float
    activations_um2: float
    rest_um2: float
    critical_path_ns: float


@dataclass(frozen=True, eq=False)
class OrderTask:
    """Orders to find."""

    network: NetworkContent
    machine: Accelerator
    orders: Literal["schedule", "drop-in"]
    effort: EffortName
    seed: int


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


def synthesize_unit(task: UnitTask) -> UnitFigures:
    """Build a unit, and leave its netlist in the cache."""
    unit = _unit(task)
    whole = netlist_area_um2(unit.netlist, unit.library)
    weights, activations = (
        sum(unit.library.cells[unit.netlist.instances[place].cell].area_um2 for place in unit.banks.get(port, []))
        for port in ("weights", "activations")
    )
    critical_path_ns = unit.timing.critical_path_ps * _NS_PER_PS
    return UnitFigures(weights, activations, whole - weights - activations, critical_path_ns)


def find_orders(task: OrderTask) -> bytes:
    """Orders of a schedule, or a model with its channels in another order.

    Parameters
    ----------
    task : OrderTask
        Network, machine, kind of orders.

    Returns
    -------
    bytes
        For :func:`read_orders`, or the model file.

    Raises
    ------
    FewflipsError
        If the rewritten model does not compute what the original computes, or lies in several files.
    """
    network = network_of(task.network)
    effort = getattr(Effort, task.effort)()
    if task.orders == "schedule":
        return write_orders(plan_schedule(network, task.machine, effort=effort, seed=task.seed, jobs=1).orders)
    context = Context(task.network.samples, effort, task.seed, 1, None)
    run = run_steps(State.stored(network, task.machine), [step_named("drop-in")], context)
    files = run.stages[-1].state.files
    contents = {} if files is None else files.contents()
    if len(contents) != 1:
        raise InputError(
            f"{task.network.file}: expected a model in one file for drop-in orders, got {len(contents)}: keep its "
            "weights in the model file, or leave drop-in out of the space"
        )
    return next(iter(contents.values()))


def write_orders(orders: LayerOrders) -> bytes:
    """Orders as bytes: flat NumPy arrays, with the number of segments of each layer and the lengths of each segment."""
    segments = [segment for of_layer in orders.values() for segment in of_layer]
    stream = io.BytesIO()
    np.savez(
        stream,
        names=np.array(list(orders)),
        segments=np.array([len(of_layer) for of_layer in orders.values()]),
        lengths=np.array([(len(segment.lanes), len(segment.order)) for segment in segments]),
        lanes=np.concatenate([segment.lanes for segment in segments]).astype(np.int32),
        order=np.concatenate([segment.order for segment in segments]).astype(np.int32),
    )
    return stream.getvalue()


def read_orders(content: bytes) -> dict[str, tuple[Segment, ...]]:
    """What :func:`write_orders` wrote."""
    with np.load(io.BytesIO(content)) as stored:
        ends = np.cumsum(stored["lengths"], axis=0)[:-1]
        lanes = np.split(stored["lanes"].astype(np.int64), ends[:, 0])
        order = np.split(stored["order"].astype(np.int64), ends[:, 1])
        segments = iter([Segment(*pair) for pair in zip(lanes, order, strict=True)])
        return {
            str(name): tuple(islice(segments, int(count)))
            for name, count in zip(stored["names"], stored["segments"], strict=True)
        }


def simulate_machines(task: SimulationTask) -> list[list[LayerCost]]:
    """Cost of a network's layers on several machines that share their toggles.

    Parameters
    ----------
    task : SimulationTask
        What to simulate.

    Returns
    -------
    list of list of LayerCost
        For each machine, each layer's mean over the samples.
    """
    network, unit = network_of(task.network), _unit(task.unit)
    orders = natural_orders(network, task.simulated) if task.orders is None else read_orders(task.orders)
    layers = [(number, layer) for number, layer in enumerate(measurable_layers(network)) if layer.name in task.layers]
    charges = {layer.name: [_Charge() for _ in task.machines] for _, layer in layers}
    for sample, tensors in enumerate(_activations(task.network)):
        for number, layer in layers:
            operands = layer_operands(layer, lowered_rows(layer, tensors), task.simulated, unit.datapath)
            toggles = _toggles(task, unit, operands, orders[layer.name], (task.seed, sample, number))
            _charge_all(charges[layer.name], task.machines, unit, layer, orders[layer.name], toggles)
    samples = len(task.network.samples.feeds)
    return [
        [
            charges[layer.name][place].cost(layer, machine, orders[layer.name], samples, task.orders is not None)
            for _, layer in layers
        ]
        for place, (machine, _) in enumerate(task.machines)
    ]


class _Charge:
    """What a layer costs a machine, summed over the samples."""

    def __init__(self) -> None:
        self._energy = Energy(0.0, 0.0, 0.0, 0.0)
        self._parts_fj = np.zeros(len(PARTS))
        self._half_width_fj = 0.0

    def add(self, energy: Energy, data: _Data) -> None:
        """Add a sample."""
        self._energy += energy
        self._parts_fj += data.parts_fj
        self._half_width_fj = hypot(self._half_width_fj, data.half_width_fj)

    def cost(
        self, layer: Layer, machine: Accelerator, segments: tuple[Segment, ...], samples: int, scheduled: bool
    ) -> LayerCost:
        """The mean over the samples."""
        work = dataflow_of(machine).unit_work(layer, segments, machine)
        return LayerCost(
            name=layer.name,
            cycles=work.array_cycles,
            index_table_bits=index_table_bits(len(segment.order) for segment in segments) if scheduled else 0,
            bill=layer_bill(self._energy * (1 / samples), self._parts_fj / samples),
            half_width_pj=self._half_width_fj / samples * _PJ_PER_FJ,
        )


@dataclass(frozen=True, eq=False)
class _Data:
    """Energy of a layer's data by part, in the order of `PARTS`, and half of its 95 % confidence interval."""

    parts_fj: NDArray[np.float64]
    half_width_fj: float


def _charge_all(
    charges: Sequence[_Charge],
    machines: Sequence[tuple[Accelerator, float]],
    unit: ArithmeticUnit,
    layer: Layer,
    segments: tuple[Segment, ...],
    toggles: LayerToggles,
) -> None:
    data: dict[tuple[float, float], _Data] = {}
    for charge, (machine, clock_mhz) in zip(charges, machines, strict=True):
        work = dataflow_of(machine).unit_work(layer, segments, machine)
        shares = (work.weight_share, work.activation_share)
        if shares not in data:
            data[shares] = _Data(unit.data_by_part(toggles, work), _half_width_fj(unit, toggles, *shares))
        charge.add(unit.energy(toggles, work, clock_mhz), data[shares])


def _half_width_fj(unit: ArithmeticUnit, toggles: LayerToggles, weight_share: float, activation_share: float) -> float:
    """Half of the 95 % confidence interval of a layer's data energy."""
    if not toggles.replicates:
        return 0.0
    model = unit.shared_model(weight_share, activation_share)
    estimates = [energy_of(model, part, 0.0, 0.0).data_fj / part.transitions for part in toggles.replicates]
    return relative_ci95(estimates) * energy_of(model, toggles.sample, 0.0, 0.0).data_fj * toggles.scale


def _toggles(
    task: SimulationTask,
    unit: ArithmeticUnit,
    operands: LayerOperands,
    segments: tuple[Segment, ...],
    seed: tuple[int, int, int],
) -> LayerToggles:
    parts = dataflow_of(task.simulated).unit_parts(operands, segments, task.simulated, PART_CYCLES)
    return count_toggles(unit.circuit, parts, "inertial", share=task.share, seed=seed, jobs=1)


class _Recent:
    """The last few of what a process has made, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What has this key, made if it is not kept any more."""
        made: _Made = self._kept.pop(key) if key in self._kept else make()
        self._kept[key] = made
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return made


_units, _networks, _tensors = _Recent(6), _Recent(6), _Recent(3)


def _unit(task: UnitTask) -> ArithmeticUnit:
    library = task.cells if isinstance(task.cells, CellLibrary) else _builtin_cells(task.cells)
    key = (task.datapath, library.sha256, task.step_ps)
    return _units.get(key, lambda: build_unit(task.datapath, library, step_ps=task.step_ps))


@lru_cache(maxsize=8)
def _builtin_cells(name: str) -> CellLibrary:
    return load_cells(name)


def network_of(content: NetworkContent) -> Network:
    """The network of a content, read once in a process."""
    network, _ = _networks.get(content.sha256, lambda: _load(content))
    return network


def _load(content: NetworkContent) -> tuple[Network, tempfile.TemporaryDirectory[str] | None]:
    """A network, and the folder of its file, which goes when nobody needs it any more."""
    if content.content is None:
        network = load(Path(str(content.path)))
        if network.sha256 != content.sha256:
            raise InputError(f"{content.path}: has changed while it was explored; run it again")
        return network, None
    folder = temporary_folder("fewflips-explore-")
    path = Path(folder.name) / Path(content.file).name
    path.write_bytes(content.content)
    return load(path), folder


def _activations(content: NetworkContent) -> Iterator[Mapping[str, NDArray[Any]]]:
    network = network_of(content)
    key = (content.sha256, content.samples_digest)
    yield from _tensors.get(key, lambda: list(run_samples(network, content.samples)))
