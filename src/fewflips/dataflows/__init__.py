"""Dataflows: which operand stays in the array, and in which order the other one streams.

Each has a folder. To add one, write a subclass of :class:`~fewflips.dataflows.protocol.Dataflow` in a package of your
own, and register it with :func:`register_dataflow` or through an entry point of the group ``fewflips.dataflows``.
"""

from fewflips.dataflows.protocol import Dataflow
from fewflips.dataflows.registration import dataflow_named, dataflow_names, dataflow_of, register_dataflow
from fewflips.dataflows.segment import Segment

__all__ = ["Dataflow", "Segment", "dataflow_named", "dataflow_names", "dataflow_of", "register_dataflow"]
