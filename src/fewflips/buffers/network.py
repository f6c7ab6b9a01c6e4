"""Whether a machine's memories suffice for a network: asked before anything takes long."""

from __future__ import annotations

from collections.abc import Iterable

from fewflips.buffers.chain import memories
from fewflips.buffers.column_file import column_file
from fewflips.buffers.fit import check_memories
from fewflips.buffers.source import memory_energy
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.unit_datapath import code_widths
from fewflips.datapath.design import Datapath
from fewflips.errors import AcceleratorError
from fewflips.machine import Accelerator
from fewflips.machine.memory_sources import REGISTERS
from fewflips.network.layer import Layer


def check_layers(layers: Iterable[tuple[Layer, tuple[Segment, ...]]], array: Accelerator, datapath: Datapath) -> None:
    """Refuse layers for which a machine's memories do not suffice; a machine without buffers is not checked.

    Parameters
    ----------
    layers : iterable of (Layer, tuple of Segment)
        Layers, each with the orders in which it is to run.
    array : Accelerator
        The machine.
    datapath : Datapath
        Its unit, for the width of sums.

    Raises
    ------
    AcceleratorError
        As :func:`~fewflips.buffers.check_memories` for any layer, or if the dataflow does not count its accesses, the
        figures of a memory are not known, or tiles have more sums than a register file holds.
    """
    if array.buffers is None:
        return
    column_file(array, datapath.accumulator_bits)
    for memory in memories(array.buffers):
        if memory.buffer.source != REGISTERS:
            memory_energy(memory.buffer, f"{array.name}: buffers.{memory.label}")
    flow = dataflow_of(array)
    for layer, segments in layers:
        check_memories(layer, flow.accesses(layer, segments, array, code_widths(layer, array, datapath)), array)


def check_can_schedule(array: Accelerator) -> None:
    """Refuse a machine that has buffers and, among them, no index table.

    Parameters
    ----------
    array : Accelerator
        A machine for which a schedule is to be made.

    Raises
    ------
    AcceleratorError
        If there is no place for its orders.
    """
    if array.buffers is not None and array.buffers.index_table is None:
        raise AcceleratorError(
            f"{array.name}: expected an index table for the orders of a schedule, got none: describe "
            "buffers.index_table, or reorder channels alone (--mode drop-in)"
        )
