"""What the memories around the array spend on each layer: accesses of its dataflow, times the energy of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fewflips.buffers import MemoryEnergy, buffer_bill, buffer_notes
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.dataflows.unit_datapath import code_widths
from fewflips.datapath.design import Datapath
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.records.bill import BufferBill


@dataclass(frozen=True)
class LayerMemories:
    """What memories spend on a layer.

    Parameters
    ----------
    bill : BufferBill or None
        None if the machine describes no memories.
    estimated : tuple of str
        Its entries that are estimates, as ``buffers.weights_pj``.
    """

    bill: BufferBill | None = None
    estimated: tuple[str, ...] = ()


def layer_memories(
    layers: Sequence[Layer],
    orders: LayerOrders,
    array: Accelerator,
    datapath: Datapath,
    clock_mhz: float,
    simulated: Mapping[str, MemoryEnergy],
) -> dict[str, LayerMemories]:
    """What the memories of a machine spend on each layer of a network in one inference.

    Parameters
    ----------
    layers : sequence of Layer
        The layers.
    orders : mapping of str to tuple of Segment
        Their orders; the index table is read where they differ from the natural ones.
    array : Accelerator
        The machine.
    datapath : Datapath
        Its unit, for the width of partial sums.
    clock_mhz : float
        Clock frequency, for leakage.
    simulated : mapping of str to MemoryEnergy
        Figures of memories made of registers, as :func:`fewflips.buffers.buffer_bill` takes them; the same for every
        layer.

    Returns
    -------
    dict of str to LayerMemories
        By the name of the layer.

    Raises
    ------
    AcceleratorError
        If the memories do not suffice for a layer, or the energy of an access is not known.
    """
    return {
        layer.name: memories_of_layer(layer, orders[layer.name], array, datapath, clock_mhz, simulated)
        for layer in layers
    }


def memories_of_layer(
    layer: Layer,
    segments: tuple[Segment, ...],
    array: Accelerator,
    datapath: Datapath,
    clock_mhz: float,
    simulated: Mapping[str, MemoryEnergy],
) -> LayerMemories:
    """What the memories of a machine spend on one layer in one inference.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        Its orders.
    array, datapath, clock_mhz
        As for :func:`layer_memories`.
    simulated : mapping of str to MemoryEnergy
        Figures of memories made of registers in this layer.

    Returns
    -------
    LayerMemories
        Empty if the machine describes no memories.

    Raises
    ------
    AcceleratorError
        As for :func:`layer_memories`.
    """
    if array.buffers is None:
        return LayerMemories()
    flow = dataflow_of(array)
    accesses = flow.accesses(layer, segments, array, code_widths(layer, array, datapath))
    cycles = flow.unit_work(layer, segments, array).array_cycles
    return LayerMemories(*buffer_bill(layer, accesses, array, cycles, clock_mhz, simulated))


def memory_notes(array: Accelerator, simulated: Mapping[str, MemoryEnergy] | None = None) -> tuple[str, ...]:
    """Where the figures of a machine's memories come from, and what they leave out; nothing if it describes none.

    Parameters
    ----------
    array : Accelerator
        The machine.
    simulated : mapping of str to MemoryEnergy, optional
        Figures of memories made of registers.

    Returns
    -------
    tuple of str
        For reports.

    Raises
    ------
    AcceleratorError
        If the energy of an access is not known.
    """
    return () if array.buffers is None else buffer_notes(array.buffers, simulated)
