"""Where the energy of a memory may come from if the machine does not state it.

What a source knows is in :mod:`fewflips.buffers`; a description of a machine refers to it by name.
"""

from __future__ import annotations

from typing import Any

from fewflips.registry import Registry

REGISTERS = "registers"
"""Flip-flops: synthesized and simulated like the arithmetic units, so not looked up."""

TABLE = "table"
"""The built-in table of published figures."""

MEMORY_SOURCES: Registry[Any] = Registry(
    "fewflips.memories", {TABLE: "fewflips.buffers.table:PublishedFigures", "cacti": "fewflips.buffers.cacti:Cacti"}
)
"""Sources by the name that a YAML file gives; see :func:`fewflips.buffers.memory_source`."""
