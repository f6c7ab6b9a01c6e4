"""Which codings a port may have: plain wires, and those that others register.

What a coding does is in :mod:`fewflips.coding`; a description of a machine knows it by its name.
"""

from __future__ import annotations

from typing import Any

from fewflips.registry import Registry

PLAIN = "plain"
"""Each code goes on the wires as it is."""

CODINGS: Registry[Any] = Registry("fewflips.codings", {PLAIN: "fewflips.coding.plain:Plain"})
"""By the name that a YAML file gives; see :func:`fewflips.coding.coding_of`."""
