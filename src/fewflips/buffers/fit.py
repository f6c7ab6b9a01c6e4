"""Whether a machine's memories suffice for a layer."""

from __future__ import annotations

from fewflips.buffers.chain import OPERANDS, Memory, chains, traffic_of
from fewflips.dataflows.accesses import Accesses
from fewflips.errors import AcceleratorError
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer

_BITS_OF_A_KIB = 8192


def check_memories(layer: Layer, accesses: Accesses, array: Accelerator) -> None:
    """Refuse a layer for which a machine lacks a memory, or has one that is too small.

    Parameters
    ----------
    layer : Layer
        For the message.
    accesses : Accesses
        What it reads and writes.
    array : Accelerator
        The machine. One without buffers is not checked.

    Raises
    ------
    AcceleratorError
        If partial sums leave the array and have no place, a schedule is used and there is no index table, or the
        last of the memories of an operand does not hold it. A buffer without memories behind it may be smaller than
        what passes through: what fills it is left off the bill.
    """
    if array.buffers is None:
        return
    found = chains(array.buffers)
    sums = accesses.partial_sums
    if sums.codes_written and "partial-sums" not in found:
        raise AcceleratorError(
            f"{layer}: {array.name} writes {sums.codes_written} partial sums and has no buffer for them: describe "
            "buffers.partial_sums, or a tiling whose sums stay in the array"
        )
    if accesses.index_table.codes_read and "index-table" not in found:
        raise AcceleratorError(
            f"{layer}: {array.name} has no index table, and the layer is scheduled: describe buffers.index_table, or "
            "run it in natural order"
        )
    if "partial-sums" in found:
        _check_holds(
            layer, found["partial-sums"][-1], sums.live * sums.code_bits, "its partial sums that are not complete"
        )
    for content in OPERANDS:
        if content in found and len(found[content]) > 1:
            traffic = traffic_of(accesses, content)
            _check_holds(layer, found[content][-1], traffic.whole_bits, f"its {content.replace('-', ' ')}")


def _check_holds(layer: Layer, memory: Memory, bits: int, what: str) -> None:
    if bits > memory.buffer.capacity_bits:
        raise AcceleratorError(
            f"{layer}: {what} take {bits / _BITS_OF_A_KIB:.3g} KiB, buffers.{memory.label} has "
            f"{memory.buffer.size_kib:.3g} KiB: make it larger, or describe a memory beyond it that holds them"
        )
