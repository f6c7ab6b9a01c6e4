"""What a search computes before it simulates: units, and orders."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

import numpy as np

from fewflips.dataflows import Segment
from fewflips.dataflows.orders import LayerOrders
from fewflips.errors import InputError
from fewflips.exploration.space import EffortName
from fewflips.exploration.worker import NetworkContent, UnitTask, network_of, unit_of
from fewflips.gates.netlist.synthesis import netlist_area_um2
from fewflips.machine import Accelerator
from fewflips.optimization.pipeline import run_steps
from fewflips.optimization.registration import step_named
from fewflips.optimization.segment_orders import plan_schedule
from fewflips.optimization.state import State
from fewflips.optimization.step import Context
from fewflips.ordering import Effort
from fewflips.simulation.unit import ArithmeticUnit

_PJ_PER_FJ = 1e-3
_NS_PER_PS = 1e-3
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class UnitFigures:
    """What is known of a unit without operands.

    Parameters
    ----------
    weights_um2, activations_um2 : float
        Area of the registers of each operand and of what stands before them, which units of an array may share.
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


def synthesize_unit(task: UnitTask) -> UnitFigures:
    """Build a unit, and leave its netlist in the cache."""
    unit = unit_of(task)
    netlist_um2 = netlist_area_um2(unit.netlist, unit.library)
    registers = {port: _registers_um2(unit, port) for port in ("weights", "activations")}
    before = {port: _before_registers_um2(unit, port) for port in registers}
    return UnitFigures(
        weights_um2=registers["weights"] + before["weights"],
        activations_um2=registers["activations"] + before["activations"],
        rest_um2=netlist_um2 - sum(registers.values()),
        critical_path_ns=unit.timing.critical_path_ps * _NS_PER_PS,
    )


def _registers_um2(unit: ArithmeticUnit, port: str) -> float:
    """Area of the registers of an operand."""
    instances = (unit.netlist.instances[place] for place in unit.banks.get(port, []))
    return float(sum(unit.library.cells[instance.cell].area_um2 for instance in instances))


def _before_registers_um2(unit: ArithmeticUnit, port: str) -> float:
    """Area of what stands beside the netlist, before the registers of an operand: encoders and clock gates."""
    encoder = unit.encoders.get(port)
    lane_um2 = 0.0 if encoder is None else encoder.area_um2
    if port == "weights" and unit.clock_gates is not None:
        lane_um2 += unit.clock_gates.gate.area_um2
    return unit.datapath.lanes * lane_um2


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
        negated=np.concatenate([segment.sign_flags for segment in segments]),
    )
    return stream.getvalue()


def read_orders(content: bytes) -> dict[str, tuple[Segment, ...]]:
    """What :func:`write_orders` wrote."""
    with np.load(io.BytesIO(content)) as stored:
        ends = np.cumsum(stored["lengths"], axis=0)[:-1]
        lanes = np.split(stored["lanes"].astype(np.int64), ends[:, 0])
        order = np.split(stored["order"].astype(np.int64), ends[:, 1])
        negated = [flags if flags.any() else None for flags in np.split(stored["negated"], ends[:, 1])]
        segments = iter([Segment(*parts) for parts in zip(lanes, order, negated, strict=True)])
        return {
            str(name): tuple(islice(segments, int(count)))
            for name, count in zip(stored["names"], stored["segments"], strict=True)
        }
