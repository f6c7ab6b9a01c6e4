"""Dataflows: which operand stands still, and in which order the other one streams.

To add one, write a subclass of :class:`~fewflips.accelerator.dataflows.base.Dataflow` in a module of its own
and list it here.
"""

from fewflips.accelerator.dataflows.activation_stationary import ActivationStationary
from fewflips.accelerator.dataflows.base import Dataflow, Segment
from fewflips.accelerator.dataflows.output_stationary import OutputStationary
from fewflips.accelerator.dataflows.weight_stationary import WeightStationary

DATAFLOWS: dict[str, Dataflow] = {
    flow.name: flow for flow in (ActivationStationary(), WeightStationary(), OutputStationary())
}

__all__ = ["DATAFLOWS", "Dataflow", "Segment"]
