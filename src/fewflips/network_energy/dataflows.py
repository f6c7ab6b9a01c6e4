"""For each dataflow, what its units do: one entry a dataflow of :mod:`fewflips.accelerator.dataflows`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fewflips.accelerator import Accelerator, Segment
from fewflips.network.layer import Layer
from fewflips.network_energy import activation_stationary, output_stationary, weight_stationary
from fewflips.network_energy.layer_operands import LayerOperands
from fewflips.network_energy.parts import Part, UnitWork

UNIT_PARTS: Mapping[str, Callable[[LayerOperands, tuple[Segment, ...], Accelerator, int], Iterator[Part]]] = {
    "activation-stationary": activation_stationary.unit_parts,
    "output-stationary": output_stationary.unit_parts,
    "weight-stationary": weight_stationary.unit_parts,
}
"""What each unit sees, part by part."""

UNIT_WORK: Mapping[str, Callable[[Layer, tuple[Segment, ...], Accelerator], UnitWork]] = {
    "activation-stationary": activation_stationary.unit_work,
    "output-stationary": output_stationary.unit_work,
    "weight-stationary": weight_stationary.unit_work,
}
"""How long the units work, and what they share."""
