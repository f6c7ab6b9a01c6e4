"""The memories around an array: what an access costs, and what a layer's accesses cost.

A source of figures is a subclass of :class:`MemorySource` in a package of your own, registered with
:func:`register_memory_source` or through an entry point of the group ``fewflips.memories``.
"""

from fewflips.buffers.bill import REGISTER_FILES, buffer_bill, memory_figures
from fewflips.buffers.fit import check_memories
from fewflips.buffers.network import check_can_schedule, check_layers
from fewflips.buffers.notes import buffer_notes
from fewflips.buffers.source import (
    MemoryEnergy,
    MemorySource,
    memory_energy,
    memory_source,
    register_memory_source,
)

__all__ = [
    "REGISTER_FILES",
    "MemoryEnergy",
    "MemorySource",
    "buffer_bill",
    "buffer_notes",
    "check_can_schedule",
    "check_layers",
    "check_memories",
    "memory_energy",
    "memory_figures",
    "memory_source",
    "register_memory_source",
]
