"""Orders of all layers of a network."""

from __future__ import annotations

from collections.abc import Mapping

from fewflips.dataflows import Segment, dataflow_of
from fewflips.machine import Accelerator
from fewflips.network.graph import Network

LayerOrders = Mapping[str, tuple[Segment, ...]]
"""Segments of each layer, by its name."""


def natural_orders(network: Network, array: Accelerator) -> dict[str, tuple[Segment, ...]]:
    """Segments of every layer in natural order."""
    return {layer.name: dataflow_of(array).segments(layer, array) for layer in network.layers}
