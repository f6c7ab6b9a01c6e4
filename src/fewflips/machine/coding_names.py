"""Which codings a port may have: plain wires, bus-invert, and those that others register.

What a coding does is in :mod:`fewflips.coding`; a description of a machine knows it by its name.
"""

from __future__ import annotations

from typing import Any

from fewflips.registry import Registry

PLAIN = "plain"
"""Each code goes on the wires as it is."""

BUS_INVERT = "bus-invert"
"""A code or its complement, and a flag that says which."""

CODINGS: Registry[Any] = Registry(
    "fewflips.codings",
    {PLAIN: "fewflips.coding.plain:Plain", BUS_INVERT: "fewflips.coding.bus_invert:BusInvert"},
)
"""By the name that a YAML file gives; see :func:`fewflips.coding.coding_of`."""
